"""Streams over descriptors: every byte, in order, and each error said once."""

import contextlib
import os
import pty
import socket
import tty
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import pytest

from acp_bridge.agent import pipes
from acp_bridge.agent.pipes import receive_stream, send_stream
from acp_bridge.agent.spawn import agent_pipes, open_pipe
from acp_bridge.agent.streams import (
    BIG_READ,
    SMALL_READ,
    FdReceiveStream,
    FdSendStream,
)
from tests.agent.conftest import Run

pytestmark = pytest.mark.usefixtures("no_leaks")

Pair = tuple[FdReceiveStream, FdSendStream]


@contextlib.asynccontextmanager
async def piped() -> AsyncIterator[Pair]:
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    os.set_blocking(write_end, False)
    async with FdReceiveStream(read_end) as receive, FdSendStream(write_end) as send:
        yield receive, send


def test_bytes_arrive_whole_and_in_order_whatever_the_size_of_the_pieces(run: Run) -> None:
    pieces = [bytes([size % 251]) * size for size in (1, 3, 4095, 4096, 65536, 65537, 3_000_001)]

    async def main() -> None:
        async with piped() as (receive, send), anyio.create_task_group() as tasks:

            async def write() -> None:
                for piece in pieces:
                    await send.send(piece)
                await send.aclose()

            tasks.start_soon(write)
            received = b"".join([chunk async for chunk in receive])
            assert received == b"".join(pieces)

    run(main)


def test_an_empty_send_is_no_end(run: Run) -> None:
    async def main() -> None:
        async with piped() as (receive, send):
            await send.send(b"")
            await send.send(b"x")
            assert await receive.receive() == b"x"

    run(main)


def test_receive_returns_no_more_than_asked_for(run: Run) -> None:
    async def main() -> None:
        async with piped() as (receive, send):
            await send.send(b"abcdef")
            assert await receive.receive(4) == b"abcd"
            assert await receive.receive(4) == b"ef"

    run(main)


def test_reads_grow_while_they_are_filled_and_shrink_again(run: Run) -> None:
    asked: list[int] = []

    def read(fd: int, size: int) -> bytes:
        asked.append(size)
        return os.read(fd, size)

    async def main() -> None:
        read_end, write_end = open_pipe()
        os.set_blocking(write_end, False)
        os.set_blocking(read_end, False)
        async with FdReceiveStream(read_end, read=read) as receive, FdSendStream(write_end) as send:
            for size in (SMALL_READ, 1, 1):
                await send.send(bytes(size))
                await receive.receive()

    run(main)
    assert asked == [SMALL_READ, BIG_READ, SMALL_READ]


def test_the_other_sides_end_is_the_end_of_the_stream(run: Run) -> None:
    async def main() -> None:
        async with piped() as (receive, send):
            await send.aclose()
            for _ in range(2):
                with pytest.raises(anyio.EndOfStream):
                    await receive.receive()

    run(main)


def test_sending_to_nobody_is_a_broken_stream(run: Run) -> None:
    async def main() -> None:
        async with piped() as (receive, send):
            await receive.aclose()
            with pytest.raises(anyio.BrokenResourceError):
                await send.send(b"x")

    run(main)


def test_a_receiver_that_dies_while_a_sender_waits_breaks_the_stream(run: Run) -> None:
    async def main() -> None:
        async with piped() as (receive, send), anyio.create_task_group() as tasks:

            async def write() -> None:
                with pytest.raises(anyio.BrokenResourceError):
                    await send.send(bytes(8 << 20))

            tasks.start_soon(write)
            await anyio.wait_all_tasks_blocked()
            await receive.aclose()

    run(main)


def test_use_after_close_says_closed_and_closing_twice_is_harmless(run: Run) -> None:
    async def main() -> None:
        async with piped() as (receive, send):
            for stream in (receive, send, receive, send):
                await stream.aclose()
            with pytest.raises(anyio.ClosedResourceError):
                await receive.receive()
            with pytest.raises(anyio.ClosedResourceError):
                await send.send(b"x")

    run(main)


def test_closing_releases_a_task_that_waits_to_receive(run: Run) -> None:
    async def main() -> None:
        async with piped() as (receive, _), anyio.create_task_group() as tasks:

            async def read() -> None:
                with pytest.raises(anyio.ClosedResourceError):
                    await receive.receive()

            tasks.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            await receive.aclose()

    run(main)


def test_two_tasks_cannot_send_at_once_and_mix_their_bytes(run: Run) -> None:
    async def main() -> None:
        async with piped() as (receive, send), anyio.create_task_group() as tasks:
            tasks.start_soon(send.send, bytes(1 << 20))
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(anyio.BusyResourceError):
                await send.send(b"x")
            total = 0
            while total < 1 << 20:
                total += len(await receive.receive())

    run(main)


def test_a_stream_that_always_has_bytes_lets_others_run_and_can_be_cancelled(run: Run) -> None:
    async def main() -> None:
        async with FdReceiveStream(os.dup(0), read=lambda _fd, _size: b"always") as receive:
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(_cancel, scope)
                    for _ in range(10_000):
                        await receive.receive()
            assert scope.cancelled_caught

    run(main)


async def _cancel(scope: anyio.CancelScope) -> None:
    scope.cancel()


def test_a_sink_that_always_takes_bytes_lets_others_run_and_can_be_cancelled(run: Run) -> None:
    async def main() -> None:
        async with FdSendStream(os.dup(0), write=lambda _fd, data: len(data)) as send:
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(_cancel, scope)
                    for _ in range(10_000):
                        await send.send(b"always")
            assert scope.cancelled_caught

    run(main)


def test_an_error_while_the_agents_pipes_are_open_closes_them_all() -> None:
    with pytest.raises(LookupError), agent_pipes():
        raise LookupError


@pytest.fixture(params=["reopening", "no reopening"])
def _reopening(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test as on Linux and as on systems where a descriptor cannot be opened anew."""
    if request.param == "no reopening":
        monkeypatch.setattr(pipes, "reopened", lambda _fd, _access: None)


@pytest.fixture(params=["pipe", "socket", "terminal"])
def ends(request: pytest.FixtureRequest) -> Iterator[tuple[int, int]]:
    """(read end, write end), both blocking, as a process inherits them."""
    match request.param:
        case "pipe":
            pair = os.pipe()
        case "socket":
            one, other = socket.socketpair()
            pair = one.detach(), other.detach()
        case _:
            pair = pty.openpty()
            tty.setraw(pair[1])
    yield pair
    for fd in pair:
        os.close(fd)


@pytest.mark.usefixtures("_reopening")
def test_inherited_descriptors_of_every_kind_carry_all_bytes(
    run: Run, ends: tuple[int, int]
) -> None:
    content = bytes(range(256)) * 4096

    async def main() -> None:
        with contextlib.ExitStack() as cleanup:
            receive, send = receive_stream(ends[0], cleanup), send_stream(ends[1], cleanup)
            async with receive, send, anyio.create_task_group() as tasks:
                tasks.start_soon(send.send, content)
                received = b""
                while len(received) < len(content):
                    received += await receive.receive()
                assert received == content
        assert [os.get_blocking(fd) for fd in ends] == [True, True]

    run(main)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's /proc to reopen")
def test_the_flags_that_others_share_are_not_touched_even_for_a_moment(
    run: Run, ends: tuple[int, int]
) -> None:
    async def main() -> None:
        with contextlib.ExitStack() as cleanup:
            receive, send = receive_stream(ends[0], cleanup), send_stream(ends[1], cleanup)
            async with receive, send:
                assert [os.get_blocking(fd) for fd in ends] == [True, True]

    run(main)


def test_waiting_for_an_inherited_descriptor_can_be_cancelled(
    run: Run, ends: tuple[int, int]
) -> None:
    async def main() -> None:
        with contextlib.ExitStack() as cleanup:
            async with receive_stream(ends[0], cleanup) as receive:
                with anyio.CancelScope() as scope:
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(receive.receive)
                        await anyio.wait_all_tasks_blocked()
                        scope.cancel()
                assert scope.cancelled_caught

    run(main)


def test_regular_files_are_read_to_their_end_and_written(run: Run, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    content = bytes(range(256)) * 10_000
    source.write_bytes(content)

    async def main() -> None:
        with (
            contextlib.ExitStack() as cleanup,
            source.open("rb") as read_end,
            target.open("wb") as write_end,
        ):
            receive = receive_stream(read_end.fileno(), cleanup)
            send = send_stream(write_end.fileno(), cleanup)
            async with receive, send:
                async for chunk in receive:
                    await send.send(chunk)
            with pytest.raises(anyio.ClosedResourceError):
                await receive.receive()
            with pytest.raises(anyio.ClosedResourceError):
                await send.send(b"x")

    run(main)
    assert target.read_bytes() == content


def test_a_full_disk_breaks_the_stream(run: Run) -> None:
    async def main() -> None:
        with contextlib.ExitStack() as cleanup:
            full = os.open("/dev/full", os.O_WRONLY)
            cleanup.callback(os.close, full)
            async with send_stream(full, cleanup) as send:
                with pytest.raises(anyio.BrokenResourceError):
                    await send.send(b"x")

    run(main)
