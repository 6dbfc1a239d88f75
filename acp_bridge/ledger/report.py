"""Reports over the ledger: what they group by, and their rows."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from operator import add
from typing import TypeVar

from acp_bridge.ledger.schema import BREAKDOWN_COLUMNS, SUM_COLUMNS, TOKEN_COLUMNS
from acp_bridge.metering.usage import CostKind, Source, State, Tokens


class GroupKey(StrEnum):
    """What usage can be grouped by.

    ``subagent`` is the id of the subagent, None for the main loop. Times are ISO 8601 in the
    report's zone: ``2026-11-24T13:00+01:00``, ``2026-11-24``, ``2026-W48``, ``2026-11``.
    """

    MODE = "mode"
    CREDENTIAL_CLASS = "credential_class"
    BUCKET = "bucket"
    SURFACE = "surface"
    MODEL = "model"
    ASKED_BY = "asked_by"
    SOURCE = "source"
    STATE = "state"
    RUN = "run"
    SESSION = "session"
    PROJECT = "project"
    SUBAGENT = "subagent"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


Cost = dict[CostKind, int | None]
"""Micro-dollars by kind of money; None where no entry of that kind has a known cost."""


@dataclass(slots=True)
class Unasked:
    """What requests cost that nobody typed: titles and suggestions. All of it is in the row too."""

    requests: int = 0
    tokens: Tokens = field(default_factory=Tokens)
    cost: Cost = field(default_factory=dict)


@dataclass(slots=True)
class ReportRow:
    """Usage of one group.

    Attributes:
        values: what the report groups by, in its order; None where nobody said.
        requests: API requests; None if the number of none of them is known.
        tokens: sums of what is known.
        sources: known requests by who counted them.
        states: known requests by how their entries came about.
        state_tokens: tokens of all kinds by the same.
        unknown_requests: requests whose tokens nobody told; they are in ``requests``.
        cost: by kind of money; kinds are never added together.
        uncosted_entries: entries whose cost is unknown and so missing from ``cost``.
        unasked: the part that nobody typed.
        pending: a session in it is not settled yet; its figures may grow.
    """

    values: tuple[str | None, ...]
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

    @property
    def tokens_told(self) -> bool:
        """Whether anybody told the tokens of anything in it; if not, ``tokens`` says nothing."""
        of_some = self.requests is not None and self.requests > self.unknown_requests
        return bool(self.tokens) or of_some or not self.unknown_requests


@dataclass(slots=True)
class Report:
    """Rows in ascending order of their values, None first; ``totals`` is a row without values."""

    by: tuple[GroupKey, ...]
    rows: list[ReportRow]
    totals: ReportRow


class RowSum:
    """A row in the making: sums by kind of money."""

    __slots__ = ("_by_cost_kind",)

    def __init__(self) -> None:
        self._by_cost_kind: dict[CostKind, list[int]] = {}

    def add(self, cost_kind: CostKind, sums: Sequence[int]) -> None:
        """Add sums of entries: `SUM_COLUMNS` and `BREAKDOWN_COLUMNS`, in their order."""
        present = self._by_cost_kind.get(cost_kind)
        self._by_cost_kind[cost_kind] = list(sums if present is None else map(add, present, sums))

    def _added_up(self) -> list[int]:
        by_kind = list(self._by_cost_kind.values())
        if len(by_kind) == 1:  # as nearly always
            return by_kind[0]
        return [sum(of) for of in zip(*by_kind, strict=True)] or [0] * _WIDTH

    def row(self, values: tuple[str | None, ...], *, pending: bool) -> ReportRow:
        """What was added, as a row of a report."""
        cost = {kind: _cost(sums) for kind, sums in self._by_cost_kind.items()}
        unasked = {kind: sums[_UNASKED:] for kind, sums in self._by_cost_kind.items()}
        sums = self._added_up()
        return ReportRow(
            values=values,
            requests=None if 0 < sums[_ENTRIES] == sums[_UNCOUNTED] else sums[_REQUESTS],
            tokens=Tokens(*sums[_TOKENS]),
            sources=_known(Source, sums[_SOURCES]),
            states=_known(State, sums[_STATES]),
            state_tokens=_known(State, sums[_STATE_TOKENS]),
            unknown_requests=sums[_UNKNOWN],
            cost=cost,
            uncosted_entries=sums[_UNCOSTED],
            unasked=Unasked(
                requests=sums[_UNASKED + _REQUESTS],
                tokens=Tokens(*sums[_UNASKED:][_TOKENS]),
                cost={kind: _cost(of) for kind, of in unasked.items() if of[_ENTRIES]},
            ),
            pending=pending,
        )


_ENTRIES, _UNCOUNTED, _REQUESTS, _UNKNOWN, _COST, _UNCOSTED = (
    SUM_COLUMNS.index(name)
    for name in (
        "entries",
        "uncounted",
        "requests",
        "unknown_requests",
        "cost_micros",
        "uncosted",
    )
)
_FIRST_TOKENS = SUM_COLUMNS.index(TOKEN_COLUMNS[0])
_TOKENS = slice(_FIRST_TOKENS, _FIRST_TOKENS + len(TOKEN_COLUMNS))
_SOURCES = slice(len(SUM_COLUMNS), len(SUM_COLUMNS) + len(Source))
_STATES = slice(_SOURCES.stop, _SOURCES.stop + len(State))
_STATE_TOKENS = slice(_STATES.stop, _STATES.stop + len(State))
_UNASKED = _STATE_TOKENS.stop
_WIDTH = len(SUM_COLUMNS) + len(BREAKDOWN_COLUMNS)

_Word = TypeVar("_Word", Source, State)


def _known(words: type[_Word], counts: Sequence[int]) -> dict[_Word, int]:
    return {word: count for word, count in zip(words, counts, strict=True) if count}


def _cost(sums: Sequence[int]) -> int | None:
    return None if sums[_ENTRIES] == sums[_UNCOSTED] else sums[_COST]
