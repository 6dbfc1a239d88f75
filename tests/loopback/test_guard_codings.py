"""A compressed answer goes through the guard as it is, and its copy can be read as it passes."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from anyio.abc import SocketStream

from acp_bridge.metering.usage import Tokens
from acp_bridge.metering.wire import AnswerReader
from acp_bridge.metering.wire_request import Endpoint
from tests.loopback.guard_rig import AS_KEY, TOKEN, RawUpstream, Seen, rig, unchunked
from tests.metering.wire_bytes import CONTENT, STOP, delta, message, read, stream
from tests.support.packing import CODINGS, PACKERS, header, packed
from tests.support.raw import raw_client

Run = Callable[[Callable[[], Awaitable[Any]]], Any]
EVENTS = (stream(message()), CONTENT, delta(output_tokens=3), STOP)


def head(coding: str, framing: str) -> bytes:
    lines = ("HTTP/1.1 200 OK", "Content-Type: text/event-stream", framing)
    return "\r\n".join((*lines, ": ".join(header(coding)), "", "")).encode()


def reader_of(seen: Seen) -> AnswerReader:
    """Reads what the guard's observer was given."""
    ((status, headers),) = seen.heads
    reader = AnswerReader(Endpoint.MESSAGES, status, headers)
    for chunk in seen.chunks:
        reader.feed(chunk)
    return reader


@pytest.mark.parametrize("coding", CODINGS)
def test_a_compressed_answer_passes_byte_for_byte_and_is_read(run: Run, coding: str) -> None:
    body = packed(coding, EVENTS)
    sent = head(coding, f"Content-Length: {len(body)}")

    async def scenario() -> None:
        async with RawUpstream(sent + body) as upstream, rig(upstream.url) as this:
            answer = await this.ask(f"/{TOKEN}/v1/messages", AS_KEY)
        (seen,) = this.seen
        assert answer.partition(b"\r\n\r\n")[2] == seen.body == body
        assert f"\r\n{': '.join(header(coding))}\r\n".encode() in answer
        assert reader_of(seen).finish(complete=True) == read(b"".join(EVENTS))

    run(scenario)


@pytest.mark.parametrize("coding", CODINGS)
def test_each_event_that_is_flushed_comes_through_and_is_read_at_once(
    run: Run, coding: str
) -> None:
    packer = PACKERS[coding]()
    parts = [packer.add(event) + packer.flush() for event in EVENTS]
    parts[-1] += packer.finish()
    may_go_on = anyio.Event()

    async def say(stream: SocketStream) -> None:
        nonlocal may_go_on
        await stream.send(head(coding, "Transfer-Encoding: chunked"))
        for part in parts:
            await stream.send(b"%X\r\n%b\r\n" % (len(part), part))
            await may_go_on.wait()
            may_go_on = anyio.Event()
        await stream.send(b"0\r\n\r\n")

    async def scenario() -> None:
        known = []
        async with (
            RawUpstream(say) as upstream,
            rig(upstream.url) as this,
            raw_client(this.url) as client,
        ):
            await client.send(this.request(f"/{TOKEN}/v1/messages", AS_KEY))
            for part in parts:
                await client.read_until(part)
                known.append(reader_of(this.seen[0]).finish(complete=False).tokens)
                may_go_on.set()
            received = await client.read_until(b"\r\n0\r\n\r\n")
        assert known == [Tokens(10, 1)] * 2 + [Tokens(10, 3)] * 2
        assert unchunked(received.partition(b"\r\n\r\n")[2]) == b"".join(parts)

    run(scenario)
