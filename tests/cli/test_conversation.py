"""The client of ``ask`` and ``demo`` against a bridge that has gone."""

import anyio
import pytest

from acp_bridge.cli.conversation import AgentEndedError, Conversation

SECONDS = 20.0


class EndedStream:
    """What a bridge leaves behind when its agent has ended."""

    async def receive(self) -> bytes:
        raise anyio.EndOfStream

    async def send(self, item: bytes, /) -> None:
        del item
        raise anyio.BrokenResourceError


async def test_a_request_after_the_end_fails_at_once() -> None:
    conversation = Conversation(EndedStream(), on_text=print)
    with anyio.fail_after(SECONDS):
        await conversation.listen()
        for _ in range(2):
            with pytest.raises(AgentEndedError, match="the agent ended"):
                await conversation.request("session/new", {})
