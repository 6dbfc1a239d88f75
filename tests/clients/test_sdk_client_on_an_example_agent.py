"""The Python SDK on both sides: the same conversation, with the bridge between and without it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import acp
import anyio
import pytest

from tests.clients.bridged import (
    BRIDGE,
    EXAMPLE_ARGV,
    Json,
    anywhere,
    finished_runs,
    outer_environment,
    take_card,
)
from tests.clients.example_agent import RECEIVED
from tests.clients.sdk_client import Connected, SdkClient, connect
from tests.support.offline import Offline, offline


@dataclass(frozen=True, slots=True)
class Observed:
    """One conversation from both ends, its project written as ``<folder>``.

    Attributes:
        client_got: every message that came to the client, in order, the bridge's card taken out.
        agent_got: every message that came to the agent, in order.
        card: what the bridge said of itself on ``initialize``.
        status: the exit status.
    """

    client_got: list[Json]
    agent_got: list[Json]
    card: Any
    status: int | None


async def converse(connected: Connected, project: Path) -> None:
    """Call on all that the example agent can do, and on all that the client offers."""
    session = await connected.open(project)
    await connected.prompt(session, "hello, grüß Gott, こんにちは 🌍\u2028next")
    await connected.prompt(session, "ask")
    connected.client.choice = "reject_once"
    await connected.prompt(session, "ask")
    await connected.prompt(session, f"copy {project}/notes.txt {project}/copy.txt")
    await connected.prompt(session, "run printf out%sput .")
    await connected.prompt(session, "run false")
    await connected.prompt(session, "kill cat")
    await connected.prompt(session, "call back")
    with pytest.raises(acp.RequestError, match="as told") as told:
        await connected.prompt(session, "fail as told")
    assert (told.value.code, told.value.data) == (-32050, {"example": True})
    assert await connected.agent.ext_method("example/echo", {"n": 1}) == {"params": {"n": 1}}
    await connected.prompt(session, "x" * 300_000)
    await cancel(connected, session)
    await connected.agent.load_session(str(project), session)
    await connected.agent.resume_session(session, str(project))
    fork = await connected.agent.fork_session(session, str(project))
    await connected.prompt(fork.session_id, "apart")
    await connected.prompt(session, "and on")


async def cancel(connected: Connected, session: str) -> None:
    """Cancel a prompt that has begun to answer."""
    stopped: list[str] = []

    async def wait() -> None:
        stopped.append((await connected.prompt(session, "wait")).stop_reason)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await connected.client.wait_for_text("waiting")
        assert stopped == []
        await connected.agent.cancel(session)
    assert stopped == ["cancelled"]


async def observe(argv: Sequence[str], world: Offline, folder: Path) -> Observed:
    """Hold the conversation with the agent that `argv` starts."""
    project, log = folder / "project", folder / "stderr"
    project.mkdir(parents=True)
    (project / "notes.txt").write_text("one\ntwo\n")
    client = SdkClient()
    async with connect(
        client, argv, env=outer_environment(world), cwd=project, log=log
    ) as connected:
        await converse(connected, project)
    assert "Traceback" not in connected.stderr
    assert (project / "copy.txt").read_text() == "one\ntwo\n"
    messages = client.wire.all()
    card = take_card(messages)
    received = [json.loads(line) for line in (project / RECEIVED).read_text().splitlines()]
    return Observed(
        anywhere(messages, project), anywhere(received, project), card, connected.returncode
    )


async def test_client_and_agent_see_the_same_conversation_with_and_without_the_bridge(
    tmp_path: Path,
) -> None:
    named, recognised = (BRIDGE, "--agent-kind", "other", "--"), (BRIDGE, "--")
    async with offline(tmp_path) as world:
        direct = await observe(EXAMPLE_ARGV, world, tmp_path / "direct")
        bridged = [
            await observe((*named, *EXAMPLE_ARGV), world, tmp_path / "named"),
            await observe((*recognised, *EXAMPLE_ARGV), world, tmp_path / "recognised"),
        ]
        runs = await finished_runs(outer_environment(world))

    assert len(direct.client_got) > 50
    assert (direct.card, direct.status) == (None, 0)
    for observed in bridged:
        assert observed.client_got == direct.client_got
        assert observed.agent_got == direct.agent_got
        assert (observed.card["guarantees"], observed.status) == ("none", 0)
    told = [(run["guarantees"], run["agent"]["name"]) for run in runs]
    assert told == [("none", "example-agent")] * 2
    assert (world.endpoint.seen, world.left_for) == ([], set())
