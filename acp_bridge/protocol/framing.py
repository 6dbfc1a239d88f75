"""Cuts a byte stream into lines: the one rule is that a line ends at LF and nowhere else.

The same rule as the agent's own reader (`LineBuffer` of the ACP TypeScript SDK): a CR before the LF
belongs to the terminator, CR alone or U+2028 end nothing, and at the end of the stream a line
without LF counts. Fuzz invariant: any chunking of a stream gives the same lines.
"""

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


class LineSplitter:
    """An incremental splitter that costs O(total bytes), however a stream is cut into chunks.

    Args:
        max_line_bytes: longest line that passes, not counting its terminator.
        head_bytes: how much of a line over the limit is kept to identify it.
    """

    def __init__(self, max_line_bytes: int, *, head_bytes: int = 4096) -> None:
        self._limit = max_line_bytes
        self._head_bytes = min(head_bytes, max_line_bytes)
        self._parts: list[bytes] = []
        self._pending = 0
        self._discarding = False

    def feed(self, data: bytes) -> list[bytes | TooLong]:
        """Take a chunk; give every line that it completes, terminators included."""
        found: list[bytes | TooLong] = []
        end = data.find(_LF)
        if end < 0:
            self._keep(data, found)
            return found
        start = 0
        if self._discarding or self._parts:
            self._finish_pending(data[: end + 1], found)
            start = end + 1
            end = data.find(_LF, start)
        limit = self._limit
        while end >= 0:
            line = data[start : end + 1]
            found.append(line if end - start <= limit else self._judge(line))
            start = end + 1
            end = data.find(_LF, start)
        if start < len(data):
            self._keep(data[start:], found)
        return found

    def flush(self) -> list[bytes | TooLong]:
        """Give the unterminated last line, if the stream ended in one."""
        found: list[bytes | TooLong] = []
        if self._parts:
            self._finish_pending(b"", found)
        self._discarding = False
        return found

    def _finish_pending(self, rest: bytes, found: list[bytes | TooLong]) -> None:
        if self._discarding:
            self._discarding = False
            return
        self._parts.append(rest)
        line = b"".join(self._parts)
        self._forget_pending()
        found.append(self._judge(line))

    def _keep(self, tail: bytes, found: list[bytes | TooLong]) -> None:
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
