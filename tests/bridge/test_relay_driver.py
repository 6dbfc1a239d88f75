"""The driver of the relay core, alone with two scripted sides."""

import json
from collections import deque
from collections.abc import Iterable

import anyio
import pytest

from acp_bridge.agent.ending import AgentExit
from acp_bridge.modes import BillingMode
from acp_bridge.protocol.evidence import Context
from acp_bridge.protocol.evidence_gate import EvidenceGate
from acp_bridge.protocol.relay import RelayCore
from acp_bridge.relay import Receive, Relay, Send

SECONDS = 20.0
PROMPT = b'{"jsonrpc":"2.0","id":1,"method":"session/prompt","params":{"sessionId":"s"}}\n'
STATUS = (
    b'{"jsonrpc":"2.0","method":"_auth/status_update","params":{"authStatus":{"kind":"account"}}}\n'
)
AFTER = b'{"jsonrpc":"2.0","method":"_after"}\n'


class Pipe:
    """A byte stream in memory."""

    def __init__(self) -> None:
        self._chunks: deque[bytes] = deque()
        self._changed = anyio.Event()
        self._closed = False
        self.written = b""

    async def send(self, item: bytes) -> None:
        self.written += item
        self._announce()

    async def wait_for(self, data: bytes) -> None:
        while data not in self.written:
            await self._changed.wait()

    async def receive(self) -> bytes:
        while not self._chunks:
            if self._closed:
                raise anyio.EndOfStream
            await self._changed.wait()
        return self._chunks.popleft()

    def put(self, data: bytes) -> None:
        self._chunks.append(data)
        self._announce()

    def close(self) -> None:
        self._closed = True
        self._announce()

    def _announce(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


class ScriptedAgent:
    """An agent that ends when it is asked to."""

    def __init__(self) -> None:
        self.stdin, self.stdout = Pipe(), Pipe()
        self._ended = anyio.Event()

    async def wait(self) -> AgentExit:
        await self._ended.wait()
        return AgentExit(returncode=0)

    async def stop(self) -> AgentExit:
        self._ended.set()
        self.stdout.close()
        return AgentExit(returncode=0)


class ScriptedClient:
    """A client whose chunks arrive at once, each after what it does to the agent."""

    def __init__(self, agent: ScriptedAgent, chunks: Iterable[tuple[bytes, bytes]]) -> None:
        self._agent = agent
        self._chunks = iter(chunks)

    async def receive(self) -> bytes:
        await anyio.lowlevel.checkpoint()
        for from_agent, data in self._chunks:
            if from_agent:
                self._agent.stdout.put(from_agent)
            return data
        raise anyio.EndOfStream


class BlockedClient(Pipe):
    """A client that reads nothing."""

    async def send(self, item: bytes) -> None:
        self.written += item
        await anyio.sleep_forever()


def drive(core: RelayCore, agent: ScriptedAgent, receive: Receive, send: Send) -> Relay:
    return Relay(
        core,
        agent,  # type: ignore[arg-type]  # as much of an agent as the driver uses
        receive=receive,
        send=send,
        observe=lambda _fact: None,
        answer=lambda _method: None,
    )


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("attempt", range(5))
def test_a_status_in_the_same_moment_as_the_prompt_does_not_strand_the_client(
    backend: str, attempt: int
) -> None:
    del attempt  # trio shuffles its tasks

    async def scenario() -> bytes:
        agent = ScriptedAgent()
        gate = EvidenceGate(BillingMode.SUBSCRIPTION, lambda: Context(login_stored=True), 500.0)
        client = ScriptedClient(agent, [(STATUS, PROMPT), (b"", AFTER)])
        with anyio.fail_after(SECONDS):
            await drive(RelayCore(BillingMode.SUBSCRIPTION, [gate]), agent, client, Pipe()).run()
        return agent.stdin.written

    assert anyio.run(scenario, backend=backend) == PROMPT + AFTER


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_request_written_after_the_news_of_the_agents_end_is_answered(backend: str) -> None:
    class LateClient(Pipe):
        """Asks once more when it is told that the agent has ended."""

        async def send(self, item: bytes) -> None:
            self.written += item
            if self.written.count(b"agent_exited") == 1:
                self.put(PROMPT.replace(b'"id":1', b'"id":2'))

    async def scenario() -> bytes:
        agent, client = ScriptedAgent(), LateClient()
        client.put(PROMPT)
        relay = drive(RelayCore(BillingMode.SUBSCRIPTION, []), agent, client, client)
        with anyio.fail_after(SECONDS):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(relay.run)
                await agent.stdin.wait_for(PROMPT)
                await agent.stop()
        return client.written

    lines = anyio.run(scenario, backend=backend).splitlines()
    assert [json.loads(line)["id"] for line in lines] == [1, 2]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_client_that_reads_nothing_cannot_hold_up_the_end(backend: str) -> None:
    async def scenario() -> bytes:
        agent, client = ScriptedAgent(), BlockedClient()
        client.put(PROMPT)
        relay = drive(RelayCore(BillingMode.SUBSCRIPTION, []), agent, client, client)
        with anyio.fail_after(SECONDS):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(relay.run)
                await agent.stdin.wait_for(PROMPT)
                await agent.stop()
        return client.written

    assert b"agent_exited" in anyio.run(scenario, backend=backend)
