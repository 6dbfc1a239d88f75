"""The real ACP adapter and Claude Code on the embedded endpoint, over ACP."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from acp_bridge.loopback.asked import RequestKind
from acp_bridge.loopback.script import (
    DEFAULT_TEXT,
    Answer,
    Step,
    Text,
    Thinking,
    cut,
    fail,
    say,
    slow,
    stall,
    use,
)
from acp_bridge.loopback.seen import Outcome
from acp_bridge.modes import CredentialClass
from acp_bridge.policy.surface import Surface
from tests.support.acp import AcpClient, AcpError, acp_client, choose_permission
from tests.support.offline import Offline, offline
from tests.support.real import ADAPTER_ARGV

pytestmark = pytest.mark.agent


@dataclass(frozen=True, slots=True)
class Session:
    """An open session of the plain adapter, in an offline world, with the fake login."""

    world: Offline
    client: AcpClient
    id: str


@asynccontextmanager
async def session(tmp_path: Path, script: Sequence[Step] = ()) -> AsyncIterator[Session]:
    async with (
        offline(tmp_path, script, login=True) as world,
        acp_client(ADAPTER_ARGV, env=world.env, cwd=world.home.project) as client,
    ):
        await client.initialize()
        yield Session(world, client, await client.new_session(world.home.project))


async def test_a_prompt_is_answered_with_what_the_script_says(tmp_path: Path) -> None:
    script = [Answer((Thinking("Let me think."), Text("Here is the answer.")))]
    async with session(tmp_path, script) as s:
        turn = await s.client.prompt(s.id, "hello")

    assert (turn.text, turn.stop_reason) == ("Here is the answer.", "end_turn")
    thoughts = [update["content"]["text"] for update in turn.of_kind("agent_thought_chunk")]
    assert "".join(thoughts) == "Let me think."
    seen = s.world.main_requests[0]
    assert seen.credential.credential_class is CredentialClass.SUBSCRIPTION_OAUTH
    assert (seen.surface, seen.session_id, seen.prompt) == (Surface.AGENT_SDK, s.id, "hello")
    assert s.world.left_for == {"api.anthropic.com:443"}


@pytest.mark.parametrize(("answer", "made"), [("allow_once", True), ("reject_once", False)])
async def test_a_command_runs_only_when_the_client_permits_it(
    tmp_path: Path, answer: str, *, made: bool
) -> None:
    script = [use("Bash", command="touch made", description="Make a file"), say("Done.")]
    async with session(tmp_path, script) as s:
        s.client.answers["session/request_permission"] = choose_permission(answer)
        await s.client.prompt(s.id, "make a file")

        (asked,) = s.client.requests_of("session/request_permission")
        assert asked["toolCall"]["rawInput"]["command"] == "touch made"
        assert (s.world.home.project / "made").exists() is made


async def test_a_subagent_asks_under_its_own_agent_id(tmp_path: Path) -> None:
    script = [
        use(
            "Agent",
            description="Look",
            prompt="look around",
            subagent_type="general-purpose",
            run_in_background=False,
        ),
        say("The subagent looked."),
        say("All is well."),
    ]
    async with session(tmp_path, script) as s:
        turn = await s.client.prompt(s.id, "send somebody")

    assert turn.text == "All is well."
    first, subagent, last = s.world.main_requests
    assert subagent.prompt == "look around"
    assert subagent.agent_id is not None
    assert (first.agent_id, last.agent_id) == (None, None)
    assert {seen.session_id for seen in s.world.main_requests} == {s.id}


async def test_a_title_and_a_suggestion_are_answered_beside_the_script(tmp_path: Path) -> None:
    script: list[Step] = [say("one"), say("two")]
    async with session(tmp_path, script) as s:
        # A prompt of one short word is not named.
        assert (await s.client.prompt(s.id, "What is this project about?")).text == "one"
        await s.world.endpoint.wait_for(lambda seen: seen.kind is RequestKind.TITLE, 30)
        assert (await s.client.prompt(s.id, "And who pays?")).text == "two"
        await s.world.endpoint.wait_for(lambda seen: seen.kind is RequestKind.SUGGESTION, 30)
        named = await s.client.wait_for(
            lambda message: (
                "title" in message.get("params", {}).get("update", {})
                and message["params"]["update"]["sessionUpdate"] == "session_info_update"
            )
        )

    assert named["params"]["update"]["title"] == "A scripted session"


async def test_an_error_ends_the_turn_and_the_next_turn_works(tmp_path: Path) -> None:
    script: list[Step] = [
        fail(402, "billing_error", "Nothing left.", retry=False),
        say("Again."),
    ]
    async with session(tmp_path, script) as s:
        with pytest.raises(AcpError, match=r"402 Nothing left\.") as caught:
            await s.client.prompt(s.id, "hello")
        asked_by_then = len(s.world.main_requests)
        turn = await s.client.prompt(s.id, "and now")

    assert caught.value.code == -32603
    assert asked_by_then == 1
    assert turn.text == "Again."


async def test_a_cut_stream_is_asked_for_again(tmp_path: Path) -> None:
    script: list[Step] = [cut(say("never whole"), after=2), say("whole")]
    async with session(tmp_path, script) as s:
        turn = await s.client.prompt(s.id, "hello")

    assert turn.text == "whole"
    outcomes = [seen.outcome for seen in s.world.main_requests]
    assert outcomes == [Outcome.CUT, Outcome.COMPLETE]


async def test_a_stalled_turn_can_be_cancelled(tmp_path: Path) -> None:
    async with session(tmp_path, [stall(say("never"), after=3)]) as s:
        params = {"sessionId": s.id, "prompt": [{"type": "text", "text": "hello"}]}
        prompt = await s.client.send_request("session/prompt", params)
        await s.world.endpoint.wait_for(lambda seen: seen.kind is RequestKind.MAIN, 30)
        await s.client.notify("session/cancel", {"sessionId": s.id})
        response = await s.client.wait_for_response(prompt)
        seen = await s.world.endpoint.wait_for(lambda seen: seen.outcome is Outcome.CLIENT_LEFT, 30)

    assert response["result"]["stopReason"] == "cancelled"
    assert seen.kind is RequestKind.MAIN


async def test_the_pieces_of_a_slow_answer_arrive_one_by_one(tmp_path: Path) -> None:
    async with session(tmp_path, [slow(say(), pause_seconds=0.05)]) as s:
        turn = await s.client.prompt(s.id, "hello")

    assert turn.text == DEFAULT_TEXT
    assert len(turn.of_kind("agent_message_chunk")) == 3
