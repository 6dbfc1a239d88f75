"""The worked examples against the real adapter and the real Claude Code, on loopback."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest

from acp_bridge.loopback.scratch import FAKE_API_KEY
from acp_bridge.testing import OfflineWorld, Usage, running_embedded_endpoint, say
from tests.support.acp import acp_client
from tests.support.real import NODE

EXAMPLES = Path(__file__).parents[2] / "scripts" / "examples"
GUI = (sys.executable, str(EXAMPLES / "embedded_in_a_gui.py"))
WRAPPER = (str(NODE), str(EXAMPLES / "wrapper.mjs"))
LAUNCHER = (str(EXAMPLES / "launcher.sh"),)
SECONDS = 90.0
PROFILE = {"api.anthropic.com:443"}
"""Claude Code asks for the login's profile at each start; the sink refuses it."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[OfflineWorld]:
    answer = say("Nobody was billed.", usage=Usage(input_tokens=321, output_tokens=12))
    with running_embedded_endpoint(lambda _asked: answer, folder=tmp_path) as world:
        yield world


def environment(world: OfflineWorld, mode: str, **more: str) -> dict[str, str]:
    """The mode's settings, and a key that would pay if the bridge were not there."""
    path = os.pathsep.join([str(Path(sys.prefix) / "bin"), os.defpath])
    stray = {} if mode == "api-key" else {"ANTHROPIC_API_KEY": FAKE_API_KEY}
    return {**world.environment(mode), **stray, "PATH": path, **more}


async def run(
    argv: tuple[str, ...], *arguments: str, env: Mapping[str, str], cwd: Path
) -> subprocess.CompletedProcess[str]:
    with anyio.fail_after(SECONDS):
        done = await anyio.run_process([*argv, *arguments], env=dict(env), cwd=cwd, check=False)
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


async def recorded(env: Mapping[str, str]) -> dict[str, Any]:
    """The one run that ``acp-bridge status --json`` knows."""
    with anyio.fail_after(SECONDS):
        done = await anyio.run_process(["acp-bridge", "status", "--json"], env=dict(env))
    (bridge,) = json.loads(done.stdout)["bridges"]
    assert bridge["alive"] is False
    return dict(bridge)


def paid(world: OfflineWorld) -> set[str]:
    return {str(seen.credential.credential_class) for seen in world.endpoint.seen}


@pytest.mark.agent
async def test_the_bridge_embedded_in_a_gui(world: OfflineWorld) -> None:
    env = environment(world, "subscription")
    done = await run(GUI, "Who", "pays?", env=env, cwd=world.home.project)

    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "title     Claude Agent · subscription"
    said = [line.removeprefix("agent     ") for line in lines if line.startswith("agent")]
    assert "".join(said) == "Nobody was billed."
    assert "turn      end_turn" in lines
    assert "mode      subscription (B)" in lines
    assert "evidence  declared: subscription_oauth, agrees" in lines
    assert "evidence  self_reported: account, agrees" in lines
    assert {seen.prompt for seen in world.endpoint.seen if seen.kind == "main"} == {"Who pays?"}
    assert paid(world) == {"subscription_oauth"}
    assert world.left_for <= PROFILE
    assert (await recorded(env))["ended_at"] is not None


async def test_the_gui_shows_why_the_bridge_could_not_start(world: OfflineWorld) -> None:
    env = environment(world, "api-key")
    del env["ACP_BRIDGE_API_KEY"]
    done = await run(GUI, env=env, cwd=world.home.project)

    assert done.returncode == 1
    assert done.stdout.startswith("error     ")
    assert "API_KEY" in done.stdout
    assert "Traceback" not in done.stderr
    assert world.endpoint.seen == []


@pytest.mark.agent
async def test_a_wrapper_in_node_shows_what_status_says(world: OfflineWorld) -> None:
    env = environment(world, "api-key", ACP_BRIDGE_LOG_LEVEL="info")
    done = await run(WRAPPER, "Who pays?", env=env, cwd=world.home.project)

    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:2] == ["agent     Claude Agent · api-key", "Nobody was billed."]
    assert "turn      end_turn" in lines
    assert "mode      api-key (A), guarantees enforced" in lines
    run_of_it = await recorded(env)
    shown = [line for line in lines if line.startswith("evidence")]
    assert shown == [
        f"evidence  {item['kind']}: {item['value']} from {item['source']}, {item['verdict']}"
        for item in run_of_it["evidence"]
    ]
    assert "evidence  declared: api_key from launch plan, agrees" in shown
    (session,) = run_of_it["sessions"]
    usage = json.dumps(session["usage"], separators=(",", ":"))
    assert f"usage     {session['session_id']}: {usage}" in lines
    assert 0 < session["usage"]["requests"] <= len(world.endpoint.seen)
    assert "agent_ended" in done.stderr
    assert FAKE_API_KEY not in done.stdout + done.stderr
    assert paid(world) == {"api_key"}
    assert world.left_for <= PROFILE


async def test_the_wrapper_says_that_the_command_is_missing(world: OfflineWorld) -> None:
    env = {**environment(world, "api-key"), "PATH": str(world.home.temporary)}
    done = await run(WRAPPER, env=env, cwd=world.home.project)

    assert done.returncode == 127
    assert "error: acp-bridge could not be started" in done.stderr


@pytest.mark.agent
async def test_a_launcher_that_is_configured_by_the_environment_alone(world: OfflineWorld) -> None:
    elsewhere = world.home.path / "config.toml"
    elsewhere.write_text('mode = "subscription"\n')
    env = environment(world, "endpoint", ACP_BRIDGE_CONFIG=str(elsewhere))
    async with acp_client(LAUNCHER, env=env, cwd=world.home.project) as client:
        agent = await client.initialize()
        assert agent["agentInfo"]["title"] == "Claude Agent · endpoint"
        assert agent["_meta"]["acp_bridge"]["credential_class"] == "endpoint_credential"
        session = await client.new_session(world.home.project)
        turn = await client.prompt(session, "Who pays?")
        assert (turn.text, turn.stop_reason) == ("Nobody was billed.", "end_turn")
        assert client.stderr.startswith("launcher: mode endpoint\n")
    assert client.process.returncode == 0
    assert paid(world) == {"endpoint_credential"}
    assert world.left_for == set()


async def test_the_launcher_does_not_guess_who_pays(world: OfflineWorld) -> None:
    env = environment(world, "subscription")
    del env["ACP_BRIDGE_MODE"]
    done = await run(LAUNCHER, env=env, cwd=world.home.project)

    assert (done.returncode, done.stdout) == (2, "")
    assert "error: ACP_BRIDGE_MODE is not set\n" in done.stderr


async def test_the_launcher_says_that_the_command_is_missing(world: OfflineWorld) -> None:
    shell = shutil.which("sh", path=os.defpath)
    assert shell is not None
    env = {**environment(world, "subscription"), "PATH": str(world.home.temporary)}
    done = await run((shell, *LAUNCHER), env=env, cwd=world.home.project)

    assert (done.returncode, done.stdout) == (4, "")
    assert "hint: install it" in done.stderr
