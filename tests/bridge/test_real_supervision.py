"""The end of a run with the real agent in the middle of a turn: nothing of it is left."""

import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import psutil
import pytest

from acp_bridge.loopback.asked import RequestKind
from acp_bridge.loopback.scratch import FAKE_API_KEY
from acp_bridge.loopback.script import Step, say, stall, use
from tests.bridge.process import SECONDS, BridgeProcess, all_gone, bridge_process, run_bridge
from tests.support.offline import Offline, offline
from tests.support.real import ADAPTER_ARGV

pytestmark = pytest.mark.agent

FULL = os.environ.get("ACP_TEST_PROFILE") == "full"
IN_A_SESSION_OF_ITS_OWN = (
    "import os, socket; os.setsid(); own = socket.create_connection(('127.0.0.1', {port}));"
    " own.send(b'%d' % os.getpid()); own.recv(1)"
)


@dataclass(frozen=True)
class Turn:
    """A running turn; the prompt by its request id."""

    bridge: BridgeProcess
    world: Offline
    prompt: int


@asynccontextmanager
async def in_a_turn(tmp_path: Path, step: Step, **settings: str) -> AsyncIterator[Turn]:
    """A bridge with the real agent, and a prompt that has reached the model."""
    async with offline(tmp_path, [step], login=True) as world:
        env = {
            **world.env,
            "ACP_BRIDGE_UPSTREAM_URL": world.endpoint.url,
            "ACP_BRIDGE_STATE_DIR": str(tmp_path / "state"),
            "ACP_BRIDGE_CONFIG": os.devnull,
            **{f"ACP_BRIDGE_{name.upper()}": value for name, value in settings.items()},
        }
        async with bridge_process(tmp_path, agent=ADAPTER_ARGV, env=env) as bridge:
            await bridge.initialize()
            session = await bridge.new_session(world.home.project)
            prompt = await bridge.send_prompt(session, "begin")
            await world.endpoint.wait_for(lambda seen: seen.kind is RequestKind.MAIN, 60)
            yield Turn(bridge, world, prompt)


ENDS = (
    ["stdin", signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL]
    if FULL
    else ["stdin", signal.SIGTERM, signal.SIGKILL]
)


@pytest.mark.parametrize("end", ENDS, ids=str)
async def test_the_end_in_the_middle_of_a_turn_leaves_no_process(
    tmp_path: Path, end: str | signal.Signals
) -> None:
    async with in_a_turn(tmp_path, stall(say("never"), after=3)) as turn:
        bridge = turn.bridge
        family = bridge.descendants()
        assert "claude" in {process.name() for process in family}
        if isinstance(end, signal.Signals):
            bridge.signal(end)
        else:
            bridge.close_stdin()
        status = await bridge.exit_status()
        expected = {"stdin": 0, signal.SIGKILL: -signal.SIGKILL}
        assert status == (expected[end] if end in expected else 128 + int(end))
        if end is not signal.SIGKILL:
            error = await bridge.error(turn.prompt)
            assert error["data"]["acp_bridge"]["reason"] == "agent_exited"
        assert await all_gone(family)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL], ids=str)
async def test_a_child_of_the_bash_tool_in_its_own_session_is_ended_too(
    tmp_path: Path, end: signal.Signals
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        script = IN_A_SESSION_OF_ITS_OWN.format(port=listening.getsockname()[1])
        step = use("Bash", command=f'{sys.executable} -c "{script}"', description="Sleep")
        async with in_a_turn(tmp_path, step) as turn:
            bridge = turn.bridge
            await approve(bridge)
            with anyio.fail_after(SECONDS):
                await anyio.wait_readable(listening)
                connection, _ = listening.accept()
                await anyio.wait_readable(connection)
            with connection:
                sleeper = psutil.Process(int(connection.recv(20)))
                family = bridge.descendants()
                assert sleeper in family
                bridge.signal(end)
                await bridge.exit_status()
                assert await all_gone(family)


async def approve(bridge: BridgeProcess) -> None:
    """Wait for a permission request and grant it."""
    asked = await bridge.wait_for(
        lambda message: message.get("method") == "session/request_permission"
    )
    options = {option["kind"]: option["optionId"] for option in asked["params"]["options"]}
    outcome = {"outcome": "selected", "optionId": options["allow_once"]}
    await bridge.send({"jsonrpc": "2.0", "id": asked["id"], "result": {"outcome": outcome}})


async def test_kill_9_leaves_no_secret_after_the_next_start_and_the_run_is_not_alive(
    tmp_path: Path,
) -> None:
    settings = {"mode": "api-key", "api_key": FAKE_API_KEY}
    async with in_a_turn(tmp_path, stall(say("never"), after=3), **settings) as turn:
        bridge = turn.bridge
        family = bridge.descendants()
        bridge.signal(signal.SIGKILL)
        await bridge.exit_status()
        assert await all_gone(family)
        assert "running" not in run_bridge("status", env=bridge.env).stdout
        assert run_bridge("exec", "--", "true", env=bridge.env).returncode == 0
        killed, _ = sorted((tmp_path / "state" / "runs").iterdir())
        assert {path.name for path in killed.iterdir()} == {"alive", "status.json"}


@pytest.mark.parametrize(
    ("killed", "words", "status"),
    [
        ("adapter", "it was ended by SIGKILL", 128 + signal.SIGKILL),
        ("keeper", "it was ended together with the process that watched over it", 1),
    ],
)
async def test_the_death_of_the_real_agent_answers_the_prompt(
    tmp_path: Path, killed: str, words: str, status: int
) -> None:
    async with in_a_turn(tmp_path, stall(say("never"), after=3)) as turn:
        bridge = turn.bridge
        family = bridge.descendants()
        keeper, adapter = (
            next(process for process in family if mark in process.cmdline()[position])
            for mark, position in (("keeper.py", 3), ("index.js", 1))
        )
        {"adapter": adapter, "keeper": keeper}[killed].kill()
        error = await bridge.error(turn.prompt)
        assert error["code"] == -32603
        assert words in error["message"]
        assert await bridge.exit_status() == status
        assert await all_gone(family)
