"""Budgets on the real agent: what stops, in which words, and how a session goes on."""

from pathlib import Path

import anyio
import pytest

from acp_bridge.loopback.asked import RequestKind
from acp_bridge.loopback.script import Usage, say, slow, use
from tests.bridge.budgeted import BUDGET_EXHAUSTED, budgeted_world
from tests.bridge.process import BRIDGE
from tests.support.acp import AcpError

pytestmark = pytest.mark.agent

MONTH = """
[[budget]]
name = "month"
window = "month"
time_zone = "UTC"
"""
THREE = f"{MONTH}limit_requests = 3\n"


async def test_a_turn_that_reaches_a_budget_fails_with_it_and_the_session_goes_on_with_room(
    tmp_path: Path,
) -> None:
    script = [say("First."), use("Bash", command="true"), say("Never."), say("Third.")]
    async with budgeted_world(tmp_path, THREE, script) as world, world.bridge() as client:
        session = await world.open(client)
        assert (await client.prompt(session, "one")).text == "First."
        await world.offline.endpoint.wait_for(lambda one: one.kind is RequestKind.TITLE, 30)
        assert len(world.answered) == 2

        with pytest.raises(AcpError) as within:
            await client.prompt(session, "two")
        with pytest.raises(AcpError) as before:
            await client.prompt(session, "three")
        for error in (within.value, before.value):
            assert error.code == BUDGET_EXHAUSTED
            assert error.message.startswith("Budget month has spent 3 of 3 requests since ")
            assert error.data["acp_bridge"]["reason"] == "budget_exhausted"
            assert "budget set month --limit-requests" in error.data["acp_bridge"]["hint"]
        assert len(world.answered) == 3

        world.config.write_text(THREE.replace("= 3", "= 30"))
        assert (await client.prompt(session, "four")).text == "Never."
        asked = [one.prompt for one in world.offline.main_requests]
        assert asked[-1] == "four"


async def test_a_subagent_without_room_ends_alone(tmp_path: Path) -> None:
    script = [
        use("Agent", description="d", prompt="p", subagent_type="general-purpose"),
        say("The main loop goes on."),
    ]
    budget = f'{MONTH}limit_requests = 1\nscope = {{ model = "claude-haiku*" }}\n'
    async with budgeted_world(tmp_path, budget, script) as world, world.bridge() as client:
        session = await world.open(client)
        turn = await client.prompt(session, "one")
        assert turn.stop_reason == "end_turn"
        titles = [one for one in world.offline.endpoint.seen if one.kind is RequestKind.TITLE]
        assert len(titles) <= 1


async def test_a_budget_that_cancels_ends_the_turn_under_way_without_a_guard(
    tmp_path: Path,
) -> None:
    script = [use("Bash", command="true"), *[use("Bash", command="true")] * 20, say("Done.")]
    budget = f'{MONTH}limit_tokens = 5000\naction = "cancel"\n'
    usage = Usage(input_tokens=1000, output_tokens=1000)
    async with (
        budgeted_world(tmp_path, budget, script, usage=usage, mode="B") as world,
        world.bridge() as client,
    ):
        session = await world.open(client)
        with pytest.raises(AcpError) as within:
            await client.prompt(session, "one")
        assert within.value.code == BUDGET_EXHAUSTED
        assert "of 5000 tokens" in within.value.message
        with pytest.raises(AcpError) as before:
            await client.prompt(session, "two")
        assert before.value.code == BUDGET_EXHAUSTED
    assert len(world.answered) < len(script)


async def test_a_budget_that_warns_tells_each_level_once_and_stops_nothing(
    tmp_path: Path,
) -> None:
    budget = f'{MONTH}limit_requests = 4\nwarn_at = 0.5\naction = "warn"\n'
    async with budgeted_world(tmp_path, budget) as world, world.bridge() as client:
        session = await world.open(client)
        for text in ("one", "two", "three", "four"):
            assert (await client.prompt(session, text)).stop_reason == "end_turn"
            await anyio.sleep(0.4)
        told = [one for one in client.received if one.get("method") == "_acp_bridge/budget_crossed"]
    assert [one["params"]["level"] for one in told] == ["warned", "reached"]
    assert {one["params"]["budget"] for one in told} == {"month"}
    assert "of 4 requests" in told[-1]["params"]["sentence"]


async def test_a_turn_that_was_cancelled_is_charged_with_what_is_known(tmp_path: Path) -> None:
    script = [slow(say("A long answer, of which the end is never heard."), pause_seconds=2)]
    usage = Usage(input_tokens=900, output_tokens=50)
    budget = f'{MONTH}limit_tokens = 1500\nscope = {{ model = "claude-opus*" }}\n'  # no titles
    async with (
        budgeted_world(tmp_path, budget, script, usage=usage) as world,
        world.bridge() as client,
    ):
        session = await world.open(client)
        prompt = [{"type": "text", "text": "one"}]
        number = await client.send_request(
            "session/prompt", {"sessionId": session, "prompt": prompt}
        )
        await world.offline.endpoint.wait_for(lambda one: one.kind is RequestKind.MAIN, 30)
        await anyio.sleep(1)
        await client.notify("session/cancel", {"sessionId": session})
        assert (await client.wait_for_response(number))["result"]["stopReason"] == "cancelled"
        # Its prompt was told before it was cancelled: 901 of 1,500 tokens, so one more may pass.
        assert (await client.prompt(session, "two")).stop_reason == "end_turn"
        with pytest.raises(AcpError) as spent:
            await client.prompt(session, "three")
        assert spent.value.code == BUDGET_EXHAUSTED


async def test_a_wrong_budget_is_an_error_before_the_agent_is_started(tmp_path: Path) -> None:
    async with budgeted_world(tmp_path, f"{MONTH}limit_usd = 2.5\n") as world:
        done = await anyio.run_process(
            BRIDGE,
            input=b"",
            env=dict(world.env),
            check=False,
        )
    assert done.returncode == 2
    error, hint, *more = done.stderr.decode().splitlines()
    assert error.startswith("error: ")
    assert "month" in error
    assert hint.startswith("hint: ")
    assert more == []
