"""One content coding at a time: compressed bytes in, cut anywhere; pieces of bounded size out.

What follows the end of a body, and is no further member or frame, is padding and left out. Claude
Code 2.1.316 takes padding after gzip and br; after zstd it gives the answer up, which has been paid
for by then.
"""

import sys
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

_STEP = 256 * 1024
_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
_GZIP_MAGIC = b"\x1f\x8b"
_DEFLATE_METHOD, _ZLIB_CHECK = 8, 31
_ZLIB_HEAD_BYTES = 2
_BROTLI_BLOCK = 4096
_ZSTD_MAGIC_BYTES = 4
_ZSTD_MAGIC, _ZSTD_SKIPPABLE = 0xFD2FB528, 0x184D2A5
# RFC 9659: over HTTP no window is larger than 8 MiB.
_ZSTD_WINDOW_LOG = 23


class Unfolding(ABC):
    """A body in one coding, being undone.

    Attributes:
        error: what `pieces` raises on bytes that are not in the coding.
    """

    error: type[Exception]

    @abstractmethod
    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """What the next bytes of the body unfold to."""


class Deflate(Unfolding):
    """zlib's format, or the bare one that some servers send under that name."""

    error = zlib.error

    def __init__(self) -> None:
        self._head = b""
        self._inflate: zlib._Decompress | None = None

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """Tell by the first two bytes whether there is the header that RFC 9110 wants."""
        if self._inflate is None:
            chunk = self._head + chunk
            if len(chunk) < _ZLIB_HEAD_BYTES:
                self._head = chunk
                return
            wrapped = chunk[0] & 15 == _DEFLATE_METHOD
            wrapped = wrapped and not (chunk[0] << 8 | chunk[1]) % _ZLIB_CHECK
            self._inflate = zlib.decompressobj(_ZLIB if wrapped else _RAW)
        if not self._inflate.eof:
            yield from _inflated(self._inflate, chunk)


class _Members(Unfolding):
    """Several compressed members that follow one another are one body."""

    magic_bytes: int

    def __init__(self) -> None:
        self._member = self._new_member()
        self._held = b""
        self._over = False

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """Undo one member after the other."""
        rest = self._held + chunk
        self._held = b""
        while rest and not self._over:
            if self._member.eof:
                if len(rest) < self.magic_bytes:
                    self._held = rest
                    return
                if not self._begins(rest):
                    self._over = True
                    return
                self._member = self._new_member()
            yield from self._unfolded(rest)
            rest = self._member.unused_data

    @abstractmethod
    def _new_member(self) -> Any:
        """A decompressor with ``eof`` and ``unused_data``."""

    @abstractmethod
    def _begins(self, rest: bytes) -> bool:
        """Whether a member begins here."""

    @abstractmethod
    def _unfolded(self, rest: bytes) -> Iterator[bytes]:
        """What the member unfolds to."""


class Gzip(_Members):
    """gzip, in one member or more."""

    error = zlib.error
    magic_bytes = len(_GZIP_MAGIC)

    def _new_member(self) -> "zlib._Decompress":
        return zlib.decompressobj(_GZIP)

    def _begins(self, rest: bytes) -> bool:
        return rest.startswith(_GZIP_MAGIC)

    def _unfolded(self, rest: bytes) -> Iterator[bytes]:
        return _inflated(self._member, rest)


class Zstd(_Members):
    """zstd, in one frame or more.

    Raises:
        ImportError: this Python has no zstd.
    """

    magic_bytes = _ZSTD_MAGIC_BYTES

    def __init__(self) -> None:
        if sys.version_info >= (3, 14):
            from compression import zstd  # noqa: PLC0415 - for the answers that need it
        else:
            from backports import zstd  # noqa: PLC0415 - as above
        self._zstd = zstd
        self.error = zstd.ZstdError
        super().__init__()

    def _new_member(self) -> Any:
        window: dict[int, int] = {
            self._zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG
        }
        self._begun = False
        return self._zstd.ZstdDecompressor(options=window)

    def _begins(self, rest: bytes) -> bool:
        magic = int.from_bytes(rest[:_ZSTD_MAGIC_BYTES], "little")
        return magic == _ZSTD_MAGIC or magic >> 4 == _ZSTD_SKIPPABLE

    def _unfolded(self, rest: bytes) -> Iterator[bytes]:
        if not self._begun:
            # A frame that comes whole is undone without a look at its window: libzstd 1.5.
            self._begun = True
            self._member.decompress(rest[:1], _STEP)
            rest = rest[1:]
        while not self._member.eof:
            piece = self._member.decompress(rest, _STEP)
            if piece:
                yield piece
            if self._member.needs_input:
                return
            rest = b""


class Brotli(Unfolding):
    """br.

    Raises:
        ImportError: this Python has no brotli.
    """

    def __init__(self) -> None:
        import brotli  # type: ignore[import-untyped]  # noqa: PLC0415 - for the answers that need it

        self.error = brotli.error
        self._decoder = brotli.Decompressor()
        # What came together with bytes after the end is lost; this one is a block behind.
        self._behind = brotli.Decompressor()

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """Undo block by block."""
        for at in range(0, len(chunk), _BROTLI_BLOCK):
            if self._decoder.is_finished():
                return
            yield from self._of_block(chunk[at : at + _BROTLI_BLOCK])

    def _of_block(self, block: bytes) -> Iterator[bytes]:
        told = 0
        try:
            for piece in _decoded(self._decoder, block):
                told += len(piece)
                yield piece
        except self.error:
            self._decoder = self._behind
            yield from self._up_to_the_end(block, told)
        else:
            for _ in _decoded(self._behind, block):
                pass

    def _up_to_the_end(self, block: bytes, told: int) -> Iterator[bytes]:
        """Byte by byte; what was told is not told again."""
        for byte in block:
            for piece in _decoded(self._decoder, bytes((byte,))):
                yield piece[told:]
                told = max(0, told - len(piece))
            if self._decoder.is_finished():
                return


def _inflated(inflate: "zlib._Decompress", rest: bytes) -> Iterator[bytes]:
    while piece := inflate.decompress(rest, _STEP):
        yield piece
        rest = inflate.unconsumed_tail
        if len(piece) < _STEP:
            return


def _decoded(decoder: Any, rest: bytes) -> Iterator[bytes]:
    """All there is up to here: brotli 1.2 keeps some back though it could accept more data."""
    while piece := decoder.process(rest, output_buffer_limit=_STEP):
        yield piece
        rest = b""
