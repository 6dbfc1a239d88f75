"""A proxy that goes nowhere: it records what was asked of it and refuses.

Set as ``HTTPS_PROXY`` and the like it proves that a program spoke to nobody but loopback: whatever
it would have sent elsewhere is in `ProxySink.refused`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

import anyio
from anyio.abc import SocketStream

from acp_bridge.loopback.http import Listener
from acp_bridge.loopback.seen import Record

_FIRST_LINE_BYTES = 8 * 1024
_WAIT_SECONDS = 10.0
_SOCKS_VERSIONS = {4: "SOCKS4", 5: "SOCKS5"}
_REFUSAL = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True)
class RefusedRequest:
    """One thing that a program asked the proxy for.

    Attributes:
        at: when, UTC.
        method: ``CONNECT``, another HTTP method, ``SOCKS4``, ``SOCKS5``, or ``?`` for bytes that
            are neither.
        target: what it wanted to reach, as it came; empty where the protocol says it later.
    """

    at: datetime
    method: str
    target: str


class ProxySink:
    """A recording, refusing proxy on a free loopback port, as an async context manager."""

    def __init__(self) -> None:
        self._record: Record[RefusedRequest] = Record()
        self._listener = Listener(self._refuse)

    async def __aenter__(self) -> Self:
        await self._listener.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._listener.__aexit__(*error)

    @property
    def url(self) -> str:
        """What to put into ``HTTPS_PROXY`` and the like, once entered."""
        return self._listener.url

    @property
    def refused(self) -> list[RefusedRequest]:
        """Everything that was asked of it so far."""
        return self._record.all()

    async def wait_for(
        self, predicate: Callable[[RefusedRequest], bool], seconds: float
    ) -> RefusedRequest:
        """The first refused request, past or to come, that the predicate accepts.

        Raises:
            TimeoutError: none came in time.
        """
        return await self._record.wait_for(predicate, seconds)

    async def _refuse(self, stream: SocketStream) -> None:
        async with stream:
            try:
                with anyio.fail_after(_WAIT_SECONDS):
                    first_line = await _first_line(stream)
                    if not first_line:
                        return
                    method, target = _what_was_asked(first_line)
                    self._record.add(RefusedRequest(datetime.now(UTC), method, target))
                    if method not in _SOCKS_VERSIONS.values():
                        await stream.send(_REFUSAL)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError, TimeoutError):
                return


async def _first_line(stream: SocketStream) -> bytes:
    data = b""
    while b"\n" not in data and len(data) < _FIRST_LINE_BYTES:
        try:
            data += await stream.receive()
        except anyio.EndOfStream:
            break
        if data[0] in _SOCKS_VERSIONS:
            break
    return data.partition(b"\n")[0]


def _what_was_asked(first_line: bytes) -> tuple[str, str]:
    if first_line[0] in _SOCKS_VERSIONS:
        return _SOCKS_VERSIONS[first_line[0]], ""
    words = first_line.decode("latin-1").split()
    match words:
        case [method, target, version] if version.startswith("HTTP/"):
            return method, target
        case _:
            return "?", ""
