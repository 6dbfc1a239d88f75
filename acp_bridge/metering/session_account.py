"""What the meter holds of one session of Claude Code while its process lives."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from acp_bridge.metering.agent_results import AgentResult, TurnUsage
from acp_bridge.metering.readings import (
    NOTHING,
    Reading,
    Spent,
    add,
    missing,
    missing_by_model,
    totals_of,
)
from acp_bridge.metering.turns import Turn
from acp_bridge.metering.usage import Source, Tokens, UsageEntry


@dataclass(frozen=True, slots=True)
class Told:
    """A part of a session's spending, as some witness tells it; the unknown is None."""

    source: Source
    model: str | None
    tokens: Tokens | None
    cost_micros: int | None
    mark: str


@dataclass(slots=True)
class LastAnswer:
    """The main loop's last answer, after which a suggestion may be asked for."""

    at: datetime
    model: str | None
    prompt_id: str | None
    turn: Turn | None


@dataclass(slots=True)
class SessionAccount:
    """One session, from its opening to the end of its process.

    Attributes:
        session_id: Claude Code's, which ``/clear`` changes.
        client_session_id: the client's.
        base: the totals it began with; None if nobody knows them.
        continued: it held a conversation when it was opened.
        spoke: telemetry has told something of it.
        wired: the wire guard has seen a request of it.
        fallback: the weaker witness in use, once there was need of one.
        counted_until: what ended before is counted by the fallback.
        recorded: what was recorded of it, by model.
        closed: it has been settled.
        prompted_at: when telemetry told of its first prompt.
        titled: its title has been told, or was before it was opened.
    """

    session_id: str
    client_session_id: str | None
    base: Reading | None
    continued: bool = False
    spoke: bool = False
    wired: bool = False
    fallback: Source | None = None
    counted_until: datetime | None = None
    recorded: dict[str, Spent] = field(default_factory=dict)
    closed: bool = False
    result: Reading | None = None
    prompts: int = 0
    prompted_at: datetime | None = None
    titled: bool = False
    answers: int = 0
    last_answer: LastAnswer | None = None
    cost_before: int | None = None
    cost_now: int | None = None

    @property
    def source(self) -> Source | None:
        """Who counts it; None until somebody has spoken."""
        if self.wired:
            return Source.WIRE
        return Source.TELEMETRY if self.spoke else self.fallback

    def record(self, entries: list[UsageEntry]) -> None:
        """Remember what these hold."""
        self.recorded = add(self.recorded, totals_of(entries))

    def hear(self, result: AgentResult) -> None:
        """The agent told its totals.

        Where the totals it began with are unknown, they are those less what came since.
        """
        if self.base is None and result.since_last is not None:
            self.base = _less(result.reading, result.since_last)
        if self.base is not None:
            self.result = result.reading

    def tell(self, turn: TurnUsage, number: int | None) -> list[Told]:
        """What is not recorded yet, by the best witness there is besides telemetry."""
        if self.result is not None:
            return self._from_result(self.result)
        cost = self._cost_since()
        if turn.by_model:
            share = cost if len(turn.by_model) == 1 else None
            return [
                Told(Source.ACP, model, tokens, share, f"turn {number}")
                for model, tokens in turn.by_model.items()
                if tokens
            ]
        return [Told(Source.ACP, None, None, cost, f"turn {number}")] if cost else []

    def _from_result(self, result: Reading) -> list[Told]:
        before = add(self.base.models if self.base else {}, self.recorded)
        rests = missing_by_model(result.models, before)
        mark = str(result.size)
        return [
            Told(Source.AGENT_RESULT, model or None, rest.tokens, rest.cost_micros, mark)
            for model, rest in rests.items()
        ]

    def _cost_since(self) -> int | None:
        if self.cost_now is None:
            return None
        before, self.cost_before = self.cost_before, self.cost_now
        if before is None:  # continued, and nobody knows from where
            return None
        # After /clear the agent counts from nothing again.
        return self.cost_now - before if self.cost_now >= before else self.cost_now


def _less(reading: Reading, since: Mapping[str, Spent]) -> Reading:
    models = {
        model: rest
        for model, spent in reading.models.items()
        if (rest := missing(spent, since.get(model, NOTHING)))
    }
    return Reading(reading.session_id, models)
