"""Cuts server-sent events into what their data lines say, and skips what cannot matter.

Grammar: the HTML standard, "Parsing an event stream": lines end at LF, CR or CRLF, an empty line
ends an event, its data lines are joined by LF, comments and other fields say nothing here.

An event whose bytes hold none of `_MARKS` is never looked at: nearly all of a stream are pieces of
content. Fuzz invariant: any chunking of a stream gives the same events.
"""

from collections.abc import Callable

from acp_bridge.metering.wire_usage import Unread, UnreadError

_BOM = b"\xef\xbb\xbf"
_CONTENT = b"content_block_delta"
_MESSAGE, _ERROR = b"message_", b'"error"'
_MARKS = (_MESSAGE, _ERROR)
"""In ``message_start``, ``message_delta``, ``message_stop`` and in ``error`` events. Within a text
that a piece of content quotes, the quotes are escaped."""


class EventData:
    """Reads the events of a stream as its bytes pass; costs O(total bytes).

    Args:
        take: is given the data of each event that may matter; may raise `UnreadError`.
        most: bytes of a line, and of the data of an event.
    """

    def __init__(self, take: Callable[[bytes], None], *, most: int) -> None:
        self._take = take
        self._most = most
        self._partial = bytearray()
        self._data: list[bytes] = []
        self._size = 0
        self._matters = False
        self._after_cr = False
        self._at_start = True
        self.content_begun = False

    def feed(self, chunk: bytes) -> None:
        """Take in the next bytes.

        Raises:
            UnreadError: a line or an event is too long, or `take` raised it.
        """
        if not chunk:
            return
        if self._after_cr and chunk[0] == 10:  # noqa: PLR2004 - the LF of a CRLF cut in two
            chunk = chunk[1:]
        self._after_cr = False
        end = max(chunk.rfind(b"\n"), chunk.rfind(b"\r")) + 1
        if end:
            self._after_cr = chunk.endswith(b"\r")
            whole = bytes(self._partial) + chunk[:end] if self._partial else chunk[:end]
            self._partial.clear()
            self._lines(whole)
        self._partial += chunk[end:]
        over = len(self._partial) - self._most
        if over > 0 and not (
            self._at_start and self._partial.startswith(_BOM) and over <= len(_BOM)
        ):
            raise UnreadError(Unread.TOO_LONG)

    def finish(self) -> bytes:
        """The stream has ended.

        Returns:
            What there is of the data of an event that was left open; ``b""`` if it cannot matter.

        Raises:
            UnreadError: as `feed`.
        """
        if self._partial:
            self._lines(bytes(self._partial))
            self._partial.clear()
        left = b"\n".join(self._data) if self._matters else b""
        self._forget()
        return left

    def _lines(self, whole: bytes) -> None:
        """Whole lines; the last may lack its end."""
        if self._at_start:
            self._at_start = False
            whole = whole.removeprefix(_BOM)
        if not self.content_begun:
            self.content_begun = _CONTENT in whole
        if cut := self._skippable(whole):
            self._forget()
            whole = whole[cut:]
        for line in whole.splitlines():
            if not line:
                self._dispatch()
            elif len(line) > self._most:
                raise UnreadError(Unread.TOO_LONG)
            elif line.startswith(b"data:"):
                self._add(line[6:] if line.startswith(b"data: ") else line[5:])
            elif line == b"data":
                self._add(b"")

    def _skippable(self, whole: bytes) -> int:
        """Bytes up to the end of an event, if no event that ends there may matter."""
        if self._matters or len(whole) + self._size > self._most:
            return 0
        cut = _end_of_events(whole)
        for mark in _MARKS:
            if whole.find(mark, 0, cut) >= 0:
                return 0
        return cut

    def _add(self, value: bytes) -> None:
        self._size += len(value) + 1
        if self._size > self._most:
            raise UnreadError(Unread.TOO_LONG)
        self._matters = self._matters or _MESSAGE in value or _ERROR in value
        self._data.append(value)

    def _dispatch(self) -> None:
        if self._matters:
            data = b"\n".join(self._data)
            self._forget()
            self._take(data)
        elif self._data:
            self._forget()

    def _forget(self) -> None:
        self._data.clear()
        self._size = 0
        self._matters = False


def _end_of_events(whole: bytes) -> int:
    """A place after an empty line, or 0; behind the last one where lines end alike."""
    found = whole.rfind(b"\n\n")
    if found < 0:
        found = max(whole.rfind(b"\n\r"), whole.rfind(b"\r\r"))
    return found + 2 if found >= 0 else 0
