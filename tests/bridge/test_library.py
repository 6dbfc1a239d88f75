"""The bridge as a library: an async context manager with an ACP byte stream."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest

from acp_bridge.bridge import Bridge
from acp_bridge.errors import AgentError, ConfigurationError, RefusedError
from acp_bridge.modes import BillingMode
from acp_bridge.settings import load_settings
from tests.bridge.process import SECONDS, Json, all_gone, bridge_environment, stand_in

Run = Callable[[Callable[[], Awaitable[Any]]], Any]
AGENT = stand_in("--name", "claude-agent-acp", "status:account")


@pytest.fixture(params=["asyncio", "trio"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a scenario on each of the two event loops, in bounded time."""

    async def bounded(scenario: Callable[[], Awaitable[Any]]) -> Any:
        with anyio.fail_after(SECONDS):
            return await scenario()

    return lambda scenario: anyio.run(bounded, scenario, backend=request.param)


def make_bridge(tmp_path: Path, agent: tuple[str, ...] = AGENT, **settings: str) -> Bridge:
    given = {"agent_kind": "claude", "claude": "/bin/true", **settings}
    env = bridge_environment(tmp_path, **given)
    return Bridge(load_settings(environ=env), agent=agent, environ=env, cwd=tmp_path)


class Talk:
    """A client on the bridge's stream."""

    def __init__(self, bridge: Bridge) -> None:
        self._stream = bridge.stream
        self._data = b""

    async def send(self, number: int, method: str, params: Json) -> None:
        message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        await self._stream.send(json.dumps(message).encode() + b"\n")

    async def receive(self) -> Json:
        while b"\n" not in self._data:
            self._data += await self._stream.receive()
        line, _, self._data = self._data.partition(b"\n")
        message: Json = json.loads(line)
        return message

    async def response(self, number: int) -> Json:
        while (message := await self.receive()).get("id") != number:
            pass
        return message

    async def start(self, text: str) -> None:
        """Initialize, open a session, and send a prompt with id 2."""
        await self.send(0, "initialize", {"protocolVersion": 1})
        await self.response(0)
        await self.send(1, "session/new", {"cwd": "/", "mcpServers": []})
        await self.response(1)
        block = {"type": "text", "text": text}
        await self.send(2, "session/prompt", {"sessionId": "session-1", "prompt": [block]})


def test_a_turn_over_the_bridges_own_stream(tmp_path: Path, run: Run) -> None:
    async def scenario() -> None:
        async with make_bridge(tmp_path) as bridge:
            talk = Talk(bridge)
            await talk.start("text:hello")
            assert (await talk.response(2))["result"] == {"stopReason": "end_turn"}
            assert bridge.mode is BillingMode.SUBSCRIPTION
            assert [item["value"] for item in bridge.evidence] == ["subscription_oauth", "account"]
            assert bridge.status["run_id"] == bridge.run_id
            await talk.send(3, "_acp_bridge/status", {})
            assert (await talk.response(3))["result"]["bridges"] == [bridge.status]
        assert bridge.status["alive"] is False

    run(scenario)


def test_the_mode_cannot_be_set(tmp_path: Path) -> None:
    bridge = make_bridge(tmp_path)
    with pytest.raises(AttributeError):
        bridge.mode = BillingMode.API_KEY  # type: ignore[misc]
    with pytest.raises(ValueError, match="frozen"):
        bridge._settings.mode = BillingMode.API_KEY  # type: ignore[misc]
    assert bridge.mode is BillingMode.SUBSCRIPTION


def test_a_missing_agent_is_an_agent_error_and_no_group(tmp_path: Path, run: Run) -> None:
    async def scenario() -> None:
        with pytest.raises(AgentError, match="/nonexistent"):
            async with make_bridge(tmp_path, ("/nonexistent",)):
                raise AssertionError

    run(scenario)


def test_an_agent_that_cannot_be_started_is_an_agent_error_and_leaves_no_secret(
    tmp_path: Path, run: Run
) -> None:
    broken = tmp_path / "agent"
    broken.write_text("#!/nonexistent/interpreter\n")
    broken.chmod(0o755)
    key = "sk-ant-api03-FAKE-never-started"

    async def scenario() -> None:
        with pytest.raises(AgentError, match="interpreter"):
            async with make_bridge(tmp_path, (str(broken),), mode="api-key", api_key=key):
                raise AssertionError

    run(scenario)
    files = [path for path in (tmp_path / "state").rglob("*") if path.is_file()]
    assert files
    assert not any(key.encode() in path.read_bytes() for path in files)


def test_a_missing_key_is_a_configuration_error_and_no_group(tmp_path: Path, run: Run) -> None:
    async def scenario() -> None:
        with pytest.raises(ConfigurationError, match="key"):
            async with make_bridge(tmp_path, mode="api-key"):
                raise AssertionError

    run(scenario)


def test_managed_settings_that_contradict_are_a_refused_error_and_no_group(
    tmp_path: Path, run: Run
) -> None:
    bridge = make_bridge(tmp_path)
    cached = tmp_path / "home" / ".claude" / "remote-settings.json"
    cached.parent.mkdir()
    cached.write_text(json.dumps({"apiKeyHelper": "/bin/echo key"}))

    async def scenario() -> None:
        with pytest.raises(RefusedError, match="apiKeyHelper"):
            async with bridge:
                raise AssertionError

    run(scenario)


def test_an_error_of_the_callers_own_leaves_the_block_as_it_is(tmp_path: Path, run: Run) -> None:
    async def scenario() -> None:
        with pytest.raises(KeyError, match="mine"):
            async with make_bridge(tmp_path):
                raise KeyError("mine")

    run(scenario)


@pytest.mark.parametrize("how", ["leave", "error", "cancel"])
def test_leaving_the_block_in_the_middle_of_a_turn_ends_everything(
    tmp_path: Path, run: Run, how: str
) -> None:
    family: list[psutil.Process] = []

    async def scenario() -> None:
        with anyio.CancelScope() as scope:
            async with make_bridge(tmp_path) as bridge:
                talk = Talk(bridge)
                await talk.start("text:begun wait")
                await talk.receive()
                family.extend(psutil.Process().children(recursive=True))
                if how == "error":
                    raise KeyError
                if how == "cancel":
                    scope.cancel()
                    await anyio.sleep_forever()
        assert bridge.status["ended_at"] is not None
        status = tmp_path / "state" / "runs" / bridge.run_id / "status.json"
        assert json.loads(status.read_text())["ended_at"] is not None
        assert await all_gone(family, within=0)

    if how == "error":
        with pytest.raises(KeyError):
            run(scenario)
    else:
        run(scenario)
    assert family


def test_leaving_the_block_lets_an_agent_that_is_still_talking_end_by_itself(
    tmp_path: Path, run: Run
) -> None:
    async def scenario() -> None:
        async with make_bridge(tmp_path) as bridge:
            talk = Talk(bridge)
            await talk.start("chunks:20000")
            await talk.receive()
        ended = await bridge.wait()
        assert (ended.returncode, ended.signal) == (0, None)

    run(scenario)


def test_a_client_on_the_stream_learns_that_the_agent_has_ended(tmp_path: Path, run: Run) -> None:
    async def scenario() -> None:
        async with make_bridge(tmp_path) as bridge:
            talk = Talk(bridge)
            await talk.start("exit:5")
            error = (await talk.response(2))["error"]
            assert error["data"]["acp_bridge"]["reason"] == "agent_exited"
            assert (await bridge.wait()).returncode == 5
            with pytest.raises(anyio.EndOfStream):
                await talk.receive()
            with pytest.raises(anyio.BrokenResourceError):
                await talk.send(3, "session/list", {})

    run(scenario)
