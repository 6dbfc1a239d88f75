"""Which prompt turn a request belongs to: by its prompt, else by when it was sent."""

from collections import OrderedDict, deque
from dataclasses import dataclass
from datetime import datetime

_TURNS = 256
_PROMPTS = 1024


@dataclass(slots=True)
class Turn:
    """A prompt turn.

    Attributes:
        number: from 1, counted over all sessions of the run.
        session_id: as the client knows it.
        stop_reason: as answered; None while it runs, or if it failed.
    """

    number: int
    session_id: str | None
    started_at: datetime
    ended_at: datetime | None = None
    stop_reason: str | None = None

    def holds(self, moment: datetime) -> bool:
        """Whether it was running then."""
        return self.started_at <= moment and (self.ended_at is None or moment <= self.ended_at)


class Turns:
    """The latest turns of a run, and the prompts of Claude Code that were taken up in them."""

    def __init__(self) -> None:
        self._turns: deque[Turn] = deque(maxlen=_TURNS)
        self._prompts: OrderedDict[str, Turn] = OrderedDict()
        self._number = 0

    def start(self, session_id: str | None, at: datetime) -> Turn:
        """A prompt was sent to the agent."""
        self._number += 1
        self._turns.append(Turn(self._number, session_id, at))
        return self._turns[-1]

    def end(self, session_id: str | None, at: datetime, stop_reason: str | None) -> Turn | None:
        """The oldest running turn of the session was answered; None if none is running."""
        for turn in self._turns:
            if turn.session_id == session_id and turn.ended_at is None:
                turn.ended_at, turn.stop_reason = at, stop_reason
                return turn
        return None

    def bind(self, prompt_id: str, session_id: str | None, at: datetime) -> None:
        """Claude Code took up a prompt then, in that session."""
        if turn := self.running(session_id, at):
            self._prompts[prompt_id] = turn
            while len(self._prompts) > _PROMPTS:
                self._prompts.popitem(last=False)

    def of(
        self, prompt_id: str | None, session_id: str | None, sent_at: datetime | None
    ) -> Turn | None:
        """The turn of a request.

        A suggestion and what background subagents do later belong to the turn of their prompt.
        """
        if prompt_id is not None and (turn := self._prompts.get(prompt_id)):
            return turn
        return None if sent_at is None else self.running(session_id, sent_at)

    def running(self, session_id: str | None, at: datetime) -> Turn | None:
        """The turn that was running then in that session.

        A session that had no turn (a ``claude -p`` started by a tool) is in the one turn that was
        running anywhere, if it was one.
        """
        then = [turn for turn in self._turns if turn.holds(at)]
        own = [turn for turn in then if turn.session_id == session_id]
        if own:
            return own[-1]
        has_turns = any(turn.session_id == session_id for turn in self._turns)
        return then[0] if len(then) == 1 and not has_turns else None
