"""The content codings of an answer, undone as its bytes pass."""

import subprocess
import sys

import pytest

from acp_bridge.metering.usage import Tokens
from acp_bridge.metering.wire import AnswerReader, Bounds
from acp_bridge.metering.wire_coding import Decoding
from acp_bridge.metering.wire_request import Endpoint
from acp_bridge.metering.wire_usage import Unread
from tests.metering.wire_bytes import CONTENT, STOP, STREAM, delta, message, read, stream
from tests.support.packing import CODINGS, PACKERS, header, packed, zstd_frame

BODY = stream(message(), CONTENT, delta(output_tokens=3), STOP)
SKIPPABLE = b"\x57\x2a\x4d\x18\x03\x00\x00\x00abc"


@pytest.mark.parametrize("coding", CODINGS)
def test_what_was_flushed_is_read_before_the_rest_comes(coding: str) -> None:
    packer = PACKERS[coding]()
    reader = AnswerReader(Endpoint.MESSAGES, 200, [STREAM, header(coding)])
    begun = []
    for event in (stream(message()), CONTENT):
        reader.feed(packer.add(event) + packer.flush())
        begun.append(reader.content_begun)
    assert begun == [False, True]
    seen = reader.finish(complete=False)
    assert (seen.tokens, seen.complete, seen.unread) == (Tokens(10, 1), False, None)


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("size", [1, 32_768, 250_000, 1_000_000])
def test_however_much_was_flushed_all_of_it_is_there(coding: str, size: int) -> None:
    body = b"".join(b"%d " % number for number in range(size))[:size]
    packer, decoding = PACKERS[coding](), Decoding([header(coding)[1]], most=10**8)
    for _ in range(2):
        flushed = packer.add(body) + packer.flush()
        assert b"".join(decoding.feed(flushed)) == body


@pytest.mark.parametrize(
    "encoding", ["rot13", "compress", "dcb", "br, rot13", "gzip, br, zstd", "gzip, gzip, gzip"]
)
def test_a_coding_that_is_not_undone_leaves_the_usage_unknown(encoding: str) -> None:
    seen = read(BODY, STREAM, ("content-encoding", encoding))
    assert (seen.tokens, seen.unread, seen.complete) == (None, Unread.ENCODING, True)


def test_codings_may_be_named_in_several_headers_and_identity_is_none() -> None:
    headers = [("content-encoding", value) for value in ("identity, gzip", "", "Br")]
    assert read(packed("gzip, br", BODY), STREAM, *headers) == read(BODY)


@pytest.mark.parametrize(
    ("encoding", "library"),
    [("br", "brotli"), ("zstd", "compression" if sys.version_info >= (3, 14) else "backports")],
)
def test_a_python_without_the_library_leaves_the_usage_unknown(
    encoding: str, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    assert read(packed(encoding, BODY), STREAM, header(encoding)).unread is Unread.ENCODING
    assert read(packed("gzip", BODY), STREAM, header("gzip")) == read(BODY)


@pytest.mark.parametrize("coding", CODINGS)
def test_corrupt_bytes_leave_the_usage_unknown(coding: str) -> None:
    seen = read(b"\xff no such coding at all", STREAM, header(coding))
    assert (seen.tokens, seen.unread) == (None, Unread.CORRUPT)


@pytest.mark.parametrize("coding", CODINGS)
def test_a_small_body_that_unfolds_to_a_huge_one_is_given_up(coding: str) -> None:
    bomb = packed(coding, b"\n" * 3_000_000)
    assert len(bomb) < 10_000
    for most, why in (
        (1_000_000, Unread.TOO_LONG),
        (2_999_999, Unread.TOO_LONG),
        (3_000_000, None),
    ):
        bounds = Bounds(unfolded=most)
        assert read(bomb, STREAM, header(coding), bounds=bounds).unread is why
        assert (
            read([bytes([one]) for one in bomb], STREAM, header(coding), bounds=bounds).unread
            is why
        )


@pytest.mark.parametrize("coding", CODINGS)
def test_no_piece_is_large_however_much_a_chunk_unfolds_to(coding: str) -> None:
    bomb = packed(coding, b"\n" * 30_000_000)
    decoding = Decoding([header(coding)[1]], most=30_000_000)
    sizes = [len(piece) for piece in decoding.feed(bomb)]
    assert sum(sizes) == 30_000_000
    assert max(sizes) <= 512 * 1024


@pytest.mark.parametrize("outer", ["br", "zstd"])
def test_what_unfolds_to_much_that_unfolds_to_nothing_is_given_up(outer: str) -> None:
    body = packed("gzip", BODY) + b"\0" * 3_000_000
    headers = (STREAM, ("content-encoding", f"gzip, {outer}"))
    assert read(packed(outer, body), *headers) == read(BODY)
    bounds = Bounds(unfolded=1_000_000)
    assert read(packed(outer, body), *headers, bounds=bounds).unread is Unread.TOO_LONG


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_members_and_frames_may_come_byte_by_byte_but_not_after_padding(coding: str) -> None:
    one, two = packed(coding, BODY[:99]), packed(coding, BODY[99:])
    assert read([bytes([byte]) for byte in one + two], STREAM, header(coding)) == read(BODY)
    for chunks in ([one + b"\0\0\0\0" + two], [one, b"\0\0\0\0", two]):
        assert read(chunks, STREAM, header(coding)) == read(BODY[:99])


@pytest.mark.parametrize("coding", CODINGS)
def test_what_comes_with_padding_is_told_once_however_much_it_is(coding: str) -> None:
    decoding = Decoding([header(coding)[1]], most=10**7)
    body = b"\n" * 3_000_000 + BODY
    assert b"".join(decoding.feed(packed(coding, body) + b"padding")) == body


def test_of_zstd_what_is_to_be_skipped_is() -> None:
    body = SKIPPABLE + packed("zstd", BODY[:99]) + SKIPPABLE + packed("zstd", BODY[99:])
    assert read(body, STREAM, header("zstd")) == read(BODY)


def test_after_the_end_of_br_nothing_more_is_read() -> None:
    one, two = packed("br", BODY[:99]), packed("br", BODY[99:])
    for chunks in ([one + two], [one, two], [bytes([byte]) for byte in one + two]):
        assert read(chunks, STREAM, header("br")) == read(BODY[:99])


def test_a_window_that_http_does_not_allow_is_refused_however_the_frame_comes() -> None:
    assert read(zstd_frame(BODY, window_log=23), STREAM, header("zstd")) == read(BODY)
    wide = zstd_frame(BODY, window_log=24)
    for chunks in ([wide], [bytes([one]) for one in wide]):
        assert read(chunks, STREAM, header("zstd")).unread is Unread.CORRUPT


def test_no_library_is_loaded_before_an_answer_needs_it() -> None:
    code = f"""
import sys
from acp_bridge.metering.wire import AnswerReader
from acp_bridge.metering.wire_request import Endpoint
def read(coding, body):
    reader = AnswerReader(Endpoint.MESSAGES, 200, [("content-encoding", coding)])
    reader.feed(body)
    return reader.finish(complete=True).tokens.output
def loaded():
    return [name for name in ("brotli", "backports", "compression") if name in sys.modules]
assert read("gzip", {packed("gzip", BODY)!r}) == 3
assert not loaded()
assert read("br", {packed("br", BODY)!r}) == read("zstd", {packed("zstd", BODY)!r}) == 3
assert len(loaded()) == 2
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
