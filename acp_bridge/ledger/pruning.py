"""Deleting what is old from the ledger. Nothing else ever does: no entry expires by itself.

What goes are the entries before a moment, the sums of their quarters of an hour, and what only they
needed: runs that began before it, have ended and have no entry left, with their evidence,
violations, witnesses and sessions. Of a session that a later run has too, nothing goes but its
entries: the totals that were read of it tell what is new in it. Words that entries share (modes,
models) stay, since bridges that run know them by their numbers.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from acp_bridge.errors import ConfigurationError
from acp_bridge.ledger.database import LedgerError, explained, open_for_reading, open_for_writing
from acp_bridge.ledger.exporting import Condition, Format, Part, export, new_file, refuse_ledger
from acp_bridge.ledger.schema import QUARTER, SUMS_OF_PLACES
from acp_bridge.ledger.storing import micros, time_of

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Doomed:
    """What goes.

    Attributes:
        rows: how many of each table, by its name; ``usage`` are the entries.
        first: when the first of the entries was made; None if there is none.
        newest: the number of the newest of them; 0 if there is none.
    """

    rows: Mapping[str, int]
    first: datetime | None
    newest: int

    @property
    def is_nothing(self) -> bool:
        """Whether there is nothing to delete."""
        return not any(self.rows.values())


@dataclass(frozen=True, slots=True)
class Pruned:
    """What is gone; ``kept_size`` says why the file did not become smaller, None if it did."""

    doomed: Doomed
    kept_size: str | None


class Pruning:
    """Deletes what is before a moment.

    Args:
        path: the ledger's file.
        before: the moment, aware; on a quarter of an hour of UTC, as each midnight is today.
        is_alive: whether a run, by its id, still lives.

    Raises:
        ConfigurationError: the moment is not on a quarter of an hour.
    """

    def __init__(self, path: Path, before: datetime, is_alive: Callable[[str], bool]) -> None:
        self._path = path
        self._before = max(0, micros(before) or 0)
        self._is_alive = is_alive
        if self._before % QUARTER:
            raise ConfigurationError(
                f"{before.isoformat()} is not on a quarter of an hour",
                hint="sums are kept by quarters of an hour, and go by them",
            )

    def look(self) -> Doomed:
        """What would go; nothing is changed.

        Raises:
            LedgerError: the ledger cannot be read.
            ConfigurationError: some of it may not go yet.
        """
        with self._translated():
            connection = open_for_reading(self._path)
            if connection is None:
                return Doomed({}, None, 0)
            with closing(connection), _transaction(connection, "BEGIN", "ROLLBACK"):
                return self._mark(connection)

    def prune(self, into: Path | None) -> Pruned:
        """Export what goes, delete it in one transaction, and give its room back.

        Args:
            into: the file that gets it first, as lines of JSON; None for no export.

        Raises:
            LedgerError: the ledger cannot be read or written; nothing was deleted.
            ConfigurationError: some of it may not go yet, or the export cannot be written;
                likewise.
        """
        if into is not None:
            refuse_ledger(into, self._path)
        with self._translated(), closing(open_for_writing(self._path)) as connection:
            if into is None:
                with _transaction(connection, "BEGIN", "ROLLBACK"):
                    seen = self._mark(connection)
            else:
                # Bridges can write meanwhile: the lock is taken for the deletion alone.
                with new_file(into) as file, _transaction(connection, "BEGIN", "ROLLBACK"):
                    seen = self._mark(connection)
                    with file.open("w", encoding="utf-8") as stream:
                        export(connection, self._part(), Format.JSONL, stream)
            with _transaction(connection, "BEGIN IMMEDIATE", "COMMIT"):
                if self._mark(connection) != seen:
                    raise LedgerError(
                        f"the ledger {self._path} changed before that day while it was exported; "
                        "nothing was deleted",
                        hint="try again",
                    )
                self._delete(connection)
            return Pruned(seen, _compact(connection))

    def _mark(self, connection: sqlite3.Connection) -> Doomed:
        """Note runs and sessions that go in tables of this connection, and count everything."""
        self._refuse_unfinished(connection)
        connection.execute("CREATE TEMP TABLE going_runs (id TEXT PRIMARY KEY)")
        going = [
            (run_id,)
            for run_id, ended_at in connection.execute(_OLD_RUNS, {"before": self._before})
            if ended_at is not None or not self._is_alive(run_id)
        ]
        connection.executemany("INSERT INTO going_runs VALUES (?)", going)
        connection.execute(_GOING_SESSIONS)
        rows = {
            table: int(
                connection.execute(
                    f"SELECT count(*) FROM {table} WHERE {condition.sql}",  # noqa: S608 - own names
                    condition.bound,
                ).fetchone()[0]
            )
            for table, condition in self._going().items()
        }
        first, newest = connection.execute(
            "SELECT min(at), max(id) FROM usage WHERE at < ?", (self._before,)
        ).fetchone()
        return Doomed(rows, None if first is None else time_of(first), newest or 0)

    def _refuse_unfinished(self, connection: sqlite3.Connection) -> None:
        found = [run_id for (run_id,) in connection.execute(_OPEN_RUNS, (self._before,))]
        alive = [run_id for run_id in found if self._is_alive(run_id)]
        if alive:
            raise ConfigurationError(
                f"{_counted(len(alive), 'run')} with entries before that day "
                f"{'lives' if len(alive) == 1 else 'live'}: {_some(alive)}",
                hint="end these bridges first, or name an earlier day",
            )
        unsettled = [found[0] for found in connection.execute(_UNSETTLED, (self._before,))]
        if unsettled:
            raise ConfigurationError(
                f"{_counted(len(unsettled), 'session')} with entries before that day "
                f"{'is' if len(unsettled) == 1 else 'are'} not settled: {_some(unsettled)}",
                hint="the next bridge that starts settles what dead runs left; or name an earlier "
                "day",
            )

    def _going(self) -> dict[str, Condition]:
        """Which rows go, by table, in an order in which they can be deleted."""
        quarter = (self._before // QUARTER,)
        of_run = Condition("run_id IN (SELECT id FROM going_runs)")
        of_session = Condition("session_id IN (SELECT id FROM going_sessions)")
        return {
            "usage": Condition("at < ?", (self._before,)),
            "place_quarters": Condition("quarter < ?", quarter),
            "charge_quarters": Condition("quarter < ?", quarter),
            "places": of_run,
            **dict.fromkeys(("sessions", "readings"), of_session),
            **dict.fromkeys(("evidence", "violations", "witnesses", "reservations"), of_run),
            "runs": of_run,
        }

    def _part(self) -> Part:
        """The same as an export takes it; sums and places are not told apart from entries."""
        going = self._going()
        entries = going.pop("usage")
        for table in ("place_quarters", "charge_quarters", "places"):
            del going[table]
        return Part(entries, going)

    def _delete(self, connection: sqlite3.Connection) -> None:
        connection.execute(_DELETE_SUMS, (self._before // QUARTER,))
        for table, condition in self._going().items():
            connection.execute(
                f"DELETE FROM {table} WHERE {condition.sql}",  # noqa: S608 - own names
                condition.bound,
            )
        connection.execute(_SUM_WHAT_IS_LEFT)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as exc:
            raise explained(exc, self._path) from exc


_UNSETTLED = """
SELECT DISTINCT s.session_id FROM sessions s
JOIN places p ON p.run_id = s.run_id AND p.session_id = s.session_id
WHERE s.settled_at IS NULL
    AND EXISTS (SELECT 1 FROM usage u WHERE u.place_id = p.id AND u.at < ?) ORDER BY 1
"""
_OPEN_RUNS = """
SELECT DISTINCT p.run_id FROM places p LEFT JOIN runs r ON r.run_id = p.run_id
WHERE r.ended_at IS NULL
    AND EXISTS (SELECT 1 FROM usage u WHERE u.place_id = p.id AND u.at < ?) ORDER BY 1
"""
_OLD_RUNS = """
SELECT run_id, ended_at FROM runs WHERE started_at < :before
    AND run_id NOT IN (SELECT run_id FROM sessions WHERE settled_at IS NULL)
    AND run_id NOT IN (SELECT p.run_id FROM places p JOIN usage u ON u.place_id = p.id
        WHERE u.at >= :before)
"""
_GOING_SESSIONS = """
CREATE TEMP TABLE going_sessions AS
SELECT session_id AS id FROM sessions WHERE run_id IN (SELECT id FROM going_runs)
EXCEPT SELECT session_id FROM sessions WHERE run_id NOT IN (SELECT id FROM going_runs)
"""
_DELETE_SUMS = """
DELETE FROM place_sums WHERE place_id IN (SELECT place_id FROM place_quarters WHERE quarter < ?)
"""
_SUM_WHAT_IS_LEFT = f"""
INSERT INTO place_sums {SUMS_OF_PLACES}
WHERE place_id NOT IN (SELECT place_id FROM place_sums) GROUP BY 1, 2, 3
"""  # noqa: S608 - own names


@contextmanager
def _transaction(connection: sqlite3.Connection, begin: str, end: str) -> Iterator[None]:
    connection.execute(begin)
    try:
        yield
        connection.execute(end)
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _compact(connection: sqlite3.Connection) -> str | None:
    """Make the file smaller if nobody else has it open; why not, otherwise.

    To leave WAL mode one must be alone with the file, and SQLite finds that out at once.
    """
    try:
        connection.execute("PRAGMA busy_timeout = 0")
        connection.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.OperationalError:
        return "another program has the ledger open"
    try:
        connection.execute("VACUUM")
    except sqlite3.Error as exc:
        return str(exc)
    finally:
        # Whoever opens it next for writing does the same.
        with suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA journal_mode = WAL")
    return None


def _counted(count: int, word: str) -> str:
    return f"{count:,} {word}" + ("" if count == 1 else "s")


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
