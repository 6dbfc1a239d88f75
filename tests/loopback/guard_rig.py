"""A wire guard between raw sockets: a client's, and an upstream's that says what it is told."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Self

import anyio
from anyio.abc import SocketStream

from acp_bridge.loopback.bound import bind_loopback
from acp_bridge.loopback.guard import Report, RequestFacts, WireGuard
from acp_bridge.loopback.http import Limits, Listener
from acp_bridge.loopback.message import HeaderPairs
from acp_bridge.loopback.upstream import Upstream
from acp_bridge.modes import BillingMode
from acp_bridge.policy.judgement import Judge, with_credential
from tests.support.raw import raw_client

TOKEN = "FAKE0token"
HELD = "FAKE-placeholder"
KEY = "sk-ant-api03-FAKE-key"
OAUTH = "sk-ant-oat01-FAKE-token"
AS_KEY = f"X-Api-Key: {HELD}".encode()
LOGIN = (f"Authorization: Bearer {OAUTH}".encode(), b"anthropic-beta: oauth-2025-04-20")
BODY = b'{"model": "m",  "system": "\xc3\xa9", "unknown": [1.0]}'
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SECRETS = (HELD, KEY, OAUTH)

Say = Callable[[SocketStream], Awaitable[None]]


class RawUpstream:
    """Takes requests, remembers their bytes, and answers with bytes."""

    def __init__(self, say: bytes | Say = OK) -> None:
        self.requests: list[bytes] = []
        self.left = anyio.Event()
        self._say = say
        self._listener = Listener(self._serve)

    async def __aenter__(self) -> Self:
        await self._listener.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._listener.__aexit__(*error)

    @property
    def url(self) -> str:
        return self._listener.url

    async def _serve(self, stream: SocketStream) -> None:
        try:
            async with stream:
                while request := await _request(stream):
                    self.requests.append(request)
                    if isinstance(self._say, bytes):
                        await stream.send(self._say)
                    else:
                        await self._say(stream)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream):
            pass
        finally:
            self.left.set()


async def _request(stream: SocketStream) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        try:
            received += await stream.receive()
        except anyio.EndOfStream:
            return b""
    head, _, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"\ncontent-length: *(\d+)", head, re.IGNORECASE)
    parts = [body]
    left = int(length[1]) - len(body) if length else 0
    while left > 0:
        parts.append(await stream.receive())
        left -= len(parts[-1])
    return head + b"\r\n\r\n" + b"".join(parts)


@dataclass
class Seen:
    """One exchange as the observer saw it."""

    facts: RequestFacts
    heads: list[tuple[int, HeaderPairs]] = field(default_factory=list)
    chunks: list[bytes] = field(default_factory=list)
    ends: list[bool] = field(default_factory=list)
    ended: anyio.Event = field(default_factory=anyio.Event)
    sent: bool | None = None
    admits: Callable[[], Awaitable[None]] | None = None

    async def admit(self) -> None:
        if self.admits is not None:
            await self.admits()

    def response(self, status: int, headers: HeaderPairs) -> None:
        self.heads.append((status, headers))

    def chunk(self, data: bytes) -> None:
        self.chunks.append(data)

    def end(self, *, complete: bool, sent: bool = True) -> None:
        self.sent = sent
        self.ends.append(complete)
        self.ended.set()

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)


class Everything:
    """An observer that keeps what it sees."""

    def __init__(self, admits: Callable[[], Awaitable[None]] | None = None) -> None:
        self.seen: list[Seen] = []
        self._admits = admits

    def request(self, facts: RequestFacts) -> Seen:
        self.seen.append(Seen(facts, admits=self._admits))
        return self.seen[-1]


@dataclass
class Rig:
    """A guard, what its observer saw, and a client."""

    guard: WireGuard
    port: int
    seen: list[Seen]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def request(
        self,
        path: str = f"/{TOKEN}/v1/messages",
        *headers: bytes,
        method: str = "POST",
        body: bytes = BODY,
        host: str | None = None,
    ) -> bytes:
        """The bytes of a request."""
        lines = [
            f"{method} {path} HTTP/1.1".encode(),
            f"Host: {host or f'127.0.0.1:{self.port}'}".encode(),
            *headers,
            *([b"Content-Length: %d" % len(body)] if body else []),
        ]
        return b"\r\n".join(lines) + b"\r\n\r\n" + body

    async def ask(
        self, path: str = f"/{TOKEN}/v1/messages", *headers: bytes, **options: object
    ) -> bytes:
        """Send one request on a connection of its own and return the whole answer."""
        return await self.tell(self.request(path, *headers, b"Connection: close", **options))  # type: ignore[arg-type]

    async def tell(self, sent: bytes) -> bytes:
        """Send bytes on a connection of their own and return all that comes back."""
        async with raw_client(self.url) as client:
            await client.send(sent)
            return await client.read_to_end()


async def attach_key(headers: HeaderPairs) -> HeaderPairs:
    return with_credential(headers, [("x-api-key", KEY)])


@asynccontextmanager
async def rig(  # noqa: PLR0913 - what a guard can be given
    upstream: Upstream | str,
    *,
    mode: BillingMode = BillingMode.API_KEY,
    attach: Callable[[HeaderPairs], Awaitable[HeaderPairs]] = attach_key,
    renew: Callable[[HeaderPairs], Awaitable[bool]] | None = None,
    report: Report | None = None,
    limits: Limits | None = None,
    admits: Callable[[], Awaitable[None]] | None = None,
) -> AsyncIterator[Rig]:
    """Run a guard in front of an upstream."""
    everything = Everything(admits)
    listening = bind_loopback()
    port = listening.getsockname()[1]
    async with WireGuard(
        listening,
        TOKEN,
        judge=Judge(mode, None if mode is BillingMode.SUBSCRIPTION else HELD),
        upstream=Upstream(upstream) if isinstance(upstream, str) else upstream,
        attach=attach,
        observer=everything,
        renew=renew,
        report=report,
        limits=limits,
    ) as guard:
        yield Rig(guard, port, everything.seen)


def unchunked(body: bytes) -> bytes:
    """A chunked body's content; fails if it has no end."""
    content: list[bytes] = []
    at = 0
    while True:
        end = body.index(b"\r\n", at)
        size, at = int(body[at:end], 16), end + 2
        if not size:
            assert body[at:] == b"\r\n"
            return b"".join(content)
        content.append(body[at : at + size])
        at += size + 2
        assert body[at - 2 : at] == b"\r\n"
