"""A TCP client that sends bytes as they are and reads until it has what it waits for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from anyio.abc import SocketStream

_SECONDS = 5.0


class RawClient:
    """One connection. Every wait is bounded."""

    def __init__(self, stream: SocketStream) -> None:
        self.stream = stream
        self.received = b""

    async def send(self, data: bytes) -> None:
        """Send bytes."""
        with anyio.fail_after(_SECONDS):
            await self.stream.send(data)

    async def read_until(self, mark: bytes, *, times: int = 1) -> bytes:
        """Read until the mark was received that often, and return everything received so far.

        Raises:
            TimeoutError: it did not come in time.
            anyio.EndOfStream: the other side closed without it.
        """
        with anyio.fail_after(_SECONDS):
            while self.received.count(mark) < times:
                self.received += await self.stream.receive()
        return self.received

    async def read_to_end(self) -> bytes:
        """Read until the other side closes, and return everything received."""
        with anyio.fail_after(_SECONDS):
            try:
                while True:
                    self.received += await self.stream.receive()
            except anyio.EndOfStream:
                return self.received


@asynccontextmanager
async def raw_client(url: str) -> AsyncIterator[RawClient]:
    """Connect to ``http://127.0.0.1:PORT``."""
    async with await anyio.connect_tcp("127.0.0.1", int(url.rpartition(":")[2])) as stream:
        yield RawClient(stream)
