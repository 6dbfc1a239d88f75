"""All the ways to ask for the documents of a run: request, property, command.

asking, library = Asking(client), Library(bridge)
await asking.everything_is_counted(world)
await assert_same(asking.usage, library.usage)
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import anyio
import anyio.to_thread

from acp_bridge.bridge import Bridge
from acp_bridge.loopback.asked import RequestKind
from acp_bridge.loopback.seen import Outcome, SeenRequest
from acp_bridge.testing import OfflineWorld
from tests.bridge.process import SECONDS, Json, run_bridge
from tests.support.acp import AcpClient

Ask = Callable[[], Awaitable[Json]]


class Client:
    """A client on the stream of a bridge in this process."""

    def __init__(self, bridge: Bridge) -> None:
        self._stream = bridge.stream
        self._data = b""
        self._requests = 0

    async def request(self, method: str, params: Json) -> Json:
        self._requests += 1
        message = {"jsonrpc": "2.0", "id": self._requests, "method": method, "params": params}
        await self._stream.send(json.dumps(message).encode() + b"\n")
        with anyio.fail_after(SECONDS):
            while (answer := await self._message()).get("id") != self._requests:
                pass
        result: Json = answer["result"]
        return result

    async def initialize(self) -> Json:
        return await self.request("initialize", {"protocolVersion": 1, "clientCapabilities": {}})

    async def new_session(self, cwd: Path) -> str:
        opened = await self.request("session/new", {"cwd": str(cwd), "mcpServers": []})
        return str(opened["sessionId"])

    async def prompt(self, session: str, text: str) -> Json:
        prompt = [{"type": "text", "text": text}]
        return await self.request("session/prompt", {"sessionId": session, "prompt": prompt})

    async def _message(self) -> Json:
        while b"\n" not in self._data:
            self._data += await self._stream.receive()
        line, _, self._data = self._data.partition(b"\n")
        message: Json = json.loads(line)
        return message


class Asking:
    """What the client asks the bridge for its own documents."""

    def __init__(self, client: AcpClient | Client) -> None:
        self._client = client

    async def status(self) -> Json:
        return await self._client.request("_acp_bridge/status", {})

    async def usage(self) -> Json:
        return await self._client.request("_acp_bridge/usage", {})

    async def everything_is_counted(self, world: OfflineWorld, *, sessions: int = 1) -> None:
        """Wait until every session has its title, and all that was answered is counted."""

        def titles(_: SeenRequest) -> bool:
            done = [one for one in answered(world) if one.outcome is Outcome.COMPLETE]
            return sum(one.kind is RequestKind.TITLE for one in done) >= sessions

        await world.endpoint.wait_for(titles, SECONDS)
        with anyio.fail_after(SECONDS):
            while (await self.usage())["totals"]["requests"] != len(answered(world)):
                pass


class Library:
    """The same of a bridge in this process."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    async def status(self) -> Json:
        return {"schema_version": 1, "bridges": [self._bridge.status]}

    async def usage(self) -> Json:
        return self._bridge.usage


async def printed(env: Mapping[str, str], *arguments: str) -> Json:
    """What a command prints."""

    def ask() -> Json:
        done = run_bridge(*arguments, env=env)
        assert done.returncode == 0, done.stderr
        document: Json = json.loads(done.stdout)
        return document

    return await anyio.to_thread.run_sync(ask)


async def assert_same(ask: Ask, ask_otherwise: Ask) -> Json:
    """Fail unless both say the same, once what is under way has come to everywhere.

    Between two questions the agent may tell something more, and the disk follows the run.
    """
    document, other = await ask(), await ask_otherwise()
    with anyio.move_on_after(SECONDS):
        while document != other:
            document, other = await ask(), await ask_otherwise()
    assert document == other
    return document


def answered(world: OfflineWorld, session_id: str | None = None) -> list[SeenRequest]:
    """The requests that a model answered, of one session or of all."""
    return [
        seen
        for seen in world.endpoint.seen
        if seen.usage is not None and session_id in (None, seen.session_id)
    ]
