"""Passing a request on: which proxy, which headers, which answer."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from acp_bridge.launch.telemetry_records import Destination
from acp_bridge.loopback.bound import bind_loopback
from acp_bridge.loopback.forwarding import Forwarder, UndeliveredError, proxy_of
from acp_bridge.loopback.http import Request, Response, listen
from acp_bridge.loopback.sink import ProxySink

Run = Callable[[Callable[[], Awaitable[Any]]], Any]
PROXY = "http://me:FAKE@proxy.example:3128"
REMOTE = "https://collector.example/v1/logs"
SENT = Request(
    "POST",
    "/token/name/v1/logs",
    (
        ("host", "127.0.0.1:1"),
        ("authorization", "Bearer FAKE"),
        ("x-twice", "1"),
        ("x-twice", "2"),
        ("x-latin", "\xe9"),
        ("content-type", "application/json"),
        ("content-encoding", "gzip"),
        ("connection", "keep-alive, x-for-this-hop"),
        ("x-for-this-hop", "1"),
        ("content-length", "5"),
    ),
    b"\x1f\x8bodd",
)


def test_a_request_arrives_as_it_was_sent_and_the_answer_comes_back(run: Run) -> None:
    arrived: list[Request] = []

    async def collector(request: Request) -> Response:
        arrived.append(request)
        headers = (("retry-after", "7"), ("location", "/elsewhere"), ("connection", "close"))
        return Response(307, headers, b"moved")

    async def scenario() -> Response:
        async with listen(collector) as server, Forwarder() as forwarder:
            return await forwarder.forward(SENT, Destination(f"{server.url}/base/v1/logs"))

    answer = run(scenario)

    (request,) = arrived
    port = request.header("host")
    assert (request.method, request.target, request.body) == ("POST", "/base/v1/logs", SENT.body)
    assert sorted(request.headers) == sorted(
        [("host", port), *SENT.headers[1:-3], ("content-length", "5")]
    )
    assert (answer.status, answer.body) == (307, b"moved")
    assert ("retry-after", "7") in answer.headers
    assert not [name for name, _ in answer.headers if name in ("connection", "content-length")]


def test_a_destination_that_is_not_there_gives_no_answer(run: Run) -> None:
    async def scenario() -> None:
        with bind_loopback() as listening:
            port = listening.getsockname()[1]
        async with Forwarder() as forwarder:
            with pytest.raises(UndeliveredError):
                await forwarder.forward(SENT, Destination(f"http://127.0.0.1:{port}/"))

    run(scenario)


@pytest.mark.parametrize("url", ["http://[bad", "http://x:port/", "http://x:99999/"])
def test_an_address_that_is_none_gives_no_answer(run: Run, url: str) -> None:
    async def scenario() -> None:
        async with Forwarder() as forwarder:
            with pytest.raises(UndeliveredError):
                await forwarder.forward(SENT, Destination(url))

    run(scenario)


def test_the_users_proxy_is_asked_for_what_is_not_on_this_machine(run: Run) -> None:
    async def scenario() -> list[str]:
        async with ProxySink() as sink, Forwarder() as forwarder:
            with pytest.raises(UndeliveredError):
                await forwarder.forward(SENT, Destination(REMOTE, sink.url))
            return [refused.target for refused in sink.refused]

    assert run(scenario) == ["collector.example:443"]


def test_the_bridges_own_environment_has_no_say(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def collector(_request: Request) -> Response:
        return Response(204)

    async def scenario() -> None:
        async with ProxySink() as sink, listen(collector) as server, Forwarder() as forwarder:
            for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
                monkeypatch.setenv(name, sink.url)
            for name in ("NO_PROXY", "no_proxy"):
                monkeypatch.delenv(name, raising=False)
            answer = await forwarder.forward(SENT, Destination(server.url + "/"))
            assert (answer.status, sink.refused) == (204, [])

    run(scenario)


def test_a_certificate_file_that_is_not_there_is_passed_over(run: Run) -> None:
    async def scenario() -> None:
        async with ProxySink() as sink, Forwarder() as forwarder:
            where = Destination(REMOTE, sink.url, certificates=("/absent.pem",))
            with pytest.raises(UndeliveredError):
                await forwarder.forward(SENT, where)
            assert len(sink.refused) == 1

    run(scenario)


@pytest.mark.parametrize(
    ("url", "proxy", "no_proxy", "used"),
    [
        (REMOTE, PROXY, "", PROXY),
        (REMOTE, "", "", None),
        (REMOTE, " ", "", None),
        (REMOTE, "proxy.example:3128", "", "http://proxy.example:3128"),
        (REMOTE, "socks5://proxy.example", "", None),
        ("http://127.0.0.1:4318/", PROXY, "", None),
        ("http://127.example.org/", PROXY, "", PROXY),
        ("http://localhost:4318/", PROXY, "", None),
        ("http://[::1]:4318/", PROXY, "", None),
        (REMOTE, PROXY, "*", None),
        (REMOTE, PROXY, "localhost, collector.example", None),
        (REMOTE, PROXY, "COLLECTOR.example:443", None),
        (REMOTE, PROXY, "collector.example:4318", PROXY),
        (REMOTE, PROXY, ".example", None),
        (REMOTE, PROXY, ".collector.example", None),
        (REMOTE, PROXY, "example", PROXY),
        (REMOTE, PROXY, "xcollector.example,lector.example", PROXY),
    ],
)
def test_a_proxy_is_used_where_claude_code_would_use_it(
    url: str, proxy: str, no_proxy: str, used: str | None
) -> None:
    assert proxy_of(Destination(url, proxy, no_proxy)) == used


def test_a_proxys_password_is_not_shown() -> None:
    assert "FAKE" not in repr(Destination(REMOTE, PROXY))
