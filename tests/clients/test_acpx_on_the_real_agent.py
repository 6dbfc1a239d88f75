"""acpx, unchanged, through the bridge to the real ACP adapter and Claude Code."""

import json
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from acp_bridge.loopback.asked import Asked, RequestKind
from acp_bridge.loopback.script import Step, say, stall, use
from acp_bridge.loopback.seen import Outcome
from acp_bridge.modes import BillingMode
from tests.clients.acpx import Acpx, Json, Talk, end_process
from tests.clients.bridged import (
    BRIDGE,
    assert_only_the_mode_paid,
    bridge_environment,
    finished_runs,
)
from tests.support.offline import Offline, offline
from tests.support.real import ADAPTER_ARGV

pytestmark = pytest.mark.agent

PERMISSION_DENIED = 5
"""acpx's exit status after a turn in which a permission was denied."""


@pytest.mark.parametrize(
    ("mode", "policy", "made", "status"),
    [
        (BillingMode.SUBSCRIPTION, "--approve-all", True, 0),
        (BillingMode.API_KEY, "--deny-all", False, PERMISSION_DENIED),
    ],
)
async def test_one_prompt_runs_and_its_permission_is_heeded(
    tmp_path: Path, mode: BillingMode, policy: str, *, made: bool, status: int
) -> None:
    script = [use("Bash", command="touch made", description="Make a file"), say("That was all.")]
    async with offline(tmp_path, script, login=True) as world:
        env = bridge_environment(world, mode)
        acpx = Acpx(world, env, ("--agent", BRIDGE))
        talk = await acpx.talk("exec", "make a file", options=(policy,))
        (run,) = await finished_runs(env)

    assert (world.home.project / "made").exists() is made
    assert len(talk.asked("session/request_permission")) == 1
    assert (talk.status, talk.errors) == (status, [])
    assert (talk.text, talk.stop_reason) == ("That was all.", "end_turn")
    assert_presented(talk, mode)
    assert run["sessions"][0]["session_id"] == talk.asked("session/prompt")[0]["sessionId"]
    assert_only_the_mode_paid(world, mode)


def assert_presented(talk: Talk, mode: BillingMode) -> None:
    """The mode stands in the agent's title and in the bridge's card."""
    initialized = talk.results[0]
    assert initialized["agentInfo"]["title"] == f"Claude Agent · {mode.value}"
    assert initialized["_meta"]["acp_bridge"]["mode"] == mode.value
    assert initialized["_meta"]["acp_bridge"]["guarantees"] == "enforced"


@pytest.mark.full
async def test_a_session_outlives_its_bridge_and_a_running_prompt_can_be_cancelled(
    tmp_path: Path,
) -> None:
    """As ``acpx claude``: with the adapter named in its command, acpx sends it session options."""
    asked: list[Asked] = []
    answers: list[Step] = [
        say("Noted."),
        say("It was heron."),
        stall(say("A long answer."), after=4),
    ]

    def answer(request: Asked) -> Step:
        if request.kind is not RequestKind.MAIN:
            return say("Birds")
        asked.append(request)
        return answers[len(asked) - 1]

    mode = BillingMode.ENDPOINT
    async with offline(tmp_path, answer, login=True) as world:
        configure(world, {"claude": {"argv": [BRIDGE, "--", *ADAPTER_ARGV]}})
        env = bridge_environment(world, mode)
        acpx = Acpx(world, env, ("claude",))
        system = ("--append-system-prompt", "Speak of birds alone.")
        await acpx.said("sessions", "new", "--name", "birds", options=system)
        assert await acpx.said("-s", "birds", "Remember the word heron.") == "Noted."

        before = await snapshot(acpx)
        await anyio.to_thread.run_sync(partial(end_process, before["pid"]))
        assert await acpx.said("-s", "birds", "Which word?") == "It was heron."
        after = await snapshot(acpx)

        cancelled = await cancel_midway(acpx, world)
        await acpx.said("sessions", "close", "birds")
        runs = await finished_runs(env)

    assert after["acpxSessionId"] == before["acpxSessionId"] == asked[1].session_id
    assert after["pid"] != before["pid"]
    assert "Remember the word heron." in str(asked[1].body["messages"])
    assert all("Speak of birds alone." in str(one.body["system"]) for one in asked)
    assert (cancelled.stop_reason, cancelled.text) == ("cancelled", "A lon")
    assert cancelled.errors == []
    assert len({run["run_id"] for run in runs}) == 3
    assert_only_the_mode_paid(world, mode)


def configure(world: Offline, agents: Json) -> None:
    """Write the user's acpx configuration."""
    folder = world.home.path / ".acpx"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"agents": agents}))


async def snapshot(acpx: Acpx) -> Json:
    """What acpx says of the session."""
    done = await acpx("status", "-s", "birds", options=("--format", "json"))
    document: Json = json.loads(done.stdout)
    return document


async def cancel_midway(acpx: Acpx, world: Offline) -> Talk:
    """Prompt for the answer that stalls, cancel from another acpx, return the prompt's run."""
    talks: list[Talk] = []

    async def ask() -> None:
        talks.append(await acpx.talk("-s", "birds", "Tell me all."))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await world.endpoint.wait_for(lambda seen: seen.prompt == "Tell me all.", 60)
        assert talks == []
        await acpx.said("cancel", "-s", "birds")
        await world.endpoint.wait_for(lambda seen: seen.outcome is Outcome.CLIENT_LEFT, 60)
    return talks[0]


async def test_what_clients_writes_for_acpx_is_what_acpx_starts(tmp_path: Path) -> None:
    async with offline(tmp_path, [say("As configured.")], login=True) as world:
        env = {**bridge_environment(world, BillingMode.SUBSCRIPTION), "HOME": str(world.home.path)}
        argv = [BRIDGE, "clients", "acpx", "--mode", "subscription", "--write"]
        written = await anyio.run_process(argv, env=env, cwd=world.home.project)
        assert b'"argv": [' in written.stdout
        acpx = Acpx(world, env, ("claude-subscription",))
        talk = await acpx.talk("exec", "hello")
        await finished_runs(env)

    assert (talk.status, talk.text) == (0, "As configured.")
    assert_presented(talk, BillingMode.SUBSCRIPTION)
    assert_only_the_mode_paid(world, BillingMode.SUBSCRIPTION)
