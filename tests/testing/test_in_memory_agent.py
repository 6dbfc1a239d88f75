"""An embedder's own async function as an agent: how it may end."""

import contextlib
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from anyio.abc import ObjectStream

from acp_bridge.agent.ending import AgentExit, Limits
from acp_bridge.agent.in_memory import BUFFERED_CHUNKS, InMemoryAgent

Run = Callable[[Callable[[], Awaitable[Any]]], Any]
GOOD = AgentExit(returncode=0)


async def echo(client: ObjectStream[bytes]) -> None:
    async for data in client:
        await client.send(data)


async def deaf(client: ObjectStream[bytes]) -> None:
    del client
    await anyio.sleep_forever()


def test_what_it_is_sent_and_what_it_sends(run: Run) -> None:
    async def scenario() -> None:
        async with InMemoryAgent(echo) as agent:
            await agent.stdin.send(b"one")
            assert await agent.stdout.receive() == b"one"
            assert await agent.stop() == GOOD
            with pytest.raises(anyio.ClosedResourceError):
                await agent.stdin.send(b"two")
            with pytest.raises(anyio.EndOfStream):
                await agent.stdout.receive()

    run(scenario)


def test_the_end_of_its_input_may_end_it_as_it_likes(run: Run) -> None:
    async def receives_until_it_cannot(client: ObjectStream[bytes]) -> None:
        while True:
            await client.receive()

    async def has_a_status(client: ObjectStream[bytes]) -> AgentExit:
        await echo(client)
        return AgentExit(returncode=3)

    async def scenario() -> None:
        async with InMemoryAgent(receives_until_it_cannot) as agent:
            assert await agent.stop() == GOOD
        async with InMemoryAgent(has_a_status) as agent:
            assert await agent.stop() == AgentExit(returncode=3)

    run(scenario)


def test_one_that_does_not_end_is_cancelled_when_its_grace_is_over(run: Run) -> None:
    async def scenario() -> None:
        async with InMemoryAgent(deaf, limits=Limits(grace=0)) as agent:
            assert await agent.stop() == AgentExit(signal=signal.SIGKILL)

    run(scenario)


def test_hurry_cuts_the_grace_short(run: Run) -> None:
    async def scenario() -> None:
        async with (
            InMemoryAgent(deaf, limits=Limits(grace=1e6)) as agent,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(agent.stop)
            await anyio.wait_all_tasks_blocked()
            agent.hurry()
            assert await agent.wait() == AgentExit(signal=signal.SIGKILL)

    run(scenario)


def test_a_cancelled_caller_does_not_cancel_the_agent_but_ends_it(run: Run) -> None:
    async def scenario() -> None:
        with anyio.CancelScope() as scope:
            async with InMemoryAgent(echo) as agent:
                scope.cancel()
                await anyio.sleep_forever()
        assert scope.cancelled_caught
        assert await agent.wait() == GOOD

    run(scenario)


def test_a_defect_is_exit_status_1_and_leaves_the_block(run: Run) -> None:
    async def broken(client: ObjectStream[bytes]) -> None:
        await client.receive()
        raise KeyError("mine")

    async def scenario() -> None:
        async with InMemoryAgent(broken) as agent:
            await agent.stdin.send(b"{}\n")
            assert await agent.wait() == AgentExit(returncode=1)

    with pytest.raises(KeyError, match="mine"):
        run(scenario)


def test_it_waits_while_nobody_reads_and_so_does_who_writes_to_it(run: Run) -> None:
    written: list[int] = []

    async def talks(client: ObjectStream[bytes]) -> None:
        for number in range(1000):
            await client.send(b"x")
            written.append(number)

    async def writes(agent: InMemoryAgent) -> None:
        with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            for number in range(1000):
                await agent.stdin.send(b"x")
                written.append(number)

    async def scenario() -> None:
        async with InMemoryAgent(talks):
            await anyio.wait_all_tasks_blocked()
            assert len(written) == BUFFERED_CHUNKS
        written.clear()
        async with (
            InMemoryAgent(deaf, limits=Limits(grace=0)) as agent,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(writes, agent)
            await anyio.wait_all_tasks_blocked()
            assert len(written) == BUFFERED_CHUNKS
            await agent.stop()

    run(scenario)
