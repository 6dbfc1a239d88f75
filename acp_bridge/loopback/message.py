"""What a listener's handler takes and gives: request, response, and their bounds."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field

import msgspec

HeaderPairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Request:
    """A request that was read to its end.

    Attributes:
        method: upper case, as it came.
        target: the request target as it came, query included.
        headers: names in lower case and values, in the order of the wire, repeated ones kept.
        body: the whole body, transfer encoding undone, content encoding left alone.
        wire_headers: the headers with their names in the case they came in.
    """

    method: str
    target: str
    headers: HeaderPairs = field(repr=False)
    body: bytes = field(repr=False)
    wire_headers: HeaderPairs = field(default=(), repr=False, compare=False)

    @property
    def path(self) -> str:
        """The target up to its query."""
        return self.target.partition("?")[0]

    def header(self, name: str) -> str | None:
        """The first value of a header (name in lower case), or None."""
        return next((value for key, value in self.headers if key == name), None)


@dataclass(frozen=True, slots=True)
class Response:
    """An answer.

    Attributes:
        status: the HTTP status.
        headers: names and values; framing headers are the listener's business. A
            ``content-length`` given here is kept, and the body has to agree with it.
        body: bytes, or an async generator of chunks, each sent at once. It is always closed, also
            when the client leaves, and may raise `Disconnect`.
        begun: what of a generator's body is there already; it is sent together with the head.
    """

    status: int
    headers: HeaderPairs = ()
    body: bytes | AsyncGenerator[bytes, None] = b""
    begun: bytes = b""


Handler = Callable[[Request], Awaitable[Response]]


class Disconnect(Exception):  # noqa: N818 - a wish of the handler's, not a failure
    """Raised by a handler or a body to drop the connection without ending the response."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one connection. Over a bound the client is answered 4xx, or dropped.

    Attributes:
        header_bytes: request line and headers together.
        body_bytes: one request's body. Claude Code sends whole conversations, images included.
        receive_seconds: the wait for the next bytes of a request that has begun.
        request_seconds: from the first byte of a request to its last.
        idle_seconds: the wait for the next request on a connection.
        send_seconds: the wait for the client to take one chunk.
        connections: how many are served at once. One that brings no request makes room for a new
            one; while all are being answered, the others wait in the order they came.
    """

    header_bytes: int = 64 * 1024
    body_bytes: int = 64 * 1024 * 1024
    receive_seconds: float = 30.0
    request_seconds: float = 120.0
    idle_seconds: float = 120.0
    send_seconds: float = 60.0
    connections: int = 256


def json_response(
    status: int, document: object, headers: Iterable[tuple[str, str]] = ()
) -> Response:
    """A response whose body is one JSON document."""
    return Response(
        status,
        (("content-type", "application/json"), *headers),
        msgspec.json.encode(document),
    )
