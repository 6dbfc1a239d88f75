"""The real agent, answered in the codings it asks for: the ledger is what the endpoint told."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from acp_bridge.loopback.asked import RequestKind
from acp_bridge.loopback.message import Request, Response
from acp_bridge.loopback.script import Script, Step, say, use
from acp_bridge.loopback.seen import Outcome, SeenRequest
from acp_bridge.metering.usage import Source
from tests.metering.bridged import Bridged
from tests.metering.numbered import NumberedEndpoint
from tests.metering.stage import Stage, numbered_world
from tests.metering.test_guarded_scenarios import GUARD, lines, told
from tests.support.packing import PACKERS, header, packed

pytestmark = pytest.mark.agent

SCRIPT = (use("Bash", command="echo 1", description="Say one"), say("Done."))


class PackingEndpoint(NumberedEndpoint):
    """Packs its answers for a client that takes the coding, and flushes after each event."""

    def __init__(
        self, script: Script, *, coding: str, suggestion: Step | None, known: Mapping[str, str]
    ) -> None:
        super().__init__(script, suggestion=suggestion, known=known)
        self._coding = coding

    def _answer_model_request(self, seen: SeenRequest, request: Request) -> Response:
        response = super()._answer_model_request(seen, request)
        assert self._coding in (request.header("accept-encoding") or "").split(", ")
        if isinstance(response.body, bytes):
            body: bytes | AsyncGenerator[bytes, None] = packed(self._coding, response.body)
        else:
            body = self._packed(response.body)
        return replace(response, headers=(*response.headers, header(self._coding)), body=body)

    async def _packed(self, body: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        packer = PACKERS[self._coding]()
        async with aclosing(body) as events:
            async for event in events:
                yield packer.add(event) + packer.flush()
        if rest := packer.finish():
            yield rest


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip"])
async def test_what_claude_code_reads_is_counted(coding: str, tmp_path: Path) -> None:
    make = partial(PackingEndpoint, coding=coding)
    async with numbered_world(tmp_path, SCRIPT, make=make) as world:
        counting = Bridged(world, GUARD)
        stage = Stage(world, counting)
        async with stage.agent() as agent:
            session = await agent.open()
            assert await agent.ask(session, "Use a tool.") == "end_turn"
            await agent.until(RequestKind.SUGGESTION, Outcome.COMPLETE)

    assert len(world.main_requests) == len(SCRIPT)
    entries = counting.entries()
    assert {entry.source for entry in entries} == {Source.WIRE}
    assert lines(entries) == lines(told(world.endpoint.seen, set()))
    assert len(entries) > len(SCRIPT)
