from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from acp_bridge.loopback.sink import ProxySink
from acp_bridge.loopback.threaded import running_sink
from tests.support.raw import raw_client

Run = Callable[[Callable[[], Awaitable[Any]]], Any]


@pytest.mark.parametrize(
    ("sent", "method", "target"),
    [
        (
            b"CONNECT api.anthropic.com:443 HTTP/1.1\r\nHost: api.anthropic.com:443\r\n\r\n",
            "CONNECT",
            "api.anthropic.com:443",
        ),
        (
            b"GET http://example.invalid/a HTTP/1.1\r\nHost: example.invalid\r\n\r\n",
            "GET",
            "http://example.invalid/a",
        ),
        (b"\x05\x01\x00", "SOCKS5", ""),
        (b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00", "SOCKS4", ""),
        (b"\x16\x03\x01\x02\x00\n", "?", ""),
    ],
    ids=["CONNECT", "absolute form", "SOCKS5", "SOCKS4", "TLS"],
)
def test_whatever_is_asked_is_recorded_and_refused(
    run: Run, sent: bytes, method: str, target: str
) -> None:
    async def scenario() -> None:
        async with ProxySink() as sink, raw_client(sink.url) as client:
            await client.send(sent)
            refused = await sink.wait_for(lambda _any: True, 5)
            answer = await client.read_to_end()
        assert (refused.method, refused.target) == (method, target)
        assert answer.startswith(b"" if method.startswith("SOCKS") else b"HTTP/1.1 403 ")
        assert len(sink.refused) == 1

    run(scenario)


def test_a_socks_client_is_closed_without_an_answer(run: Run) -> None:
    async def scenario() -> None:
        async with ProxySink() as sink, raw_client(sink.url) as client:
            await client.send(b"\x05\x01\x00")
            assert await client.read_to_end() == b""

    run(scenario)


def test_a_connection_that_asks_for_nothing_is_not_recorded(run: Run) -> None:
    async def scenario() -> None:
        async with ProxySink() as sink:
            async with raw_client(sink.url) as client:
                await client.stream.send_eof()
                await client.read_to_end()
            assert sink.refused == []

    run(scenario)


def test_the_sink_in_a_thread_shows_what_it_refused(run: Run) -> None:
    async def ask(url: str) -> None:
        async with raw_client(url) as client:
            await client.send(b"CONNECT example.invalid:443 HTTP/1.1\r\n\r\n")
            await client.read_to_end()

    with running_sink() as sink:
        run(lambda: ask(sink.url))
        assert sink.wait_for(lambda refused: refused.method == "CONNECT", 5) == sink.refused[0]
        with pytest.raises(TimeoutError):
            sink.wait_for(lambda refused: refused.method == "GET", 0.01)
