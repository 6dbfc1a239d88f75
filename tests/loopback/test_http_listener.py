"""The listener, asked with raw sockets on both event loops."""

import contextlib
import resource
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import anyio
import pytest
from anyio.abc import SocketStream

from acp_bridge.loopback.http import Disconnect, Door, Limits, Request, Response, listen
from tests.support.raw import raw_client

Run = Callable[[Callable[[], Awaitable[Any]]], Any]
GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"


async def echo(request: Request) -> Response:
    headers = (("content-type", "text/plain"), ("x-target", request.target))
    return Response(200, headers, request.body)


def post(body: bytes, *headers: bytes) -> bytes:
    lines = [b"POST /b?c=d HTTP/1.1", b"Host: x", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def test_two_requests_are_answered_on_one_connection(run: Run) -> None:
    async def scenario() -> None:
        async with listen(echo) as server, raw_client(server.url) as client:
            await client.send(post(b"one"))
            await client.read_until(b"one")
            await client.send(post(b"two"))
            received = await client.read_until(b"two")
        assert received.count(b"HTTP/1.1 200") == 2
        assert received.count(b"x-target: /b?c=d\r\n") == 2

    run(scenario)


def test_requests_sent_ahead_are_answered_in_their_order(run: Run) -> None:
    first_may_end = anyio.Event()

    async def handler(request: Request) -> Response:
        if request.body == b"one":
            await first_may_end.wait()
        return Response(200, body=request.body)

    async def scenario() -> None:
        async with listen(handler) as server, raw_client(server.url) as client:
            await client.send(post(b"one"))
            await client.send(post(b"two") + post(b"three"))
            first_may_end.set()
            received = await client.read_until(b"three")
        assert received.index(b"one") < received.index(b"two") < received.index(b"three")

    run(scenario)


def test_a_chunked_request_body_is_put_together(run: Run) -> None:
    async def scenario() -> None:
        async with listen(echo) as server, raw_client(server.url) as client:
            await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            await client.send(b"3\r\nabc\r\n")
            await client.send(b"4\r\ndefg\r\n0\r\n\r\n")
            received = await client.read_until(b"abcdefg")
        assert b"content-length: 7\r\n" in received

    run(scenario)


def test_head_is_answered_with_the_length_and_no_body(run: Run) -> None:
    async def handler(_request: Request) -> Response:
        return Response(200, body=b"twelve bytes")

    async def scenario() -> None:
        async with listen(handler) as server, raw_client(server.url) as client:
            await client.send(b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            received = await client.read_to_end()
        assert b"content-length: 12\r\n" in received
        assert received.endswith(b"\r\n\r\n")

    run(scenario)


def test_header_names_come_in_lower_case_in_the_order_of_the_wire(run: Run) -> None:
    seen: list[Request] = []

    async def handler(request: Request) -> Response:
        seen.append(request)
        return Response(204)

    async def scenario() -> None:
        async with listen(handler) as server, raw_client(server.url) as client:
            await client.send(
                b"GET /p?q HTTP/1.1\r\nHost: x\r\nX-Two: 2\r\nx-ONE: 1\r\nX-Two: 3\r\n\r\n"
            )
            await client.read_until(b"\r\n\r\n")
        assert seen[0].headers == (("host", "x"), ("x-two", "2"), ("x-one", "1"), ("x-two", "3"))
        assert seen[0].header("x-two") == "2"
        assert (seen[0].path, seen[0].target) == ("/p", "/p?q")

    run(scenario)


def test_each_chunk_is_sent_before_the_next_is_made(run: Run) -> None:
    second_may_come = anyio.Event()

    async def body() -> AsyncGenerator[bytes, None]:
        yield b"first"
        await second_may_come.wait()
        yield b"second"

    async def handler(_request: Request) -> Response:
        return Response(200, body=body())

    async def scenario() -> None:
        async with listen(handler) as server, raw_client(server.url) as client:
            await client.send(GET)
            assert b"second" not in await client.read_until(b"first")
            second_may_come.set()
            received = await client.read_until(b"0\r\n\r\n")
        assert b"transfer-encoding: chunked" in received.lower()
        assert b"6\r\nsecond\r\n" in received

    run(scenario)


@pytest.mark.parametrize("when", ["while the handler waits", "while the body waits"])
def test_a_client_that_leaves_cancels_what_was_being_done_for_it(run: Run, when: str) -> None:
    async def scenario() -> None:
        cancelled = anyio.Event()

        async def wait_forever() -> None:
            try:
                await anyio.sleep_forever()
            finally:
                cancelled.set()

        async def body() -> AsyncGenerator[bytes, None]:
            yield b"first"
            await wait_forever()

        async def handler(_request: Request) -> Response:
            started.set()
            if when == "while the handler waits":
                await wait_forever()
            return Response(200, body=body())

        started = anyio.Event()
        async with listen(handler) as server:
            async with raw_client(server.url) as client:
                await client.send(GET)
                with anyio.fail_after(5):
                    await started.wait()
                if when == "while the body waits":
                    await client.read_until(b"first")
            with anyio.fail_after(5):
                await cancelled.wait()

    run(scenario)


def test_a_body_that_disconnects_leaves_the_response_unfinished(run: Run) -> None:
    async def body() -> AsyncGenerator[bytes, None]:
        yield b"half"
        raise Disconnect

    async def handler(_request: Request) -> Response:
        return Response(200, body=body())

    async def scenario() -> None:
        async with listen(handler) as server, raw_client(server.url) as client:
            await client.send(GET)
            received = await client.read_to_end()
        assert received.endswith(b"4\r\nhalf\r\n")

    run(scenario)


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


def test_an_answer_that_http_cannot_say_ends_its_connection_and_nothing_else(run: Run) -> None:
    closed: list[str] = []

    async def body() -> AsyncGenerator[bytes, None]:
        try:
            yield b""
        finally:
            closed.append("body")

    async def handler(request: Request) -> Response:
        if request.target == "/a":
            chunks = body()
            await anext(chunks)
            return Response(200, (("a name", "no name"),), chunks)
        return await echo(request)

    async def scenario() -> None:
        async with listen(handler) as server:
            async with raw_client(server.url) as client:
                await client.send(GET)
                assert await client.read_to_end() == b""
            async with raw_client(server.url) as client:
                await client.send(post(b"here"))
                assert b"here" in await client.read_until(b"here")
        assert closed == ["body"]

    run(scenario)


def test_leaving_the_block_ends_streams_and_frees_the_port(run: Run) -> None:
    async def scenario() -> None:
        closed = anyio.Event()

        async def body() -> AsyncGenerator[bytes, None]:
            try:
                yield b"first"
                await anyio.sleep_forever()
            finally:
                closed.set()

        async def handler(_request: Request) -> Response:
            return Response(200, body=body())

        with anyio.fail_after(5):
            async with listen(handler) as server, raw_client(server.url) as client:
                await client.send(GET)
                await client.read_until(b"first")
        assert closed.is_set()
        port = int(server.url.rpartition(":")[2])
        async with listen(handler, port=port) as again:
            assert again.url == server.url

    run(scenario)


def test_an_error_in_the_block_comes_out_as_it_is(run: Run) -> None:
    async def scenario() -> None:
        async with listen(echo):
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        run(scenario)


def test_a_defect_in_a_handler_ends_the_block_instead_of_hiding(run: Run) -> None:
    async def handler(_request: Request) -> Response:
        raise ZeroDivisionError

    async def scenario() -> None:
        async with listen(handler) as server, raw_client(server.url) as client:
            await client.send(GET)
            with anyio.fail_after(5):
                await anyio.sleep_forever()

    with pytest.raises(BaseExceptionGroup) as caught:
        run(scenario)
    assert caught.group_contains(ZeroDivisionError)
