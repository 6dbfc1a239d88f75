"""A small HTTP/1.1 listener on 127.0.0.1, over anyio and h11.

It carries everything the bridge answers on loopback: the embedded endpoint, the wire guard, the
telemetry receiver. One rule keeps it small: a handler takes a whole `Request` and gives back a
`Response`, whose body is bytes or an async generator of chunks, each sent as it comes. A client
that goes away cancels the handler and its body. Requests on one connection are answered in turn.
"""

import socket as sockets
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Self

import anyio
from anyio.abc import Listener as StreamListener
from anyio.abc import SocketAttribute, SocketListener, SocketStream

from acp_bridge.loopback.bound import LOOPBACK
from acp_bridge.loopback.connection import serve_connection
from acp_bridge.loopback.message import (
    Disconnect,
    Handler,
    HeaderPairs,
    Limits,
    Request,
    Response,
    json_response,
)

__all__ = [
    "Disconnect",
    "Handler",
    "HeaderPairs",
    "Limits",
    "Listener",
    "Request",
    "Response",
    "json_response",
    "listen",
]


class Listener:
    """TCP connections on 127.0.0.1, served for the length of an ``async with`` block.

    Leaving the block cancels what is still being served. An error of the block leaves it as it
    is; an error of ``serve`` ends the block and comes out of it in an ``ExceptionGroup``.

    Args:
        serve: owns one connection and closes it.
        connections: how many are served at once.
        port: 0 takes a free one.
        socket: a socket of `acp_bridge.loopback.bound.bind_loopback` to adopt in place of a port;
            it is closed with the listener.
    """

    def __init__(
        self,
        serve: Callable[[SocketStream], Awaitable[None]],
        *,
        connections: int = 256,
        port: int = 0,
        socket: sockets.socket | None = None,
    ) -> None:
        self._serve = serve
        self._slots = anyio.CapacityLimiter(connections)
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
        async with AsyncExitStack() as entered:
            listener = await entered.enter_async_context(await self._listen())
            tasks = await entered.enter_async_context(anyio.create_task_group())
            entered.callback(tasks.cancel_scope.cancel)
            tasks.start_soon(listener.serve, self._serve_in_turn)
            self._exit = entered.pop_all()
        self._port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - not Django
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._exit.aclose()

    async def _listen(self) -> StreamListener[SocketStream]:
        if self._socket is not None:
            return await SocketListener.from_socket(self._socket)
        return await anyio.create_tcp_listener(local_host=LOOPBACK, local_port=self._port)

    async def _serve_in_turn(self, stream: SocketStream) -> None:
        async with self._slots:
            await self._serve(stream)


def listen(
    handler: Handler,
    *,
    limits: Limits | None = None,
    port: int = 0,
    socket: sockets.socket | None = None,
) -> Listener:
    """Serve HTTP on 127.0.0.1 for the length of an ``async with`` block.

    Args:
        handler: answers each request; may run many times at once, on different connections.
        limits: bounds of each connection; `Limits()` if not given.
        port: 0 takes a free one.
        socket: a bound socket to adopt in place of a port, as for `Listener`.
    """
    bounds = limits or Limits()

    async def serve(stream: SocketStream) -> None:
        await serve_connection(stream, handler, bounds)

    return Listener(serve, connections=bounds.connections, port=port, socket=socket)
