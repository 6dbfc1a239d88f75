"""Taking rows out of the ledger: as lines for programs, or as a table for spreadsheets; backups.

Rows come out one by one, so that a ledger of any size needs little memory, and all of them from
one state of the ledger, however many bridges write meanwhile. Times are ISO 8601 in UTC, money is
exact decimal text (``cost_usd``), and what is unknown is null, in CSV an empty cell.
"""

import csv
import json
import os
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any, TextIO

from acp_bridge.errors import ConfigurationError
from acp_bridge.ledger.database import LedgerError, explained, open_for_reading
from acp_bridge.ledger.schema import CHARGE_COLUMNS, KIND_COLUMNS, TOKEN_COLUMNS, migrate
from acp_bridge.ledger.storing import micros, time_of

SCHEMA_VERSION = 1

ENTRY_COLUMNS = (
    *("key", "at", "run_id", "session_id", "project"),
    *CHARGE_COLUMNS,
    *KIND_COLUMNS,
    *("agent_id", "turn", "requests"),
    *TOKEN_COLUMNS,
    *("cost_micros", "request_id", "duration_ms", "ttft_ms", "detail"),
)
OTHER_TABLES = (
    *("runs", "sessions", "evidence", "violations", "readings", "witnesses", "reservations"),
)
"""What ``--everything`` adds. The rest are the words and the sums of the entries."""

_TIMES = frozenset(("at", "started_at", "ended_at", "opened_at", "settled_at", "turn_began_at"))
_MONEY = "cost_micros"
_NUMBERED = ("evidence", "violations", "readings")
"""Tables whose ``id`` is the ledger's own number, which says nothing outside it."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_FOREVER = 1 << 62


class Format(StrEnum):
    """How rows are written."""

    JSONL = "jsonl"
    CSV = "csv"


@dataclass(frozen=True, slots=True)
class Condition:
    """Which rows of a table, in SQL, and what is bound to it."""

    sql: str = "1"
    bound: Sequence[Any] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """What part of the ledger is taken out.

    Attributes:
        entries: which rows of the view ``entries``.
        others: which rows of each of `OTHER_TABLES`; a table that is not named is left out.
    """

    entries: Condition
    others: Mapping[str, Condition] = field(default_factory=dict)


def part(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    run_id: str | None = None,
    everything: bool = False,
) -> Part:
    """The entries of a time and a run; with everything also all there is of the runs they are of.

    Args:
        since: the first moment that counts; aware.
        until: the first moment that does not count any more; aware.
        run_id: only this run.
        everything: the other tables too, of runs that began or spent something in that time.
    """
    within = (micros(since) or 0 if since else 0, micros(until) or 0 if until else _FOREVER)
    of_run, run = (" AND run_id = ?", (run_id,)) if run_id is not None else ("", ())
    entries = Condition(f"at >= ? AND at < ?{of_run}", (*within, *run))
    if not everything:
        return Part(entries)
    if since is None and until is None:
        return Part(entries, dict.fromkeys(OTHER_TABLES, Condition("1" + of_run, run)))
    of_time = Condition(f"run_id IN ({_RUNS_WITHIN}){of_run}", (*within, *within, *run))
    return Part(entries, dict.fromkeys(OTHER_TABLES, of_time))


_RUNS_WITHIN = (
    "SELECT run_id FROM runs WHERE started_at >= ? AND started_at < ? UNION"
    " SELECT p.run_id FROM usage u JOIN places p ON p.id = u.place_id WHERE u.at >= ? AND u.at < ?"
)


def export_ledger(path: Path, asked: Part, form: Format, into: TextIO) -> int:
    """Write rows of a ledger; a missing one has none. See `export`.

    Raises:
        LedgerError: it cannot be read.
        OSError: the rows cannot be written.
    """
    connection = open_for_reading(path)
    if connection is None:
        with closing(_empty()) as empty:
            return export(empty, asked, form, into)
    with closing(connection):
        try:
            connection.execute("BEGIN")
            return export(connection, asked, form, into)
        except sqlite3.Error as exc:
            raise explained(exc, path) from exc


def _empty() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    return connection


def export(connection: sqlite3.Connection, asked: Part, form: Format, into: TextIO) -> int:
    """Write rows, oldest entries first, other tables after them.

    The caller holds a transaction where other tables are asked for. A line of JSON names its
    ``table``; where there are several, the first line tells the version of the form. CSV has the
    entries only.

    Returns:
        how many rows were written.

    Raises:
        sqlite3.Error: the ledger cannot be read.
        OSError: they cannot be written.
    """
    entries = _rows(connection, "entries", ENTRY_COLUMNS, asked.entries)
    if form is Format.CSV:
        return _as_csv(entries, into)
    if asked.others:
        into.write(json.dumps({"schema_version": SCHEMA_VERSION}) + "\n")
    written = _as_lines("entries", entries, into)
    for table, condition in asked.others.items():
        columns = _columns(connection, table)
        written += _as_lines(table, _rows(connection, table, columns, condition), into)
    return written


def spreadsheet_safe(text: str) -> str:
    """The text so that no spreadsheet takes it for a formula, as it would ``=cmd()``."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _columns(connection: sqlite3.Connection, table: str) -> tuple[str, ...]:
    described = connection.execute(f"SELECT * FROM {table} LIMIT 0").description  # noqa: S608 - own name
    names = (one[0] for one in described)
    return tuple(name for name in names if name != "id" or table not in _NUMBERED)


def _rows(
    connection: sqlite3.Connection, table: str, columns: Sequence[str], condition: Condition
) -> Iterator[dict[str, Any]]:
    # In the order of an index, or of the table itself: nothing is sorted in memory.
    order = " ORDER BY at, id" if table == "entries" else ""
    sql = f"SELECT {', '.join(columns)} FROM {table} WHERE {condition.sql}{order}"  # noqa: S608 - own names
    names = [_name(column) for column in columns]
    shown = [(place, _SHOWN[name]) for place, name in enumerate(columns) if name in _SHOWN]
    for found in connection.execute(sql, condition.bound):
        values = list(found)
        for place, show in shown:
            if values[place] is not None:
                values[place] = show(values[place])
        yield dict(zip(names, values, strict=True))


def _name(column: str) -> str:
    return "cost_usd" if column == _MONEY else column


def _time(at: int) -> str:
    return time_of(at).isoformat(timespec="microseconds")


def _dollars(of_micros: int) -> str:
    return f"{Decimal(of_micros).scaleb(-6):f}"


_SHOWN = {_MONEY: _dollars, **dict.fromkeys(_TIMES, _time)}


def _as_lines(table: str, rows: Iterable[dict[str, Any]], into: TextIO) -> int:
    written = 0
    # Only ASCII, so that it can be written whatever the encoding of the terminal.
    for row in rows:
        into.write(json.dumps({"table": table, **row}) + "\n")
        written += 1
    return written


def _as_csv(rows: Iterable[dict[str, Any]], into: TextIO) -> int:
    writer = csv.writer(into)
    writer.writerow([_name(column) for column in ENTRY_COLUMNS])
    written = 0
    # Numbers as text are `at` and `cost_usd`; the latter may begin with a minus.
    for row in rows:
        writer.writerow(
            spreadsheet_safe(value) if isinstance(value, str) and name != "cost_usd" else value
            for name, value in row.items()
        )
        written += 1
    return written


def back_up(path: Path, into: Path) -> None:
    """Copy the ledger as it is at one moment, while bridges write; the copy is one file.

    Raises:
        LedgerError: it cannot be read, or its copy is not sound; there is no copy then.
        ConfigurationError: there is no ledger, or the file is there already or cannot be written.
    """
    source = open_for_reading(path)
    if source is None:
        raise ConfigurationError(
            f"there is no ledger at {path}", hint="a ledger is begun with the first run"
        )
    with closing(source):
        refuse_ledger(into, path)
        _copy(source, path, into)


def _copy(source: sqlite3.Connection, path: Path, into: Path) -> None:
    with new_file(into) as temporary:
        try:
            # A copy waits without end for a lock, which nobody can take while this is open.
            source.execute("BEGIN")
            source.execute("SELECT count(*) FROM sqlite_master").fetchone()
            with closing(sqlite3.connect(temporary, isolation_level=None)) as copy:
                source.backup(copy)
                copy.execute("PRAGMA journal_mode = DELETE")
                found = copy.execute("PRAGMA integrity_check(1)").fetchone()[0]
        except sqlite3.Error as exc:
            raise explained(exc, into) from exc
        if found != "ok":
            raise LedgerError(
                f"the ledger {path} is damaged, and so would be its backup: {found}",
                hint="`acp-bridge ledger verify` tells more; use an earlier backup",
            )


def refuse_ledger(file: Path, ledger: Path) -> None:
    """Refuse to write to the ledger, or beside it under a name that SQLite gives its files.

    Raises:
        ConfigurationError: the file is one of them.
    """
    own = os.path.realpath(ledger)
    names = [own + ending for ending in ("", "-wal", "-shm", "-journal")]
    if os.path.realpath(file) in names:
        raise ConfigurationError(f"{file} is the ledger's own", hint="name another file")


@contextmanager
def new_file(path: Path, *, force: bool = False) -> Iterator[Path]:
    """A private file to write, which takes its name when all went well: no reader sees half of it.

    Args:
        path: the name it gets.
        force: replace a file that is there.

    Yields:
        the name to write it under; the file is there, empty, 0600.

    Raises:
        ConfigurationError: there is one already, or it cannot be written.
    """
    _refuse_present(path, force=force)
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.absolute().parent)
        os.close(descriptor)
    except OSError as exc:
        raise _unwritable(path, exc) from exc
    temporary = Path(name)
    try:
        yield temporary
        _to_disk(temporary)
        _refuse_present(path, force=force)
        temporary.replace(path)
        _to_disk(path.absolute().parent)
    except OSError as exc:
        raise _unwritable(path, exc) from exc
    finally:
        temporary.unlink(missing_ok=True)


def _refuse_present(path: Path, *, force: bool) -> None:
    if path.exists() and not path.is_file():
        raise ConfigurationError(f"{path} is no ordinary file", hint="name another file")
    if path.exists() and not force:
        raise ConfigurationError(f"{path} is there already", hint="name another file, or move it")


def _unwritable(path: Path, exc: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"{path} cannot be written: {exc.strerror}",
        hint="name a file in a folder that you can write, on a disk with room",
    )


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
