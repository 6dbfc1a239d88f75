"""Metering scenarios: each is a script of the endpoint and what a client does.

What is right is judged from the endpoint's record alone (`tests.metering.judge`), so that whatever
counts can be put to the same test.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

import anyio

from acp_bridge.loopback.asked import Asked, RequestKind
from acp_bridge.loopback.script import Answer, Script, Step, cut, fail, say, slow, stall, use
from acp_bridge.loopback.seen import Outcome
from tests.metering.stage import Stage

Play = Callable[[Stage], Awaitable[None]]

_DONE = Outcome.COMPLETE


def _send_somebody(*, in_the_background: bool) -> Answer:
    return use(
        "Agent",
        description="Look",
        prompt="look around",
        subagent_type="general-purpose",
        run_in_background=in_the_background,
    )


@dataclass(frozen=True, slots=True)
class Scenario:
    """One scenario.

    Attributes:
        script: what the endpoint answers the agent loop.
        play: what the client does.
        suggestion: what the endpoint answers where a suggestion is asked for.
    """

    script: Script
    play: Play
    suggestion: Step | None = None


SCENARIOS: dict[str, Scenario] = {}


def scenario(script: Script = (), *, suggestion: Answer | None = None) -> Callable[[Play], Play]:
    """Register a scenario under its function's name."""

    def register(play: Play) -> Play:
        name = getattr(play, "__name__", "").replace("_", " ")
        SCENARIOS[name] = Scenario(script, play, suggestion)
        return play

    return register


@scenario()
async def plain(stage: Stage) -> None:
    async with stage.agent() as agent:
        session = await agent.open()
        await agent.ask(session, "What is this project about?")
        await agent.ask(session, "And who pays?")
        await agent.until(RequestKind.SUGGESTION, _DONE)


@scenario([use("Bash", command="echo 1"), use("Bash", command="echo 2"), say("Done.")])
async def tools(stage: Stage) -> None:
    async with stage.agent() as agent:
        await agent.ask(await agent.open(), "use two tools")


@scenario([_send_somebody(in_the_background=False), say("I looked."), say("All is well.")])
async def subagent_in_front(stage: Stage) -> None:
    async with stage.agent() as agent:
        await agent.ask(await agent.open(), "send somebody")


_SIXTEEN = [use("Bash", command=f"echo {number}") for number in range(16)]
_SUBAGENT = [_send_somebody(in_the_background=False), use("Bash", command="ls"), say("I looked.")]


@scenario([*_SIXTEEN, *_SUBAGENT, say("All is done."), say("In short."), say("And on.")])
async def more_than_twenty_requests(stage: Stage) -> None:
    async with stage.agent() as agent:
        session = await agent.open()
        await agent.ask(session, "use sixteen tools, and send somebody")
        await agent.ask(session, "/compact")
        await agent.ask(session, "and then?")
        await agent.until(RequestKind.SUGGESTION, _DONE)
        await agent.until(RequestKind.TITLE, _DONE)
        assert len(stage.world.endpoint.seen) > 20


def _in_the_background(asked: Asked) -> Step:
    if asked.agent_id:
        return slow(say("I looked."), pause_seconds=0.2)
    sent = "tool_result" in str(asked.body["messages"])
    return say("Sent.") if sent else _send_somebody(in_the_background=True)


@scenario(_in_the_background)
async def subagent_in_the_background(stage: Stage) -> None:
    async with stage.agent() as agent:
        await agent.ask(await agent.open(), "send somebody and go on")
        # main twice, the subagent, and what the main loop says to its report
        await agent.until(RequestKind.MAIN, _DONE, times=4)


@scenario([stall(say("never told to its end"), after=4), say("Again.")])
async def cancelled_mid_stream(stage: Stage) -> None:
    async with stage.agent() as agent:
        session = await agent.open()
        turn = await agent.begin(session, "hello")
        await agent.client.wait_for(_is_chunk)
        await agent.cancel(session)
        await agent.answer(turn)
        await agent.until(RequestKind.MAIN, Outcome.CLIENT_LEFT)
        await agent.ask(session, "and now?")


def _is_chunk(message: dict[str, object]) -> bool:
    return "agent_message_chunk" in str(message.get("params"))


@scenario([use("Bash", command="touch made; tail -f made"), say("Again.")])
async def cancelled_mid_tool(stage: Stage) -> None:
    async with stage.agent() as agent:
        session = await agent.open()
        turn = await agent.begin(session, "wait for nothing")
        await _until_made(stage)
        await agent.cancel(session)
        await agent.answer(turn)
        await agent.ask(session, "and now?")


async def _until_made(stage: Stage) -> None:
    with anyio.fail_after(60):
        while not (stage.world.home.project / "made").exists():  # noqa: ASYNC110 - a file
            await anyio.sleep(0.05)


@scenario([cut(say("lost at once"), after=1), say("whole"), cut(say("a b c d e f"), after=5)])
async def stream_cut_by_the_server(stage: Stage) -> None:
    async with stage.agent() as agent:
        session = await agent.open()
        await agent.ask(session, "once")
        await agent.ask(session, "once more")


@scenario([fail(529, "overloaded_error", "Overloaded"), say("Here.")])
async def retry_after_529(stage: Stage) -> None:
    async with stage.agent() as agent:
        await agent.ask(await agent.open(), "hello")


_BAD = [fail(400, "invalid_request_error", "No.")] * 6


@scenario([fail(402, "billing_error", "No.", retry=False), say("Two."), *_BAD, say("Four.")])
async def failed_turns(stage: Stage) -> None:
    async with stage.agent() as agent:
        session = await agent.open()
        said = [await agent.ask(session, text) for text in ("one", "two", "three", "four")]
        assert said == ["error", "end_turn", "error", "end_turn"]


@scenario()
async def compact(stage: Stage) -> None:
    async with stage.agent() as agent:
        session = await agent.open()
        for text in ("one thing", "another thing", "/compact", "and then?"):
            await agent.ask(session, text)


@scenario()
async def clear(stage: Stage) -> None:
    async with stage.agent() as agent:
        session = await agent.open()
        for text in ("one thing", "/clear", "another thing", "and then?"):
            await agent.ask(session, text)


@scenario()
async def model_change(stage: Stage) -> None:
    async with stage.agent() as agent:
        session = await agent.open()
        await agent.ask(session, "with opus")
        for model in ("haiku", "sonnet"):
            await agent.choose_model(session, model)
            await agent.ask(session, f"with {model}")


@scenario()
async def two_sessions_at_once(stage: Stage) -> None:
    async with stage.agent() as agent:
        sessions = [await agent.open(), await agent.open()]
        turns = [await agent.begin(session, "you too?") for session in sessions]
        for turn in turns:
            await agent.answer(turn)


@scenario()
async def resume_load_and_fork_in_new_processes(stage: Stage) -> None:
    async with stage.agent() as agent:
        session = await agent.open()
        await agent.ask(session, "first")
    async with stage.agent() as agent:
        await agent.resume(session)
        await agent.ask(session, "second")
    async with stage.agent() as agent:
        await agent.load(session)
        await agent.ask(session, "third")
    async with stage.agent() as agent:
        await agent.ask(await agent.fork(session), "another way")
    async with stage.agent() as agent:
        await agent.resume(session)


@scenario()
async def closed_and_opened_again(stage: Stage) -> None:
    async with stage.agent() as agent:
        session = await agent.open()
        await agent.ask(session, "first")
        await agent.close(session)
        await agent.resume(session)
        await agent.ask(session, "second")
        await agent.load(session)
        await agent.ask(session, "third")


@scenario()
async def agent_killed(stage: Stage) -> None:
    async with stage.agent() as agent:
        session = await agent.open()
        await agent.ask(session, "hello there")
        await stage.counting.kill_agent(agent.client)
    async with stage.agent() as agent:
        await agent.resume(session)
        await agent.ask(session, "still there?")


@scenario()
async def bridge_killed(stage: Stage) -> None:
    async with stage.agent() as agent:
        session = await agent.open()
        await agent.ask(session, "hello there")
        await stage.rest()
        await stage.counting.kill(agent.client)
    await stage.counting.settle_left_over()
    async with stage.agent() as agent:
        await agent.resume(session)
        await agent.ask(session, "still there?")


@scenario([say("Hello."), stall(say("never told to its end"), after=4), say("Here again.")])
async def bridge_killed_in_a_turn(stage: Stage) -> None:
    async with stage.agent() as agent:
        session = await agent.open()
        await agent.ask(session, "hello there")
        await stage.rest()
        await agent.begin(session, "and now?")
        await agent.client.wait_for(
            lambda message: _is_chunk(message) and "never" in str(message["params"])
        )
        await stage.counting.kill(agent.client)
        await agent.until(RequestKind.MAIN, Outcome.CLIENT_LEFT)
    async with stage.agent() as agent:
        await agent.resume(session)  # which settles what the dead bridge left, before anything else
        await agent.ask(session, "still there?")


@scenario()
async def continued_outside_and_back(stage: Stage) -> None:
    async with stage.agent() as agent:
        session = await agent.open()
        await agent.ask(session, "inside")
    for text in ("outside", "and outside again"):
        done = await stage.continue_outside(session, text)
        assert done.status == 0
    async with stage.agent() as agent:
        await agent.resume(session)
        await agent.ask(session, "back inside")


@scenario(suggestion=stall(say("run the tests"), after=4))
async def suggestion_aborted_by_the_next_prompt(stage: Stage) -> None:
    async with stage.agent() as agent:
        session = await agent.open()
        await agent.ask(session, "one thing")
        await agent.ask(session, "another thing")
        await stage.world.endpoint.wait_for(lambda seen: seen.kind is RequestKind.SUGGESTION, 60)
        await agent.ask(session, "never mind")
        await agent.until(RequestKind.SUGGESTION, Outcome.CLIENT_LEFT)


@scenario()
async def two_bridges_on_one_session(stage: Stage) -> None:
    async with stage.agent() as agent:
        session = await agent.open()
        await agent.ask(session, "first")
        async with stage.agent() as other:
            await other.resume(session)
            await other.ask(session, "second")
            await agent.ask(session, "third")
        await agent.ask(session, "fourth")


def _by_another_name(asked: Asked) -> Step:
    """The main model answers by a longer name, another one by haiku's."""
    renamed = "claude-haiku-5-5" if "sonnet" in asked.model else f"{asked.model}-20261001"
    return replace(say("Told."), model=renamed)


@scenario(_by_another_name)
async def answered_by_another_name(stage: Stage) -> None:
    async with stage.agent() as agent:
        session = await agent.open()
        await agent.ask(session, "with opus")
        for model in ("haiku", "sonnet"):
            await agent.choose_model(session, model)
            await agent.ask(session, f"with {model}")
    async with stage.agent() as agent:
        await agent.resume(session)
        await agent.ask(session, "again")
    assert (await stage.continue_outside(session, "outside")).status == 0
    async with stage.agent() as agent:
        await agent.resume(session)
        await agent.ask(session, "back inside")


NAMES: Sequence[str] = tuple(SCENARIOS)
