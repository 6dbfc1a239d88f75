"""What was used, as the pages that people read. The document is `acp_bridge.run.usage_document`."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from acp_bridge.inspect.plots import DaySpending, spend_by_day
from acp_bridge.inspect.screen import Screen
from acp_bridge.ledger.report import GroupKey, Report, ReportRow
from acp_bridge.metering.usage import CostKind, Source, State
from acp_bridge.modes import Bucket

_MONEY: Mapping[CostKind, str] = {
    CostKind.BILLED_ESTIMATE: "estimated bill",
    CostKind.LIST_PRICE_EQUIVALENT: "at list price, used on a subscription",
    CostKind.ENDPOINT_PRICE: "by the endpoint's prices",
    CostKind.UNKNOWN: "of unknown money",
}

_STATES: Mapping[State, str] = {
    State.LIVE: "seen while they were spent",
    State.SETTLED: "missed live and found in the session's totals",
    State.OUTSIDE: "spent in these sessions by something else; nobody saw who paid",
    State.UNKNOWN: "made or perhaps made, whose tokens nobody told",
}

PLOTTED_BY = (GroupKey.DAY, GroupKey.BUCKET)
"""What the report of `render_spending` is grouped by."""

_NOTHING = "Nothing is recorded for that. `acp-bridge demo` spends nothing and shows how.\n"
_Cells = tuple[str, ...]
_COLUMNS: tuple[tuple[str, Callable[[Mapping[str, Any]], object]], ...] = (
    ("requests", lambda row: row["requests"]),
    ("input", lambda row: row["input_tokens"]),
    ("output", lambda row: row["output_tokens"]),
    ("cache read", lambda row: row["cache_read_tokens"]),
    ("write 5m", lambda row: row["cache_write_5m_tokens"]),
    ("write 1h", lambda row: row["cache_write_1h_tokens"]),
)


def render(document: Mapping[str, Any]) -> str:
    """The page for people.

    Args:
        document: from `acp_bridge.run.usage_document.usage_document`.
    """
    names, rows, totals = document["group_by"], document["rows"], document["totals"]
    if not rows and not totals["cost"]:
        return _NOTHING
    head = (*(name.replace("_", " ") for name in names), *(name for name, _ in _COLUMNS), "USD")
    body = [(*(_shown(row[name]) for name in names), *_numbers(row)) for row in rows]
    if len(rows) > 1 or not names:
        body.append((*(["total"] + [""] * len(names))[: len(names)], *_numbers(totals)))
    lines = [*_table(head, body, left=len(names)), "", *_notes(totals)]
    return "\n".join(lines) + "\n"


def render_spending(report: Report, first: date, last: date, screen: Screen) -> str:
    """What each day cost by bucket: a plot for each kind of money, which are never added together.

    Args:
        report: by `PLOTTED_BY`.
        first: the first day that was asked for.
        last: likewise the last.
        screen: where it is shown.
    """
    plots = [
        spend_by_day(f"Spent from {first} to {last}, {words}, USD", days, last, screen)
        for kind, words in _MONEY.items()
        if (days := list(_days(report.rows, kind)))
    ]
    if not plots:
        return _NOTHING
    unpriced = report.totals.uncosted_entries
    if unpriced:
        plots.append(f"entries without a known cost, which are in no bar: {unpriced:,}\n")
    return "\n".join(plots)


def _days(rows: Iterable[ReportRow], kind: CostKind) -> Iterator[DaySpending]:
    """Days on which money of a kind was spent, in their order, which is the order of the rows."""
    found: dict[str, dict[str, Decimal | None]] = {}
    for row in rows:
        if kind in row.cost:
            day, bucket = row.values
            micros = row.cost[kind]
            cost = None if micros is None else Decimal(micros).scaleb(-6)
            found.setdefault(day or "", {})[bucket or Bucket.UNKNOWN] = cost
    for day, buckets in found.items():
        yield DaySpending(date.fromisoformat(day), buckets)


def _shown(value: object) -> str:
    return "-" if value is None else str(value)


def _numbers(row: Mapping[str, Any]) -> _Cells:
    counts = (read(row) for _, read in _COLUMNS)
    return (*("?" if count is None else f"{count:,}" for count in counts), _money(row["cost"]))


def _money(cost: Sequence[Mapping[str, str | None]]) -> str:
    known = [f"{Decimal(one['cost_usd']):,.4f}" for one in cost if one["cost_usd"] is not None]
    return " + ".join(known) or "?"


def _table(head: _Cells, body: Iterable[_Cells], *, left: int) -> Iterator[str]:
    cells = [head, *body]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        aligned = (
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join(aligned).rstrip()


def _notes(totals: Mapping[str, Any]) -> Iterator[str]:
    for one in totals["cost"]:
        if one["cost_usd"] is not None:
            yield f"{one['cost_usd']} USD {_MONEY[CostKind(one['cost_kind'])]}"
    for state, words in _STATES.items():
        if state in totals["state_tokens"]:
            yield f"{state}: {totals['state_tokens'][state]:,} tokens, {words}"
    if totals["unknown_requests"]:
        yield f"unknown: {_requests(totals['unknown_requests'])}, {_STATES[State.UNKNOWN]}"
    if totals["requests"] is None:
        yield "nobody told how many requests these were"
    else:
        yield f"requests counted by {_counted(totals['sources'], Source) or 'nobody'}"
    unasked = totals["unasked"]
    if unasked["requests"]:
        yield (
            f"{_requests(unasked['requests'])} that nobody typed (titles, and suggestions unless "
            f"ACP_BRIDGE_SUGGESTIONS=off): {_all_tokens(unasked)}, {_money(unasked['cost'])} USD"
        )
    if totals["pending"]:
        yield "pending: a session is not settled yet; its figures may grow"


def _all_tokens(row: Mapping[str, Any]) -> str:
    counts = [value for name, value in row.items() if name.endswith("_tokens")]
    return "tokens unknown" if None in counts else f"{sum(counts):,} tokens"


def _requests(count: int) -> str:
    return f"{count:,} request" + ("" if count == 1 else "s")


def _counted(counts: Mapping[str, int], order: Iterable[str]) -> str:
    return ", ".join(f"{word} ({counts[word]:,})" for word in order if counts.get(word))
