"""A client, the relay and a running agent, with nothing else around them.

async with relayed(InMemoryAgent(agent)) as client:
    await client.send_prompt(1)
    assert (await client.response(1))["result"] == {"stopReason": "end_turn"}
"""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Self

import anyio
from anyio.abc import ObjectStream
from anyio.streams.stapled import StapledObjectStream

from acp_bridge.agent.ending import AgentExit
from acp_bridge.modes import AgentKind, BillingMode
from acp_bridge.protocol.relay import RelayCore
from acp_bridge.relay import Relay

Json = dict[str, Any]


class Client:
    """A client that reads only when it is told to.

    Attributes:
        received: every byte so far.
        relay: what it is connected to.
    """

    def __init__(self, stream: ObjectStream[bytes], relay: Relay) -> None:
        self._stream = stream
        self._unread = bytearray()
        self._exit = AgentExit()
        self._ended = anyio.Event()
        self.received = bytearray()
        self.relay = relay

    async def send_bytes(self, data: bytes) -> None:
        await self._stream.send(data)

    async def send(self, number: int, method: str, params: Json) -> None:
        message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        await self.send_bytes(json.dumps(message).encode() + b"\n")

    async def send_prompt(self, number: int = 1, session: str = "s") -> None:
        await self.send(number, "session/prompt", {"sessionId": session, "prompt": []})

    async def message(self) -> Json:
        while b"\n" not in self._unread:
            data = await self._stream.receive()
            self.received += data
            self._unread += data
        end = self._unread.index(b"\n") + 1
        line = self._unread[:end]
        del self._unread[:end]
        message: Json = json.loads(line)
        return message

    async def response(self, number: int) -> Json:
        while (message := await self.message()).get("id") != number or "method" in message:
            pass
        return message

    async def rest(self) -> list[Json]:
        """Every message until the stream ends."""
        messages = []
        try:
            while True:
                messages.append(await self.message())
        except anyio.EndOfStream:
            return messages

    async def leave(self) -> None:
        await self._stream.send_eof()

    async def agent_exit(self) -> AgentExit:
        await self._ended.wait()
        return self._exit

    async def run(self, closes: Callable[[], None]) -> None:
        self._exit = await self.relay.run()
        closes()
        self._ended.set()


@asynccontextmanager
async def relayed(running: AbstractAsyncContextManager[Any]) -> AsyncIterator[Client]:
    """A client, the relay and a running agent."""
    to_relay, from_client = anyio.create_memory_object_stream[bytes](0)
    to_client, from_relay = anyio.create_memory_object_stream[bytes](0)
    with to_relay, from_client, to_client, from_relay:
        async with running as agent, anyio.create_task_group() as tasks:
            relay = Relay(
                RelayCore(BillingMode.SUBSCRIPTION, [], agent_kind=AgentKind.OTHER),
                agent,
                receive=from_client,
                send=to_client,
                observe=lambda _fact: None,
                answer=lambda _method: None,
            )
            client = Client(StapledObjectStream(to_relay, from_relay), relay)
            tasks.start_soon(client.run, to_client.close)
            yield client
            relay.end()
            from_relay.close()


class Watched:
    """A running agent whose output is counted as the relay takes it; its own context."""

    def __init__(self, agent: Any) -> None:
        self._agent = agent
        self.stdin, self.stdout = agent.stdin, self
        self.wait, self.stop, self.hurry = agent.wait, agent.stop, agent.hurry
        self.bytes = 0
        self.waits = False
        self._took = anyio.Event()

    async def receive(self) -> bytes:
        self.waits = True
        data: bytes = await self._agent.stdout.receive()
        self.waits = False
        self.bytes += len(data)
        self._took.set()
        self._took = anyio.Event()
        return data

    async def more_than(self, size: int) -> None:
        """Wait until the relay has taken more bytes than that."""
        while self.bytes <= size:
            await self._took.wait()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        pass


@asynccontextmanager
async def watched(running: AbstractAsyncContextManager[Any]) -> AsyncIterator[Watched]:
    async with running as agent:
        yield Watched(agent)
