"""The agent's pipes, and the bridge's own standard streams as byte streams."""

import contextlib
import os
import socket
import stat
import sys
from collections.abc import AsyncIterator, Iterator

import anyio.abc

from acp_bridge.agent.spawn import enlarge_pipe
from acp_bridge.agent.streams import (
    FdReceiveStream,
    FdSendStream,
    ThreadReceiveStream,
    ThreadSendStream,
)
from acp_bridge.errors import ConfigurationError


@contextlib.asynccontextmanager
async def stdio_streams() -> AsyncIterator[
    tuple[anyio.abc.ByteReceiveStream, anyio.abc.ByteSendStream]
]:
    """Take the process's stdin and stdout for the protocol and for nothing else.

    Within the block descriptor 0 is empty and descriptor 1 is stderr, so that a stray ``print``, in
    this program or in one that it starts, cannot damage the stream. Both are given back at the end;
    until then the client sees no end of the stream, even if the stream here is closed.

    Raises:
        ConfigurationError: stdin or stdout is closed.
    """
    with private_stdio() as (stdin, stdout), contextlib.ExitStack() as cleanup:
        async with receive_stream(stdin, cleanup) as receive, send_stream(stdout, cleanup) as send:
            yield receive, send


@contextlib.contextmanager
def private_stdio() -> Iterator[tuple[int, int]]:
    """Move stdin and stdout to descriptors of their own: (stdin, stdout)."""
    with contextlib.ExitStack() as cleanup:
        moved = []
        for number, name in enumerate(("stdin", "stdout")):
            # Python says None if it was closed at start; the number may be another file's by now.
            if getattr(sys, f"__{name}__") is None:
                raise ConfigurationError(
                    f"{name} is closed", hint="start the bridge with its stdin and stdout connected"
                )
            fd = os.dup(number)
            cleanup.callback(os.close, fd)
            moved.append(fd)
        stdin, stdout = moved
        flush_stdout()
        nothing = os.open(os.devnull, os.O_RDONLY)
        cleanup.callback(os.close, nothing)
        cleanup.callback(os.dup2, stdout, 1)
        cleanup.callback(os.dup2, stdin, 0)
        cleanup.callback(flush_stdout)
        os.dup2(nothing, 0)
        os.dup2(2, 1)
        yield stdin, stdout


def flush_stdout() -> None:
    """Send what was printed on its way before descriptor 1 changes its meaning."""
    if sys.stdout is not None and not sys.stdout.closed:
        sys.stdout.flush()


def receive_stream(fd: int, cleanup: contextlib.ExitStack) -> anyio.abc.ByteReceiveStream:
    """Return a stream that reads from `fd`, inherited and of any kind, and leaves it open.

    The flags of an inherited descriptor are shared with other processes and are left as they are
    where there is any other way; what `cleanup` does puts them back where there is none.
    """
    match kind_of(fd):
        case "socket":
            shared = shared_socket(fd, cleanup)
            return FdReceiveStream(
                os.dup(fd), read=lambda _fd, size: shared.recv(size, socket.MSG_DONTWAIT)
            )
        case "pipe":
            enlarge_pipe(fd)
            return FdReceiveStream(reopened(fd, os.O_RDONLY) or unblocked(fd, cleanup))
        case "terminal":
            # In its own mode a terminal that reports bytes hands them out without waiting.
            own = reopened(fd, os.O_RDONLY)
            return FdReceiveStream(own) if own else FdReceiveStream(os.dup(fd), eager=False)
        case _:
            return ThreadReceiveStream(os.dup(fd))


def send_stream(fd: int, cleanup: contextlib.ExitStack) -> anyio.abc.ByteSendStream:
    """Return a stream that writes to `fd`; see `receive_stream`."""
    match kind_of(fd):
        case "socket":
            shared = shared_socket(fd, cleanup)
            return FdSendStream(
                os.dup(fd), write=lambda _fd, data: shared.send(data, socket.MSG_DONTWAIT)
            )
        case "pipe":
            enlarge_pipe(fd)
            return FdSendStream(reopened(fd, os.O_WRONLY) or unblocked(fd, cleanup))
        case "terminal":
            own = reopened(fd, os.O_WRONLY)
            return FdSendStream(own) if own else ThreadSendStream(os.dup(fd))
        case _:
            return ThreadSendStream(os.dup(fd))


def kind_of(fd: int) -> str:
    """Sort a descriptor: ``socket``, ``pipe``, ``terminal``, or ``file`` (which epoll refuses)."""
    mode = os.fstat(fd).st_mode
    if stat.S_ISSOCK(mode):
        return "socket"
    if stat.S_ISFIFO(mode):
        return "pipe"
    return "terminal" if os.isatty(fd) else "file"


def shared_socket(fd: int, cleanup: contextlib.ExitStack) -> socket.socket:
    """Return a socket object for an inherited socket; it is closed by `cleanup`."""
    return cleanup.enter_context(socket.socket(fileno=os.dup(fd)))


def reopened(fd: int, access: int) -> int | None:
    """Open what `fd` refers to once more, non-blocking without changing it for anybody else.

    None where that cannot be done: on systems other than Linux, on files of another user, and when
    the other end is gone.
    """
    if sys.platform != "linux":
        return None
    link = f"/proc/self/fd/{fd}"
    with contextlib.suppress(OSError):
        # Opening the multiplexer anew would make another terminal.
        if not os.readlink(link).endswith("ptmx"):  # noqa: PTH115 - not a path to anything
            return os.open(link, access | os.O_NONBLOCK | os.O_NOCTTY)
    return None


def unblocked(fd: int, cleanup: contextlib.ExitStack) -> int:
    """Return a duplicate of `fd`, both non-blocking until `cleanup`."""
    cleanup.callback(os.set_blocking, fd, os.get_blocking(fd))
    os.set_blocking(fd, False)
    return os.dup(fd)
