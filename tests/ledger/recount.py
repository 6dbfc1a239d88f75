"""A report computed the slow way, entry by entry: what the sums by quarter are held against."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from datetime import datetime, tzinfo
from typing import TypeVar

from acp_bridge.ledger.records import SpentRow
from acp_bridge.ledger.report import Cost, GroupKey, ReportRow, Unasked
from acp_bridge.metering.usage import Source, State, Tokens, total

Values = tuple[str | None, ...]
Word = TypeVar("Word", Source, State)


@dataclass(frozen=True)
class Recounted:
    """What a row of a report has to say."""

    values: Values
    requests: int | None
    tokens: Tokens
    sources: dict[Source, int]
    states: dict[State, int]
    state_tokens: dict[State, int]
    unknown_requests: int
    cost: Cost
    uncosted_entries: int
    unasked: Unasked
    pending: bool


def said(row: ReportRow) -> Recounted:
    return Recounted(**{field.name: getattr(row, field.name) for field in fields(Recounted)})


def all_said(rows: Iterable[ReportRow]) -> list[Recounted]:
    return [said(row) for row in rows]


def value(row: SpentRow, key: GroupKey, zone: tzinfo) -> str | None:
    entry, local = row.entry, row.entry.at.astimezone(zone)
    year, week, _ = local.isocalendar()
    hour = local.replace(minute=0, second=0, microsecond=0)
    values: dict[GroupKey, str | None] = {
        GroupKey.MODE: row.mode,
        GroupKey.CREDENTIAL_CLASS: row.credential_class,
        GroupKey.BUCKET: row.bucket,
        GroupKey.SURFACE: row.surface,
        GroupKey.MODEL: entry.model,
        GroupKey.ASKED_BY: entry.asked_by,
        GroupKey.SOURCE: entry.source,
        GroupKey.STATE: entry.state,
        GroupKey.RUN: entry.run_id,
        GroupKey.SESSION: entry.session_id,
        GroupKey.PROJECT: row.project,
        GroupKey.SUBAGENT: entry.agent_id,
        GroupKey.HOUR: hour.isoformat(timespec="minutes"),
        GroupKey.DAY: local.date().isoformat(),
        GroupKey.WEEK: f"{year}-W{week:02}",
        GroupKey.MONTH: f"{local:%Y-%m}",
    }
    return values[key]


def recount(
    rows: Iterable[SpentRow],
    by: tuple[GroupKey, ...],
    *,
    since: datetime | None,
    until: datetime | None,
    zone: tzinfo,
) -> list[Recounted]:
    groups: dict[Values, list[SpentRow]] = {}
    for row in rows:
        if (since is None or row.entry.at >= since) and (until is None or row.entry.at < until):
            groups.setdefault(tuple(value(row, key, zone) for key in by), []).append(row)
    ordered = sorted(groups, key=lambda values: [(v is not None, v or "") for v in values])
    return [summed(values, groups[values]) for values in ordered]


def summed(values: Values, rows: list[SpentRow]) -> Recounted:
    known = [row.entry.requests for row in rows if row.entry.requests is not None]
    unasked = [row for row in rows if row.entry.asked_by.unasked]
    return Recounted(
        values=values,
        requests=sum(known) if known else None,
        tokens=tokens(rows),
        sources=requests_by(rows, lambda row: row.entry.source),
        states=requests_by(rows, lambda row: row.entry.state),
        state_tokens=tokens_by_state(rows),
        unknown_requests=sum(
            1 if row.entry.requests is None else row.entry.requests
            for row in rows
            if row.entry.tokens is None
        ),
        cost=cost(rows),
        uncosted_entries=sum(row.entry.cost_micros is None for row in rows),
        unasked=Unasked(
            sum(row.entry.requests or 0 for row in unasked), tokens(unasked), cost(unasked)
        ),
        pending=False,
    )


def tokens(rows: Iterable[SpentRow]) -> Tokens:
    return total(row.entry.tokens for row in rows if row.entry.tokens is not None)


def requests_by(rows: Iterable[SpentRow], word_of: Callable[[SpentRow], Word]) -> dict[Word, int]:
    found: dict[Word, int] = {}
    for row in rows:
        word = word_of(row)
        found[word] = found.get(word, 0) + (row.entry.requests or 0)
    return {word: count for word, count in found.items() if count}


def tokens_by_state(rows: list[SpentRow]) -> dict[State, int]:
    found = {state: tokens(row for row in rows if row.entry.state is state) for state in State}
    return {state: of.total for state, of in found.items() if of}


def cost(rows: Iterable[SpentRow]) -> Cost:
    found: Cost = {}
    for row in rows:
        micros, present = row.entry.cost_micros, found.get(row.cost_kind)
        found[row.cost_kind] = present if micros is None else micros + (present or 0)
    return found
