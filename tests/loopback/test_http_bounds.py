"""Whom the listener refuses or gives up, and who has to make room, asked with raw sockets."""

import contextlib
import resource
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import anyio
import pytest
from anyio.abc import SocketStream

from acp_bridge.loopback.http import Door, Limits, Request, Response, listen
from tests.loopback.test_http_listener import GET, echo, post
from tests.support.raw import raw_client

Run = Callable[[Callable[[], Awaitable[Any]]], Any]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 3000 + b"\r\n\r\n", b"431"),
        (post(b"b" * 3000), b"413"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", b"413"),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"400\r\n" + b"c" * 1024 + b"\r\n400\r\n" + b"c" * 1024 + b"\r\n",
            b"413",
        ),
        (b"\x16\x03\x01 not HTTP\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n", b"400"),
    ],
    ids=["headers", "body", "declared body", "chunked body", "other protocol", "bad length"],
)
def test_what_is_too_long_or_no_http_is_refused_and_the_connection_closed(
    run: Run, sent: bytes, status: bytes
) -> None:
    limits = Limits(header_bytes=2048, body_bytes=2000)

    async def scenario() -> None:
        async with listen(echo, limits=limits) as server, raw_client(server.url) as client:
            await client.send(sent)
            received = await client.read_to_end()
        assert received.startswith(b"HTTP/1.1 " + status)
        assert b"connection: close" in received

    run(scenario)


def test_a_refused_client_can_send_to_its_end_and_still_read_why(run: Run) -> None:
    async def scenario() -> None:
        limits = Limits(body_bytes=2000)
        async with listen(echo, limits=limits) as server, raw_client(server.url) as client:
            await client.send(post(b"b" * 4_000_000))
            assert (await client.read_to_end()).startswith(b"HTTP/1.1 413")

    run(scenario)


def test_a_request_that_stops_half_way_times_out(run: Run) -> None:
    async def scenario() -> None:
        limits = Limits(receive_seconds=0.05)
        async with listen(echo, limits=limits) as server, raw_client(server.url) as client:
            await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab")
            assert (await client.read_to_end()).startswith(b"HTTP/1.1 408")

    run(scenario)


def test_an_idle_connection_is_closed_without_a_word(run: Run) -> None:
    async def scenario() -> None:
        limits = Limits(idle_seconds=0.05)
        async with listen(echo, limits=limits) as server, raw_client(server.url) as client:
            await client.send(post(b"one"))
            assert (await client.read_to_end()).endswith(b"one")

    run(scenario)


def test_a_client_that_does_not_read_is_dropped(run: Run) -> None:
    async def scenario() -> None:
        closed = anyio.Event()

        async def endless() -> AsyncGenerator[bytes, None]:
            try:
                while True:
                    yield b"x" * 65536
            finally:
                closed.set()

        async def handler(_request: Request) -> Response:
            return Response(200, body=endless())

        limits = Limits(send_seconds=0.05)
        async with listen(handler, limits=limits) as server, raw_client(server.url) as client:
            await client.send(GET)
            with anyio.fail_after(5):
                await closed.wait()

    run(scenario)


def test_a_client_that_waits_for_100_continue_gets_it(run: Run) -> None:
    async def scenario() -> None:
        async with listen(echo) as server, raw_client(server.url) as client:
            head, _, body = post(b"body", b"Expect: 100-continue").partition(b"\r\n\r\n")
            await client.send(head + b"\r\n\r\n")
            await client.read_until(b"HTTP/1.1 100")
            await client.send(body)
            await client.read_until(b"\r\n\r\nbody")

    run(scenario)


def test_a_half_request_before_the_end_is_no_request(run: Run) -> None:
    answered: list[Request] = []

    async def handler(request: Request) -> Response:
        answered.append(request)
        return Response(200)

    async def scenario() -> None:
        async with listen(handler) as server, raw_client(server.url) as client:
            await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab")
            await client.stream.send_eof()
            assert (await client.read_to_end()).startswith(b"HTTP/1.1 400")
        assert answered == []

    run(scenario)


def test_a_request_that_comes_in_drops_times_out_too(run: Run) -> None:
    async def scenario() -> None:
        limits = Limits(request_seconds=0.2)
        async with listen(echo, limits=limits) as server, raw_client(server.url) as client:
            await client.send(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(drop_by_drop, client.stream)
                answer = await client.read_to_end()
                tasks.cancel_scope.cancel()
        assert answer.startswith(b"HTTP/1.1 408")

    run(scenario)


async def drop_by_drop(stream: SocketStream) -> None:
    with contextlib.suppress(anyio.BrokenResourceError):
        while True:
            await stream.send(b"a")
            await anyio.sleep(0.01)


def test_while_all_are_being_answered_a_client_waits_its_turn(run: Run) -> None:
    first_may_end = anyio.Event()
    begun = anyio.Event()

    async def handler(request: Request) -> Response:
        if request.body == b"served":
            begun.set()
            await first_may_end.wait()
        return Response(200, body=request.body)

    async def scenario() -> None:
        limits = Limits(connections=1)
        async with (
            listen(handler, limits=limits) as server,
            raw_client(server.url) as served,
        ):
            await served.send(post(b"served"))
            with anyio.fail_after(5):
                await begun.wait()
            async with raw_client(server.url) as waiting:
                await waiting.send(post(b"waited", b"Connection: close"))
                with anyio.move_on_after(0.05) as too_early:
                    await waiting.stream.receive()
                assert too_early.cancelled_caught
                first_may_end.set()
                assert (await served.read_until(b"served")).startswith(b"HTTP/1.1 200")
                assert (await waiting.read_to_end()).endswith(b"waited")

    run(scenario)


def test_who_brings_no_request_makes_room_before_who_is_idle(run: Run) -> None:
    async def scenario() -> None:
        limits = Limits(connections=2)
        async with (
            listen(echo, limits=limits) as server,
            raw_client(server.url) as idle,
        ):
            await idle.send(post(b"first"))
            await idle.read_until(b"first")
            async with raw_client(server.url) as silent, raw_client(server.url) as late:
                await late.send(post(b"late"))
                assert await silent.read_to_end() == b""
                await late.read_until(b"late")
            await idle.send(post(b"second"))
            await idle.read_until(b"second")

    run(scenario)


def test_an_idle_connection_makes_room_when_nobody_else_does(run: Run) -> None:
    async def scenario() -> None:
        limits = Limits(connections=1)
        async with listen(echo, limits=limits) as server, raw_client(server.url) as idle:
            await idle.send(post(b"first"))
            await idle.read_until(b"first")
            async with raw_client(server.url) as late:
                assert (await idle.read_to_end()).endswith(b"first")
                await late.send(post(b"late"))
                await late.read_until(b"late")

    run(scenario)


def test_without_descriptors_the_listener_goes_on(run: Run) -> None:
    async def scenario() -> None:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        async with listen(echo) as server, raw_client(server.url) as silent:
            await anyio.wait_all_tasks_blocked()
            with socket.socket() as late:
                late.setblocking(False)
                resource.setrlimit(resource.RLIMIT_NOFILE, (late.fileno() + 1, hard[1]))
                try:
                    with contextlib.suppress(BlockingIOError):
                        late.connect(("127.0.0.1", int(server.url.rpartition(":")[2])))
                    assert await silent.read_to_end() == b""
                finally:
                    resource.setrlimit(resource.RLIMIT_NOFILE, hard)
            async with raw_client(server.url) as client:
                await client.send(post(b"again"))
                await client.read_until(b"again")

    run(scenario)


def test_a_refused_request_for_a_head_only_gets_no_body(run: Run) -> None:
    async def scenario() -> None:
        async with listen(echo) as server, raw_client(server.url) as client:
            await client.send(b"HEAD / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
            answer = await client.read_to_end()
        assert answer.startswith(b"HTTP/1.1 413")
        assert answer.endswith(b"\r\n\r\n")

    run(scenario)


def test_who_is_not_let_in_is_answered_before_the_body_is_read(run: Run) -> None:
    async def scenario() -> None:
        door = Door(lambda request: Response(403, body=request.target.encode()))
        async with listen(echo, door=door) as server, raw_client(server.url) as client:
            head, _, _ = post(b"body").partition(b"\r\n\r\n")
            await client.send(head + b"\r\n\r\n")
            answer = await client.read_to_end()
        assert answer.startswith(b"HTTP/1.1 403")
        assert answer.endswith(b"\r\n\r\n/b?c=d")

    run(scenario)
