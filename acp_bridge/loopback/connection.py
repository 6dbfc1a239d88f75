"""One client's connection: h11 parses, a handler answers, the client's leaving is noticed.

Whose fault an end was decides what happens: a malformed request is answered 4xx and the connection
closed; a client that leaves or stops reading is dropped in silence; a handler that raises anything
but `Disconnect` is a defect, and the exception goes up to whoever runs the listener.
"""

import contextlib
from http import HTTPStatus

import anyio
import h11
from anyio.abc import SocketStream

from acp_bridge.loopback.message import (
    Disconnect,
    Handler,
    HeaderPairs,
    Limits,
    Request,
    Response,
    json_response,
)

_RECEIVE_BYTES = 64 * 1024
_AHEAD_BYTES = 1024 * 1024
_LINGER_SECONDS = 1.0
_GONE = (anyio.BrokenResourceError, anyio.ClosedResourceError)


class _ClientGoneError(Exception):
    """The client left, or does not read."""


class _RefusedRequestError(Exception):
    """The request breaks HTTP or a bound; ``status`` says how."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


async def serve_connection(stream: SocketStream, handler: Handler, limits: Limits) -> None:
    """Answer the requests of one connection until either side is done with it."""
    http = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.header_bytes)
    connection = _Connection(stream, http, limits)
    async with stream:
        try:
            while await connection.answer_next(handler):
                pass
        except _ClientGoneError:
            return


class _Connection:
    def __init__(self, stream: SocketStream, http: h11.Connection, limits: Limits) -> None:
        self._stream = stream
        self._http = http
        self._limits = limits
        self._ahead = bytearray()

    async def answer_next(self, handler: Handler) -> bool:
        """Read one request and answer it. False when the connection is spent."""
        try:
            request = await self._read_request()
        except _RefusedRequestError as refusal:
            await self._refuse(refusal.status)
            return False
        if request is None:
            return False
        await self._answer_while_connected(request, handler)
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return True

    async def _read_request(self) -> Request | None:
        head: h11.Request | None = None
        body = bytearray()
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                raise _RefusedRequestError(HTTPStatus(error.error_status_hint)) from error
            if event is h11.NEED_DATA:
                await self._receive_more(in_request=head is not None)
            elif isinstance(event, h11.Request):
                head = event
                self._check_bounds(event)
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > self._limits.body_bytes:
                    raise _RefusedRequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                return _request(head, bytes(body))
            else:
                return None

    def _check_bounds(self, head: h11.Request) -> None:
        # h11 bounds only a head that is still incomplete, not one that came in a single read.
        size = len(head.target) + sum(len(name) + len(value) for name, value in head.headers)
        if size > self._limits.header_bytes:
            raise _RefusedRequestError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        declared = next((value for name, value in head.headers if name == b"content-length"), b"0")
        if int(declared) > self._limits.body_bytes:
            raise _RefusedRequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)

    async def _receive_more(self, *, in_request: bool) -> None:
        if self._http.they_are_waiting_for_100_continue:
            await self._send(h11.InformationalResponse(status_code=100, headers=[]))
        if self._ahead:
            self._http.receive_data(bytes(self._ahead))
            self._ahead.clear()
            return
        begun = in_request or bool(self._http.trailing_data[0])
        seconds = self._limits.receive_seconds if begun else self._limits.idle_seconds
        try:
            with anyio.fail_after(seconds):
                data = await self._stream.receive(_RECEIVE_BYTES)
        except anyio.EndOfStream:
            data = b""
        except _GONE as error:
            raise _ClientGoneError from error
        except TimeoutError as error:
            if begun:
                raise _RefusedRequestError(HTTPStatus.REQUEST_TIMEOUT) from error
            raise _ClientGoneError from error
        self._http.receive_data(data)

    async def _answer_while_connected(self, request: Request, handler: Handler) -> None:
        """Run the handler and send its answer, until the client leaves."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch_for_the_end, tasks.cancel_scope)
            try:
                response = await handler(request)
                await self._send_response(request, response)
            except (Disconnect, _ClientGoneError):
                pass
            finally:
                tasks.cancel_scope.cancel()

    async def _watch_for_the_end(self, scope: anyio.CancelScope) -> None:
        """Cancel the scope when the client leaves; keep what it sends ahead of time."""
        try:
            while len(self._ahead) < _AHEAD_BYTES:
                self._ahead += await self._stream.receive(_RECEIVE_BYTES)
        except (anyio.EndOfStream, *_GONE):
            scope.cancel()

    async def _send_response(self, request: Request, response: Response) -> None:
        bodiless = request.method == "HEAD" or response.status in (204, 304)
        body = response.body
        headers = list(response.headers)
        if isinstance(body, bytes) and not any(n.lower() == "content-length" for n, _ in headers):
            headers.append(("content-length", str(len(body))))
        head = h11.Response(status_code=response.status, headers=headers)
        if isinstance(body, bytes):
            data = b"" if bodiless else body
            await self._send(head, h11.Data(data=data), h11.EndOfMessage())
            return
        async with contextlib.aclosing(body) as chunks:
            await self._send(head)
            if not bodiless:
                async for chunk in chunks:
                    await self._send(h11.Data(data=chunk))
            await self._send(h11.EndOfMessage())

    async def _send(self, *events: h11.Event) -> None:
        data = b"".join(self._http.send(event) or b"" for event in events)
        try:
            with anyio.fail_after(self._limits.send_seconds):
                await self._stream.send(data)
        except (*_GONE, TimeoutError) as error:
            raise _ClientGoneError from error

    async def _refuse(self, status: HTTPStatus) -> None:
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        document = {"error": {"type": "http_error", "message": status.phrase}}
        refusal = json_response(status, document, (("connection", "close"),))
        body = refusal.body if isinstance(refusal.body, bytes) else b""
        head = h11.Response(
            status_code=status,
            headers=[*refusal.headers, ("content-length", str(len(body)))],
        )
        await self._send(head, h11.Data(data=body), h11.EndOfMessage())
        await self._let_the_client_read()

    async def _let_the_client_read(self) -> None:
        """Take what a refused client still sends: closing on it would reset what we answered."""
        with anyio.move_on_after(_LINGER_SECONDS), contextlib.suppress(anyio.EndOfStream, *_GONE):
            await self._stream.send_eof()
            while True:
                await self._stream.receive(_RECEIVE_BYTES)


def _request(head: h11.Request, body: bytes) -> Request:
    headers: HeaderPairs = tuple(
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers
    )
    as_sent: HeaderPairs = tuple(
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in head.headers.raw_items()
    )
    target = head.target.decode("latin-1")
    return Request(head.method.decode("ascii"), target, headers, body, as_sent)
