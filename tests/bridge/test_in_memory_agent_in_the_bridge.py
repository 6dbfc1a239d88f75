"""The whole bridge without a process: client and agent in memory, and nothing guaranteed."""

import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest
from anyio.abc import ObjectStream

from acp_bridge.bridge import Bridge
from acp_bridge.errors import ConfigurationError
from acp_bridge.inspect.status import status_document
from acp_bridge.settings import load_settings
from acp_bridge.testing import Chunk, Crash, Notify, ScriptedAgent
from tests.bridge.process import SECONDS, Json

Run = Callable[[Callable[[], Awaitable[Any]]], Any]
CLAUDE_ADAPTER = "@agentclientprotocol/claude-agent-acp"


@pytest.fixture(params=["asyncio", "trio"])
def run(request: pytest.FixtureRequest) -> Run:
    async def bounded(scenario: Callable[[], Awaitable[Any]]) -> Any:
        with anyio.fail_after(SECONDS):
            return await scenario()

    return lambda scenario: anyio.run(bounded, scenario, backend=request.param)


def environment(tmp_path: Path, **settings: str) -> dict[str, str]:
    return {
        "HOME": str(tmp_path),
        "ACP_BRIDGE_CONFIG": os.devnull,
        "ACP_BRIDGE_STATE_DIR": str(tmp_path / "state"),
        **{f"ACP_BRIDGE_{name.upper()}": value for name, value in settings.items()},
    }


def make_bridge(tmp_path: Path, agent: Any, **settings: str) -> Bridge:
    environ = environment(tmp_path, **settings)
    return Bridge(load_settings(environ=environ), agent=agent, environ=environ, cwd=tmp_path)


async def ask(bridge: Bridge, method: str, **params: Any) -> Json:
    """Send a request and return its response; what comes before it is passed over."""
    message = {"jsonrpc": "2.0", "id": method, "method": method, "params": params}
    await bridge.stream.send(json.dumps(message).encode() + b"\n")
    data = b""
    while True:
        data += await bridge.stream.receive()
        for line in data.splitlines():
            answer: Json = json.loads(line)
            if answer.get("id") == method:
                return answer


@pytest.mark.parametrize("kind", [{}, {"agent_kind": "claude"}], ids=["recognised", "set"])
def test_every_surface_says_that_nothing_is_guaranteed_whatever_the_agent_is_called(
    tmp_path: Path, run: Run, kind: dict[str, str]
) -> None:
    agent = ScriptedAgent(name=CLAUDE_ADAPTER)

    async def scenario() -> None:
        async with make_bridge(tmp_path, agent, **kind) as bridge:
            card = (await ask(bridge, "initialize", protocolVersion=1))["result"]
            assert card["_meta"]["acp_bridge"]["guarantees"] == "none"
            assert card["agentInfo"]["title"] == "Scripted"
            status = (await ask(bridge, "_acp_bridge/status"))["result"]["bridges"]
            assert status == [bridge.status]
        (recorded,) = status_document(tmp_path / "state")["bridges"]
        assert {bridge.status["guarantees"], recorded["guarantees"]} == {"none"}

    run(scenario)


def test_a_turn_without_a_process_and_without_a_launch_gate(tmp_path: Path, run: Run) -> None:
    agent = ScriptedAgent([Chunk("Hello.")], at_start=[Notify("_auth/status_update")])

    async def scenario() -> None:
        async with make_bridge(tmp_path, agent) as bridge:
            await ask(bridge, "initialize", protocolVersion=1)
            session = (await ask(bridge, "session/new", cwd="/", mcpServers=[]))["result"]
            turn = await ask(bridge, "session/prompt", prompt=[], **session)
            assert turn["result"] == {"stopReason": "end_turn"}
            assert psutil.Process().children() == []
            assert bridge.preparation.launcher is None
        assert (await bridge.wait()).returncode == 0

    run(scenario)


def test_a_crash_is_answered_and_told(tmp_path: Path, run: Run) -> None:
    async def scenario() -> None:
        async with make_bridge(tmp_path, ScriptedAgent([Crash(5)])) as bridge:
            answer = await ask(bridge, "session/prompt", sessionId="s", prompt=[])
            assert answer["error"]["data"]["acp_bridge"]["reason"] == "agent_exited"
            assert (await bridge.wait()).returncode == 5

    run(scenario)


def test_a_defect_of_the_embedders_agent_is_answered_and_leaves_the_block(
    tmp_path: Path, run: Run
) -> None:
    async def broken(client: ObjectStream[bytes]) -> None:
        await client.receive()
        raise KeyError("mine")

    async def scenario() -> None:
        async with make_bridge(tmp_path, broken) as bridge:
            answer = await ask(bridge, "session/prompt", sessionId="s", prompt=[])
            assert "exited with status 1" in answer["error"]["message"]

    with pytest.raises(ExceptionGroup) as raised:
        run(scenario)
    assert raised.group_contains(KeyError, match="mine")


def test_the_mode_still_wants_its_credential(tmp_path: Path, run: Run) -> None:
    async def scenario() -> None:
        with pytest.raises(ConfigurationError, match="key"):
            async with make_bridge(tmp_path, ScriptedAgent(), mode="api-key"):
                raise AssertionError

    run(scenario)
