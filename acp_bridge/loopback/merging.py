"""Makes few large chunks of many small ones, before anybody parses them one by one.

A streamed answer has a chunk for each event, and parsing a chunk costs more than all else that a
relay does with it. So what one read brings is put into one chunk: the body stays what it was, byte
for byte, and nothing waits for what has not arrived. An answer that is not chunked is left alone.
"""

import re
import select
import socket
import ssl
from collections.abc import Iterable
from typing import Any

import httpcore

_END_OF_HEAD = re.compile(rb"\n\r?\n")
_STATUS = re.compile(rb"\s*HTTP/1\.1 ([1-9][0-9]{2})[ \r\n]")
_CHUNKED = re.compile(rb"\ntransfer-encoding:[ \t]*chunked[ \t]*\r?\n", re.IGNORECASE)
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;[^\r\n]*)?[ \t]*\r\n")
_SWITCHING = b"101"
_HEAD_BYTES = 100 * 1024
_LINE_BYTES = 8 * 1024
_HELD_BYTES = 16 * 1024
_CRLF = b"\r\n"


class BrokenFramingError(Exception):
    """The body's chunks are not what HTTP wants them to be."""


class ChunkMerger:
    """Rewrites the bytes of one response, head and body, as they come. Pure: no I/O.

    Attributes:
        head_brought_body: bytes of the body came with the last of the head.
    """

    def __init__(self) -> None:
        self._merge = self._look_for_the_body
        self._held = b""
        self._left = 0
        self._in_chunk = False
        self.head_brought_body = False

    def merge(self, data: bytes) -> bytes:
        """What to parse in place of the next bytes; may be empty, though nothing is lost.

        Raises:
            BrokenFramingError: a chunk is malformed.
        """
        return self._merge(data)

    def _look_for_the_body(self, data: bytes) -> bytes:
        head = self._held + data
        found = _END_OF_HEAD.search(head)
        if found is None:
            self._held = head
            if len(head) > _HEAD_BYTES:
                self._leave_alone()
            return data
        body = head[found.end() :]
        passed = data[: len(data) - len(body)]
        self._held = b""
        status = _STATUS.match(head)
        if status is not None and status[1].startswith(b"1") and status[1] != _SWITCHING:
            return passed + (self._merge(body) if body else b"")
        self.head_brought_body = bool(body)
        if status is None or status[1] == _SWITCHING or not _CHUNKED.search(head, 0, found.end()):
            self._leave_alone()
            return data
        self._merge = self._merge_chunks
        return passed + self._merge(body)

    def _leave_alone(self) -> None:
        self._held = b""
        self._merge = _as_it_is

    def _merge_chunks(self, data: bytes) -> bytes:
        buffer = self._held + data if self._held else data
        self._held = b""
        content: list[bytes] = []
        at, end = 0, len(buffer)
        while True:
            if self._in_chunk:
                stop = at + self._left
                if stop + 2 > end:
                    break
                if buffer[stop : stop + 2] != _CRLF:
                    raise BrokenFramingError("a chunk does not end where it says")
                content.append(buffer[at:stop])
                at = stop + 2
                self._in_chunk = False
            line = _CHUNK_LINE.match(buffer, at)
            if line is None:
                break
            self._left = int(line[1], 16)
            if not self._left:
                # The last chunk and what follows it.
                self._leave_alone()
                return _one_chunk(content) + buffer[at:]
            at = line.end()
            self._in_chunk = True
        self._keep(buffer, at, content)
        return _one_chunk(content)

    def _keep(self, buffer: bytes, at: int, content: list[bytes]) -> None:
        """Show what has arrived of an unfinished chunk, and hold back its framing."""
        if not self._in_chunk:
            self._held = buffer[at:]
            if len(self._held) > _LINE_BYTES or _CRLF in self._held:
                raise BrokenFramingError("no chunk begins where one should")
            return
        arrived = buffer[at : at + self._left]
        content.append(arrived)
        self._left -= len(arrived)
        self._held = buffer[at + len(arrived) :]


def _as_it_is(data: bytes) -> bytes:
    return data


def _one_chunk(content: list[bytes]) -> bytes:
    body = b"".join(content)
    return b"%x\r\n%b\r\n" % (len(body), body) if body else b""


class MergingBackend(httpcore.AsyncNetworkBackend):
    """TCP connections whose HTTP/1.1 answers come in few chunks, for a pool of httpcore's."""

    def __init__(self) -> None:
        self._backend = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's interface
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect, as httpcore's own backend does."""
        stream = await self._backend.connect_tcp(host, port, timeout, local_address, socket_options)
        return _MergingStream(stream)

    async def sleep(self, seconds: float) -> None:
        """Wait between attempts to connect."""
        await self._backend.sleep(seconds)


def body_begun(response: httpcore.Response) -> bool:
    """Whether the first of a body is there, to be read without waiting; in doubt, it is not."""
    stream = response.extensions.get("network_stream")
    return isinstance(stream, _MergingStream) and stream.head_brought_body


class _MergingStream(httpcore.AsyncNetworkStream):
    """Reads few large chunks, and writes a request's head together with what follows it."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._merger: ChunkMerger | None = None
        self._socket: socket.socket | None = None
        self._unsent = b""

    @property
    def head_brought_body(self) -> bool:
        return self._merger is not None and self._merger.head_brought_body

    async def read(
        self,
        max_bytes: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's interface
    ) -> bytes:
        if self._unsent:
            await self._send_held(timeout)
        if self._merger is None:
            self._merger = ChunkMerger()
        while data := await self._stream.read(max_bytes, timeout):
            try:
                merged = self._merger.merge(data)
            except BrokenFramingError as exc:
                raise httpcore.RemoteProtocolError(str(exc)) from exc
            if merged:
                return merged
        return b""

    async def write(
        self,
        buffer: bytes,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's interface
    ) -> None:
        # Nothing is pipelined: what is read after a write belongs to the answer to it.
        self._merger = None
        # A system call costs more than all else about a small write. httpcore writes a head, its
        # body, and nothing at all when the request has ended.
        if buffer and not self._unsent and len(buffer) <= _HELD_BYTES:
            self._unsent = bytes(buffer)
            return
        await self._send_held(timeout, buffer)

    async def _send_held(self, seconds: float | None, more: bytes = b"") -> None:
        held, self._unsent = self._unsent, b""
        await self._stream.write(held + more if held else more, seconds)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's interface
    ) -> httpcore.AsyncNetworkStream:
        await self._send_held(timeout)
        secured = await self._stream.start_tls(ssl_context, server_hostname, timeout)
        tls = secured.get_extra_info("ssl_object")
        if tls is not None and tls.selected_alpn_protocol() == "h2":
            return secured
        return _MergingStream(secured)

    def get_extra_info(self, info: str) -> Any:
        if info != "is_readable":
            return self._stream.get_extra_info(info)
        # A pool asks this of every idle connection for every request; finding the socket again
        # each time is a tenth of what a request costs.
        if self._socket is None:
            self._socket = self._stream.get_extra_info("socket")
        return _is_readable(self._socket)


def _is_readable(stream_socket: socket.socket) -> bool:
    """Whether something has come, or the other side has gone."""
    number = stream_socket.fileno()
    if number < 0:
        return True
    poll = select.poll()
    poll.register(number, select.POLLIN)
    return bool(poll.poll(0))
