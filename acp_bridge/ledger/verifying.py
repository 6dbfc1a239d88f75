"""Whether the ledger is sound: its file, its words, and that its sums are those of its entries.

Reads all of it. Nothing is changed, except by `free_reservations`.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from acp_bridge.ledger.database import (
    LedgerError,
    explained,
    open_for_reading,
    open_for_writing,
)
from acp_bridge.ledger.schema import (
    BREAKDOWN_COLUMNS,
    ENTRY_SUMS,
    QUARTER,
    QUARTER_SUMS,
    SUM_COLUMNS,
    SUMS_OF_PLACES,
    version_of,
    with_breakdown,
)
from acp_bridge.ledger.storing import moment, time_of
from acp_bridge.metering.usage import AskedBy, CostKind, Source, State
from acp_bridge.modes import BillingMode, Bucket, CredentialClass
from acp_bridge.policy.surface import Surface

_WORDS: tuple[tuple[str, str, type[StrEnum]], ...] = (
    ("charges", "mode", BillingMode),
    ("charges", "credential_class", CredentialClass),
    ("charges", "bucket", Bucket),
    ("charges", "surface", Surface),
    ("charges", "cost_kind", CostKind),
    ("kinds", "asked_by", AskedBy),
    ("kinds", "source", Source),
    ("kinds", "state", State),
)
_POINTERS = (
    ("place_quarters", "kind_id", "kinds"),
    ("place_quarters", "place_id", "places"),
    ("charge_quarters", "charge_id", "charges"),
    ("place_sums", "place_id", "places"),
    ("place_sums", "charge_id", "charges"),
)
"""Numbers of words that the schema does not declare; `PRAGMA foreign_key_check` sees the others."""

_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_PRIMARY_CODE = 0xFF
_MOST_FINDINGS = 20


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found.

    Attributes:
        problems: what is wrong, a sentence each; empty if the ledger is sound.
        schema: the version of the schema in the file; 0 if there is no ledger.
        entries: how many usage entries it holds; None if they cannot be read.
        first: when the oldest of them was made; None without any.
        last: likewise for the newest.
        reservations: how many there are.
        orphaned: how many of them are of runs that are dead: they hold a part of a budget.
    """

    problems: list[str] = field(default_factory=list)
    schema: int = 0
    entries: int | None = 0
    first: datetime | None = None
    last: datetime | None = None
    reservations: int = 0
    orphaned: int = 0

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify(path: Path, is_alive: Callable[[str], bool]) -> Verified:
    """Check the whole ledger. A missing one is sound.

    Args:
        path: the ledger's file.
        is_alive: whether a run, by its id, still lives.

    Raises:
        LedgerError: it cannot be looked at: locked, not readable, or of a newer version.
    """
    try:
        connection = open_for_reading(path)
    except LedgerError as exc:
        if _is_damage(exc.__cause__):
            return Verified([exc.message], entries=None)
        raise
    if connection is None:
        return Verified()
    with closing(connection):
        try:
            connection.execute("BEGIN")
            return _verified(connection, is_alive)
        except sqlite3.Error as exc:
            error = explained(exc, path)
            if _is_damage(exc):
                return Verified([error.message], entries=None)
            raise error from exc


def free_reservations(path: Path, is_alive: Callable[[str], bool]) -> int:
    """Delete what dead runs reserved; returns how many there were.

    Raises:
        LedgerError: the ledger cannot be written.
    """
    try:
        with closing(open_for_writing(path)) as connection:
            dead = [run_id for run_id, _ in _reserved(connection) if not is_alive(run_id)]
            sql = "DELETE FROM reservations WHERE run_id = ?"
            return connection.executemany(sql, [(run_id,) for run_id in dead]).rowcount
    except sqlite3.Error as exc:
        raise explained(exc, path) from exc


def _verified(connection: sqlite3.Connection, is_alive: Callable[[str], bool]) -> Verified:
    damage = [
        f"the file is damaged: {found}"
        for (found,) in connection.execute(f"PRAGMA integrity_check({_MOST_FINDINGS})")
        if found != "ok"
    ]
    if damage:  # what else there is to see in it cannot be trusted
        return Verified(damage, version_of(connection), entries=None)
    count, first, last = connection.execute(
        "SELECT count(*), min(at), max(at) FROM usage"
    ).fetchone()
    reserved = list(_reserved(connection))
    return Verified(
        [*_dangling(connection), *_unknown_words(connection), *_wrong_sums(connection)],
        schema=version_of(connection),
        entries=count,
        first=moment(first),
        last=moment(last),
        reservations=sum(number for _, number in reserved),
        orphaned=sum(number for run_id, number in reserved if not is_alive(run_id)),
    )


def _reserved(connection: sqlite3.Connection) -> Iterator[tuple[str, int]]:
    """Runs that have reservations, and how many."""
    yield from connection.execute("SELECT run_id, count(*) FROM reservations GROUP BY 1").fetchall()


def _dangling(connection: sqlite3.Connection) -> Iterator[str]:
    """Numbers of words that are not there."""
    found: dict[tuple[str, str], int] = {}
    for table, _, words, _ in connection.execute("PRAGMA foreign_key_check"):
        found[table, words] = found.get((table, words), 0) + 1
    for table, column, words in _POINTERS:
        sql = f"SELECT count(*) FROM {table} WHERE {column} NOT IN (SELECT id FROM {words})"  # noqa: S608 - own names
        found[table, words] = connection.execute(sql).fetchone()[0]
    for (table, words), count in found.items():
        if count:
            yield f"{_counted(count, 'row')} of {table} name what is not in {words}"


def _unknown_words(connection: sqlite3.Connection) -> Iterator[str]:
    for table, column, known in _WORDS:
        sql = f"SELECT {column}, count(*) FROM {table} GROUP BY 1 ORDER BY 1"  # noqa: S608 - own names
        for word, count in connection.execute(sql):
            if word not in set(known):
                rows = _counted(count, "row")
                yield f"{rows} of {table} have the {column} {word!r}, which is unknown"


def _wrong_sums(connection: sqlite3.Connection) -> Iterator[str]:
    """Sums that are not what the entries add up to."""
    by_place_and_quarter = f"""SELECT at / {QUARTER}, kind_id, place_id, ifnull(agent_id, ''),
        {", ".join(f"sum({part})" for part in ENTRY_SUMS)}
        FROM usage t GROUP BY 1, 2, 3, 4"""  # noqa: S608 - own names
    by_charge = f"""SELECT quarter, charge_id, {with_breakdown(QUARTER_SUMS)}
        FROM place_quarters t JOIN kinds k ON k.id = kind_id GROUP BY 1, 2"""  # noqa: S608 - own names
    by_place = f"{SUMS_OF_PLACES} GROUP BY 1, 2, 3"
    place_and_quarter = ("quarter", "kind_id", "place_id", "agent_id", *SUM_COLUMNS)
    charge = ("quarter", "charge_id", *SUM_COLUMNS, *BREAKDOWN_COLUMNS)
    place = ("place_id", "agent_id", "charge_id", *SUM_COLUMNS, *BREAKDOWN_COLUMNS)
    quarters = _different(connection, "place_quarters", place_and_quarter, by_place_and_quarter)
    if quarters:
        yield _wrong_quarters("place_quarters", quarters, "the entries")
    quarters = _different(connection, "charge_quarters", charge, by_charge)
    if quarters:
        yield _wrong_quarters("charge_quarters", quarters, "place_quarters")
    places = _different(connection, "place_sums", place, by_place)
    if places:
        where = f"{len(places):,} place{'' if len(places) == 1 else 's'}"
        yield f"place_sums: in {where} the sums are not those of place_quarters"


def _different(
    connection: sqlite3.Connection, table: str, columns: Sequence[str], summed: str
) -> set[int]:
    """The first columns of rows that are not what was summed, or are missing."""
    kept = f"SELECT {', '.join(columns)} FROM {table}"  # noqa: S608 - own names
    return {
        found[0]
        for one, other in ((kept, summed), (summed, kept))
        for found in connection.execute(f"SELECT * FROM ({one}) EXCEPT SELECT * FROM ({other})")  # noqa: S608 - own names
    }


def _wrong_quarters(table: str, quarters: set[int], of: str) -> str:
    return (
        f"{table}: in {_counted(len(quarters), 'quarter')} of an hour the sums are not "
        f"those of {of}, the first at {time_of(min(quarters) * QUARTER)}"
    )


def _is_damage(exc: BaseException | None) -> bool:
    return getattr(exc, "sqlite_errorcode", 0) & _PRIMARY_CODE in _DAMAGED


def _counted(count: int, word: str) -> str:
    return f"{count:,} {word}" + ("" if count == 1 else "s")
