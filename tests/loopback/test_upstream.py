"""Where the guard's requests go: addresses, proxies, headers."""

import contextlib
import shutil
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import SocketStream
from anyio.streams.tls import TLSStream

from acp_bridge.loopback.http import Listener
from acp_bridge.loopback.sink import ProxySink
from acp_bridge.loopback.upstream import Upstream, UpstreamError, end_to_end
from tests.loopback.guard_rig import KEY, RawUpstream

Run = Callable[[Callable[[], Awaitable[Any]]], Any]
HEADERS = (("Host", "127.0.0.1:1"), ("x-api-key", KEY), ("Content-Length", "2"))


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example",
        "http://127.evil.example",
        "http://user:FAKE@api.example",
        "ftp://127.0.0.1",
        "api.example",
        "",
        "https://",
        "http://localhost.example",
    ],
)
def test_a_credential_does_not_go_out_in_clear(url: str) -> None:
    with pytest.raises(ValueError, match="https address, or http on loopback") as caught:
        Upstream(url)
    assert "FAKE" not in str(caught.value)


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
def test_the_environments_proxy_is_asked_for_a_tunnel_and_told_no_more(
    run: Run, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        for other in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY"):
            monkeypatch.delenv(other, raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        async with ProxySink() as sink:
            monkeypatch.setenv(name, sink.url)
            async with Upstream("https://api.example") as upstream:
                with pytest.raises(UpstreamError, match="could not be reached"):
                    await upstream.send("POST", "/v1/messages", HEADERS, b"{}")
        assert [refused.target for refused in sink.refused] == ["api.example:443"]

    run(scenario)


def test_a_loopback_upstream_is_reached_without_a_proxy(run: Run) -> None:
    async def scenario() -> None:
        async with ProxySink() as sink, RawUpstream() as server:
            environment = dict.fromkeys(("HTTP_PROXY", "ALL_PROXY", "http_proxy"), sink.url)
            async with Upstream(server.url, environment=environment) as upstream:
                answer = await upstream.send("POST", "/v1/messages", HEADERS, b"{}")
                assert [part async for part in answer.chunks()] == [b"ok"]
                await answer.aclose()
        assert (len(server.requests), sink.refused) == (1, [])

    run(scenario)


@pytest.mark.parametrize(
    ("environment", "used"),
    [
        ({"HTTPS_PROXY": "http://upper:1", "https_proxy": "http://lower:1"}, "http://lower:1"),
        ({"https_proxy": "http://lower:1", "HTTPS_PROXY": "http://upper:1"}, "http://lower:1"),
        ({"ALL_PROXY": "http://all:1"}, "http://all:1"),
        ({"ALL_PROXY": "http://all:1", "NO_PROXY": "api.example"}, None),
        ({"HTTP_PROXY": "http://other:1"}, None),
        ({}, None),
    ],
)
def test_a_proxy_is_the_one_that_the_environment_names(
    environment: dict[str, str], used: str | None
) -> None:
    proxy = Upstream("https://api.example", environment=environment)._proxy()

    assert (str(proxy.url) if proxy else None) == used


def test_further_authorities_are_trusted_as_claude_code_trusts_them(tmp_path: Path) -> None:
    absent = {"NODE_EXTRA_CA_CERTS": str(tmp_path / "absent.pem")}

    assert Upstream("https://api.example", environment=absent)._make_pool().connections == []


def test_of_an_answer_what_belongs_to_its_connection_is_left_out() -> None:
    headers = (
        ("Content-Type", "text/event-stream"),
        ("Connection", "X-Hop"),
        ("X-Hop", "1"),
        ("transfer-encoding", "chunked"),
        ("Content-Length", "7"),
        ("Request-Id", "r"),
    )

    assert end_to_end(headers) == (headers[0], headers[-1])
    assert end_to_end(headers[4:]) == headers[4:]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")
def test_over_tls_too_events_come_together_and_a_further_authority_counts(
    run: Run, tmp_path: Path
) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    files = ["-nodes", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*make, *files, *subject], check=True, capture_output=True)
    trust = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trust.load_cert_chain(certificate, key)
    events = b"7\r\ndata: 1\r\n" * 1000

    async def serve(stream: SocketStream) -> None:
        secure = await TLSStream.wrap(stream, server_side=True, ssl_context=trust)
        await secure.receive()
        await secure.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + events)
        await secure.send(b"0\r\n\r\n")
        await secure.receive()

    async def serve_until_they_leave(stream: SocketStream) -> None:
        async with stream:
            with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError, ssl.SSLError):
                await serve(stream)

    async def scenario() -> None:
        async with Listener(serve_until_they_leave) as server:
            url = server.url.replace("http:", "https:")
            environment = {"NODE_EXTRA_CA_CERTS": str(certificate)}
            async with Upstream(url, environment=environment) as upstream:
                answer = await upstream.send("POST", "/v1/messages", HEADERS, b"{}")
                parts = [part async for part in answer.chunks()]
                await answer.aclose()
            assert b"".join(parts) == b"data: 1" * 1000
            assert len(parts) < 20
            async with Upstream(url, environment={}) as upstream:
                with pytest.raises(UpstreamError, match="secure connection"):
                    await upstream.send("POST", "/v1/messages", HEADERS, b"{}")

    run(scenario)
