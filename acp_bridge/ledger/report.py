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


Part = tuple[CostKind, Sequence[int]]
"""Sums of entries in one kind of money: `SUM_COLUMNS` and `BREAKDOWN_COLUMNS`, in their order."""


class RowSum:
    """Sums by kind of money; one kind, as nearly always, takes little room."""

    __slots__ = ("_cost_kind", "_others", "_sums")

    def __init__(self) -> None:
        self._cost_kind: CostKind | None = None
        self._sums: Sequence[int] = ()
        self._others: dict[CostKind, Sequence[int]] | None = None

    def add(self, cost_kind: CostKind, sums: Sequence[int]) -> None:
        """Add sums of entries: `SUM_COLUMNS` and `BREAKDOWN_COLUMNS`, in their order."""
        if self._cost_kind is None:
            self._cost_kind, self._sums = cost_kind, sums
        elif cost_kind is self._cost_kind:
            self._sums = [*map(add, self._sums, sums)]
        else:
            self._others = others = self._others or {}
            present = others.get(cost_kind)
            others[cost_kind] = sums if present is None else [*map(add, present, sums)]

    @property
    def parts(self) -> list[Part]:
        """The sums by kind of money, in the order in which kinds came."""
        if self._cost_kind is None:
            return []
        return [(self._cost_kind, self._sums), *(self._others or {}).items()]

    @property
    def all_kinds(self) -> Sequence[int]:
        """The sums of all kinds together, of which the money says nothing."""
        if self._cost_kind is None:
            return [0] * _WIDTH
        if self._others is None:
            return self._sums
        return [sum(of) for of in zip(self._sums, *self._others.values(), strict=True)]

    def row(self, values: tuple[str | None, ...], *, pending: bool) -> "ReportRow":
        """What was added, as a row of a report."""
        return ReportRow(values, self, pending=pending)


class ReportRow:
    """Usage of one group. What is told of it is worked out when it is asked for.

    Args:
        values: what the report groups by, in its order; None where nobody said.
        sums: its sums.
        pending: a session in it is not settled yet; its figures may grow.
    """

    __slots__ = ("_of", "pending", "values")

    def __init__(self, values: tuple[str | None, ...], sums: RowSum, *, pending: bool) -> None:
        self.values = values
        self.pending = pending
        self._of = sums

    @property
    def _sums(self) -> Sequence[int]:
        return self._of.all_kinds

    @property
    def requests(self) -> int | None:
        """API requests; None if the number of none of them is known."""
        sums = self._sums
        return None if 0 < sums[_ENTRIES] == sums[_UNCOUNTED] else sums[_REQUESTS]

    @property
    def tokens(self) -> Tokens:
        """Sums of what is known."""
        return Tokens(*self._sums[_TOKENS])

    @property
    def sources(self) -> dict[Source, int]:
        """Known requests by who counted them."""
        return _known(_ALL_SOURCES, self._sums[_SOURCES])

    @property
    def states(self) -> dict[State, int]:
        """Known requests by how their entries came about."""
        return _known(_ALL_STATES, self._sums[_STATES])

    @property
    def state_tokens(self) -> dict[State, int]:
        """Tokens of all kinds by the same."""
        return _known(_ALL_STATES, self._sums[_STATE_TOKENS])

    @property
    def unknown_requests(self) -> int:
        """Requests whose tokens nobody told; they are in ``requests``."""
        return self._sums[_UNKNOWN]

    @property
    def cost(self) -> Cost:
        """By kind of money; kinds are never added together."""
        return {kind: _cost(sums) for kind, sums in self._of.parts}

    @property
    def uncosted_entries(self) -> int:
        """Entries whose cost is unknown and so missing from ``cost``."""
        return self._sums[_UNCOSTED]

    @property
    def unasked(self) -> Unasked:
        """The part that nobody typed."""
        of_all = self._sums[_UNASKED:]
        unasked = [(kind, sums[_UNASKED:]) for kind, sums in self._of.parts]
        return Unasked(
            requests=of_all[_REQUESTS],
            tokens=Tokens(*of_all[_TOKENS]),
            cost={kind: _cost(of) for kind, of in unasked if of[_ENTRIES]},
        )

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
_ALL_SOURCES, _ALL_STATES = tuple(Source), tuple(State)
_FIRST_TOKENS = SUM_COLUMNS.index(TOKEN_COLUMNS[0])
_TOKENS = slice(_FIRST_TOKENS, _FIRST_TOKENS + len(TOKEN_COLUMNS))
_SOURCES = slice(len(SUM_COLUMNS), len(SUM_COLUMNS) + len(Source))
_STATES = slice(_SOURCES.stop, _SOURCES.stop + len(State))
_STATE_TOKENS = slice(_STATES.stop, _STATES.stop + len(State))
_UNASKED = _STATE_TOKENS.stop
_WIDTH = len(SUM_COLUMNS) + len(BREAKDOWN_COLUMNS)

_Word = TypeVar("_Word", Source, State)


def _known(words: tuple[_Word, ...], counts: Sequence[int]) -> dict[_Word, int]:
    return {word: count for word, count in zip(words, counts) if count}  # noqa: B905 - as long


def _cost(sums: Sequence[int]) -> int | None:
    return None if sums[_ENTRIES] == sums[_UNCOSTED] else sums[_COST]
