"""Merging chunks: the body stays what it is, and what is broken stays broken."""

from collections.abc import Iterable

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acp_bridge.loopback.merging import BrokenFramingError, ChunkMerger

HEAD = b"HTTP/1.1 200 OK\r\nX-A: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def chunk(data: bytes, extension: bytes = b"") -> bytes:
    return b"%X%b\r\n%b\r\n" % (len(data), extension, data)


def split(data: bytes, places: Iterable[int]) -> list[bytes]:
    cuts = sorted({place % len(data) for place in places} | {0})
    return [data[a:b] for a, b in zip(cuts, [*cuts[1:], len(data)], strict=True) if b > a]


def read(pieces: Iterable[bytes], *, method: str = "POST") -> tuple[list[h11.Event], list[bytes]]:
    """What h11 makes of a response, and the body it finds; it is told of the end, too."""
    http = h11.Connection(h11.CLIENT)
    http.send(h11.Request(method=method, target="/", headers=[("host", "x")]))
    http.send(h11.EndOfMessage())
    events: list[h11.Event] = []
    body: list[bytes] = []
    for piece in [*(piece for piece in pieces if piece), b""]:
        http.receive_data(piece)
        while True:
            event = http.next_event()
            if event in (h11.NEED_DATA, h11.PAUSED):
                break
            if isinstance(event, h11.Data):
                body.append(bytes(event.data))
            elif isinstance(event, h11.ConnectionClosed):
                return events, body
            else:
                events.append(event)  # type: ignore[arg-type]
        if events and isinstance(events[-1], h11.EndOfMessage):
            return events, body
    return events, body


def merged(pieces: Iterable[bytes]) -> list[bytes]:
    merger = ChunkMerger()
    return [merger.merge(piece) for piece in pieces]


@given(
    st.lists(st.binary(min_size=1, max_size=40)),
    st.lists(st.integers(0, 10_000), max_size=20),
    st.sampled_from([b"", b";a=b", b" ", b';q="x"\t']),
    st.sampled_from([END, b"00\r\n\r\n", b"0;a\r\nX-Sum: 1\r\n\r\n"]),
    st.sampled_from([b"", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"]),
)
def test_head_body_and_trailers_are_what_they_were_wherever_reads_end(
    bodies: list[bytes], places: list[int], extension: bytes, end: bytes, early: bytes
) -> None:
    wire = early + HEAD + b"".join(chunk(body, extension) for body in bodies) + end
    pieces = split(wire, places)

    events, body = read(merged(pieces))

    plain_events, plain_body = read([wire])
    assert events == plain_events
    assert b"".join(body) == b"".join(plain_body) == b"".join(bodies)
    assert len(body) <= len(pieces)


@given(st.lists(st.binary(min_size=1, max_size=20), min_size=1), st.data())
def test_nothing_that_has_arrived_is_held_back(bodies: list[bytes], data: st.DataObject) -> None:
    wire = HEAD + b"".join(map(chunk, bodies)) + END
    cut = data.draw(st.integers(len(HEAD), len(wire) - len(END)))
    http = h11.Connection(h11.CLIENT)

    _, plain = arrived(http, [wire[:cut]])
    _, body = arrived(h11.Connection(h11.CLIENT), merged([wire[:cut]]))

    assert body == plain


def arrived(http: h11.Connection, pieces: list[bytes]) -> tuple[h11.Connection, bytes]:
    http.send(h11.Request(method="POST", target="/", headers=[("host", "x")]))
    http.send(h11.EndOfMessage())
    body = b""
    for piece in pieces:
        http.receive_data(piece)
        while (event := http.next_event()) is not h11.NEED_DATA:
            body += event.data if isinstance(event, h11.Data) else b""
    return http, body


@given(
    st.lists(st.binary(min_size=1, max_size=20), min_size=1),
    st.integers(1, 10_000),
    st.lists(st.integers(0, 10_000), max_size=9),
)
def test_a_stream_that_ends_early_is_still_broken(
    bodies: list[bytes], missing: int, places: list[int]
) -> None:
    wire = HEAD + b"".join(map(chunk, bodies)) + END
    short = wire[: len(wire) - 1 - missing % (len(wire) - len(HEAD) - 1)]

    with pytest.raises(h11.RemoteProtocolError):
        read(merged(split(short, places)))


@pytest.mark.parametrize(
    "broken",
    [
        b"no chunk\r\n",
        b"-1\r\na\r\n",
        b"0x5\r\nhello\r\n",
        b"1_0\r\n" + b"a" * 16 + b"\r\n",
        b"5\r\nhelloXX5\r\nhello\r\n",
        b"5\r\nhello\n5\r\nhello\r\n",
        b"5 \x00\r\nhello\r\n",
        b"f" * 9000,
        b"\r\n",
    ],
)
@pytest.mark.parametrize("together", [True, False])
def test_a_malformed_chunk_is_not_passed_on(broken: bytes, together: bool) -> None:  # noqa: FBT001
    wire = HEAD + chunk(b"good") + broken + END
    pieces = [wire] if together else [wire[at : at + 1] for at in range(len(wire))]

    with pytest.raises(BrokenFramingError):
        merged(pieces)


@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n5\r\nhello\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\na\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1\r\na\r\n1\r\na\r\n",
        b"HTTP/1.1 200 OK\r\nX: 1\r\n\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
        b"HTTP/1.1 101 Switching\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\na\r\n",
        b"SSH-2.0 this is no HTTP\r\n\r\n1\r\na\r\n1\r\na\r\n",
        b"a" * 300_000,
    ],
)
@pytest.mark.parametrize("step", [1000, 7])
def test_what_is_not_chunked_is_left_alone(wire: bytes, step: int) -> None:
    pieces = [wire[at : at + step] for at in range(0, len(wire), step)]

    assert merged(pieces) == pieces


def test_a_head_with_bare_line_feeds_ends_where_h11_says() -> None:
    head = HEAD.replace(b"\r\n", b"\n")
    wire = head + chunk(b"a\r\n\r\nb") + chunk(b"c") + END

    assert b"".join(read(merged([wire]))[1]) == b"a\r\n\r\nbc"
