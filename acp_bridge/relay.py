"""Drives the relay core: bytes from either side in, its commands carried out, in order.

The core decides and does no I/O; this does the I/O and decides nothing. Each direction is one task.
A destination is written under a lock, because both directions may write to the client.
"""

import contextlib
import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import anyio

from acp_bridge.agent.process import Agent, AgentExit
from acp_bridge.protocol.commands import (
    Ask,
    CloseAgentInput,
    Command,
    Record,
    ToAgent,
    ToClient,
)
from acp_bridge.protocol.facts import Fact
from acp_bridge.protocol.names import Code
from acp_bridge.protocol.relay import RelayCore

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

DRAIN_SECONDS = 2.0
"""How long the output of an agent that has ended may be held open by what it left behind."""

_GONE = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError)


class Receive(Protocol):
    """Where bytes come from."""

    async def receive(self) -> bytes:
        """Some bytes, or `anyio.EndOfStream`."""


class Send(Protocol):
    """Where bytes go."""

    async def send(self, item: bytes, /) -> None:
        """All of these bytes."""


class _Destination:
    """One writer at a time; a destination that is gone swallows what comes after."""

    def __init__(self, stream: Send) -> None:
        self._stream = stream
        self._lock = anyio.Lock(fast_acquire=True)
        self.gone = anyio.Event()

    async def send(self, data: bytes) -> None:
        if self.gone.is_set():
            return
        async with self._lock:
            try:
                await self._stream.send(data)
            except _GONE:
                self.gone.set()


class Relay:
    """One client, one agent, one core between them.

    Args:
        core: what decides.
        agent: the running agent.
        receive: where the client's bytes come from.
        send: where bytes to the client go.
        observe: called with each fact; must not block.
        answer: the result of a request to the bridge itself (``_acp_bridge/…``) as JSON, or None
            for a method that this version does not offer.
    """

    def __init__(  # noqa: PLR0913 - the two sides, what decides, and who is told
        self,
        core: RelayCore,
        agent: Agent,
        *,
        receive: Receive,
        send: Send,
        observe: Callable[[Fact], None],
        answer: Callable[[str], bytes | None],
    ) -> None:
        self._core = core
        self._agent = agent
        self._receive = receive
        self._client = _Destination(send)
        self._to_agent = _Destination(agent.stdin)
        self._observe = observe
        self._answer = answer
        self._moved = anyio.Event()
        self._watched: float | None = None
        self._client_side = anyio.CancelScope()
        self._tasks: TaskGroup

    async def run(self) -> AgentExit:
        """Relay until the agent has ended; a client that leaves ends the agent."""
        async with anyio.create_task_group() as self._tasks:
            self._tasks.start_soon(self._read_client)
            self._tasks.start_soon(self._leave_with_the_client)
            self._tasks.start_soon(self._watch_deadline)
            await self._read_agent()
            ended = await self._agent.stop()
            await self._carry_out(self._core.agent_closed(ended.text, time.monotonic()))
            self._tasks.cancel_scope.cancel()
        return ended

    def end(self) -> None:
        """Act as if the client had closed its side."""
        self._client_side.cancel()

    async def _read_client(self) -> None:
        core, receive = self._core, self._receive.receive
        with self._client_side, contextlib.suppress(*_GONE):
            while True:
                data = await receive()
                await self._carry_out(core.receive_from_client(data, time.monotonic()))
                while core.holding:
                    await self._moved.wait()
        await self._carry_out(core.client_closed(time.monotonic()))

    async def _leave_with_the_client(self) -> None:
        await self._client.gone.wait()
        self.end()

    async def _read_agent(self) -> None:
        """Read until the agent closes its output, or has ended and left it open to others."""
        core, receive = self._core, self._agent.stdout.receive
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._give_up_after_exit, tasks.cancel_scope)
            with contextlib.suppress(*_GONE):
                while True:
                    data = await receive()
                    await self._carry_out(core.receive_from_agent(data, time.monotonic()))
            tasks.cancel_scope.cancel()

    async def _give_up_after_exit(self, scope: anyio.CancelScope) -> None:
        await self._agent.wait()
        await anyio.sleep(DRAIN_SECONDS)
        scope.cancel()

    async def _watch_deadline(self) -> None:
        """Call the core's `tick` when the wait that it asked for is over."""
        while True:
            self._watched = self._core.deadline
            left = math.inf if self._watched is None else self._watched - time.monotonic()
            with anyio.move_on_after(max(0.0, left)) as wait:
                await self._moved.wait()
            if wait.cancelled_caught:
                await self._carry_out(self._core.tick(time.monotonic()))

    async def _carry_out(self, commands: Sequence[Command]) -> None:
        held = self._core.deadline is not None or self._watched is not None
        for command in commands:
            match command:
                case ToClient(data):
                    await self._client.send(data)
                case ToAgent(data):
                    await self._to_agent.send(data)
                case Record(fact):
                    self._observe(fact)
                case Ask(number, method):
                    await self._carry_out(self._answered(number, method))
                case CloseAgentInput():
                    self._tasks.start_soon(self._agent.stop)
        if held:
            self._moved.set()
            self._moved = anyio.Event()

    def _answered(self, number: int, method: str) -> Sequence[Command]:
        result = self._answer(method)
        if result is None:
            sentence = f"This version of the bridge does not offer {method}."
            return self._core.answer_error(number, Code.METHOD_NOT_FOUND, sentence)
        return self._core.answer(number, result)
