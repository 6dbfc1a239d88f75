"""Drives the relay core: bytes from either side in, its commands carried out, in order.

The core decides and does no I/O; this does the I/O and decides nothing. Each direction is one task.
A destination is written under a lock, because both directions may write to the client.
"""

import contextlib
import math
import time
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Protocol

import anyio

from acp_bridge.agent.ending import AgentExit
from acp_bridge.agent.running import RunningAgent
from acp_bridge.protocol.commands import (
    Ask,
    CloseAgentInput,
    Command,
    Record,
    ToAgent,
    ToClient,
)
from acp_bridge.protocol.decisions import Contradiction, Refuse
from acp_bridge.protocol.facts import Fact
from acp_bridge.protocol.names import Code
from acp_bridge.protocol.relay import RelayCore

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

LAST_SECONDS = 3.0
"""How long, when the agent has ended, its output may be held open by what it left behind, and how
long a client may take to read each last piece."""
LINGER_SECONDS = 0.05
"""How long the client must have been silent before its stream is left after the agent's end."""

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
    """One writer at a time; a destination that is gone swallows what comes after.

    Args:
        stream: where bytes go.
        on_gone: called when it is gone; may be called again.
    """

    def __init__(self, stream: Send, on_gone: Callable[[], None]) -> None:
        self._stream = stream
        self._on_gone = on_gone
        self._lock = anyio.Lock(fast_acquire=True)
        self.gone = False

    async def send(self, data: bytes) -> None:
        async with self._lock:
            if self.gone:
                return
            try:
                await self._stream.send(data)
            except _GONE:
                self._lose()
            except anyio.get_cancelled_exc_class():
                # Part of a line may have been written: nothing may follow it.
                self._lose()
                raise

    def _lose(self) -> None:
        self.gone = True
        self._on_gone()


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
        agent: RunningAgent,
        *,
        receive: Receive,
        send: Send,
        observe: Callable[[Fact], None],
        answer: Callable[[str], bytes | None],
    ) -> None:
        self._core = core
        self._agent = agent
        self._receive = receive
        self._client = _Destination(send, self.end)
        self._to_agent = _Destination(agent.stdin, self.end)
        self._observe = observe
        self._answer = answer
        self._moved = anyio.Event()
        self._watched: float | None = None
        self._client_waits = False
        self._client_side = anyio.CancelScope()
        self._receiving = False
        self._heard = 0
        self._client_ended = False
        self._end_asked = anyio.Event()
        self._agent_side = anyio.CancelScope()
        self._agent_has_ended = False
        self._tasks: TaskGroup

    async def run(self) -> AgentExit:
        """Relay until the agent has ended; a client that leaves ends the agent."""
        async with anyio.create_task_group() as self._tasks:
            self._tasks.start_soon(self._read_client)
            self._tasks.start_soon(self._end_when_asked)
            self._tasks.start_soon(self._watch_deadline)
            self._tasks.start_soon(self._watch_agent)
            await self._read_agent()
            # Requests are answered once the agent is gone; what it left behind may take longer.
            self._tasks.start_soon(self._agent.stop)
            ended = await self._agent.wait()
            with anyio.move_on_after(LAST_SECONDS):
                how = f"it {ended.text}"
                await self._carry_out(self._core.agent_closed(how, time.monotonic()))
                await self._hear_the_client_out()
            await self._agent.stop()
            self._tasks.cancel_scope.cancel()
        return ended

    async def contradict(self, found: Contradiction) -> None:
        """Stop spending for what was seen outside of the ACP stream."""
        commands = self._core.contradict(
            found.reason, found.sentence, time.monotonic(), hint=found.hint, channel=found.channel
        )
        await self._carry_out(commands)

    async def resume(self) -> None:
        """Judge again what is held: what it waited for outside of ACP may have come."""
        await self._carry_out(self._core.resume(time.monotonic()))

    async def stop_turns(self, refused: Refuse, session_ids: Collection[str] | None) -> None:
        """End running turns with a refusal; see `RelayCore.stop_turns`."""
        await self._carry_out(self._core.stop_turns(refused, session_ids, time.monotonic()))

    async def notify(self, method: str, params: bytes) -> None:
        """Send the client a notification of the bridge's own."""
        await self._carry_out(self._core.notify(method, params))

    def end(self, *, at_once: bool = False) -> None:
        """End the agent, whatever it is doing; the client is read no further.

        Args:
            at_once: without the agent's grace, also if that has begun.
        """
        self._end_asked.set()
        if at_once:
            self._agent.hurry()

    async def _end_when_asked(self) -> None:
        await self._end_asked.wait()
        if self._receiving:
            self._client_side.cancel()
        await self._agent.stop()

    async def _read_client(self) -> None:
        core, receive = self._core, self._receive.receive
        with self._client_side, contextlib.suppress(*_GONE):
            while not self._end_asked.is_set():
                self._receiving = True
                data = await receive()
                # From here on nothing is cancelled: each request that was read gets its answer.
                self._receiving = False
                self._heard += 1
                await self._carry_out(core.receive_from_client(data, time.monotonic()))
                while core.holding:
                    self._client_waits = True
                    await self._moved.wait()
                self._client_waits = False
        self._client_ended = True
        if not self._end_asked.is_set():
            await self._carry_out(core.client_closed(time.monotonic()))

    async def _hear_the_client_out(self) -> None:
        """Let requests be answered that were written before the client could know of the end."""
        heard = -1
        while heard != self._heard and not self._client_ended and not self._client.gone:
            heard = self._heard
            await anyio.sleep(LINGER_SECONDS)

    async def _read_agent(self) -> None:
        """Read until the agent closes its output, or has ended and left it open to others."""
        core, receive = self._core, self._agent.stdout.receive
        with self._agent_side, contextlib.suppress(*_GONE):
            while True:
                self._be_patient()
                data = await receive()
                self._be_patient()
                await self._carry_out(core.receive_from_agent(data, time.monotonic()))

    async def _watch_agent(self) -> None:
        await self._agent.wait()
        self._agent_has_ended = True
        self._be_patient()

    def _be_patient(self) -> None:
        """Bound the next step of reading the agent, once the agent has ended."""
        if self._agent_has_ended:
            self._agent_side.deadline = anyio.current_time() + LAST_SECONDS

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
        if self._client_waits or self._watched is not None or self._core.deadline is not None:
            self._moved.set()
            self._moved = anyio.Event()

    def _answered(self, number: int, method: str) -> Sequence[Command]:
        result = self._answer(method)
        if result is None:
            sentence = f"This version of the bridge does not offer {method}."
            return self._core.answer_error(number, Code.METHOD_NOT_FOUND, sentence)
        return self._core.answer(number, result)
