from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from acp_bridge.protocol.framing import Lines, LineSplitter, Piece, TooLong, terminator

STREAMS = st.lists(st.sampled_from([b"\n", b"\r\n", b"\r", b"a", b"bcd", b"\xe2\x80\xa8", b""]))


def cut(stream: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(stream), *(c % (len(stream) + 1) for c in cuts)})
    return [stream[a:b] for a, b in pairwise(places)]


def split(chunks: list[bytes], limit: int = 1000) -> list[bytes | TooLong]:
    """All lines, also those that come together."""
    splitter = LineSplitter(limit, head_bytes=3)
    pieces = [piece for chunk in chunks for piece in splitter.feed(chunk)] + splitter.flush()
    return [line for piece in pieces for line in each(piece)]


def each(piece: Piece) -> list[bytes | TooLong]:
    return list(piece.each()) if isinstance(piece, Lines) else [piece]


@given(STREAMS, st.lists(st.integers(min_value=0, max_value=10_000)))
def test_any_chunking_gives_the_same_lines_and_loses_no_byte(
    parts: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join(parts)
    lines = split(cut(stream, cuts))
    assert lines == split([stream])
    assert b"".join(one for one in lines if isinstance(one, bytes)) == stream
    assert all(one.count(b"\n") <= 1 for one in lines if isinstance(one, bytes))


@given(STREAMS, st.lists(st.integers(min_value=0, max_value=10_000)), st.integers(1, 6))
def test_any_chunking_finds_the_same_lines_too_long(
    parts: list[bytes], cuts: list[int], limit: int
) -> None:
    stream = b"".join(parts)
    whole = stream.split(b"\n")
    expected = [one.removesuffix(b"\r") for one in whole[:-1]]
    expected += [whole[-1].removesuffix(b"\r")] if whole[-1] else []
    lines = split(cut(stream, cuts), limit)
    assert [isinstance(one, TooLong) for one in lines] == [len(one) > limit for one in expected]
    assert lines == split([stream], limit)


def test_only_a_line_feed_ends_a_line() -> None:
    assert split([b"a\rb\xe2\x80\xa8c\x0bd\x85\n"]) == [b"a\rb\xe2\x80\xa8c\x0bd\x85\n"]


def test_an_unterminated_last_line_counts() -> None:
    assert split([b"a\nb"]) == [b"a\n", b"b"]


def test_the_stream_goes_on_after_a_line_that_is_too_long() -> None:
    assert split([b"abcdef", b"ghi", b"jk\nok\n"], 5) == [TooLong(b"abc"), b"ok\n"]


def test_a_line_of_exactly_the_limit_passes_whatever_ends_it() -> None:
    assert split([b"abcde\n", b"abcde\r", b"\n", b"abcde\r"], 5) == [
        b"abcde\n",
        b"abcde\r\n",
        b"abcde\r",
    ]


def test_a_too_long_line_is_reported_before_it_ends() -> None:
    splitter = LineSplitter(5)
    assert splitter.feed(b"abcdefg") == [TooLong(b"abcde")]
    assert splitter.feed(b"x" * 100) == []
    assert splitter.feed(b"\nb\n") == [b"b\n"]


def test_a_line_in_one_chunk_is_not_copied() -> None:
    line = b"x" * 1000 + b"\n"
    assert LineSplitter(2000).feed(line)[0] is line


def test_lines_that_come_together_stay_together_up_to_the_limit() -> None:
    assert LineSplitter(6).feed(b"a\nb\nc\nd") == [Lines(b"a\nb\nc\n")]
    assert LineSplitter(5).feed(b"a\nb\nc\nd") == [b"a\n", b"b\n", b"c\n"]


def test_terminators_are_told_apart() -> None:
    assert [terminator(one) for one in (b"a\r\n", b"a\n", b"a\r", b"a")] == [
        b"\r\n",
        b"\n",
        b"\r",
        b"",
    ]
