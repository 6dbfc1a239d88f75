"""A model provider for benchmarks: as little work as possible, so that the relay is measured.

    python guard_upstream.py        prints its port

A request whose head says ``x-events: N`` is answered with N server-sent events, each in a chunk of
its own, as many at once as the connection takes; one that says ``x-held-open: 1`` with one event,
and nothing more; any other with a small JSON document.
"""

import asyncio
import re

HELD_OPEN = b"\r\nx-held-open: 1\r\n"
EVENT = (
    b"event: content_block_delta\r\n"
    b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"word"}}'
    b"\n\n"
)
MESSAGE = (
    b"event: message_start\r\n"
    b'data: {"type":"message_start","message":{"id":"msg_1","type":"message","model":"m","usage":'
    b'{"input_tokens":9,"cache_read_input_tokens":9,"output_tokens":1}}}\n\n'
)
END = (
    b"event: message_delta\r\n"
    b'data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":9}}'
    b'\n\nevent: message_stop\r\ndata: {"type":"message_stop"}\n\n'
)
AT_ONCE = 128
JSON = (
    b'{"id":"msg_1","type":"message","model":"m","content":[{"type":"text","text":"'
    + b"word " * 200
    + b'"}],"usage":{"input_tokens":9,"output_tokens":9}}'
)
HEADERS = b"request-id: req_1\r\nanthropic-ratelimit-unified-status: allowed\r\n"
SMALL = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n%bcontent-length: %d\r\n\r\n%b" % (
    HEADERS,
    len(JSON),
    JSON,
)
STREAM = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
    + HEADERS
    + b"transfer-encoding: chunked\r\n\r\n"
)


def chunk(data: bytes) -> bytes:
    """One chunk of a body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


CHUNK = chunk(EVENT)
BEGIN = STREAM + chunk(MESSAGE)
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
EVENTS = re.compile(rb"\r\nx-events: *(\d+)", re.IGNORECASE)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the requests of one connection."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if length := LENGTH.search(head):
                await reader.readexactly(int(length[1]))
            if events := EVENTS.search(head):
                await stream(writer, int(events[1]))
            elif HELD_OPEN in head.lower():
                writer.write(BEGIN)
                await reader.read()
            else:
                writer.write(SMALL)
                await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def stream(writer: asyncio.StreamWriter, left: int) -> None:
    """Send so many events."""
    writer.write(BEGIN)
    while left:
        count = min(left, AT_ONCE)
        writer.write(CHUNK * count)
        await writer.drain()
        left -= count
    writer.write(chunk(END) + b"0\r\n\r\n")
    await writer.drain()


async def main() -> None:
    """Serve until killed."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 20)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
