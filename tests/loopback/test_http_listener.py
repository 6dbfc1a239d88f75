"""The listener, asked with raw sockets on both event loops."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import anyio
import pytest

from acp_bridge.loopback.http import Disconnect, Request, Response, listen
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
