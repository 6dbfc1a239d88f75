"""Undoing the content codings of an answer, on a copy, as it passes.

gzip, deflate, br and zstd are undone, and two of them one over the other. What a provider flushed
can be read at once, and a body that breaks off gives what was there.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

from acp_bridge.metering.wire_unfolding import Brotli, Deflate, Gzip, Unfolding, Zstd
from acp_bridge.metering.wire_usage import Unread, UnreadError

_MOST_CODINGS = 2
_UNFOLDINGS: Mapping[str, Callable[[], Unfolding]] = {
    "br": Brotli,
    "deflate": Deflate,
    "gzip": Gzip,
    "x-gzip": Gzip,
    "zstd": Zstd,
}


class Decoding:
    """The bytes of a body without their content codings, in pieces of bounded size.

    Args:
        encodings: the values of ``content-encoding``.
        most: bytes that a body may unfold to, by each of its codings.
    """

    def __init__(self, encodings: Iterable[str], *, most: int) -> None:
        names = (name.strip().lower() for value in encodings for name in value.split(","))
        self._names = [name for name in names if name not in ("", "identity")]
        self._most = most
        self._layers: list[_Layer] = []

    @property
    def is_identity(self) -> bool:
        """Whether there is nothing to undo."""
        return not self._names

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The pieces that a chunk unfolds to; take them all before the next chunk.

        Raises:
            UnreadError: a coding that is not undone, corrupt bytes, or too many of them.
        """
        if self._names and not self._layers:
            self._layers = self._made()
        pieces: Iterator[bytes] = iter((chunk,))
        for layer in self._layers:
            pieces = layer.unfold(pieces)
        return pieces

    def _made(self) -> "list[_Layer]":
        """The codings, that which was applied last first."""
        if len(self._names) > _MOST_CODINGS or not set(self._names) <= set(_UNFOLDINGS):
            raise UnreadError(Unread.ENCODING)
        try:
            return [_Layer(_UNFOLDINGS[name](), self._most) for name in reversed(self._names)]
        except ImportError as error:
            raise UnreadError(Unread.ENCODING) from error


class _Layer:
    """One coding of a body, and how much it may still unfold to."""

    def __init__(self, unfolding: Unfolding, most: int) -> None:
        self._unfolding = unfolding
        self._left = most

    def unfold(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            for piece in self._pieces(chunk):
                self._left -= len(piece)
                if self._left < 0:
                    raise UnreadError(Unread.TOO_LONG)
                yield piece

    def _pieces(self, chunk: bytes) -> Iterator[bytes]:
        try:
            yield from self._unfolding.pieces(chunk)
        except self._unfolding.error as error:
            raise UnreadError(Unread.CORRUPT) from error
