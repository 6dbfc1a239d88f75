"""Turns of the real agent whose answers say what they used, and what Claude Code says they cost."""

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from acp_bridge.loopback.asked import Asked
from acp_bridge.loopback.endpoint import EmbeddedEndpoint
from acp_bridge.loopback.scratch import FAKE_SECRETS, make_scratch_home, scratch_environment
from acp_bridge.loopback.script import Answer, Step, Text, Usage
from acp_bridge.loopback.sink import ProxySink
from acp_bridge.loopback.wording import AnswerIds
from acp_bridge.metering.usage import AskedBy, Source, UsageEntry
from tests.metering.bridged import Bridged
from tests.metering.numbered import tokens_of
from tests.metering.stage import Stage
from tests.support.offline import Offline

_LAST_WORD = b'"service_tier":"standard"'


@dataclass(frozen=True, slots=True)
class PricedTurn:
    """A prompt turn of one API request.

    Attributes:
        model: the word of the agent's model option; None goes on with the one before.
        usage: what its answer says it used; no two turns of a test say the same.
        words: what the answer's usage says beside that.
        answered: the model that the answer names; None names the one that was asked for.
    """

    model: str | None
    usage: Usage
    words: Mapping[str, object] = field(default_factory=dict)
    answered: str | None = None


class _TellingEndpoint(EmbeddedEndpoint):
    """Answers turn after turn, with more words in the usage than a script can say."""

    def __init__(self, turns: Sequence[PricedTurn]) -> None:
        super().__init__(self._next, known=FAKE_SECRETS)
        self._turns = iter(turns)
        self._words = {turn.usage: turn.words for turn in turns}

    def _next(self, _asked: Asked) -> Step:
        turn = next(self._turns)
        return Answer((Text("Told."),), turn.usage, model=turn.answered)

    async def _stream(
        self, answer: Answer, model: str, ids: AnswerIds, place: int
    ) -> AsyncGenerator[bytes, None]:
        words = {"service_tier": "standard", **self._words.get(answer.usage, {})}
        told = json.dumps(words, separators=(",", ":"))[1:-1].encode()
        async for event in super()._stream(answer, model, ids, place):
            yield event.replace(_LAST_WORD, told)


async def play(
    tmp_path: Path, turns: Sequence[PricedTurn], more: Mapping[str, str] | None = None
) -> list[UsageEntry]:
    """Take the turns in one session of the real agent behind the bridge.

    Args:
        tmp_path: where the scratch home is made.
        turns: in order.
        more: further variables that the bridge is started with.

    Returns:
        What Claude Code's telemetry told of each turn, in order.
    """
    assert len({turn.usage for turn in turns}) == len(turns)
    home = make_scratch_home(tmp_path / "home", login=True)
    endpoint = _TellingEndpoint(turns)
    async with endpoint, ProxySink() as sink:
        env = scratch_environment(home, sink_url=sink.url) | {"ANTHROPIC_BASE_URL": endpoint.url}
        world = Offline(endpoint, sink, home, env)
        counting = Bridged(world, {"ACP_BRIDGE_SUGGESTIONS": "off", **(more or {})})
        async with Stage(world, counting).agent() as agent:
            session = await agent.open()
            for turn in turns:
                if turn.model is not None:
                    await agent.choose_model(session, turn.model)
                assert await agent.ask(session, "How much is it?") == "end_turn"
        assert world.left_for <= {"api.anthropic.com:443"}
    told = {
        entry.tokens: entry
        for entry in counting.entries()
        if entry.source is Source.TELEMETRY and entry.asked_by is AskedBy.MAIN
    }
    return [told[tokens_of(turn.usage)] for turn in turns]
