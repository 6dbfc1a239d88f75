"""Reading the ledger: reports, and what settlement and the commands look up."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any, Self

from acp_bridge.ledger.database import explained, open_for_reading
from acp_bridge.ledger.records import (
    EvidenceRow,
    Reading,
    RunRow,
    SessionRow,
    SpentRow,
    ViolationRow,
    WitnessRow,
)
from acp_bridge.ledger.report import GroupKey, Report, RowSum
from acp_bridge.ledger.reporting import Question, Reporter
from acp_bridge.ledger.schema import TOKEN_COLUMNS
from acp_bridge.ledger.storing import moment, time_of
from acp_bridge.ledger.witnesses import Told, Wanted, witnessed
from acp_bridge.metering.usage import AskedBy, CostKind, Source, State, Tokens, UsageEntry
from acp_bridge.modes import BillingMode, Bucket, CredentialClass, Guard, Plan
from acp_bridge.policy.surface import Surface

_TOKENS = ", ".join(TOKEN_COLUMNS)


class Ledger:
    """The ledger as a reader sees it. A missing one is empty. Use it in one thread at a time.

    Args:
        path: the ledger's file.

    Raises:
        LedgerError: the ledger cannot be read; any method may raise it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = open_for_reading(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; may be repeated."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def report(  # noqa: PLR0913 - what one can ask, all of it by name
        self,
        by: Sequence[GroupKey] = (),
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        run_id: str | None = None,
        session_id: str | None = None,
        zone: tzinfo = UTC,
    ) -> Report:
        """Sum up what was used.

        Args:
            by: what to group by; nothing gives at most one row.
            since: the first moment that counts; aware.
            until: the first moment that does not count any more; aware.
            run_id: only this run.
            session_id: only this session, of whatever run.
            zone: whose hours, days, weeks and months are meant.
        """
        question = Question(tuple(by), since, until, run_id, session_id, zone)
        if self._connection is None:
            return Report(question.by, [], RowSum().row((), pending=False))
        with self._snapshot(self._connection) as connection:
            return Reporter(connection, question).report()

    def entries(
        self, *, run_id: str | None = None, session_id: str | None = None
    ) -> Iterator[SpentRow]:
        """Entries of a run, a session, both, or all there are; oldest first."""
        where, bound = _filter(run_id=run_id, session_id=session_id)
        sql = f"SELECT * FROM entries WHERE {where} ORDER BY at, id"  # noqa: S608 - own names
        for found in self._rows(sql, bound):
            yield _spent(found)

    def readings(self, session_id: str) -> list[Reading]:
        """Every reading of a session, one a model, in the order in which they were stored."""
        sql = "SELECT * FROM readings WHERE session_id = ? ORDER BY id"
        return [_reading(row) for row in self._rows(sql, [session_id])]

    def sessions(
        self, *, run_id: str | None = None, session_id: str | None = None
    ) -> list[SessionRow]:
        """Sessions of a run, or one session as each run had it; oldest first."""
        where, bound = _filter(run_id=run_id, session_id=session_id)
        sql = f"SELECT * FROM sessions WHERE {where} ORDER BY opened_at"  # noqa: S608 - own names
        return [_session(row) for row in self._rows(sql, bound)]

    def unsettled_sessions(self) -> list[SessionRow]:
        """Sessions whose settlement is outstanding, those that still live included; oldest first.

        Whether the run of one without an end is dead is told by the registry of runs.
        """
        sql = "SELECT * FROM sessions WHERE settled_at IS NULL ORDER BY opened_at"
        return [_session(row) for row in self._rows(sql)]

    def runs(self, *, limit: int = 50) -> list[RunRow]:
        """The most recent runs, newest first."""
        sql = "SELECT * FROM runs ORDER BY started_at DESC, run_id DESC LIMIT ?"
        return [_run(row) for row in self._rows(sql, [limit])]

    def run(self, run_id: str) -> RunRow | None:
        """One run; None if the ledger does not know it."""
        found = self._rows("SELECT * FROM runs WHERE run_id = ?", [run_id])
        return _run(found[0]) if found else None

    def evidence(self, run_id: str) -> list[EvidenceRow]:
        """What was seen about the payer of a run, in the order of time."""
        sql = "SELECT run_id, at, kind, source, value, verdict FROM evidence WHERE run_id = ?"
        found = self._rows(sql + " ORDER BY at, id", [run_id])
        return [EvidenceRow(**{**row, "at": time_of(row["at"])}) for row in map(dict, found)]

    def violations(self, run_id: str) -> list[ViolationRow]:
        """What was refused in a run, or should have been, in the order of time."""
        sql = "SELECT run_id, at, reason, detail FROM violations WHERE run_id = ?"
        found = self._rows(sql + " ORDER BY at, id", [run_id])
        return [ViolationRow(**{**row, "at": time_of(row["at"])}) for row in map(dict, found)]

    def witnesses(
        self,
        *,
        run_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        session_id: str | None = None,
    ) -> list[WitnessRow]:
        """What each witness told: a row for each run, session, model and source, in this order.

        Args:
            run_id: only this run.
            since: only sessions whose last figure came at this moment or later; aware. Figures are
                those of whole sessions and cannot be cut.
            until: only sessions whose last figure came before this moment; aware.
            session_id: only this session, of whatever run.
        """
        wanted = Wanted(run_id, session_id, since, until)
        return self.witnessed(wanted).witnesses

    def witnessed(self, wanted: Wanted) -> Told:
        """The same, and what the ledger's own entries hold of these sessions."""
        if self._connection is None:
            return Told([], {})
        with self._snapshot(self._connection) as connection:
            return witnessed(connection, wanted)

    def check(self) -> list[str]:
        """What SQLite finds wrong with the file; empty if it is sound. Reads all of it."""
        found = [str(row[0]) for row in self._rows("PRAGMA integrity_check")]
        return [] if found == ["ok"] else found

    def _rows(self, sql: str, bound: Sequence[Any] = ()) -> list[sqlite3.Row]:
        if self._connection is None:
            return []
        with self._translated():
            cursor = self._connection.cursor()
            cursor.row_factory = sqlite3.Row
            try:
                return cursor.execute(sql, bound).fetchall()
            except UnicodeEncodeError:  # half a surrogate pair: nothing can be stored under it
                return []

    @contextmanager
    def _snapshot(self, connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
        """Let all statements inside see the same state."""
        with self._translated():
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as exc:
            raise explained(exc, self._path) from exc


def _filter(*, run_id: str | None, session_id: str | None) -> tuple[str, list[str]]:
    given = {"run_id": run_id, "session_id": session_id}
    asked = {name: value for name, value in given.items() if value is not None}
    return " AND ".join(f"{name} = ?" for name in asked) or "1", list(asked.values())


def _tokens(row: sqlite3.Row) -> Tokens | None:
    counts = [row[column] for column in TOKEN_COLUMNS]
    return None if counts[0] is None else Tokens(*counts)


def _spent(row: sqlite3.Row) -> SpentRow:
    entry = UsageEntry(
        key=row["key"],
        run_id=row["run_id"],
        session_id=row["session_id"],
        at=time_of(row["at"]),
        source=Source(row["source"]),
        state=State(row["state"]),
        asked_by=AskedBy(row["asked_by"]),
        model=row["model"],
        tokens=_tokens(row),
        cost_micros=row["cost_micros"],
        requests=row["requests"],
        turn=row["turn"],
        agent_id=row["agent_id"],
        request_id=row["request_id"],
        duration_ms=row["duration_ms"],
        ttft_ms=row["ttft_ms"],
        detail=row["detail"],
    )
    return SpentRow(
        entry=entry,
        mode=BillingMode(row["mode"]),
        credential_class=CredentialClass(row["credential_class"]),
        bucket=Bucket(row["bucket"]),
        surface=Surface(row["surface"]),
        cost_kind=CostKind(row["cost_kind"]),
        project=row["project"],
        policy_version=row["policy_version"],
    )


def _run(row: sqlite3.Row) -> RunRow:
    return RunRow(
        run_id=row["run_id"],
        mode=BillingMode(row["mode"]),
        credential_class=CredentialClass(row["credential_class"]),
        bucket=Bucket(row["bucket"]),
        guard=Guard(row["guard"]),
        guarantees=row["guarantees"],
        started_at=time_of(row["started_at"]),
        ended_at=moment(row["ended_at"]),
        agent_name=row["agent_name"],
        agent_version=row["agent_version"],
        claude_version=row["claude_version"],
        cwd=row["cwd"],
        plan=Plan(row["plan"]) if row["plan"] else None,
        policy_version=row["policy_version"],
        bridge_version=row["bridge_version"],
        removed=row["removed"],
        wire=row["wire"],
    )


def _session(row: sqlite3.Row) -> SessionRow:
    return SessionRow(
        run_id=row["run_id"],
        session_id=row["session_id"],
        opened_at=time_of(row["opened_at"]),
        ended_at=moment(row["ended_at"]),
        settled_at=moment(row["settled_at"]),
        cwd=row["cwd"],
        model=row["model"],
        turn_began_at=moment(row["turn_began_at"]),
        client_session_id=row["client_session_id"],
    )


def _reading(row: sqlite3.Row) -> Reading:
    return Reading(
        run_id=row["run_id"],
        session_id=row["session_id"],
        at=time_of(row["at"]),
        model=row["model"],
        tokens=_tokens(row) or Tokens(),
        cost_micros=row["cost_micros"],
    )
