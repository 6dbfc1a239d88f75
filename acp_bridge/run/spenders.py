"""Who is about to spend in a run, as far as it is known at that moment."""

from collections.abc import Callable

from acp_bridge.ledger.records import SpentRow
from acp_bridge.metering.usage import AskedBy
from acp_bridge.metering.wire_request import ModelRequest
from acp_bridge.modes import BillingMode, Bucket
from acp_bridge.policy.budgets import Spender
from acp_bridge.protocol.facts import SessionOpened
from acp_bridge.run.sessions import RunSessions


class Spenders:
    """Knows of each session where it is and which model it asked last.

    Args:
        mode: of the run.
        bucket: what is charged now.
        sessions: the sessions of Claude Code that the run has seen.
    """

    def __init__(
        self, mode: BillingMode, bucket: Callable[[], Bucket], sessions: RunSessions
    ) -> None:
        self._mode = mode
        self._bucket = bucket
        self._sessions = sessions
        self._directories: dict[str, str | None] = {}
        self._models: dict[str, str] = {}

    def opened(self, fact: SessionOpened) -> None:
        """A session of the client was opened."""
        self._directories[fact.session_id] = fact.cwd

    def spent(self, row: SpentRow) -> None:
        """An entry was counted."""
        entry = row.entry
        client = self._sessions.client_of(entry.session_id)
        if client is not None and entry.asked_by is AskedBy.MAIN and entry.model:
            self._models[client] = entry.model

    def of_client(self, client_session_id: str | None) -> Spender:
        """A session of the client; its model is the one that it asked last."""
        raw = self._sessions.of_client(client_session_id) if client_session_id else []
        projects = (self._sessions.project(one) for one in raw)
        own = self._directories.get(client_session_id or "")
        return Spender(
            mode=self._mode,
            bucket=self._bucket(),
            project=next(filter(None, projects), own),
            model=self._models.get(client_session_id or ""),
            session_ids=frozenset(filter(None, (*raw, client_session_id))),
        )

    def of_request(self, request: ModelRequest) -> Spender:
        """Whoever sent a request."""
        session_id = request.session_id
        own = self._directories.get(session_id or "")
        return Spender(
            mode=self._mode,
            bucket=self._bucket(),
            project=self._sessions.project(session_id) or own,
            model=request.model,
            session_ids=frozenset(filter(None, self._sessions.same(session_id))),
        )
