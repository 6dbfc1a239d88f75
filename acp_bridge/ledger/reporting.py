"""Computing a report: whole quarters of an hour from their sums, what is left from the entries."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import partial
from operator import itemgetter
from typing import Any

from acp_bridge.ledger.periods import LocalTime, Period
from acp_bridge.ledger.report import GroupKey, Report, RowSum
from acp_bridge.ledger.schema import (
    BREAKDOWN_COLUMNS,
    CHARGE_COLUMNS,
    ENTRY_SUMS,
    KIND_COLUMNS,
    PLACE_COLUMNS,
    QUARTER,
    QUARTER_SUMS,
    SUM_COLUMNS,
    with_breakdown,
)
from acp_bridge.ledger.storing import micros
from acp_bridge.metering.usage import CostKind

_SECOND = 1_000_000
_FOREVER = 1 << 62
_PERIODS = {GroupKey(period.value): period for period in Period}
_CHARGES = {key: CHARGE_COLUMNS.index(key) for key in GroupKey if key in CHARGE_COLUMNS}
_KINDS = {key: f"k.{key}" for key in GroupKey if key in KIND_COLUMNS}
_PLACES = {GroupKey.RUN: 0, GroupKey.SESSION: 1, GroupKey.PROJECT: 2}
_COST_KIND = CHARGE_COLUMNS.index("cost_kind")

_PENDING = (
    "SELECT p.id FROM sessions s JOIN places p ON p.run_id = s.run_id"
    " AND p.session_id = s.session_id WHERE s.settled_at IS NULL"
)

Words = tuple[str | None, ...]
Found = tuple[Words, CostKind, Sequence[int]]


@dataclass(frozen=True, slots=True)
class Question:
    """What a report is asked for; ``since`` is part of it, ``until`` is not."""

    by: tuple[GroupKey, ...]
    since: datetime | None
    until: datetime | None
    run_id: str | None
    session_id: str | None
    zone: tzinfo


@dataclass(frozen=True, slots=True)
class _Source:
    """A table that can be summed, in SQL, and the part of it that is asked for."""

    table: str
    seconds: str
    sums: str
    column: str
    bounds: tuple[int, int]
    has_places: bool = True


class Reporter:
    """Answers one question, within one transaction of the connection."""

    def __init__(self, connection: sqlite3.Connection, question: Question) -> None:
        self._connection = connection
        self._asked = question
        self._from = (micros(question.since) or 0) if question.since else 0
        self._to = (micros(question.until) or 0) if question.until else _FOREVER
        self._wanted = tuple(_PERIODS[key] for key in question.by if key in _PERIODS)
        self._shortest = min(self._wanted, key=list(Period).index, default=Period.MONTH)
        self._local: LocalTime | None = None
        self._charges: dict[int, Words] = {}
        self._places: dict[int, Words] = {}

    def report(self) -> Report:
        """Compute it.

        Raises:
            sqlite3.Error: the ledger cannot be read.
        """
        self._local = self._local_time()
        self._charges = self._read_words("charges", CHARGE_COLUMNS)
        if any(key in _PLACES for key in self._asked.by):
            self._places = self._read_words("places", PLACE_COLUMNS)
        rows: dict[Words, RowSum] = {}
        totals = RowSum()
        for values, cost_kind, sums in self._sums(only_pending=False):
            rows.setdefault(values, RowSum()).add(cost_kind, sums)
            totals.add(cost_kind, sums)
        pending = set()
        if self._connection.execute(_PENDING + " LIMIT 1").fetchone():
            pending = {values for values, _, _ in self._sums(only_pending=True)}
        found = [of.row(values, pending=values in pending) for values, of in rows.items()]
        found.sort(key=lambda row: [(value is not None, value or "") for value in row.values])
        return Report(self._asked.by, found, totals.row((), pending=bool(pending)))

    def _read_words(self, table: str, columns: Sequence[str]) -> dict[int, Words]:
        sql = f"SELECT id, {', '.join(columns)} FROM {table}"  # noqa: S608 - own names
        return {found[0]: found[1:] for found in self._connection.execute(sql)}

    def _local_time(self) -> LocalTime | None:
        if not self._wanted:
            return None
        first, last = self._connection.execute(
            "SELECT (SELECT min(at) FROM usage), (SELECT max(at) FROM usage)"
        ).fetchone()
        if first is None:
            return None
        first, last = max(first, self._from), min(last, self._to)
        return LocalTime(self._asked.zone, first // _SECOND, last // _SECOND + 1)

    def _sums(self, *, only_pending: bool) -> Iterator[Found]:
        for source in self._sources(only_pending=only_pending):
            yield from self._read(source, only_pending=only_pending)

    def _sources(self, *, only_pending: bool) -> Iterator[_Source]:
        """The quarters that lie wholly within what is asked for, and the entries around them."""
        start, end = self._from, self._to
        first, last = -(-start // QUARTER), end // QUARTER
        cuts_quarters = self._local is not None and not self._local.is_whole_quarters
        if first >= last or cuts_quarters:
            yield _entries(start, end)
            return
        is_detailed = only_pending or self._asked.run_id or self._asked.session_id
        if is_detailed or any(key in _DETAILS for key in self._asked.by):
            yield _PLACE_QUARTERS(bounds=(first, last))
        else:
            yield _CHARGE_QUARTERS(bounds=(first, last))
        if start < first * QUARTER:
            yield _entries(start, first * QUARTER)
        if last * QUARTER < end < _FOREVER:
            yield _entries(last * QUARTER, end)

    def _columns(self, source: _Source) -> dict[str, str]:
        """What is grouped by in SQL; charges and places by their numbers, which compare quickly."""
        columns = {"charge": "charge_id"}
        if self._local is not None:
            columns["time"] = self._local.number_sql(self._shortest, source.seconds)
        if any(key in _PLACES for key in self._asked.by):
            columns["place"] = "t.place_id"
        if GroupKey.SUBAGENT in self._asked.by:
            columns[GroupKey.SUBAGENT] = "nullif(t.agent_id, '')"
        return columns | {key: _KINDS[key] for key in self._asked.by if key in _KINDS}

    def _read(self, source: _Source, *, only_pending: bool) -> Iterator[Found]:
        columns = self._columns(source)
        where = [f"t.{source.column} >= ?", f"t.{source.column} < ?"]
        bound = list[Any](source.bounds)
        if self._asked.run_id is not None:
            where.append("t.place_id IN (SELECT id FROM places WHERE run_id = ?)")
            bound.append(self._asked.run_id)
        if self._asked.session_id is not None:
            where.append("t.place_id IN (SELECT id FROM places WHERE session_id = ?)")
            bound.append(self._asked.session_id)
        if only_pending:
            where.append(f"t.place_id IN ({_PENDING})")
        kinds = " JOIN kinds k ON k.id = t.kind_id" if source.has_places else ""
        groups = ", ".join(str(number + 1) for number in range(len(columns)))
        sql = (
            f"SELECT {', '.join(columns.values())}, {source.sums} FROM {source.table} t{kinds}"  # noqa: S608 - own names
            f" WHERE {' AND '.join(where)} GROUP BY {groups}"
        )
        width, places = len(columns), {name: place for place, name in enumerate(columns)}
        values_of = self._values(places)
        charge, kinds_of_money = places["charge"], self._kinds_of_money()
        for found in self._connection.execute(sql, bound):
            yield values_of(found), kinds_of_money[found[charge]], found[width:]

    def _kinds_of_money(self) -> dict[int, CostKind]:
        return {number: CostKind(of[_COST_KIND] or "") for number, of in self._charges.items()}

    def _values(self, places: dict[str, int]) -> Callable[[Sequence[Any]], Words]:
        """How to read what is grouped by from a row, whose columns are at these places."""
        readers = [self._reader(key, places) for key in self._asked.by]
        return lambda found: tuple([read(found) for read in readers])

    def _reader(self, key: GroupKey, places: dict[str, int]) -> Callable[[Sequence[Any]], Any]:
        if key in _CHARGES:
            return self._word(self._charges, places["charge"], _CHARGES[key])
        if key in _PLACES:
            return self._word(self._places, places["place"], _PLACES[key])
        if key in _PERIODS:
            # Without entries there is no time to tell, and no row to read it from.
            return self._period(places.get("time", 0), self._wanted.index(_PERIODS[key]))
        return itemgetter(places[key])

    @staticmethod
    def _word(
        words: dict[int, Words], place: int, column: int
    ) -> Callable[[Sequence[Any]], str | None]:
        chosen = {number: of[column] for number, of in words.items()}
        return lambda found: chosen[found[place]]

    def _period(self, place: int, which: int) -> Callable[[Sequence[Any]], str]:
        known: dict[int, str] = {}

        def read(found: Sequence[Any]) -> str:
            number = found[place]
            if number not in known and self._local is not None:
                known[number] = self._local.words(number, self._shortest, self._wanted)[which]
            return known[number]

        return read


_DETAILS = frozenset((*_KINDS, *_PLACES, GroupKey.SUBAGENT))
_SECONDS_OF_QUARTER = "(t.quarter * 900)"

_PLACE_QUARTERS = partial(
    _Source, "place_quarters", _SECONDS_OF_QUARTER, with_breakdown(QUARTER_SUMS), "quarter"
)
_CHARGE_QUARTERS = partial(
    _Source,
    "charge_quarters",
    _SECONDS_OF_QUARTER,
    ", ".join(f"sum(t.{column})" for column in (*SUM_COLUMNS, *BREAKDOWN_COLUMNS)),
    "quarter",
    has_places=False,
)


def _entries(start: int, end: int) -> _Source:
    sums = with_breakdown(ENTRY_SUMS)
    return _Source("usage", f"(t.at / {_SECOND})", sums, "at", (start, end))
