"""A listening socket that is there before any event loop, and the address to hand out for it.

Programs that are started meanwhile may connect at once: the kernel keeps them until a
`acp_bridge.loopback.http.Listener` adopts the socket. Nothing heavy is imported here.
"""

import os
import socket
from dataclasses import dataclass, field

LOOPBACK = "127.0.0.1"
_WAITING_CONNECTIONS = 128
_TOKEN_BYTES = 32


def bind_loopback(port: int = 0) -> socket.socket:
    """Listen on 127.0.0.1. Whoever does not hand the socket on closes it.

    Args:
        port: 0 takes a free one.

    Raises:
        OSError: the port is taken, or none is to be had.
    """
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if port:
            # The port's last connections may still be in TIME_WAIT.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((LOOPBACK, port))
        listening.listen(_WAITING_CONNECTIONS)
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return listening


def new_token() -> str:
    """An unguessable part of a path: 256 random bits in hexadecimal."""
    return os.urandom(_TOKEN_BYTES).hex()


def address_of(listening: socket.socket, token: str) -> str:
    """``http://127.0.0.1:PORT/TOKEN``, without a trailing slash."""
    return f"http://{LOOPBACK}:{listening.getsockname()[1]}/{token}"


@dataclass(frozen=True, slots=True)
class BoundAddress:
    """An address to hand out before anybody serves it.

    Attributes:
        socket: listening already; closed by whoever serves it, or by `close`.
        token: what a request has to carry in its path.
    """

    socket: socket.socket
    token: str = field(repr=False)

    @classmethod
    def reserve(cls) -> "BoundAddress":
        """Take a free port and a new token.

        Raises:
            OSError: no port is to be had.
        """
        return cls(bind_loopback(), new_token())

    @property
    def url(self) -> str:
        """The address with the token in it, without a trailing slash."""
        return address_of(self.socket, self.token)

    def close(self) -> None:
        """Give the port back; may be repeated."""
        self.socket.close()
