"""Any bytes, cut anywhere: what the reader of answers promises."""

import json
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
from tests.support.packing import CODINGS, UNPACKERS, header, packed

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
# What no member or frame begins with, though it may seem to for a byte or three.
PADDING = st.one_of(
    st.binary(min_size=1, max_size=9).filter(
        lambda some: some[0] not in b"\x1f\x28PQRSTUVWXYZ[\\]^_"
    ),
    st.sampled_from([b"\x1f", b"\x1f\x8a\x1f\x8b", b"\x28\xb5\x2f", b"TRAIL", b"\0\x1f\x8b\x08"]),
)


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


@given(body=STREAMS, places=PLACES, coding=st.sampled_from(CODINGS), flushed=st.booleans())
def test_compressed_tells_the_same_as_not(
    *, body: bytes, places: list[int], coding: str, flushed: bool
) -> None:
    whole = packed(coding, body.splitlines(keepends=True), flushed=flushed)
    assert read(pieces(whole, places), STREAM, header(coding)) == read(body)


@given(body=STREAMS, coding=st.sampled_from(CODINGS))
def test_compressed_byte_by_byte_is_the_same_as_at_once(body: bytes, coding: str) -> None:
    whole = packed(coding, body)
    assert read([bytes([one]) for one in whole], STREAM, header(coding)) == read(body)


@given(STREAMS, st.integers(0, 10**6), PLACES, st.sampled_from(["gzip", "x-gzip", "zstd"]))
def test_several_members_or_frames_are_one_body(
    body: bytes, place: int, places: list[int], coding: str
) -> None:
    one, two = (packed(coding, part) for part in _halves(body, place))
    assert read(pieces(one + two, places), STREAM, header(coding)) == read(body)


@given(STREAMS, PADDING, PLACES, st.sampled_from(CODINGS))
def test_what_follows_the_end_of_a_compressed_body_is_left_out(
    body: bytes, padding: bytes, places: list[int], coding: str
) -> None:
    whole = packed(coding, body) + padding
    assert read(pieces(whole, places), STREAM, header(coding)) == read(body)


@given(STREAMS, st.integers(0, 10**6), PLACES, st.sampled_from([*UNPACKERS]))
def test_a_compressed_stream_that_ends_anywhere_tells_what_was_there(
    body: bytes, end: int, places: list[int], coding: str
) -> None:
    whole = packed(coding, body)
    cut = whole[: end % (len(whole) + 1)]
    seen = read(pieces(cut, places), STREAM, header(coding), complete=False)
    there = read(UNPACKERS[coding](cut), complete=False)
    assert seen == replace(there, complete=seen.complete)


@given(
    body=STREAMS,
    place=st.integers(0, 10**6),
    byte=st.integers(0, 255),
    places=PLACES,
    coding=st.sampled_from(CODINGS),
)
def test_a_wrong_byte_tells_the_same_tokens_in_any_cutting(
    *, body: bytes, place: int, byte: int, places: list[int], coding: str
) -> None:
    wrong = bytearray(packed(coding, body))
    wrong[place % len(wrong)] = byte
    chunkings = ([bytes(wrong)], pieces(bytes(wrong), places), [bytes([one]) for one in wrong])
    seen = [read(chunks, STREAM, header(coding)) for chunks in chunkings]
    assert seen[0].tokens == seen[1].tokens == seen[2].tokens


@given(
    body=st.binary(),
    places=PLACES,
    encoding=st.sampled_from([*CODINGS, ","]),
    complete=st.booleans(),
)
def test_hostile_compression_raises_nothing_and_tells_no_tokens(
    *, body: bytes, places: list[int], encoding: str, complete: bool
) -> None:
    seen = read(pieces(body, places), STREAM, header(encoding), complete=complete)
    assert seen.tokens is None


def _halves(body: bytes, place: int) -> tuple[bytes, bytes]:
    place %= len(body) + 1
    return body[:place], body[place:]
