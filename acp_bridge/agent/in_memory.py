"""An agent in this process: an async function that is given its end of a byte stream.

    async def agent(client: ObjectStream[bytes]) -> None:
        async for data in client:
            await client.send(answer_to(data))

    async with InMemoryAgent(agent) as running:
        await running.stdin.send(line)
        reply = await running.stdout.receive()

Embedders and tests run the whole relay with it, without a process. Such an agent is never Claude
Code's adapter behind a launch gate, so a bridge with one says ``guarantees: none`` everywhere.
"""

import contextlib
import signal
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

import anyio
from anyio.abc import ObjectReceiveStream, ObjectSendStream, ObjectStream
from anyio.streams.stapled import StapledObjectStream

from acp_bridge.agent.ending import DEFAULT_LIMITS, AgentExit, Limits

__all__ = ["BUFFERED_CHUNKS", "InMemoryAgent", "ServeClient"]

BUFFERED_CHUNKS = 16
"""How many writes each direction takes before its writer waits."""

ServeClient = Callable[[ObjectStream[bytes]], Awaitable[AgentExit | None]]
"""An agent as a function: it is given the client's byte stream (chunks are cut anywhere) and serves
until that ends. It returns how it ended; None is exit status 0."""

_GONE = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError)


class InMemoryAgent:
    """An agent that runs as a task, as an async context manager: a `RunningAgent`.

    It ends when `serve` returns. Lets `serve` an `anyio.EndOfStream` out, that is its normal end,
    too. Any other exception ends the agent with exit status 1, so that what is open is answered,
    and leaves the ``async with`` block at its end: it is a defect of the agent. What does not end
    within ``limits.grace`` after its input ended is cancelled, and counts as ended by SIGKILL; a
    function that blocks its thread, or shields itself from cancellation, cannot be ended by anyone.

    Args:
        serve: the agent.
        limits: how long its end may take; `grace` and `kill` count.

    Attributes:
        stdin: where ACP messages to the agent go. Closing it asks the agent to end.
        stdout: where the agent's ACP messages come from.
    """

    stdin: ObjectSendStream[bytes]
    stdout: ObjectReceiveStream[bytes]

    def __init__(self, serve: ServeClient, *, limits: Limits = DEFAULT_LIMITS) -> None:
        self._serve = serve
        self._limits = limits
        self._exited = anyio.Event()
        # What a cancelled agent is told to have ended by.
        self._exit = AgentExit(signal=signal.SIGKILL)
        self._defect: Exception | None = None

    async def wait(self) -> AgentExit:
        """Wait until the agent has ended and return how; its stdout may still hold bytes."""
        await self._exited.wait()
        return self._exit

    async def stop(self) -> AgentExit:
        """End the agent, and return how it ended; may be repeated. Not cancelled from outside."""
        with anyio.CancelScope(shield=True):
            await self.stdin.aclose()
            with anyio.move_on_after(self._limits.grace):
                await self._exited.wait()
            self._life.cancel()
            with anyio.move_on_after(self._limits.kill):
                await self._exited.wait()
        return self._exit

    def hurry(self) -> None:
        """Cut the grace of a `stop` short: the agent is cancelled at once."""
        self._life.cancel()

    async def __aenter__(self) -> Self:
        self._life = anyio.CancelScope(shield=True)
        self.stdin, from_client = anyio.create_memory_object_stream[bytes](BUFFERED_CHUNKS)
        to_client, self.stdout = anyio.create_memory_object_stream[bytes](BUFFERED_CHUNKS)
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._run, StapledObjectStream(to_client, from_client))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._discard_stdout)
                await self.stop()
                tasks.cancel_scope.cancel()
            await self.stdout.aclose()
        # An error of the block's own is not handed to the task group, which would wrap it in an
        # exception group; a cancellation must be, so that it reaches the scope that it is for.
        if isinstance(error, anyio.get_cancelled_exc_class()):
            await self._tasks.__aexit__(kind, error, trace)
        else:
            await self._tasks.__aexit__(None, None, None)
        if self._defect is not None:
            raise self._defect

    async def _run(self, client: ObjectStream[bytes]) -> None:
        try:
            with self._life:
                self._exit = await self._served(client)
        except Exception as error:  # noqa: BLE001 - the top of what stands for a process
            self._defect = error
            self._exit = AgentExit(returncode=1)
        finally:
            with anyio.CancelScope(shield=True):
                await client.aclose()
            self._exited.set()

    async def _served(self, client: ObjectStream[bytes]) -> AgentExit:
        try:
            ended = await self._serve(client)
        except anyio.EndOfStream:
            ended = None
        return ended or AgentExit(returncode=0)

    async def _discard_stdout(self) -> None:
        """Keep an agent that is being ended from waiting for somebody to read."""
        with contextlib.suppress(*_GONE, anyio.BusyResourceError):
            while True:
                await self.stdout.receive()
