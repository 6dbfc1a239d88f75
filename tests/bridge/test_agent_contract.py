"""What every transport to an agent owes the relay: one suite, in memory and as a process.

The same scripted agent stands behind both, and the same relay in front of it.
"""

import hashlib
import json
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
import pytest

from acp_bridge.agent.ending import AgentExit
from acp_bridge.agent.in_memory import InMemoryAgent
from acp_bridge.agent.process import start_agent
from acp_bridge.testing import (
    ECHO,
    RECEIVED,
    AskPermission,
    Chunk,
    Crash,
    End,
    Hang,
    Pause,
    ScriptedAgent,
    TurnUsage,
    Write,
    release,
)
from tests.bridge.relayed import Json, relayed, watched

Scenario = Callable[[], Awaitable[None]]
Start = Callable[[ScriptedAgent], AbstractAsyncContextManager[Any]]

SECONDS = 60.0
BIG = 8 * 1024 * 1024
ODD = '{ "method":"_odd/\\u0061", "jsonrpc" :\t"2.0" ,"params":{"x":1.0,"x":%d,"y":"\\/"} }\r\n'


@pytest.fixture(params=["asyncio", "trio"])
def run(request: pytest.FixtureRequest) -> Callable[[Scenario], None]:
    """Run a scenario on each of the two event loops, in bounded time."""

    async def bounded(scenario: Scenario) -> None:
        with anyio.fail_after(SECONDS):
            await scenario()

    return lambda scenario: anyio.run(bounded, scenario, backend=request.param)


@pytest.fixture(params=["memory", "process"])
def start(request: pytest.FixtureRequest) -> Start:
    """Start a scripted agent behind each of the two transports."""
    if request.param == "memory":
        return InMemoryAgent
    env = {"PATH": os.defpath}
    return lambda agent: start_agent(agent.command, env=env)


def digest(data: bytes) -> Json:
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def test_a_turn(start: Start, run: Callable[[Scenario], None]) -> None:
    agent = ScriptedAgent([Chunk("one "), Chunk("two"), End(usage=TurnUsage(output_tokens=3))])

    async def scenario() -> None:
        async with relayed(start(agent)) as client:
            await client.send(0, "initialize", {"protocolVersion": 1})
            card = (await client.response(0))["result"]
            assert card["agentInfo"]["name"] == "scripted-agent"
            await client.send(1, "session/new", {"cwd": "/", "mcpServers": []})
            session = (await client.response(1))["result"]["sessionId"]
            await client.send_prompt(2, session)
            updates = [(await client.message())["params"] for _ in range(2)]
            assert [update["update"]["content"]["text"] for update in updates] == ["one ", "two"]
            assert {update["sessionId"] for update in updates} == {session}
            result = (await client.response(2))["result"]
            assert (result["stopReason"], result["usage"]["outputTokens"]) == ("end_turn", 3)

    run(scenario)


def test_both_directions_are_the_same_bytes_in_the_same_order(
    start: Start, run: Callable[[Scenario], None]
) -> None:
    odd = "".join(ODD % number for number in range(200))
    agent = ScriptedAgent([Write(odd), Chunk("piece", times=200)])

    async def scenario() -> None:
        async with relayed(start(agent)) as client:
            sent = odd.encode() + b"\n  \n"
            for at in range(0, len(sent), 777):
                await client.send_bytes(sent[at : at + 777])
            await client.send_prompt(1)
            await client.response(1)
            assert client.received.startswith(odd.encode())
            before = bytes(client.received)
            await client.send(2, RECEIVED, {})
            seen = (await client.response(2))["result"]
            prompt = {"sessionId": "s", "prompt": []}
            message = {"jsonrpc": "2.0", "id": 1, "method": "session/prompt", "params": prompt}
            sent += json.dumps(message).encode() + b"\n"
            assert seen == {"received": digest(sent), "sent": digest(before)}

    run(scenario)


def test_each_request_gets_exactly_one_response_in_the_order_of_the_agent(
    start: Start, run: Callable[[Scenario], None]
) -> None:
    async def scenario() -> None:
        async with relayed(start(ScriptedAgent())) as client, anyio.create_task_group() as tasks:

            async def ask() -> None:
                for number in range(300):
                    await client.send(number, ECHO if number % 3 else "_unknown", {"n": number})
                await client.leave()

            tasks.start_soon(ask)
            answers = await client.rest()
        assert [answer["id"] for answer in answers] == list(range(300))
        assert all(
            answer["result"] == {"n": answer["id"]}
            if answer["id"] % 3
            else answer["error"]["code"] == -32601
            for answer in answers
        )

    run(scenario)


@pytest.mark.parametrize(
    ("crash", "ended", "words"),
    [
        (Crash(3), AgentExit(returncode=3), "exited with status 3"),
        (
            Crash(signal=signal.SIGKILL),
            AgentExit(signal=signal.SIGKILL),
            "was ended by SIGKILL",
        ),
    ],
    ids=["status", "signal"],
)
def test_a_crash_answers_what_is_open_after_what_was_written_before(
    start: Start, run: Callable[[Scenario], None], crash: Crash, ended: AgentExit, words: str
) -> None:
    agent = ScriptedAgent([Hang()], [Hang()], [Chunk("last words"), crash])

    async def scenario() -> None:
        async with relayed(start(agent)) as client:
            for number in (1, 2, 3):
                await client.send_prompt(number, f"s{number}")
            chunk, *errors = await client.rest()
            assert chunk["params"]["update"]["content"]["text"] == "last words"
            assert sorted(error["id"] for error in errors) == [1, 2, 3]
            assert all(words in error["error"]["message"] for error in errors)
            reasons = {error["error"]["data"]["acp_bridge"]["reason"] for error in errors}
            assert reasons == {"agent_exited"}
            assert await client.agent_exit() == ended

    run(scenario)


def test_a_crash_in_the_middle_of_a_line_leaves_the_answer_a_line_of_its_own(
    start: Start, run: Callable[[Scenario], None]
) -> None:
    agent = ScriptedAgent([Write('{"jsonrpc":"2.0","id":1,"resu'), Crash(1)])

    async def scenario() -> None:
        async with relayed(start(agent)) as client:
            await client.send_prompt(1)
            with pytest.raises(json.JSONDecodeError):
                await client.message()
            assert [answer["id"] for answer in await client.rest()] == [1]

    run(scenario)


def test_the_end_of_the_client_ends_the_agent(
    start: Start, run: Callable[[Scenario], None]
) -> None:
    async def scenario() -> None:
        async with relayed(start(ScriptedAgent([Chunk("begun"), Hang()]))) as client:
            await client.send_prompt(1)
            await client.message()
            await client.leave()
            answers = await client.rest()
            assert [answer["id"] for answer in answers] == [1]
            assert await client.agent_exit() == AgentExit(returncode=0)

    run(scenario)


def test_an_agent_that_does_not_end_by_itself_is_ended(
    start: Start, run: Callable[[Scenario], None]
) -> None:
    async def scenario() -> None:
        async with relayed(start(ScriptedAgent([Chunk("begun"), Hang()], stubborn=True))) as client:
            await client.send_prompt(1)
            await client.message()
            client.relay.end()
            client.relay.end(at_once=True)
            assert [answer["id"] for answer in await client.rest()] == [1]
            assert await client.agent_exit() == AgentExit(signal=signal.SIGKILL)

    run(scenario)


def test_cancel_reaches_the_agent_in_the_middle_of_a_turn(
    start: Start, run: Callable[[Scenario], None]
) -> None:
    agent = ScriptedAgent([Chunk("begun"), Pause("never"), Chunk("never")], [Chunk("next")])

    async def scenario() -> None:
        async with relayed(start(agent)) as client:
            await client.send_prompt(1)
            await client.message()
            await client.send_bytes(
                b'{"jsonrpc":"2.0","method":"session/cancel","params":{"sessionId":"s"}}\n'
            )
            assert (await client.message())["result"] == {"stopReason": "cancelled"}
            await client.send_prompt(2)
            assert (await client.response(2))["result"] == {"stopReason": "end_turn"}

    run(scenario)


def test_an_event_of_the_client_releases_the_agent(
    start: Start, run: Callable[[Scenario], None]
) -> None:
    agent = ScriptedAgent([Chunk("a"), Pause("go"), Chunk("c")])

    async def scenario() -> None:
        async with relayed(start(agent)) as client:
            await client.send_prompt(1)
            await client.message()
            await client.send(2, ECHO, {"text": "b"})
            assert (await client.message())["result"] == {"text": "b"}
            await client.send_bytes(release("go"))
            assert (await client.message())["params"]["update"]["content"]["text"] == "c"

    run(scenario)


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        ({"outcome": "selected", "optionId": "allow_once"}, "done"),
        ({"outcome": "selected", "optionId": "reject_once"}, "left alone"),
        ({"outcome": "cancelled"}, "left alone"),
    ],
)
def test_a_request_of_the_agent_gets_the_clients_answer(
    start: Start, run: Callable[[Scenario], None], outcome: Json, said: str
) -> None:
    ask = AskPermission("rm -rf /", granted=(Chunk("done"),), declined=(Chunk("left alone"),))

    async def scenario() -> None:
        async with relayed(start(ScriptedAgent([ask]))) as client:
            await client.send_prompt(1)
            asked = await client.message()
            assert asked["method"] == "session/request_permission"
            answer = {"jsonrpc": "2.0", "id": asked["id"], "result": {"outcome": outcome}}
            await client.send_bytes(json.dumps(answer).encode() + b"\n")
            chunk = await client.message()
            assert chunk["params"]["update"]["content"]["text"] == said

    run(scenario)


def test_a_line_of_8_megabytes_passes_in_both_directions(
    start: Start, run: Callable[[Scenario], None]
) -> None:
    image = {"data": "iVBORw0K" * (BIG // 8)}

    async def scenario() -> None:
        async with relayed(start(ScriptedAgent())) as client, anyio.create_task_group() as tasks:
            tasks.start_soon(client.send, 1, ECHO, image)
            assert (await client.response(1))["result"] == image

    run(scenario)


def test_an_agent_does_not_run_ahead_of_a_client_that_does_not_read(
    start: Start, run: Callable[[Scenario], None]
) -> None:
    pieces = 8000
    agent = ScriptedAgent([Chunk("x" * 1000, times=pieces), Crash(7)])

    async def scenario() -> None:
        async with watched(start(agent)) as taken, relayed(taken) as client:
            await client.send_prompt(1)
            await client.message()
            await taken.more_than(len(client.received))
            await anyio.wait_all_tasks_blocked()
            # The relay stands at the client and leaves the rest where it is.
            assert not taken.waits
            assert taken.bytes < 4 * 1024 * 1024 < pieces * 1000
            *chunks, error = await client.rest()
            assert len(chunks) == pieces - 1
            assert "status 7" in error["error"]["message"]

    run(scenario)


def test_who_writes_to_an_agent_that_is_gone_is_told(
    start: Start, run: Callable[[Scenario], None]
) -> None:
    async def scenario() -> None:
        async with start(ScriptedAgent(at_start=[Crash(5)])) as agent:
            await agent.stdin.send(b'{"jsonrpc":"2.0","id":0,"method":"initialize"}\n')
            assert await agent.wait() == AgentExit(returncode=5)
            with pytest.raises(anyio.BrokenResourceError):
                await agent.stdin.send(b"{}\n")
            assert b"scripted-agent" in await agent.stdout.receive()
            with pytest.raises(anyio.EndOfStream):
                await agent.stdout.receive()

    run(scenario)


@pytest.mark.parametrize("how", ["leave", "error", "cancel"])
def test_leaving_the_block_ends_an_agent_that_is_still_talking(
    start: Start, run: Callable[[Scenario], None], how: str
) -> None:
    agent = ScriptedAgent([Chunk("x" * 400, times=20_000), Hang()])
    ended: list[AgentExit] = []

    async def scenario() -> None:
        with anyio.CancelScope() as scope:
            async with start(agent) as running:
                await running.stdin.send(
                    b'{"jsonrpc":"2.0","id":0,"method":"session/prompt","params":{}}\n'
                )
                await running.stdout.receive()
                if how == "error":
                    raise KeyError
                if how == "cancel":
                    scope.cancel()
                    await anyio.sleep_forever()
        ended.append(await running.wait())

    if how == "error":
        with pytest.raises(KeyError):
            run(scenario)
    else:
        run(scenario)
        assert ended == [AgentExit(returncode=0)]
