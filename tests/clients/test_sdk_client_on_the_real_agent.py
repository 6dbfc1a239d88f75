"""The Python SDK's client, unchanged, through the bridge to the real adapter and Claude Code."""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import acp
import anyio
import pytest

from acp_bridge.loopback.asked import Asked, RequestKind
from acp_bridge.loopback.script import Answer, Step, Text, Thinking, say, stall, use
from acp_bridge.modes import BillingMode
from tests.clients.bridged import (
    BRIDGE,
    Json,
    anywhere,
    assert_only_the_mode_paid,
    bridge_environment,
    finished_runs,
)
from tests.clients.sdk_client import Connected, SdkClient, connect
from tests.support.offline import Offline, offline
from tests.support.real import ADAPTER_ARGV

pytestmark = pytest.mark.agent


def files_and_commands(project: Path) -> list[Step]:
    """One turn that thinks aloud, and one that reads a file, writes one and runs a command."""
    return [
        Answer((Thinking("First I look."), Text("I read "), Text("the notes."))),
        use("Read", file_path=f"{project}/notes.txt"),
        use("Write", file_path=f"{project}/copy.txt", content="one\ntwo\n"),
        use("Bash", command="touch made", description="Make a file"),
        say("All is made."),
    ]


@asynccontextmanager
async def bridged(
    world: Offline, mode: BillingMode = BillingMode.SUBSCRIPTION
) -> AsyncIterator[Connected]:
    """A client connected to the real agent through a new bridge, which ends in good order."""
    env = bridge_environment(world, mode)
    log = world.home.path / "stderr"
    cwd = world.home.project
    async with connect(SdkClient(), [BRIDGE], env=env, cwd=cwd, log=log) as connected:
        yield connected
    assert connected.returncode == 0
    assert f"mode {mode.value} ({mode.letter})" in connected.stderr
    assert "Traceback" not in connected.stderr


@pytest.fixture(autouse=True)
def _the_sdk_logs_no_error(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The SDK reports what it cannot read or handle to the log alone."""
    yield
    assert [r.getMessage() for r in caplog.get_records("call") if r.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("mode", BillingMode)
async def test_a_permission_is_asked_for_and_heeded_in_every_mode(
    tmp_path: Path, mode: BillingMode
) -> None:
    script = [
        use("Bash", command="touch allowed", description="Make a file"),
        say("It is made."),
        use("Bash", command="touch rejected", description="Make a file"),
        say("It is not made."),
    ]
    async with offline(tmp_path, script, login=True) as world:
        async with bridged(world, mode) as c:
            card = await c.initialize()
            project = world.home.project
            session = (await c.agent.new_session(str(project))).session_id
            first = await c.prompt(session, "make a file")
            c.client.choice = "reject_once"
            second = await c.prompt(session, "make another file")
            status = await c.agent.ext_method("acp_bridge/status", {})
        runs = await finished_runs(bridge_environment(world, mode))

    assert [first.stop_reason, second.stop_reason] == ["end_turn", "end_turn"]
    assert c.client.said(session) == "It is made.It is not made."
    assert c.client.requests == ["session/request_permission"] * 2
    assert [(project / name).exists() for name in ("allowed", "rejected")] == [True, False]
    assert c.client.errors == []
    assert_presented(card, mode)
    assert status["bridges"][0]["sessions"][0]["session_id"] == session
    assert [run["run_id"] for run in runs] == [status["bridges"][0]["run_id"]]
    assert_only_the_mode_paid(world, mode)


def assert_presented(initialized: acp.InitializeResponse, mode: BillingMode) -> None:
    """The mode stands in the agent's title and in the bridge's card."""
    assert initialized.agent_info is not None
    assert initialized.agent_info.title == f"Claude Agent · {mode.value}"
    assert initialized.field_meta is not None
    card = initialized.field_meta["acp_bridge"]
    assert (card["mode"], card["guarantees"]) == (mode.value, "enforced")


async def test_an_answer_streams_and_a_cancel_stops_it_midway(tmp_path: Path) -> None:
    script = [stall(say("the beginning of a long answer"), after=4), say("Here again.")]
    async with offline(tmp_path, script, login=True) as world:
        async with bridged(world) as c:
            session = await c.open(world.home.project)
            stopped: list[str] = []

            async def ask() -> None:
                stopped.append((await c.prompt(session, "tell me all")).stop_reason)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask)
                await c.client.wait_for_text("the begin")
                assert stopped == []
                await c.agent.cancel(session)
            again = await c.prompt(session, "are you there?")

        assert stopped == ["cancelled"]
        assert again.stop_reason == "end_turn"
        assert c.client.said(session).endswith("Here again.")
        assert c.client.errors == []
        assert_only_the_mode_paid(world, BillingMode.SUBSCRIPTION)


@pytest.mark.parametrize("how", ["load", "resume", "fork"])
async def test_a_session_goes_on_in_a_new_bridge(tmp_path: Path, how: str) -> None:
    asked: list[Asked] = []

    def answer(request: Asked) -> Step:
        asked.append(request)
        return say(f"Answer {sum(one.kind is RequestKind.MAIN for one in asked)}.")

    async with offline(tmp_path, answer, login=True) as world:
        project = str(world.home.project)
        async with bridged(world) as before:
            session = await before.open(world.home.project)
            await before.prompt(session, "Remember the word heron.")
        async with bridged(world) as c:
            await c.initialize()
            match how:
                case "load":
                    await c.agent.load_session(project, session)
                    replayed = c.client.said(session, "user_message_chunk")
                    assert replayed == "Remember the word heron."
                    assert c.client.said(session) == "Answer 1."
                    went_on = session
                case "resume":
                    await c.agent.resume_session(session, project)
                    assert c.client.said() == ""
                    went_on = session
                case _:
                    went_on = (await c.agent.fork_session(session, project)).session_id
                    assert went_on != session
            await c.prompt(went_on, "Which word?")

    last = [one for one in asked if one.kind is RequestKind.MAIN][-1]
    assert last.session_id == went_on
    assert "Remember the word heron." in str(last.body["messages"])
    assert c.client.said(went_on).endswith("Answer 2.")
    assert before.client.errors + c.client.errors == []
    assert_only_the_mode_paid(world, BillingMode.SUBSCRIPTION)


async def test_the_client_observes_the_same_turns_with_and_without_the_bridge(
    tmp_path: Path,
) -> None:
    """The adapter reads, writes and runs by itself, whatever files and terminals are offered."""
    folder = tmp_path / "direct"
    async with offline(folder, files_and_commands(project_in(folder)), login=True) as world:
        argv, cwd, log = ADAPTER_ARGV, world.home.project, world.home.path / "stderr"
        async with connect(SdkClient(), argv, env=world.env, cwd=cwd, log=log) as connected:
            direct = await work(connected, cwd)
        assert connected.returncode == 0
    folder = tmp_path / "bridged"
    async with offline(folder, files_and_commands(project_in(folder)), login=True) as world:
        async with bridged(world) as connected:
            through = await work(connected, world.home.project)
        assert_only_the_mode_paid(world, BillingMode.SUBSCRIPTION)

    assert through == direct
    assert set(direct["asked of the client"]) == {"session/request_permission"}
    assert direct["errors"] == []


def project_in(folder: Path) -> Path:
    """The project of the `offline` world under that folder."""
    return folder / "home" / "project"


async def work(connected: Connected, project: Path) -> Json:
    """Hold the two turns of `files_and_commands`; returns what an editor would show of them."""
    (project / "notes.txt").write_text("one\ntwo\n")
    session = await connected.open(project)
    results = [await connected.prompt(session, f"turn {number}") for number in (1, 2)]
    assert (project / "copy.txt").read_text() == "one\ntwo\n"
    assert (project / "made").exists()
    client = connected.client
    tools: dict[str, list[str]] = {}
    for update in client.updates("tool_call") + client.updates("tool_call_update"):
        shown = [update[key] for key in ("kind", "title", "status") if key in update]
        tools.setdefault(update["toolCallId"], []).extend(shown)
    seen = {
        "said": client.said(session),
        "thought": client.said(session, "agent_thought_chunk"),
        "tools": list(tools.values()),
        "asked of the client": client.requests,
        "ends": [result.stop_reason for result in results],
        "errors": client.errors,
    }
    seen_anywhere: Json = anywhere(seen, project)
    return seen_anywhere
