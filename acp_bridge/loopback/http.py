"""A small HTTP/1.1 listener on 127.0.0.1, over anyio and h11.

It carries everything the bridge answers on loopback: the embedded endpoint, the wire guard, the
telemetry receiver. One rule keeps it small: a handler takes a whole `Request` and gives back a
`Response`, whose body is bytes or an async generator of chunks, each sent as it comes. A client
that goes away cancels the handler and its body. Requests on one connection are answered in turn.
"""

import errno
import socket as sockets
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Self

import anyio
from anyio.abc import SocketListener, SocketStream, TaskGroup

from acp_bridge.loopback.bound import LOOPBACK, bind_loopback
from acp_bridge.loopback.connection import Door, serve_connection
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

__all__ = [
    "Disconnect",
    "Door",
    "Handler",
    "HeaderPairs",
    "Limits",
    "Listener",
    "Request",
    "Response",
    "json_response",
    "listen",
]

_CONNECTIONS = 256
_RETRY_SECONDS = 0.1
# Of accept(): no descriptor or memory is left for one more, or the client has gone already.
_PASSING = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ECONNABORTED, errno.EPROTO}
)


class Listener:
    """TCP connections on 127.0.0.1, served for the length of an ``async with`` block.

    Leaving the block cancels what is still being served. An error of the block leaves it as it
    is; an error of ``serve`` ends the block and comes out of it in an ``ExceptionGroup``.

    Args:
        serve: owns one connection and closes it.
        places: how many are served at once, and which make room.
        port: 0 takes a free one.
        socket: a socket of `acp_bridge.loopback.bound.bind_loopback` to adopt in place of a port;
            it is closed with the listener.
    """

    def __init__(
        self,
        serve: Callable[[SocketStream], Awaitable[None]],
        *,
        places: Places | None = None,
        port: int = 0,
        socket: sockets.socket | None = None,
    ) -> None:
        self._serve = serve
        self._places = Places(_CONNECTIONS) if places is None else places
        self._port = port
        self._socket = socket
        self._exit = AsyncExitStack()

    @property
    def url(self) -> str:
        """``http://127.0.0.1:PORT``, without a trailing slash, once entered."""
        return f"http://{LOOPBACK}:{self._port}"

    async def __aenter__(self) -> Self:
        """Begin to listen.

        Raises:
            OSError: the port is taken.
        """
        socket = self._socket or bind_loopback(self._port)
        self._port = socket.getsockname()[1]
        async with AsyncExitStack() as entered:
            listener = await entered.enter_async_context(await SocketListener.from_socket(socket))
            tasks = await entered.enter_async_context(anyio.create_task_group())
            entered.callback(tasks.cancel_scope.cancel)
            tasks.start_soon(self._accept_all, listener, tasks)
            self._exit = entered.pop_all()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._exit.aclose()

    async def _accept_all(self, listener: SocketListener, tasks: TaskGroup) -> None:
        while True:
            stream = await self._accept(listener)
            try:
                await self._places.room()
            except BaseException:
                await anyio.aclose_forcefully(stream)
                raise
            tasks.start_soon(self._serve_in_place, stream, self._places.take(stream))

    async def _accept(self, listener: SocketListener) -> SocketStream:
        while True:
            try:
                return await listener.accept()
            except (OSError, anyio.BrokenResourceError) as error:
                cause = error if isinstance(error, OSError) else error.__cause__
                if not isinstance(cause, OSError) or cause.errno not in _PASSING:
                    raise
            self._places.make_room()
            await anyio.sleep(_RETRY_SECONDS)

    async def _serve_in_place(self, stream: SocketStream, scope: anyio.CancelScope) -> None:
        try:
            with scope:
                await self._serve(stream)
        finally:
            self._places.leave(stream)


def listen(
    handler: Handler,
    *,
    limits: Limits | None = None,
    door: Door | None = None,
    port: int = 0,
    socket: sockets.socket | None = None,
) -> Listener:
    """Serve HTTP on 127.0.0.1 for the length of an ``async with`` block.

    Args:
        handler: answers each request; may run many times at once, on different connections.
        limits: bounds of each connection; `Limits()` if not given.
        door: who is let in before a request's body is read; everybody if not given.
        port: 0 takes a free one.
        socket: a bound socket to adopt in place of a port, as for `Listener`.
    """
    bounds, at_the_door = limits or Limits(), door or Door()
    places = Places(bounds.connections)

    async def serve(stream: SocketStream) -> None:
        await serve_connection(stream, handler, bounds, at_the_door, places)

    return Listener(serve, places=places, port=port, socket=socket)
