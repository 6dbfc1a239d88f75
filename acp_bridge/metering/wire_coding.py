"""Undoing the content encoding of an answer, on a copy, as it passes.

The standard library undoes gzip and deflate. Nothing that is locked undoes br or zstd; what comes
in those cannot be read.
"""

import zlib
from collections.abc import Iterable, Iterator

from acp_bridge.metering.wire_usage import Unread, UnreadError

_STEP = 256 * 1024
_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
_GZIP_MAGIC = b"\x1f"
_DEFLATE_METHOD, _ZLIB_CHECK = 8, 31
_ZLIB_HEAD_BYTES = 2


class Decoding:
    """The bytes of a body without their content encoding, in pieces of bounded size.

    Args:
        encodings: the values of ``content-encoding``.
        most: bytes that a body may unfold to.
    """

    def __init__(self, encodings: Iterable[str], *, most: int) -> None:
        names = (name.strip().lower() for value in encodings for name in value.split(","))
        self._names = [name for name in names if name not in ("", "identity")]
        self._left = most
        self._head = b""
        self._inflate = zlib.decompressobj(_GZIP)
        self._begun = self._names != ["deflate"]

    @property
    def is_identity(self) -> bool:
        """Whether there is nothing to undo."""
        return not self._names

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The pieces that a chunk unfolds to.

        Raises:
            UnreadError: an encoding that is not undone, corrupt bytes, or too many of them.
        """
        match self._names:
            case []:
                yield chunk
            case ["gzip" | "x-gzip" | "deflate"]:
                try:
                    yield from self._unfold(self._after_head(chunk))
                except zlib.error as error:
                    raise UnreadError(Unread.CORRUPT) from error
            case _:
                raise UnreadError(Unread.ENCODING)

    def _after_head(self, chunk: bytes) -> bytes:
        """Tell by its first two bytes whether a deflate body has the header that RFC 9110 wants.

        Some servers leave it out.
        """
        if self._begun:
            return chunk
        head = self._head + chunk
        if len(head) < _ZLIB_HEAD_BYTES:
            self._head = head
            return b""
        wrapped = head[0] & 15 == _DEFLATE_METHOD and not (head[0] << 8 | head[1]) % _ZLIB_CHECK
        self._inflate = zlib.decompressobj(_ZLIB if wrapped else _RAW)
        self._begun = True
        return head

    def _unfold(self, rest: bytes) -> Iterator[bytes]:
        while rest:
            if self._inflate.eof:
                # Members of gzip may follow one another; anything else there is padding.
                if self._names == ["deflate"] or not rest.startswith(_GZIP_MAGIC):
                    return
                self._inflate = zlib.decompressobj(_GZIP)
            piece = self._inflate.decompress(rest, _STEP)
            while piece:
                self._left -= len(piece)
                if self._left < 0:
                    raise UnreadError(Unread.TOO_LONG)
                yield piece
                piece = self._inflate.decompress(self._inflate.unconsumed_tail, _STEP)
            rest = self._inflate.unused_data
