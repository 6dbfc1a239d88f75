"""The real adapter under the keeper."""

import contextlib
import json
import sys
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import psutil
import pytest

from acp_bridge.agent.process import Agent, AgentExit, start_agent
from tests.agent.conftest import Run
from tests.agent.death import SECONDS
from tests.support.offline import offline
from tests.support.real import ADAPTER_ARGV

pytestmark = [pytest.mark.agent, pytest.mark.usefixtures("no_leaks")]


async def ask(agent: Agent, number: int, method: str, params: object) -> dict[str, object]:
    """Send a request and return its response, passing over everything else."""
    request = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
    await agent.stdin.send(json.dumps(request).encode() + b"\n")
    received = b""
    with anyio.fail_after(60):
        while True:
            received += await agent.stdout.receive()
            *lines, received = received.split(b"\n")
            for line in lines:
                message: dict[str, object] = json.loads(line)
                if message.get("id") == number and "method" not in message:
                    return message


def below(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def programs(processes: list[psutil.Process]) -> set[str]:
    """Return the names of the programs that run; a process may end while this looks at it."""
    names = set()
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            names.add(Path(process.exe()).name)
    return names


def test_initialize_is_answered_and_stop_ends_adapter_and_claude(run: Run, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()

    async def main() -> None:
        async with (
            offline(tmp_path, login=True) as world,
            start_agent(ADAPTER_ARGV, env=world.env, cwd=project) as agent,
        ):
            assert "result" in await ask(agent, 0, "initialize", {"protocolVersion": 1})
            session = {"cwd": str(project), "mcpServers": []}
            assert "result" in await ask(agent, 1, "session/new", session)
            processes = below(agent._link._process.pid)
            assert {"node", "claude"} <= programs(processes)
            assert await agent.stop() == AgentExit(returncode=0)
            assert psutil.wait_procs(processes, timeout=0)[1] == []

    run(main)


BRIDGE = """
import os, sys, anyio
from pathlib import Path
from acp_bridge.agent.process import start_agent
from tests.agent.test_real_agent import ask
async def main():
    async with start_agent(sys.argv[2:], env=dict(os.environ)) as agent:
        await ask(agent, 0, "initialize", {"protocolVersion": 1})
        await ask(agent, 1, "session/new", {"cwd": sys.argv[1], "mcpServers": []})
        print("ready", flush=True)
        await anyio.sleep_forever()
anyio.run(main)
"""


def test_kill_9_of_the_bridge_ends_adapter_and_claude(run: Run, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()

    async def main() -> None:
        async with offline(tmp_path, login=True) as world:
            root = Path(__file__).parents[2]
            bridge = await anyio.open_process(
                [sys.executable, "-c", BRIDGE, str(project), *ADAPTER_ARGV],
                env={**world.env, "PYTHONPATH": str(root)},
                stderr=None,
            )
            async with bridge:
                assert bridge.stdout is not None
                assert await bridge.stdout.receive() == b"ready\n"
                processes = below(bridge.pid)
                assert {"node", "claude"} <= programs(processes)
                bridge.kill()
                gone = partial(psutil.wait_procs, processes, timeout=SECONDS)
                assert (await anyio.to_thread.run_sync(gone))[1] == []

    run(main)
