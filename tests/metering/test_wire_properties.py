"""Any bytes, cut anywhere: what the reader of answers promises."""

import json
import zlib
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from acp_bridge.metering.wire import Bounds
from acp_bridge.metering.wire_answer import SeenAnswer
from acp_bridge.metering.wire_request import Endpoint
from tests.metering.wire_bytes import (
    CONTENT,
    JSON,
    PING,
    STOP,
    STREAM,
    delta,
    event,
    message,
    pieces,
    read,
    stream,
    told_slowly,
)

COUNT = st.integers(0, 10**6)
PLACES = st.lists(st.integers(0, 10**6), max_size=12)
QUOTING = st.sampled_from(['"error"', "message_delta", "\n\ndata: message_stop", "é\r\n", "x"])


@st.composite
def usages(draw: st.DrawFn) -> dict[str, object]:
    five, hour = draw(COUNT), draw(COUNT)
    told: dict[str, object] = {"input_tokens": draw(COUNT), "output_tokens": draw(COUNT)}
    if draw(st.booleans()):
        told["cache_read_input_tokens"] = draw(COUNT)
    if draw(st.booleans()):
        told["cache_creation_input_tokens"] = five + hour
    if draw(st.booleans()):
        split = {"ephemeral_5m_input_tokens": five, "ephemeral_1h_input_tokens": hour}
        told["cache_creation"] = split
    return told


def text_event(text: str) -> bytes:
    return event("content_block_delta", index=0, delta={"type": "text_delta", "text": text})


DELTAS = st.builds(
    lambda reason, told: delta(reason, **told),
    st.sampled_from([None, "end_turn", "tool_use"]),
    st.dictionaries(
        st.sampled_from(["input_tokens", "output_tokens", "cache_read_input_tokens"]), COUNT
    ),
)
REST = st.lists(
    st.one_of(
        DELTAS,
        st.text().map(text_event),
        QUOTING.map(text_event),
        st.sampled_from([CONTENT, PING, STOP, b": comment\n\n", b"event: new\ndata: {}\n\n"]),
        st.sampled_from(["overloaded_error", "api_error"]).map(
            lambda kind: event("error", error={"type": kind, "message": "message_"})
        ),
    ),
    max_size=12,
)
STREAMS = st.builds(
    lambda told, rest: stream(message(usage=told), *rest),
    usages(),
    REST,
)
# Bytes that come near to what the reader looks for.
HOSTILE = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.sampled_from(
            [b"\n", b"\r", b"\n\n", b"\r\n", b"\xef\xbb\xbf", b"data", b"data:", b": "]
        ),
        st.sampled_from([CONTENT, STOP, stream(message()), b'data: {"type":"message_start"}\n\n']),
        st.sampled_from(
            [b'{"type":"message_delta","usage":', b'{"error":', b'"error"', b"9" * 400]
        ),
    ),
    max_size=30,
).map(b"".join)
ENDINGS = st.sampled_from([b"\n", b"\r\n", b"\r"])


def _agrees(seen: SeenAnswer, body: bytes) -> None:
    told = told_slowly(body)
    assert seen.tokens == told["tokens"]
    assert seen.model == told["model"]
    assert seen.stop_reason == told["stop_reason"]
    assert seen.error_type == told["error"]
    assert seen.complete == told["complete"]
    assert seen.unread is None


@given(STREAMS, PLACES, ENDINGS)
def test_any_cutting_of_a_stream_tells_what_a_slow_reading_tells(
    body: bytes, places: list[int], ending: bytes
) -> None:
    _agrees(read(pieces(body.replace(b"\n", ending), places)), body)


@given(STREAMS, PLACES, ENDINGS)
def test_data_over_several_lines_is_the_same_data(
    body: bytes, places: list[int], ending: bytes
) -> None:
    # Within a string of JSON the quote is escaped, so only what stands between members is cut.
    spread = body.replace(b', "', b',\ndata: "').replace(b"\n", ending)
    _agrees(read(pieces(spread, places)), body)
    _agrees(read([bytes([one]) for one in spread]), body)


@given(STREAMS, st.integers(0, 10**6), PLACES)
def test_a_stream_that_ends_anywhere_tells_what_was_known(
    body: bytes, end: int, places: list[int]
) -> None:
    body = body[: end % (len(body) + 1)]
    seen = read(pieces(body, places), complete=False)
    if body:
        _agrees(seen, body)


@given(STREAMS)
def test_byte_by_byte_is_the_same_as_at_once(body: bytes) -> None:
    assert read([bytes([one]) for one in body]) == read(body)


@given(usages(), PLACES)
def test_a_json_body_tells_the_same_as_the_stream_that_begins_with_it(
    told: dict[str, object], places: list[int]
) -> None:
    body = json.dumps(message(usage=told)).encode()
    streamed = read(stream(message(usage=told), STOP))
    assert read(pieces(body, places), JSON) == streamed


@given(
    body=HOSTILE,
    places=PLACES,
    label=st.sampled_from([STREAM, JSON]),
    complete=st.booleans(),
    endpoint=st.sampled_from(Endpoint),
)
def test_whatever_the_bytes_nothing_is_raised_and_cutting_changes_nothing(
    *, body: bytes, places: list[int], label: tuple[str, str], complete: bool, endpoint: Endpoint
) -> None:
    for bounds in (Bounds(), Bounds(event=64, body=256)):
        seen = [
            read(chunks, label, complete=complete, endpoint=endpoint, bounds=bounds)
            for chunks in (body, pieces(body, places), [bytes([one]) for one in body])
        ]
        assert seen[0] == seen[1] == seen[2]


@given(
    body=STREAMS,
    places=PLACES,
    encoding=st.sampled_from(["gzip", "x-gzip", "deflate", "raw"]),
    flushed=st.booleans(),
)
def test_compressed_tells_the_same_as_not(
    *, body: bytes, places: list[int], encoding: str, flushed: bool
) -> None:
    bits = {"deflate": 15, "raw": -15}.get(encoding, 31)
    packer = zlib.compressobj(6, zlib.DEFLATED, bits)
    packed = b""
    for line in body.splitlines(keepends=True):
        packed += packer.compress(line)
        if flushed:
            packed += packer.flush(zlib.Z_SYNC_FLUSH)
    packed += packer.flush()
    name = "deflate" if encoding == "raw" else encoding
    headers = (STREAM, ("Content-Encoding", name.upper()))
    assert read(pieces(packed, places), *headers) == read(body)


@given(STREAMS, st.integers(0, 10**6))
def test_gzip_in_several_members_is_one_body(body: bytes, place: int) -> None:
    one, two = (zlib.compress(part, wbits=31) for part in _halves(body, place))
    assert read([one + two], STREAM, ("content-encoding", "gzip")) == read(body)


@given(STREAMS, st.integers(0, 10**6))
def test_a_compressed_stream_that_ends_anywhere_tells_no_more_than_the_whole(
    body: bytes, end: int
) -> None:
    packed = zlib.compress(body, wbits=31)
    packed = packed[: end % (len(packed) + 1)]
    unpacked = zlib.decompressobj(31).decompress(packed)
    seen = read(packed, STREAM, ("content-encoding", "gzip"), complete=False)
    assert seen == replace(read(unpacked, complete=False), complete=seen.complete)


@given(
    body=st.binary(),
    places=PLACES,
    encoding=st.sampled_from(["gzip", "deflate", "br", ","]),
    complete=st.booleans(),
)
def test_hostile_compression_raises_nothing_and_tells_no_tokens(
    *, body: bytes, places: list[int], encoding: str, complete: bool
) -> None:
    seen = read(pieces(body, places), STREAM, ("content-encoding", encoding), complete=complete)
    assert seen.tokens is None


def _halves(body: bytes, place: int) -> tuple[bytes, bytes]:
    place %= len(body) + 1
    return body[:place], body[place:]
