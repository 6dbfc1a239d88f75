"""What passes through the guard, however much it is, is not kept: a guard in its own process."""

import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import Process, SocketStream
from anyio.streams.text import TextReceiveStream

from tests.loopback.guard_rig import HELD, TOKEN, RawUpstream, Say, unchunked
from tests.support.raw import raw_client

MIB = 1024 * 1024
EVENTS = 100_000
PIECE = 256 * 1024
SSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
START = (
    b"event: message_start\n"
    b'data: {"type":"message_start","message":{"id":"msg_1","type":"message","model":"m",'
    b'"usage":{"input_tokens":1,"output_tokens":1}}}\n\n'
)
WORD = (
    b"event: content_block_delta\n"
    b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"word"}}'
    b"\n\n"
)
STOP = (
    b"event: message_delta\n"
    b'data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},'
    b'"usage":{"output_tokens":%d}}\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n'
    % EVENTS
)


class Guard:
    """The process, as its test sees it."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin = process.stdin
        self._stdout = TextReceiveStream(process.stdout)
        self._read = ""
        self.port = 0

    async def line(self) -> str:
        with anyio.fail_after(60):
            while "\n" not in self._read:
                self._read += await self._stdout.receive()
        line, _, self._read = self._read.partition("\n")
        return line

    async def since(self) -> tuple[int, list[dict[str, Any]]]:
        """The most memory in use since this was last asked, and the answers read."""
        await self._stdin.send(b"\n")
        told = json.loads(await self.line())
        return told["peak"], told["answers"]

    def request(self, body: bytes) -> bytes:
        head = (
            f"POST /{TOKEN}/v1/messages HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
            f"x-api-key: {HELD}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        return head.encode() + body


@asynccontextmanager
async def guard(say: bytes | Say) -> AsyncIterator[tuple[Guard, RawUpstream]]:
    """Run a guard in front of an upstream; what it imports and answers first is not counted."""
    command = [sys.executable, "-m", "tests.loopback.guard_process"]
    root = Path(__file__).parents[2]
    async with (
        RawUpstream(shortly_at_first(say)) as upstream,
        await anyio.open_process([*command, upstream.url], stderr=None, cwd=root) as process,
    ):
        this = Guard(process)
        this.port = int(await this.line())
        try:
            for _ in range(3):
                await ask(this, b"{}", lambda _: None)
            upstream.requests.clear()
            await this.since()
            yield this, upstream
        finally:
            process.kill()


def shortly_at_first(say: bytes | Say) -> Say:
    """Answer shortly three times, then as told."""
    asked = 0

    async def answer(stream: SocketStream) -> None:
        nonlocal asked
        asked += 1
        if asked <= 3:
            await stream.send(SSE + chunk(START + WORD) + b"0\r\n\r\n")
        elif isinstance(say, bytes):
            await stream.send(say)
        else:
            await say(stream)

    return answer


def chunk(data: bytes) -> bytes:
    return b"%X\r\n%b\r\n" % (len(data), data)


async def ask(this: Guard, body: bytes, take: Callable[[bytes], Any]) -> None:
    """Send a request and give away the answer as it comes."""
    with anyio.fail_after(120):
        async with raw_client(f"http://127.0.0.1:{this.port}") as client:
            await client.stream.send(this.request(body))
            async for data in client.stream:
                take(data)


@pytest.mark.parametrize("at_once", [20, 1000])
def test_a_stream_of_100_000_events_is_read_and_not_kept(at_once: int) -> None:
    async def say(stream: SocketStream) -> None:
        await stream.send(SSE + chunk(START))
        for _ in range(EVENTS // at_once):
            await stream.send(chunk(WORD) * at_once)
        await stream.send(chunk(STOP) + b"0\r\n\r\n")

    async def scenario() -> None:
        received = bytearray()
        async with guard(say) as (this, _):
            await ask(this, b"{}", received.extend)
            peak, answers = await this.since()
        assert unchunked(bytes(received.partition(b"\r\n\r\n")[2])) == START + WORD * EVENTS + STOP
        assert answers == [{"complete": True, "output": EVENTS}]
        assert peak < 2 * MIB < EVENTS * len(WORD) / 4

    anyio.run(scenario)


def test_a_body_of_32_mib_that_comes_down_is_kept_only_to_be_read() -> None:
    big = b"\x00\xff0123456789abcd" * (2 * MIB)

    async def say(stream: SocketStream) -> None:
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(big))
        for at in range(0, len(big), PIECE):
            await stream.send(big[at : at + PIECE])

    async def scenario() -> None:
        received = bytearray()
        async with guard(say) as (this, _):
            await ask(this, b"{}", received.extend)
            peak, _ = await this.since()
        assert received.partition(b"\r\n\r\n")[2] == big
        # A JSON answer is read when it is whole.
        assert peak < 2.5 * len(big)

    anyio.run(scenario)


def test_a_body_of_32_mib_that_goes_up_is_there_twice_at_most() -> None:
    big = b"\x00\xff0123456789abcd" * (2 * MIB)

    async def scenario() -> None:
        async with guard(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as (this, upstream):
            await ask(this, big, lambda _: None)
            peak, _ = await this.since()
        assert upstream.requests[0].endswith(big)
        assert peak < 2.5 * len(big)

    anyio.run(scenario)
