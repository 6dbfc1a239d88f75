"""What another program on this machine gets that tries the guard's port: nothing, whatever it says.

Most requests here carry token and placeholder, so that only what is wrong with them keeps them out;
and neither comes back or is logged.
"""

import contextlib
import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acp_bridge.log import Log
from acp_bridge.loopback.guard import TurnedAway
from acp_bridge.loopback.http import Limits
from tests.loopback.guard_rig import AS_KEY, BODY, HELD, SECRETS, TOKEN, RawUpstream, Rig, rig
from tests.support.raw import raw_client

Run = Callable[[Callable[[], Awaitable[Any]]], Any]
PATH = f"/{TOKEN}/v1/messages"
LENGTH = b"Content-Length: 2"
CHUNKED = b"Transfer-Encoding: chunked"
FOLDED = b"Transfer-Encoding:\r\n chunked"
NO_CHUNKS = b"0\r\n\r\n"


async def nothing_comes_of(this: Rig, upstream: RawUpstream, sent: bytes) -> bytes:
    """Send it, and return the answer: one refusal, which says no secret, and then the end."""
    answer = await this.tell(sent)
    assert answer.startswith(b"HTTP/1.1 ")
    assert answer[9:10] in b"45"
    assert answer.count(b"HTTP/1.1 ") == 1
    assert not [word for word in (*SECRETS, TOKEN) if word.encode() in answer]
    assert (upstream.requests, this.seen) == ([], [])
    return answer[9:12]


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ((LENGTH, CHUNKED), NO_CHUNKS),
        ((CHUNKED, LENGTH), NO_CHUNKS),
        ((LENGTH, b"Content-Length: 3"), b"{}"),
        ((LENGTH, LENGTH), b"{}"),
        ((b"Content-Length: 2, 2",), b"{}"),
        ((b"Content-Length: +2",), b"{}"),
        ((b"Content-Length: 0x2",), b"{}"),
        ((b"Content-Length: -2",), b"{}"),
        ((b"Content-Length: " + b"0" * 5000 + b"2",), b"{}"),
        ((b"Content-Length : 2",), b"{}"),
        ((FOLDED,), NO_CHUNKS),
        ((CHUNKED + b"\r\n identity",), NO_CHUNKS),
        ((b"X-Folded: a\r\n b", LENGTH), b"{}"),
        ((b"Transfer-Encoding : chunked",), NO_CHUNKS),
        ((b"Transfer-Encoding\t: chunked",), NO_CHUNKS),
        ((b"Transfer-Encoding: xchunked",), NO_CHUNKS),
        ((b"Transfer-Encoding: \x0bchunked",), NO_CHUNKS),
        ((b'Transfer-Encoding: "chunked"',), NO_CHUNKS),
        ((b"Transfer-Encoding: chunked, identity",), NO_CHUNKS),
        ((b"Transfer-Encoding: gzip, chunked",), NO_CHUNKS),
        ((CHUNKED, CHUNKED), NO_CHUNKS),
        ((CHUNKED, b"Transfer-Encoding: identity"), NO_CHUNKS),
        ((b"X-Bare: a\nContent-Length: 2",), b"{}"),
        ((b"X-Bare: a\rContent-Length: 2",), b"{}"),
        ((b"X-Nothing: a\0b", LENGTH), b"{}"),
        ((b"X-No-Colon", LENGTH), b"{}"),
        ((b": no name", LENGTH), b"{}"),
        ((CHUNKED,), b"0x2\r\n{}\r\n0\r\n\r\n"),
        ((CHUNKED,), b"-2\r\n{}\r\n0\r\n\r\n"),
        ((CHUNKED,), b"2\r\n{}XX0\r\n\r\n"),
        ((CHUNKED,), b"f" * 30 + b"\r\n{}\r\n0\r\n\r\n"),
        ((CHUNKED,), b"2;\n\r\n{}\r\n0\r\n\r\n"),
    ],
    ids=lambda part: repr(part)[:48],
)
def test_a_request_that_can_be_read_in_two_ways_is_refused(
    run: Run, headers: tuple[bytes, ...], body: bytes
) -> None:
    async def scenario() -> None:
        async with RawUpstream() as upstream, rig(upstream.url) as this:
            head = this.request(PATH, AS_KEY, *headers, body=b"")
            hidden = this.request(PATH, AS_KEY)
            assert await nothing_comes_of(this, upstream, head + body + hidden) in (b"400", b"501")

    run(scenario)


@pytest.mark.parametrize(
    "line",
    [
        f"POST {PATH} HTTP/2.0",
        f"POST {PATH} HTTP/1.2",
        f"POST {PATH} HTTP/0.9",
        f"POST {PATH} http/1.1",
        f"POST {PATH}",
        f"POST  {PATH} HTTP/1.1",
        f"POST {PATH} x HTTP/1.1",
        f"POST {PATH}?\t HTTP/1.1",
        f"POST {PATH}\0 HTTP/1.1",
        f"P@ST {PATH} HTTP/1.1",
        f" POST {PATH} HTTP/1.1",
        f"POST {PATH} HTTP/1.1\r\n X: y",
        f"CONNECT {PATH} HTTP/1.1",
        "CONNECT api.anthropic.com:443 HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        f"POST http://127.0.0.1{PATH} HTTP/1.1",
        f"POST https://api.anthropic.com{PATH} HTTP/1.1",
        f"POST /v1/messages?{TOKEN} HTTP/1.1",
        f"POST /v1/messages/{TOKEN} HTTP/1.1",
        f"POST /%2f{TOKEN}/v1/messages HTTP/1.1",
        f"POST /{TOKEN[:4]}%{ord(TOKEN[4]):x}{TOKEN[5:]}/v1/messages HTTP/1.1",
        f"POST /{TOKEN};/v1/messages HTTP/1.1",
        f"POST /./{TOKEN}/v1/messages HTTP/1.1",
        f"POST /{TOKEN[:-1]}/v1/messages HTTP/1.1",
        f"POST /{TOKEN[0]}/v1/messages HTTP/1.1",
        f"POST /{TOKEN.swapcase()}/v1/messages HTTP/1.1",
    ],
)
def test_another_request_line_is_refused(run: Run, line: str) -> None:
    async def scenario() -> None:
        async with RawUpstream() as upstream, rig(upstream.url) as this:
            _, _, rest = this.request(PATH, AS_KEY).partition(b"\r\n")
            await nothing_comes_of(this, upstream, line.encode() + b"\r\n" + rest)
            assert this.guard.turned_away == 1

    run(scenario)


@pytest.mark.parametrize(
    "hosts",
    [
        (),
        ("127.0.0.1:{port}", "127.0.0.1:{port}"),
        ("127.0.0.1:{port}", "evil.example"),
        ("127.0.0.1.:{port}",),
        ("localhost.:{port}",),
        ("user@127.0.0.1:{port}",),
        ("127.0.0.1:{port}, evil.example",),
        ("127.0.0.1:0{port}",),
        ("127.1:{port}",),
        ("[::1]:{port}",),
        ("127.0.0.1:",),
        ("",),
    ],
)
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_another_host_is_refused(run: Run, hosts: tuple[str, ...], version: str) -> None:
    async def scenario() -> None:
        async with RawUpstream() as upstream, rig(upstream.url) as this:
            named = [f"Host: {host.format(port=this.port)}" for host in hosts]
            lines = [f"POST {PATH} HTTP/{version}", *named, AS_KEY.decode(), LENGTH.decode()]
            await nothing_comes_of(this, upstream, "\r\n".join([*lines, "", "{}"]).encode())

    run(scenario)


@pytest.mark.parametrize(
    "sent",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
        b"\x16\x03\x01\x00\xc5\x01\x00\x00\xc1\x03\x03" + b"\x01" * 200,
        b"GET " + PATH.encode() + b"\r\n\r\n",
        b"\r\n\r\n",
        b"\r\n" * 50_000,
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\0" * 70_000,
        b"GET /" + b"a" * 200_000,
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"a:b\r\n" * 14_000 + b"\r\n",
        b"GET / HTTP/1.1\r\n" + b"X-Long: " + b"a" * 200_000,
    ],
    ids=lambda sent: repr(sent[:24]),
)
def test_what_is_no_request_or_too_long_a_head_is_refused(run: Run, sent: bytes) -> None:
    async def scenario() -> None:
        limits = Limits(receive_seconds=0.2)
        async with RawUpstream() as upstream, rig(upstream.url, limits=limits) as this:
            status = await nothing_comes_of(this, upstream, sent)
        assert status in (b"400", b"408", b"431", b"505")

    run(scenario)


def test_a_long_head_with_the_token_is_refused_as_too_long(run: Run) -> None:
    async def scenario() -> None:
        async with RawUpstream() as upstream, rig(upstream.url) as this:
            sent = this.request(PATH, AS_KEY, *[b"a:b"] * 14_000)
            assert await nothing_comes_of(this, upstream, sent) == b"431"

    run(scenario)


def test_without_the_token_no_body_is_read(run: Run) -> None:
    async def scenario() -> None:
        async with RawUpstream() as upstream, rig(upstream.url) as this:
            length = b"Content-Length: %d" % (60 * 1024 * 1024)
            sent = this.request("/v1/messages", AS_KEY, length, body=b"")
            assert await nothing_comes_of(this, upstream, sent + b"the first of it") == b"404"

    run(scenario)


@pytest.mark.parametrize("path", ["/v1/messages", PATH], ids=["without the token", "with it"])
@pytest.mark.parametrize("sent", [b"", b"\r\n{", b"\r\n" + b"{" * 70_000], ids=len)
def test_a_request_that_does_not_end_is_given_up(run: Run, path: str, sent: bytes) -> None:
    async def scenario() -> None:
        limits = Limits(receive_seconds=5, request_seconds=0.2)
        async with RawUpstream() as upstream, rig(upstream.url, limits=limits) as this:
            begun = this.request(path, AS_KEY, b"Content-Length: 100000", body=b"")[:-2]
            refused = await nothing_comes_of(this, upstream, begun + sent)
        assert refused == (b"404" if path == "/v1/messages" and sent else b"408")

    run(scenario)


def test_however_many_connections_say_nothing_or_half_a_request_a_real_one_is_served(
    run: Run,
) -> None:
    async def scenario() -> None:
        limits = Limits(connections=8)
        async with (
            RawUpstream() as upstream,
            rig(upstream.url, limits=limits) as this,
            AsyncExitStack() as stack,
        ):
            crowd = []
            for number in range(40):
                crowd.append(await stack.enter_async_context(raw_client(this.url)))
                await crowd[-1].send(b"POST /" if number % 2 else b"")
            assert (await this.ask(PATH, AS_KEY)).endswith(b"ok")
            for client in crowd[: 40 - 8]:
                assert await client.read_to_end() == b""
        assert len(upstream.requests) == 1

    run(scenario)


def test_refusals_that_nobody_reads_keep_nobody_out(run: Run) -> None:
    async def scenario() -> None:
        limits = Limits(connections=4)
        async with (
            RawUpstream() as upstream,
            rig(upstream.url, limits=limits) as this,
            AsyncExitStack() as stack,
        ):
            for _ in range(12):
                client = await stack.enter_async_context(raw_client(this.url))
                await client.send(this.request("/", body=b""))
            assert (await this.ask(PATH, AS_KEY)).endswith(b"ok")

    run(scenario)


def test_what_the_connection_header_names_does_not_take_the_credential_out(run: Run) -> None:
    async def scenario() -> None:
        async with RawUpstream() as upstream, rig(upstream.url) as this:
            named = b"Connection: close, X-API-Key, Content-Length, Host"
            await this.tell(this.request(PATH, AS_KEY, named))
        (asked,) = upstream.requests
        assert b"\r\nx-api-key: sk-ant-api03-FAKE-key\r\n" in asked
        assert HELD.encode() not in asked
        assert asked.endswith(BODY)

    run(scenario)


def test_who_was_turned_away_is_reported_seldom_and_without_a_secret(
    run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "log"
    log = Log("DEBUG", file=file, as_json=True)

    def report(why: TurnedAway, times: int) -> None:
        log.warning("guard turned a request away", why=why.value, times=times)

    async def scenario() -> None:
        async with RawUpstream() as upstream, rig(upstream.url, report=report) as this:
            wrong = [
                this.request(PATH, AS_KEY, host=f"{TOKEN}.example"),
                this.request(PATH, AS_KEY, b"Origin: https://" + HELD.encode()),
                this.request(f"/{TOKEN}x", AS_KEY),
                this.request(PATH, AS_KEY, CHUNKED),
                this.request(PATH, AS_KEY, b"Content-Length: 999999999", body=b""),
            ]
            for sent in wrong + wrong[2:3] * 10:
                await nothing_comes_of(this, upstream, sent)

    run(scenario)
    said = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(one["why"], one["times"]) for one in said] == [
        ("another_host", 1),
        ("web_page", 1),
        ("wrong_path", 1),
        ("broken", 1),
        ("too_large", 1),
        ("wrong_path", 10),
    ]
    assert not [word for word in (*SECRETS, TOKEN) if word in file.read_text()]


PIECES = st.sampled_from(
    [
        PATH.encode(),
        b"POST ",
        b" HTTP/1.1",
        b"\r\n",
        b"\n",
        b"\r",
        b" ",
        b"\0",
        b":",
        b"Host: 127.0.0.1",
        AS_KEY,
        LENGTH,
        CHUNKED,
        b"0\r\n\r\n",
        b"{}",
        b"\xff",
    ]
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(requests=st.lists(st.lists(PIECES, max_size=12).map(b"".join), min_size=5, max_size=20))
def test_whatever_is_said_nothing_goes_upstream_and_the_guard_goes_on(
    requests: list[bytes],
) -> None:
    async def scenario() -> None:
        limits = Limits(receive_seconds=0.02, idle_seconds=0.02)
        async with RawUpstream() as upstream, rig(upstream.url, limits=limits) as this:
            for sent in requests:
                async with raw_client(this.url) as client:
                    with contextlib.suppress(anyio.BrokenResourceError, OSError):
                        await client.send(sent)
                        await client.stream.send_eof()
                        await client.read_to_end()
            assert (upstream.requests, this.seen) == ([], [])
            assert (await this.ask(PATH, AS_KEY)).endswith(b"ok")

    anyio.run(scenario)
