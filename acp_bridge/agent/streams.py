"""Byte streams over file descriptors.

Reading and writing is tried at once and waited for only when the kernel says "not now"; most calls
therefore cost one system call and no turn of the event loop. Every `OPERATIONS_PER_TURN` calls in a
row that did not wait, the loop gets its turn, so that one busy direction cannot starve the other.

Errors of the operating system are translated here, once: end-of-file is `anyio.EndOfStream`, a peer
that is gone `anyio.BrokenResourceError`, use after `aclose` `anyio.ClosedResourceError`.
"""

import os
from collections.abc import Callable
from typing import Protocol, TypeVar

import anyio
import anyio.abc
import anyio.lowlevel
import anyio.to_thread

OPERATIONS_PER_TURN = 16
SMALL_READ = 64 * 1024
BIG_READ = 1024 * 1024

Argument = TypeVar("Argument")
Result = TypeVar("Result")
Read = Callable[[int, int], bytes]
Write = Callable[[int, memoryview], int]


class FdReceiveStream(anyio.abc.ByteReceiveStream):
    """Bytes from a descriptor that the event loop can watch; owns and closes it.

    Args:
        fd: a pipe, socket or terminal.
        read: takes (descriptor, most bytes) and must not block.
        eager: whether reading may be tried before the kernel reports bytes; False where `read`
            would block then.
    """

    def __init__(self, fd: int, *, read: Read = os.read, eager: bool = True) -> None:
        self._fd = fd
        self._read = read
        self._eager = eager
        self._size = SMALL_READ
        self._operations = 0
        self._guard = anyio.ResourceGuard("reading from")

    async def receive(self, max_bytes: int = BIG_READ) -> bytes:
        """Return the next bytes, at least one and at most `max_bytes`.

        Raises:
            anyio.EndOfStream: the other side closed.
            anyio.BrokenResourceError: the other side is gone.
            anyio.ClosedResourceError: this side was closed.
        """
        with self._guard:
            if not self._eager:
                await self._wait()
            else:
                self._operations += 1
                if self._operations >= OPERATIONS_PER_TURN:
                    self._operations = 0
                    await anyio.lowlevel.checkpoint()
            while True:
                data = self._attempt(max_bytes)
                if data is not None:
                    return data
                await self._wait()

    def _attempt(self, max_bytes: int) -> bytes | None:
        """Read what is there; None if nothing is."""
        if self._fd < 0:
            raise anyio.ClosedResourceError
        size = min(self._size, max_bytes)
        try:
            data = self._read(self._fd, size)
        except BlockingIOError:
            return None
        except OSError as error:
            raise anyio.BrokenResourceError from error
        if not data:
            raise anyio.EndOfStream
        # A large buffer costs page faults on every read: take one only while reads fill it.
        if len(data) == self._size:
            self._size = BIG_READ
        elif len(data) < SMALL_READ:
            self._size = SMALL_READ
        return data

    async def _wait(self) -> None:
        if self._fd < 0:
            raise anyio.ClosedResourceError
        self._operations = 0
        await anyio.wait_readable(self._fd)

    async def aclose(self) -> None:
        """Close the descriptor; a waiting `receive` ends with `anyio.ClosedResourceError`."""
        close_fd(self)
        await anyio.lowlevel.checkpoint()


class FdSendStream(anyio.abc.ByteSendStream):
    """Bytes to a descriptor that the event loop can watch; owns and closes it.

    Args:
        fd: a pipe, socket or terminal.
        write: takes (descriptor, bytes), must not block and returns how many bytes it took.
    """

    def __init__(self, fd: int, *, write: Write = os.write) -> None:
        self._fd = fd
        self._write = write
        self._operations = 0
        self._guard = anyio.ResourceGuard("writing to")

    async def send(self, item: bytes) -> None:
        """Write all of `item`, waiting while the other side does not read.

        A cancelled call may have written a part; the stream is of no use for messages then.

        Raises:
            anyio.BrokenResourceError: the other side is gone.
            anyio.ClosedResourceError: this side was closed.
        """
        with self._guard:
            self._operations += 1
            if self._operations >= OPERATIONS_PER_TURN:
                self._operations = 0
                await anyio.lowlevel.checkpoint()
            rest = memoryview(item)
            while rest:
                taken = self._attempt(rest)
                if not taken:
                    self._operations = 0
                    await anyio.wait_writable(self._fd)
                rest = rest[taken:]

    def _attempt(self, rest: memoryview) -> int:
        """Write what the kernel takes; 0 if it takes nothing now."""
        if self._fd < 0:
            raise anyio.ClosedResourceError
        try:
            return self._write(self._fd, rest)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise anyio.BrokenResourceError from error

    async def aclose(self) -> None:
        """Close the descriptor; a waiting `send` ends with `anyio.ClosedResourceError`."""
        close_fd(self)
        await anyio.lowlevel.checkpoint()


class ThreadReceiveStream(anyio.abc.ByteReceiveStream):
    """Bytes from a descriptor the event loop cannot watch, as a file; owns and closes it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._guard = anyio.ResourceGuard("reading from")

    async def receive(self, max_bytes: int = BIG_READ) -> bytes:
        """Return the next bytes; raises as `FdReceiveStream.receive` does."""
        with self._guard:
            data = await in_thread(os.read, self._fd, max_bytes)
        if not data:
            raise anyio.EndOfStream
        return data

    async def aclose(self) -> None:
        """Close the descriptor."""
        close_fd(self)
        await anyio.lowlevel.checkpoint()


class ThreadSendStream(anyio.abc.ByteSendStream):
    """Bytes to a descriptor the event loop cannot watch; owns and closes it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._guard = anyio.ResourceGuard("writing to")

    async def send(self, item: bytes) -> None:
        """Write all of `item`; raises as `FdSendStream.send` does."""
        with self._guard:
            rest = memoryview(item)
            while rest:
                rest = rest[await in_thread(os.write, self._fd, rest) :]

    async def aclose(self) -> None:
        """Close the descriptor."""
        close_fd(self)
        await anyio.lowlevel.checkpoint()


async def in_thread(call: Callable[[int, Argument], Result], fd: int, argument: Argument) -> Result:
    """Make a blocking system call on `fd` in a worker thread, its errors translated.

    Not abandoned when cancelled: the thread would use a descriptor that is closed by then.
    """
    if fd < 0:
        raise anyio.ClosedResourceError
    try:
        return await anyio.to_thread.run_sync(call, fd, argument)
    except OSError as error:
        raise anyio.BrokenResourceError from error


class HasDescriptor(Protocol):
    """A stream of this module."""

    _fd: int


def close_fd(stream: HasDescriptor) -> None:
    """Close a stream's descriptor at once; a second call does nothing."""
    fd, stream._fd = stream._fd, -1  # noqa: SLF001 - the classes above are its only callers
    if fd >= 0:
        anyio.notify_closing(fd)
        os.close(fd)
