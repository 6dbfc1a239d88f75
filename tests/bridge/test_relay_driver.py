"""The driver of the relay core, alone with two scripted sides."""

from collections import deque
from collections.abc import Iterable

import anyio
import pytest

from acp_bridge.agent.ending import AgentExit
from acp_bridge.modes import BillingMode
from acp_bridge.protocol.evidence import Context
from acp_bridge.protocol.evidence_gate import EvidenceGate
from acp_bridge.protocol.relay import RelayCore
from acp_bridge.relay import Relay

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


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("attempt", range(5))
def test_a_status_in_the_same_moment_as_the_prompt_does_not_strand_the_client(
    backend: str, attempt: int
) -> None:
    del attempt  # trio shuffles its tasks

    async def scenario() -> bytes:
        agent = ScriptedAgent()
        gate = EvidenceGate(BillingMode.SUBSCRIPTION, lambda: Context(login_stored=True), 500.0)
        relay = Relay(
            RelayCore(BillingMode.SUBSCRIPTION, [gate]),
            agent,  # type: ignore[arg-type]  # as much of an agent as the driver uses
            receive=ScriptedClient(agent, [(STATUS, PROMPT), (b"", AFTER)]),
            send=Pipe(),
            observe=lambda _fact: None,
            answer=lambda _method: None,
        )
        with anyio.fail_after(SECONDS):
            await relay.run()
        return agent.stdin.written

    assert anyio.run(scenario, backend=backend) == PROMPT + AFTER
