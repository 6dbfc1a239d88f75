"""Cuts a byte stream into lines: the one rule is that a line ends at LF and nowhere else.

The same rule as the agent's own reader (`LineBuffer` of the ACP TypeScript SDK): a CR before the LF
belongs to the terminator, CR alone or U+2028 end nothing, and at the end of the stream a line
without LF counts. Fuzz invariant: any chunking of a stream gives the same lines.
"""

from collections.abc import Iterator
from dataclasses import dataclass

_LF = b"\n"
_CR = b"\r"


@dataclass(frozen=True, slots=True)
class TooLong:
    """A line over the limit; its bytes are gone, except the first few.

    Attributes:
        head: the first bytes of the line, enough to look for an id in.
    """

    head: bytes


@dataclass(frozen=True, slots=True)
class Lines:
    """Whole lines that came together and are no longer than the limit, terminators included."""

    data: bytes

    def each(self) -> Iterator[bytes]:
        """The lines, one by one."""
        start = 0
        while start < len(self.data):
            end = self.data.index(_LF, start) + 1
            yield self.data[start:end]
            start = end


Piece = bytes | Lines | TooLong
"""What a stream is cut into: a line, several lines, or what is left of one that is too long."""


class LineSplitter:
    """An incremental splitter that costs O(total bytes), however a stream is cut into chunks.

    Lines that come together stay together (`Lines`), so that those that nobody has to look at are
    handed on without being taken apart.

    Args:
        max_line_bytes: longest line that passes, not counting its terminator.
        head_bytes: how much of a line over the limit is kept to identify it.
    """

    def __init__(self, max_line_bytes: int, *, head_bytes: int = 4096) -> None:
        self._limit = max_line_bytes
        self._head_bytes = min(head_bytes, max_line_bytes)
        # Views of the chunks: a long line is copied once, when it is whole.
        self._parts: list[bytes | memoryview] = []
        self._pending = 0
        self._discarding = False

    def feed(self, data: bytes) -> list[Piece]:
        """Take a chunk; give every line that it completes, terminators included."""
        found: list[Piece] = []
        first = data.find(_LF) + 1
        if not first:
            self._keep(data, found)
            return found
        start = 0
        if self._discarding or self._parts:
            self._finish_pending(memoryview(data)[:first], found)
            start, first = first, data.find(_LF, first) + 1
        if first:
            last = data.rfind(_LF) + 1
            together = data[start:last]
            if first == last:
                found.append(self._judge(together))
            elif len(together) <= self._limit:
                found.append(Lines(together))
            else:
                found += map(self._judge, Lines(together).each())
            start = last
        if start < len(data):
            self._keep(memoryview(data)[start:], found)
        return found

    def flush(self) -> list[Piece]:
        """Give the unterminated last line, if the stream ended in one."""
        found: list[Piece] = []
        if self._parts:
            self._finish_pending(b"", found)
        self._discarding = False
        return found

    def _finish_pending(self, rest: bytes | memoryview, found: list[Piece]) -> None:
        if self._discarding:
            self._discarding = False
            return
        self._parts.append(rest)
        line = b"".join(self._parts)
        self._forget_pending()
        found.append(self._judge(line))

    def _keep(self, tail: bytes | memoryview, found: list[Piece]) -> None:
        if self._discarding or not tail:
            return
        self._parts.append(tail)
        self._pending += len(tail)
        # One byte over may still be the CR of a terminator.
        if self._pending > self._limit + 1:
            head = b"".join(self._parts)[: self._head_bytes]
            self._forget_pending()
            self._discarding = True
            found.append(TooLong(head))

    def _judge(self, line: bytes) -> bytes | TooLong:
        if len(line) <= self._limit:
            return line
        size = len(line) - len(terminator(line))
        return line if size <= self._limit else TooLong(line[: self._head_bytes])

    def _forget_pending(self) -> None:
        self._parts = []
        self._pending = 0


def terminator(line: bytes) -> bytes:
    """The LF or CR LF that ends a line; a lone CR at the end of a stream; or nothing."""
    if line.endswith(_LF):
        return b"\r\n" if line.endswith(b"\r\n") else _LF
    return _CR if line.endswith(_CR) else b""
