"""The sessions of Claude Code that one run has seen: whose they are, where, and since when."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from acp_bridge.ledger.records import SessionRow
from acp_bridge.ledger.writer import LedgerWriter
from acp_bridge.metering.meter import Meter


@dataclass(slots=True)
class RunSession:
    """A session of Claude Code in this run; by a client, once it is known to have opened it."""

    opened_at: datetime
    offset: int = 0
    cwd: str | None = None
    model: str | None = None
    settled: bool = False
    by_client: bool = False


class RunSessions:
    """Knows the sessions, and keeps the ledger informed of them.

    Args:
        run_id: the run.
        meter: knows which session of Claude Code is which of the client's.
        writer: where rows go.
        unsettled: the sessions that are not settled, kept up to date.
    """

    def __init__(
        self, run_id: str, meter: Meter, writer: LedgerWriter, unsettled: set[str]
    ) -> None:
        self._run_id = run_id
        self._meter = meter
        self._writer = writer
        self._unsettled = unsettled
        self._known: dict[str, RunSession] = {}

    def __getitem__(self, session_id: str) -> RunSession:
        return self._known[session_id]

    def __setitem__(self, session_id: str, session: RunSession) -> None:
        self._known[session_id] = session

    def get(self, session_id: str | None) -> RunSession | None:
        """A session; None for an unknown one."""
        return self._known.get(session_id or "")

    def to_settle(self) -> Iterator[str]:
        """The sessions that are not settled yet, as of now."""
        yield from [one for one, session in self._known.items() if not session.settled]

    def note(self, at: datetime) -> None:
        """Know the sessions that no client opened: ``/clear``, a ``claude -p`` of a tool."""
        for raw, client in self._meter.sessions.items():
            if raw not in self._known:
                parent = self._known.get(client or "")
                cwd, model = (parent.cwd, parent.model) if parent else (None, None)
                self._known[raw] = RunSession(at, 0, cwd, model)
                self.store(raw)
                self._unsettled.add(raw)

    def of_client(self, client_session_id: str | None) -> list[str]:
        """Claude Code's sessions that were one of the client's, before and after ``/clear``."""
        found = self._meter.sessions.items()
        return [raw for raw, client in found if client == client_session_id]

    def client_of(self, session_id: str | None) -> str | None:
        """The client's session that one of Claude Code's is part of; None if no client's is."""
        return self._meter.sessions.get(session_id or "")

    def same(self, session_id: str | None) -> list[str | None]:
        """The sessions of Claude Code that are one session for the client."""
        client = self.client_of(session_id)
        return [session_id] if client is None else list(self.of_client(client))

    def project(self, session_id: str | None) -> str | None:
        """A session's working directory; None if nobody said."""
        session = self.get(session_id)
        return session.cwd if session else None

    def is_clients(self, session_id: str | None) -> bool:
        """Whether the client opened it."""
        return self.client_of(session_id) is not None

    def store(
        self,
        session_id: str,
        *,
        ended_at: datetime | None = None,
        settled_at: datetime | None = None,
    ) -> None:
        """Let the ledger know what is known of a session."""
        session = self._known[session_id]
        self._writer.record(
            SessionRow(
                run_id=self._run_id,
                session_id=session_id,
                opened_at=session.opened_at,
                ended_at=ended_at,
                settled_at=settled_at,
                cwd=session.cwd,
                model=session.model,
                client_session_id=self.client_of(session_id),
            )
        )
