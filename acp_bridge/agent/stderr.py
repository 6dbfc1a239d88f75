"""The agent's stderr: always drained, so that the agent never waits; kept within bounds."""

from collections.abc import Callable

import anyio
import anyio.abc

TAIL_BYTES = 64 * 1024
LINE_BYTES = 8 * 1024
LINES_PER_READ = 200
"""A flood is counted, not logged line by line: the log must not become the bottleneck."""


class StderrDrain:
    """Reads an agent's stderr to its end.

    Args:
        on_line: gets each line without its end, undecodable bytes replaced, cut to 8 KiB.

    Attributes:
        ended: set when there will be no more.
    """

    def __init__(self, on_line: Callable[[str], None] | None = None) -> None:
        self._on_line = on_line
        self._tail = bytearray()
        self._unfinished = b""
        self.ended = anyio.Event()

    @property
    def tail(self) -> str:
        """The last 64 KiB."""
        return self._tail.decode(errors="replace")

    async def run(self, stream: anyio.abc.ByteReceiveStream) -> None:
        """Read `stream` until it ends."""
        try:
            async for chunk in stream:
                self._tail += chunk
                del self._tail[:-TAIL_BYTES]
                self._log(chunk)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass
        finally:
            if self._unfinished:
                self._log(b"\n")
            self.ended.set()

    def _log(self, chunk: bytes) -> None:
        *lines, unfinished = (self._unfinished + chunk).split(b"\n")
        self._unfinished = unfinished[:LINE_BYTES]
        if self._on_line is None:
            return
        for line in lines[:LINES_PER_READ]:
            self._on_line(line[:LINE_BYTES].rstrip(b"\r").decode(errors="replace"))
        if len(lines) > LINES_PER_READ:
            self._on_line(f"({len(lines) - LINES_PER_READ} more lines left out)")
