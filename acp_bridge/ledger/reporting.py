"""Computing a report from the sums, and from entries where a quarter of an hour is cut."""

import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import partial
from operator import itemgetter
from typing import Any

from acp_bridge.ledger.periods import QUARTER_SECONDS, LocalTime, Period
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
from acp_bridge.ledger.sums import breakdown_of_kind
from acp_bridge.metering.usage import AskedBy, CostKind, Source, State

_SECOND = 1_000_000
_FOREVER = 1 << 62
_PERIODS = {GroupKey(period.value): period for period in Period}
_CHARGES = {key: CHARGE_COLUMNS.index(key) for key in GroupKey if key in CHARGE_COLUMNS}
_KINDS = {key: KIND_COLUMNS.index(key) for key in GroupKey if key in KIND_COLUMNS}
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
    """A table that can be summed, in SQL, and the part of it that is asked for.

    Attributes:
        table: its name.
        seconds: the time of a row, in seconds since the epoch.
        sums: what a row adds to `SUM_COLUMNS`, in their order; empty where all is in columns of
            its own, breakdown included.
        part: which rows of it.
        bounds: the values of ``?`` in `part`.
        spans: whether the rows are joined with when their places began and ended.
    """

    table: str
    seconds: str = ""
    sums: tuple[str, ...] = ()
    part: str = "1"
    bounds: tuple[int, ...] = ()
    spans: bool = False


@dataclass(frozen=True, slots=True)
class _Kind:
    """What entries have in common that are of one kind; ``words`` are `KIND_COLUMNS`."""

    charge: int
    cost_kind: CostKind
    words: tuple[str, ...]

    def breakdown(self, sums: Sequence[int]) -> list[int]:
        """`BREAKDOWN_COLUMNS` of sums of its entries."""
        asked_by, source, state = self.words
        return breakdown_of_kind(Source(source), State(state), AskedBy(asked_by), sums)


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
        self._kinds: dict[int, _Kind] = {}
        self._places: dict[int, Words] = {}

    def report(self) -> Report:
        """Compute it.

        Raises:
            sqlite3.Error: the ledger cannot be read.
        """
        self._local = self._local_time()
        self._charges = self._read_words("charges", CHARGE_COLUMNS)
        if self._by_kind:
            self._kinds = self._read_kinds()
        if self._by_place:
            self._places = self._read_words("places", PLACE_COLUMNS)
        rows: dict[Words, RowSum] = {}
        totals = RowSum()
        for values, cost_kind, sums in self._sums(only_pending=False):
            row = rows.get(values)
            if row is None:
                rows[values] = row = RowSum()
            row.add(cost_kind, sums)
            totals.add(cost_kind, sums)
        pending = set()
        if self._connection.execute(_PENDING + " LIMIT 1").fetchone():
            pending = {values for values, _, _ in self._sums(only_pending=True)}
        found = [rows[values].row(values, pending=values in pending) for values in _ordered(rows)]
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
        if not is_detailed and not any(key in _DETAILS for key in self._asked.by):
            yield _CHARGE_QUARTERS(bounds=(first, last))
        elif self._by_kind:
            yield _PLACE_QUARTERS(bounds=(first, last))
        elif (start, end) == (0, _FOREVER) and self._local is None:
            yield _Source("place_sums")
        else:
            yield from self._places_and_quarters(first, last)
        if start < first * QUARTER:
            yield _entries(start, first * QUARTER)
        if last * QUARTER < end < _FOREVER:
            yield _entries(last * QUARTER, end)

    def _places_and_quarters(self, first: int, last: int) -> Iterator[_Source]:
        """Places that lie wholly in what is asked for, and in one period, by their own sums.

        Nearly all do: a session is short. Of the others the quarters are summed.
        """
        within, bounds = "s.first >= ? AND s.last < ?", (first, last)
        if self._local is not None:
            began, ended = (
                self._local.number_sql(self._shortest, f"(s.{moment} * {QUARTER_SECONDS})")
                for moment in ("first", "last")
            )
            within += f" AND {began} = {ended}"
        began = f"(s.first * {QUARTER_SECONDS})"
        yield _Source("place_sums", began, part=within, bounds=bounds, spans=True)
        others = f"t.place_id IN (SELECT place_id FROM {_SPANS} s WHERE NOT ({within}))"  # noqa: S608 - own names
        part = f"{_OF_QUARTERS} AND {others}"
        yield _PLACE_QUARTERS(part=part, bounds=(*bounds, *bounds))

    @property
    def _by_place(self) -> bool:
        return any(key in {GroupKey.RUN, GroupKey.SESSION} for key in self._asked.by)

    @property
    def _by_kind(self) -> bool:
        return any(key in _KINDS for key in self._asked.by)

    def _columns(self, source: _Source) -> dict[str, str]:
        """What is grouped by in SQL; all but subagents by their numbers, which compare quickly."""
        columns = {}
        if self._by_place:
            columns["place"] = "t.place_id"
        elif GroupKey.PROJECT in self._asked.by:
            columns["project"] = "p.project"
        if GroupKey.SUBAGENT in self._asked.by:
            columns[GroupKey.SUBAGENT] = "t.agent_id"
        if self._local is not None:
            columns["time"] = self._local.number_sql(self._shortest, source.seconds)
        if self._by_kind:
            return columns | {"kind": "t.kind_id"}
        if self._charges_differ:
            return columns | {"charge": "t.charge_id" if not source.sums else "k.charge_id"}
        return columns | {"charge": "c.same"}

    def _read(self, source: _Source, *, only_pending: bool) -> Iterator[Found]:
        columns = self._columns(source)
        where = [source.part]
        bound: list[Any] = [*source.bounds]
        if self._asked.run_id is not None:
            where.append("t.place_id IN (SELECT id FROM places WHERE run_id = ?)")
            bound.append(self._asked.run_id)
        if self._asked.session_id is not None:
            where.append("t.place_id IN (SELECT id FROM places WHERE session_id = ?)")
            bound.append(self._asked.session_id)
        if only_pending:
            where.append(f"t.place_id IN ({_PENDING})")
        groups = ", ".join(str(number + 1) for number in range(len(columns)))
        sql = (
            f"SELECT {', '.join(columns.values())}, {self._summed(source)}"  # noqa: S608 - own names
            f" FROM {source.table} t{self._joined(source)}"
            f" WHERE {' AND '.join(where)} GROUP BY {groups}"
        )
        width, places = len(columns), {name: place for place, name in enumerate(columns)}
        values_of, found = self._values(places), self._connection.execute(sql, bound)
        if self._by_kind:
            kind = places["kind"]
            for row in found:
                of = self._kinds[row[kind]]
                sums = row[width:]
                yield values_of(row), of.cost_kind, [*sums, *of.breakdown(sums)]
        else:
            charge, kinds_of_money = places["charge"], self._kinds_of_money()
            for row in found:
                yield values_of(row), kinds_of_money[row[charge]], row[width:]

    def _summed(self, source: _Source) -> str:
        """The sums, in SQL; of kinds without their breakdown, which a kind has in common."""
        if not source.sums:
            return _ALL_SUMS
        if self._by_kind:
            return ", ".join(f"sum({part})" for part in source.sums)
        return with_breakdown(source.sums)

    def _joined(self, source: _Source) -> str:
        """Where the words are that are grouped by, and which charges are taken for the same."""
        by_project = GroupKey.PROJECT in self._asked.by and not self._by_place
        places = " JOIN places p ON p.id = t.place_id" if by_project else ""
        if source.spans:
            places += f" JOIN {_SPANS} s ON s.place_id = t.place_id"
        if self._by_kind:
            return places
        kinds = " JOIN kinds k ON k.id = t.kind_id" if source.sums else ""
        if self._charges_differ:
            return f"{places}{kinds}"
        values = ", ".join(map(str, self._same_charges().items()))
        same = f"(SELECT column1 AS id, column2 AS same FROM (VALUES {values}))"  # noqa: S608 - numbers
        charge = "k.charge_id" if source.sums else "t.charge_id"
        return f"{places}{kinds} JOIN {same} c ON c.id = {charge}"

    @property
    def _charges_differ(self) -> bool:
        """Whether no two charges are the same for the question."""
        return all(number == same for number, same in self._same_charges().items())

    def _same_charges(self) -> dict[int, int]:
        """For each charge the first that has the same words, of those that are asked for."""
        asked = [_CHARGES[key] for key in self._asked.by if key in _CHARGES]
        first: dict[Words, int] = {}
        return {
            number: first.setdefault((*[of[at] for at in asked], of[_COST_KIND]), number)
            for number, of in self._charges.items()
        }

    def _read_kinds(self) -> dict[int, "_Kind"]:
        sql = f"SELECT id, charge_id, {', '.join(KIND_COLUMNS)} FROM kinds"  # noqa: S608 - own names
        return {
            number: _Kind(charge, CostKind(self._charges[charge][_COST_KIND] or ""), tuple(words))
            for number, charge, *words in self._connection.execute(sql)
        }

    def _kinds_of_money(self) -> dict[int, CostKind]:
        return {number: CostKind(of[_COST_KIND] or "") for number, of in self._charges.items()}

    def _values(self, places: dict[str, int]) -> Callable[[Sequence[Any]], Words]:
        """How to read what is grouped by from a row, whose columns are at these places."""
        readers = [self._reader(key, places) for key in self._asked.by]
        if len(readers) == 1:  # the longest reports are such
            (read,) = readers
            return lambda found: (read(found),)
        return lambda found: tuple([read(found) for read in readers])

    def _reader(self, key: GroupKey, places: dict[str, int]) -> Callable[[Sequence[Any]], Any]:
        if key in _PERIODS:
            # Without entries there is no time to tell, and no row to read it from.
            return self._period(places.get("time", 0), self._wanted.index(_PERIODS[key]))
        if key is GroupKey.SUBAGENT:
            agent = places[key]
            return lambda found: found[agent] or None
        if key is GroupKey.PROJECT and not self._by_place:
            return itemgetter(places["project"])
        table, words = self._words_of(key)
        place = places[table]
        return lambda found: words[found[place]]

    def _words_of(self, key: GroupKey) -> tuple[str, dict[int, str | None]]:
        """Whose number a row has for it, and the words by that number."""
        if key in _PLACES:
            return "place", {number: of[_PLACES[key]] for number, of in self._places.items()}
        if key in _KINDS:
            return "kind", {number: of.words[_KINDS[key]] for number, of in self._kinds.items()}
        words = {number: of[_CHARGES[key]] for number, of in self._charges.items()}
        if self._by_kind:
            return "kind", {number: words[of.charge] for number, of in self._kinds.items()}
        return "charge", words

    def _period(self, place: int, which: int) -> Callable[[Sequence[Any]], str]:
        known: dict[int, str] = {}

        def read(found: Sequence[Any]) -> str:
            number = found[place]
            if number not in known and self._local is not None:
                known[number] = self._local.words(number, self._shortest, self._wanted)[which]
            return known[number]

        return read


def _ordered(rows: Collection[Words]) -> list[Words]:
    """In ascending order, what nobody said before all words."""
    if any("" in values for values in rows):
        return sorted(rows, key=lambda row: [(value is not None, value or "") for value in row])
    return sorted(rows, key=lambda row: row if None not in row else tuple(v or "" for v in row))


_DETAILS = frozenset((*_KINDS, *_PLACES, GroupKey.SUBAGENT))
_SECONDS_OF_QUARTER = f"(t.quarter * {QUARTER_SECONDS})"
_OF_QUARTERS = "t.quarter >= ? AND t.quarter < ?"
_SPANS = (
    "(SELECT place_id, min(quarter) AS first, max(quarter) AS last"
    " FROM place_quarters GROUP BY place_id)"
)
"""When each place began and ended, by quarters."""
_ALL_SUMS = ", ".join(f"sum(t.{column})" for column in (*SUM_COLUMNS, *BREAKDOWN_COLUMNS))

_PLACE_QUARTERS = partial(
    _Source, "place_quarters", _SECONDS_OF_QUARTER, QUARTER_SUMS, part=_OF_QUARTERS
)
_CHARGE_QUARTERS = partial(_Source, "charge_quarters", _SECONDS_OF_QUARTER, part=_OF_QUARTERS)


def _entries(start: int, end: int) -> _Source:
    seconds = f"(t.at / {_SECOND})"
    return _Source("usage", seconds, ENTRY_SUMS, "t.at >= ? AND t.at < ?", (start, end))
