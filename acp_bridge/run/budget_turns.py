"""The prompt turns of a run as its budgets see them: reserved, counted, and released when over."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from acp_bridge.metering.usage import UsageEntry

LATE = timedelta(seconds=2)
"""How long after a turn's end its last entries may still come: telemetry is sent in batches."""

FIRST_TURN_TOKENS = 100_000
FIRST_TURN_MICROS = 250_000
"""What a turn is taken to use where no guard counts its requests, until one was dearer."""


@dataclass(slots=True)
class Turn:
    """A turn, and what of it was counted so far.

    Attributes:
        session_id: the client's session.
        reservation: the id of what is reserved for it; None if nothing is.
        ended_at: when it ended; None while it runs.
    """

    session_id: str | None
    reservation: str | None = None
    requests: int = 0
    tokens: int = 0
    cost_micros: int = 0
    ended_at: datetime | None = None


class BudgetTurns:
    """Knows the turns of a run.

    Args:
        release: given the id of a reservation that is over.

    Attributes:
        dearest: the most that a turn has used so far, of each thing.
    """

    def __init__(self, release: Callable[[str], None]) -> None:
        self._release = release
        self._admitted: Turn | None = None
        self._running: dict[str | None, deque[Turn]] = {}
        self._ended: deque[Turn] = deque()
        self.dearest = Turn(None, None, 1, FIRST_TURN_TOKENS, FIRST_TURN_MICROS)

    @property
    def sessions(self) -> list[str | None]:
        """The client's sessions in which a turn runs."""
        return list(self._running)

    @property
    def are_ending(self) -> bool:
        """Whether a turn waits for its last entries."""
        return bool(self._ended)

    def runs_in(self, session_id: str | None) -> bool:
        """Whether a turn runs in a session of the client."""
        return session_id in self._running

    def admit(self, session_id: str | None, reservation: str) -> None:
        """A prompt may go on, which has not begun yet."""
        self.drop_admitted()
        self._admitted = Turn(session_id, reservation)

    def drop_admitted(self) -> None:
        """What was admitted last has not begun, and will not."""
        if self._admitted is not None:
            self._give_back(self._admitted)
            self._admitted = None

    def begin(self, session_id: str | None) -> None:
        """A turn has begun."""
        turn, self._admitted = self._admitted or Turn(session_id), None
        self._running.setdefault(session_id, deque()).append(turn)

    def end(self, session_id: str | None, at: datetime) -> None:
        """The oldest turn of a session has ended."""
        running = self._running.get(session_id)
        if running:
            turn = running.popleft()
            turn.ended_at = at
            self._ended.append(turn)
            if not running:
                del self._running[session_id]

    def count(self, session_id: str | None, entry: UsageEntry) -> None:
        """An entry of a session: it belongs to the oldest turn that may still get one."""
        of_session = [turn for turn in self._ended if turn.session_id == session_id]
        for turn in (*of_session, *self._running.get(session_id, ())):
            turn.requests += entry.requests or 0
            turn.tokens += entry.tokens.total if entry.tokens else 0
            turn.cost_micros += entry.cost_micros or 0
            break

    def release_ended(self, now: datetime) -> None:
        """Give back what was reserved for turns whose last entries have had the time to come."""
        while self._ended and (self._ended[0].ended_at or now) + LATE <= now:
            turn = self._ended.popleft()
            most = self.dearest
            most.requests = max(most.requests, turn.requests)
            most.tokens = max(most.tokens, turn.tokens)
            most.cost_micros = max(most.cost_micros, turn.cost_micros)
            self._give_back(turn)

    def _give_back(self, turn: Turn) -> None:
        if turn.reservation is not None:
            self._release(turn.reservation)
