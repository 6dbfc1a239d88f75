"""Putting rows into the ledger: one transaction a batch, the sums written with it."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from acp_bridge.ledger.records import (
    EvidenceRow,
    Reading,
    Released,
    Reopened,
    Row,
    RunRow,
    SessionRow,
    SpentRow,
    TurnRow,
    ViolationRow,
    WitnessRow,
)
from acp_bridge.ledger.schema import (
    BREAKDOWN_COLUMNS,
    CHARGE_COLUMNS,
    KIND_COLUMNS,
    PLACE_COLUMNS,
    QUARTER,
    SUM_COLUMNS,
    TOKEN_COLUMNS,
)
from acp_bridge.ledger.sums import breakdown_of, sums_of
from acp_bridge.metering.usage import Tokens, UsageEntry

UNSTORABLE = (
    sqlite3.DataError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    OverflowError,
    TypeError,
    ValueError,
)
"""What a row raises that no ledger could take, such as a count beyond `LARGEST`."""

LARGEST = 1 << 48
"""Counts beyond it are no counts; sums of millions of smaller ones fit SQLite's 63 bits."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(at: datetime | None) -> int | None:
    """Microseconds since the epoch, exactly."""
    return None if at is None else (at - _EPOCH) // _MICROSECOND


def moment(at: int | None) -> datetime | None:
    """The time that `micros` made a number of."""
    return None if at is None else time_of(at)


def time_of(at: int) -> datetime:
    """The time of that many microseconds since the epoch."""
    return _EPOCH + at * _MICROSECOND


def _insert(table: str, columns: Sequence[str]) -> str:
    marks = ", ".join("?" * len(columns))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608 - own names


def _insert_or_fill(table: str, columns: Sequence[str], known_by: Sequence[str]) -> str:
    filled = ", ".join(
        f"{column} = ifnull(excluded.{column}, {column})"
        for column in columns
        if column not in (*known_by, "opened_at", "started_at")
    )
    known = ", ".join(known_by)
    return f"{_insert(table, columns)} ON CONFLICT ({known}) DO UPDATE SET {filled}"


def _insert_or_add(table: str, known_by: Sequence[str], counters: Sequence[str]) -> str:
    added = ", ".join(f"{column} = {column} + excluded.{column}" for column in counters)
    known = ", ".join(known_by)
    return f"{_insert(table, (*known_by, *counters))} ON CONFLICT ({known}) DO UPDATE SET {added}"


def _insert_or_replace(table: str, columns: Sequence[str], known_by: Sequence[str]) -> str:
    replaced = ", ".join(
        f"{column} = excluded.{column}" for column in columns if column not in known_by
    )
    return f"{_insert(table, columns)} ON CONFLICT ({', '.join(known_by)}) DO UPDATE SET {replaced}"


_RUN = _insert_or_fill("runs", RunRow.__slots__, ("run_id",))
_SESSION = _insert_or_fill("sessions", SessionRow.__slots__, ("run_id", "session_id"))
_REOPENED = (
    "UPDATE sessions SET ended_at = NULL, settled_at = NULL WHERE run_id = ? AND session_id = ?"
)
_RELEASED = "DELETE FROM reservations WHERE run_id = ? AND (id = ? OR ? IS NULL)"
_TURN = "UPDATE sessions SET turn_began_at = ? WHERE run_id = ? AND session_id = ?"
_EVIDENCE = _insert("evidence", EvidenceRow.__slots__)
_VIOLATION = _insert("violations", ViolationRow.__slots__)
_READING = _insert(
    "readings", ("run_id", "session_id", "at", "model", *TOKEN_COLUMNS, "cost_micros")
)
_WITNESSED_BY = ("run_id", "session_id", "source", "model")
_WITNESS = _insert_or_replace(
    "witnesses",
    (*_WITNESSED_BY, "requests", *TOKEN_COLUMNS, "cost_micros", "at"),
    _WITNESSED_BY,
)
_USAGE = (
    _insert(
        "usage",
        (
            *("key", "at", "kind_id", "place_id", "agent_id", "turn", "requests"),
            *TOKEN_COLUMNS,
            *("cost_micros", "request_id", "duration_ms", "ttft_ms", "detail"),
        ),
    )
    + " ON CONFLICT (key) DO NOTHING"
)
_ADD_TO_PLACE = _insert_or_add(
    "place_quarters", ("quarter", "kind_id", "place_id", "agent_id"), SUM_COLUMNS
)
_ADD_TO_CHARGE = _insert_or_add(
    "charge_quarters", ("quarter", "charge_id"), (*SUM_COLUMNS, *BREAKDOWN_COLUMNS)
)

_ADD_TO_PLACE_SUMS = _insert_or_add(
    "place_sums", ("place_id", "agent_id", "charge_id"), (*SUM_COLUMNS, *BREAKDOWN_COLUMNS)
)

Noted = (
    RunRow
    | SessionRow
    | TurnRow
    | Reopened
    | Released
    | EvidenceRow
    | ViolationRow
    | Reading
    | WitnessRow
)
"""Rows that change no sum."""

Key = tuple[int | str, ...]
Sums = dict[Key, list[int]]


@dataclass(slots=True)
class _SumsBy:
    """What a batch adds to each table of sums, by its key."""

    place_and_quarter: Sums = field(default_factory=dict)
    charge_and_quarter: Sums = field(default_factory=dict)
    place: Sums = field(default_factory=dict)


class Store:
    """Writes rows through one connection, which is in autocommit mode."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._words: dict[tuple[str | int | None, ...], int] = {}

    def write(self, rows: Sequence[Row]) -> int:
        """Write all rows or none, in one transaction.

        Returns:
            how many usage entries were new.

        Raises:
            sqlite3.Error: nothing was written.
            OverflowError, TypeError, ValueError: likewise; a row cannot be stored, see
                `UNSTORABLE`.
        """
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            added = self._write(rows)
            self._connection.execute("COMMIT")
        except BaseException:
            self._words.clear()
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        return added

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _write(self, rows: Sequence[Row]) -> int:
        sums_by = _SumsBy()
        added = 0
        for row in rows:
            if isinstance(row, SpentRow):
                added += self._spend(row, sums_by)
            else:
                self._note(row)
        for statement, sums in (
            (_ADD_TO_PLACE, sums_by.place_and_quarter),
            (_ADD_TO_CHARGE, sums_by.charge_and_quarter),
            (_ADD_TO_PLACE_SUMS, sums_by.place),
        ):
            self._connection.executemany(statement, [(*key, *of) for key, of in sums.items()])
        return added

    def _note(self, row: Noted) -> None:
        match row:
            case RunRow():
                self._connection.execute(_RUN, _values(row))
            case SessionRow():
                self._connection.execute(_SESSION, _values(row))
            case TurnRow():
                self._connection.execute(_TURN, (micros(row.began_at), row.run_id, row.session_id))
            case Reopened(run_id=run_id, session_id=session_id):
                self._connection.execute(_REOPENED, (run_id, session_id))
            case Released(run_id=run_id, reservation_id=reservation_id):
                self._connection.execute(_RELEASED, (run_id, reservation_id, reservation_id))
            case EvidenceRow():
                self._connection.execute(_EVIDENCE, _values(row))
            case ViolationRow():
                self._connection.execute(_VIOLATION, _values(row))
            case Reading():
                known = (row.run_id, row.session_id, micros(row.at), row.model)
                counts = (*row.tokens.counts, row.cost_micros)
                self._connection.execute(_READING, (*known, *counts))
            case WitnessRow():
                told_by = (row.run_id, row.session_id, row.source, row.model)
                amounts = _amounts(row.requests, row.tokens, row.cost_micros)
                self._connection.execute(_WITNESS, (*told_by, *amounts, micros(row.at)))

    def _spend(self, row: SpentRow, sums_by: "_SumsBy") -> bool:
        entry = row.entry
        charge = self._charge(row)
        kind = self._kind(charge, entry)
        place = self._place(entry.run_id, entry.session_id, row.project)
        # A clock that was never set must not put an entry before the first quarter.
        at = max(0, micros(entry.at) or 0)
        amounts = _amounts(entry.requests, entry.tokens, entry.cost_micros)
        cursor = self._connection.execute(
            _USAGE,
            (
                *(entry.key, at, kind, place, entry.agent_id, entry.turn),
                *amounts,
                *(entry.request_id, entry.duration_ms, entry.ttft_ms, entry.detail),
            ),
        )
        if not cursor.rowcount:
            return False
        sums = sums_of(entry)
        all_sums = [*sums, *breakdown_of(entry, sums)]
        quarter, agent = at // QUARTER, entry.agent_id or ""
        _add(sums_by.place_and_quarter, (quarter, kind, place, agent), sums)
        _add(sums_by.charge_and_quarter, (quarter, charge), all_sums)
        _add(sums_by.place, (place, agent, charge), all_sums)
        return True

    def _charge(self, row: SpentRow) -> int:
        payer = (row.mode, row.credential_class, row.bucket, row.surface, row.cost_kind)
        return self._id_of("charges", CHARGE_COLUMNS, (*payer, row.entry.model, row.policy_version))

    def _kind(self, charge: int, entry: UsageEntry) -> int:
        words = (charge, entry.asked_by, entry.source, entry.state)
        return self._id_of("kinds", ("charge_id", *KIND_COLUMNS), words)

    def _place(self, run_id: str, session_id: str | None, project: str | None) -> int:
        return self._id_of("places", PLACE_COLUMNS, (run_id, session_id, project))

    def _id_of(
        self, table: str, columns: tuple[str, ...], words: tuple[str | int | None, ...]
    ) -> int:
        found = self._words.get(words)
        if found is None:
            same = " AND ".join(f"{column} IS ?" for column in columns)
            select = f"SELECT id FROM {table} WHERE {same}"  # noqa: S608 - own names
            row = self._connection.execute(select, words).fetchone()
            if row is None:
                cursor = self._connection.execute(_insert(table, columns), words)
                row = (cursor.lastrowid,)
            self._words[words] = found = int(row[0])
        return found


def _values(row: RunRow | SessionRow | EvidenceRow | ViolationRow) -> list[str | int | None]:
    values = (getattr(row, name) for name in row.__slots__)
    return [micros(value) if isinstance(value, datetime) else value for value in values]


def _amounts(
    requests: int | None, tokens: Tokens | None, cost_micros: int | None
) -> tuple[int | None, ...]:
    """Requests, the five kinds of tokens, the cost."""
    counts = (None,) * len(TOKEN_COLUMNS) if tokens is None else tokens.counts
    amounts = (requests, *counts, cost_micros)
    if any(amount is not None and abs(amount) >= LARGEST for amount in amounts):
        raise ValueError("a count is beyond all reason")
    return amounts


def _add(sums: Sums, key: Key, further: list[int]) -> None:
    present = sums.get(key)
    sums[key] = (
        further if present is None else [a + b for a, b in zip(present, further, strict=True)]
    )
