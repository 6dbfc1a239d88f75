"""One client's connection: h11 parses, a handler answers, the client's leaving is noticed.

Whose fault an end was decides what happens: a malformed request is answered 4xx and the connection
closed; a client that leaves or stops reading is dropped in silence; a handler that raises anything
but `Disconnect` is a defect, and the exception goes up to whoever runs the listener.
"""

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
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
from acp_bridge.loopback.places import Places
from acp_bridge.loopback.request_head import fault_of

_RECEIVE_BYTES = 64 * 1024
_AHEAD_BYTES = 1024 * 1024
_LINGER_SECONDS = 1.0
_GONE = (anyio.BrokenResourceError, anyio.ClosedResourceError)


class _ClientGoneError(Exception):
    """The client left, or does not read."""


class _RefusedRequestError(Exception):
    """The request is not let in; ``response`` says why."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


def _welcome(_: Request) -> Response | None:
    return None


def _unnoticed(_: HTTPStatus) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Door:
    """Who is let in, before the body of a request is read.

    Attributes:
        admit: is shown the head, and gives back the answer for a request that is not let in.
        broken: is told the status with which a request was refused that breaks HTTP or a bound.
    """

    admit: Callable[[Request], Response | None] = _welcome
    broken: Callable[[HTTPStatus], None] = _unnoticed


async def serve_connection(
    stream: SocketStream, handler: Handler, limits: Limits, door: Door, places: Places
) -> None:
    """Answer the requests of one connection, which has its place, until either side is done."""
    http = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.header_bytes)
    connection = _Connection(stream, http, limits, door, places)
    async with stream:
        try:
            while await connection.answer_next(handler):
                pass
        except _ClientGoneError:
            return


class _Connection:
    def __init__(
        self,
        stream: SocketStream,
        http: h11.Connection,
        limits: Limits,
        door: Door,
        places: Places,
    ) -> None:
        self._stream = stream
        self._http = http
        self._limits = limits
        self._door = door
        self._places = places
        self._ahead = bytearray()
        self._until = math.inf
        self._method = b""

    async def answer_next(self, handler: Handler) -> bool:
        """Read one request and answer it. False when the connection is spent."""
        self._until, self._method = math.inf, b""
        try:
            request = await self._read_request()
        except _RefusedRequestError as refusal:
            await self._refuse(refusal.response)
            return False
        if request is None:
            return False
        await self._answer_while_connected(request, handler)
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return True

    async def _read_request(self) -> Request | None:
        with self._places.waiting(self._stream):
            request = await self._read_head()
            if request is None:
                return None
            if answer := self._door.admit(request):
                raise _RefusedRequestError(answer)
            self._places.prove(self._stream)
        return replace(request, body=await self._read_body())

    async def _read_head(self) -> Request | None:
        """The request without its body; None if the client leaves without one."""
        while True:
            unread = self._http.trailing_data[0]
            event = self._next_event()
            if event is h11.NEED_DATA:
                await self._receive_more(begun=bool(unread))
            elif isinstance(event, h11.Request):
                self._method = event.method
                head = unread.removesuffix(self._http.trailing_data[0])
                if fault := fault_of(head, most=self._limits.header_bytes):
                    raise self._broken(fault)
                self._check_length(event)
                return _request(event)
            else:
                return None

    async def _read_body(self) -> bytes:
        body = bytearray()
        while True:
            event = self._next_event()
            if event is h11.NEED_DATA:
                await self._receive_more(begun=True)
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > self._limits.body_bytes:
                    raise self._broken(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            else:
                return bytes(body)

    def _next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        try:
            return self._http.next_event()
        except h11.RemoteProtocolError as error:
            raise self._broken(HTTPStatus(error.error_status_hint)) from error

    def _check_length(self, head: h11.Request) -> None:
        declared = next((value for name, value in head.headers if name == b"content-length"), b"0")
        if int(declared) > self._limits.body_bytes:
            raise self._broken(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)

    def _broken(self, status: HTTPStatus) -> _RefusedRequestError:
        self._door.broken(status)
        document = {"error": {"type": "http_error", "message": status.phrase}}
        return _RefusedRequestError(json_response(status, document))

    async def _receive_more(self, *, begun: bool) -> None:
        if self._http.they_are_waiting_for_100_continue:
            await self._send(h11.InformationalResponse(status_code=100, headers=[]))
        if self._ahead:
            self._http.receive_data(bytes(self._ahead))
            self._ahead.clear()
            return
        try:
            with anyio.fail_after(self._patience(begun=begun)):
                data = await self._stream.receive(_RECEIVE_BYTES)
        except anyio.EndOfStream:
            data = b""
        except _GONE as error:
            raise _ClientGoneError from error
        except TimeoutError as error:
            if begun:
                raise self._broken(HTTPStatus.REQUEST_TIMEOUT) from error
            raise _ClientGoneError from error
        self._http.receive_data(data)

    def _patience(self, *, begun: bool) -> float:
        """Seconds to wait for the next bytes."""
        if not begun:
            return self._limits.idle_seconds
        now = anyio.current_time()
        self._until = min(self._until, now + self._limits.request_seconds)
        return min(self._limits.receive_seconds, self._until - now)

    async def _answer_while_connected(self, request: Request, handler: Handler) -> None:
        """Run the handler and send its answer, until the client leaves."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch_for_the_end, tasks.cancel_scope)
            try:
                response = await handler(request)
                await self._send_response(response)
            except (Disconnect, _ClientGoneError, h11.LocalProtocolError):
                # The last: an answer that HTTP/1.1 cannot say, as another protocol's may be.
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

    async def _send_response(self, response: Response) -> None:
        bodiless = self._method == b"HEAD" or response.status in (204, 304)
        body = response.body
        headers = list(response.headers)
        if isinstance(body, bytes) and not any(n.lower() == "content-length" for n, _ in headers):
            headers.append(("content-length", str(len(body))))
        as_sent = [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers]
        try:
            head = h11.Response(status_code=response.status, headers=as_sent)
        except h11.LocalProtocolError:
            if not isinstance(body, bytes):
                await body.aclose()
            raise
        if isinstance(body, bytes):
            data = b"" if bodiless else body
            await self._send(head, h11.Data(data=data), h11.EndOfMessage())
            return
        async with contextlib.aclosing(body) as chunks:
            begun = () if bodiless or not response.begun else (h11.Data(data=response.begun),)
            await self._send(head, *begun)
            if not bodiless:
                async for chunk in chunks:
                    await self._send(h11.Data(data=chunk))
            await self._send(h11.EndOfMessage())

    async def _send(self, *events: h11.Event) -> None:
        data = b"".join(self._http.send(event) or b"" for event in events)
        if not data:
            return
        try:
            with anyio.fail_after(self._limits.send_seconds):
                await self._stream.send(data)
        except (*_GONE, TimeoutError) as error:
            raise _ClientGoneError from error

    async def _refuse(self, response: Response) -> None:
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        closing = (*response.headers, ("connection", "close"))
        with self._places.waiting(self._stream):
            await self._send_response(replace(response, headers=closing))
            await self._let_the_client_read()

    async def _let_the_client_read(self) -> None:
        """Take what a refused client still sends: closing on it would reset what we answered."""
        # OSError: trio's word for the end of a connection that the client has reset.
        gone = (anyio.EndOfStream, OSError, *_GONE)
        with anyio.move_on_after(_LINGER_SECONDS), contextlib.suppress(*gone):
            await self._stream.send_eof()
            while True:
                await self._stream.receive(_RECEIVE_BYTES)


def _request(head: h11.Request) -> Request:
    headers: HeaderPairs = tuple(
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers
    )
    as_sent: HeaderPairs = tuple(
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in head.headers.raw_items()
    )
    target = head.target.decode("latin-1")
    return Request(head.method.decode("ascii"), target, headers, b"", as_sent)
