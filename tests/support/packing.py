"""The content codings that Claude Code asks for, as a provider applies them."""

import sys
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import brotli  # type: ignore[import-untyped]

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


@dataclass(frozen=True, slots=True)
class Packer:
    """One body being packed.

    Attributes:
        add: takes the next bytes, and gives what is ready.
        flush: gives all that is needed to read what was added.
        finish: gives the rest, and the end.
    """

    add: Callable[[bytes], bytes]
    flush: Callable[[], bytes]
    finish: Callable[[], bytes]


def _zlib(bits: int) -> Packer:
    packer = zlib.compressobj(6, zlib.DEFLATED, bits)
    return Packer(packer.compress, lambda: packer.flush(zlib.Z_SYNC_FLUSH), packer.flush)


def _br() -> Packer:
    packer = brotli.Compressor(quality=4)
    return Packer(packer.process, packer.flush, packer.finish)


def _zstd() -> Packer:
    packer = zstd.ZstdCompressor()
    return Packer(packer.compress, lambda: packer.compress(b"", packer.FLUSH_BLOCK), packer.flush)


def _one_over_the_other(inner: Callable[[], Packer], outer: Callable[[], Packer]) -> Packer:
    one, two = inner(), outer()
    return Packer(
        lambda data: two.add(one.add(data)),
        lambda: two.add(one.flush()) + two.flush(),
        lambda: two.add(one.finish()) + two.finish(),
    )


def _unpacked_br(body: bytes) -> bytes:
    decoder = brotli.Decompressor()
    done = part = bytes(decoder.process(body))
    while part:
        part = decoder.process(b"")
        done += part
    return done


PACKERS: Mapping[str, Callable[[], Packer]] = {
    "gzip": lambda: _zlib(31),
    "x-gzip": lambda: _zlib(31),
    "deflate": lambda: _zlib(15),
    "deflate without its header": lambda: _zlib(-15),
    "br": _br,
    "zstd": _zstd,
    "gzip, br": lambda: _one_over_the_other(PACKERS["gzip"], _br),
    "br, zstd": lambda: _one_over_the_other(_br, _zstd),
    "zstd, zstd": lambda: _one_over_the_other(_zstd, _zstd),
}
"""By the value of ``content-encoding``, but for what is told beside it."""

CODINGS = tuple(PACKERS)
UNPACKERS: Mapping[str, Callable[[bytes], bytes]] = {
    "gzip": lambda body: zlib.decompressobj(31).decompress(body),
    "deflate": lambda body: zlib.decompressobj(15).decompress(body),
    "br": _unpacked_br,
    "zstd": lambda body: zstd.ZstdDecompressor().decompress(body),
}
"""Each undoes one whole or broken off body at once."""


def header(coding: str) -> tuple[str, str]:
    """The header that names a coding of `PACKERS`."""
    return "Content-Encoding", coding.partition(" without")[0].upper()


def packed(coding: str, parts: bytes | Iterable[bytes], *, flushed: bool = False) -> bytes:
    """A body in a coding of `PACKERS`, flushed after each of its parts or not."""
    packer = PACKERS[coding]()
    done = b""
    for part in [parts] if isinstance(parts, bytes) else parts:
        done += packer.add(part)
        done += packer.flush() if flushed else b""
    return done + packer.finish()


def zstd_frame(body: bytes, *, window_log: int) -> bytes:
    """A frame by RFC 8878 that says its length, and wants a window of 2 ** window_log bytes.

    The body is one block as it is, of 256 bytes to 64 KiB.
    """
    says_its_length_in_two_bytes = b"\x40"
    window = bytes(((window_log - 10) << 3,))
    length = (len(body) - 256).to_bytes(2, "little")
    last_block = (len(body) << 3 | 1).to_bytes(3, "little")
    magic = b"\x28\xb5\x2f\xfd"
    return magic + says_its_length_in_two_bytes + window + length + last_block + body
