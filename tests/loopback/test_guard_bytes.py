"""What goes through the guard stays what it is, compared with a request sent directly."""

import gzip
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from anyio.abc import SocketStream

from acp_bridge.modes import BillingMode
from acp_bridge.policy.judgement import Way
from tests.loopback.guard_rig import (
    AS_KEY,
    BODY,
    HELD,
    KEY,
    LOGIN,
    OK,
    SECRETS,
    TOKEN,
    RawUpstream,
    Rig,
    rig,
    unchunked,
)
from tests.support.raw import raw_client

Run = Callable[[Callable[[], Awaitable[Any]]], Any]
HEADERS = (
    b"Accept: application/json",
    b"X-Stainless-OS: Linux",
    b"anthropic-version: 2023-06-01",
    b"Anthropic-Unknown: caf\xe9",
    b"x-twice: 1",
    b"X-Twice: 2",
    b"Accept-Encoding: gzip, deflate, br, zstd",
    b"Cache-Control: ",
)
EVENTS = (
    b"event: message_start\r\ndata: {}\r\n\r\n",
    b": a comment\n\n",
    b"event: ping\ndata: {}\n\n",
    b"data: \xc3\xa9\n\n",
)
SSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%X\r\n%b\r\n" % (len(data), data)


async def asked_directly(upstream: RawUpstream, request: bytes) -> bytes:
    async with raw_client(upstream.url) as client:
        await client.send(request)
        await client.read_until(b"\r\n\r\n")
    return upstream.requests.pop()


def head(mode: BillingMode, this: Rig, upstream: RawUpstream, target: str) -> bytes:
    """The request as the agent sends it directly, with the credential of its own."""
    credential = LOGIN if mode is BillingMode.SUBSCRIPTION else (b"x-api-key: " + KEY.encode(),)
    authority = upstream.url.removeprefix("http://")
    return this.request(target, *HEADERS, *credential, b"X-Last: 1", host=authority)


@pytest.mark.parametrize("mode", list(BillingMode))
@pytest.mark.parametrize("target", ["/v1/messages", "/v1/messages?beta=true&x=%2F..//&y"])
def test_a_request_arrives_as_if_it_had_been_sent_directly(
    run: Run, mode: BillingMode, target: str
) -> None:
    async def scenario() -> None:
        async with RawUpstream() as upstream, rig(upstream.url, mode=mode) as this:
            direct = await asked_directly(upstream, head(mode, this, upstream, target))
            presented = LOGIN if mode is BillingMode.SUBSCRIPTION else (AS_KEY,)
            sent = this.request(f"/{TOKEN}{target}", *HEADERS, *presented, b"X-Last: 1")
            async with raw_client(this.url) as client:
                await client.send(sent)
                await client.read_until(b"ok")
            (guarded,) = upstream.requests
        assert guarded == direct
        assert this.seen[0].facts.body == BODY

    run(scenario)


def test_what_belongs_to_one_connection_stays_on_it(run: Run) -> None:
    async def scenario() -> None:
        async with RawUpstream() as upstream, rig(upstream.url) as this:
            await this.tell(
                this.request(
                    f"/{TOKEN}/v1/messages",
                    AS_KEY,
                    b"Connection: close, X-For-This-Hop, content-length",
                    b"X-For-This-Hop: 1",
                    b"Keep-Alive: timeout=5",
                    b"TE: trailers",
                    b"Proxy-Authorization: Basic FAKE",
                    b"Upgrade: websocket",
                )
            )
        names = [line.partition(b":")[0] for line in upstream.requests[0].split(b"\r\n")[1:5]]
        assert names == [b"Host", b"x-api-key", b"Content-Length", b""]
        assert upstream.requests[0].endswith(BODY)

    run(scenario)


def test_a_base_urls_path_comes_first(run: Run) -> None:
    async def scenario() -> None:
        async with (
            RawUpstream() as upstream,
            rig(f"{upstream.url}/team/a/", mode=BillingMode.ENDPOINT) as this,
        ):
            await this.ask(f"/{TOKEN}/v1/messages?beta=true", AS_KEY)
        assert upstream.requests[0].startswith(b"POST /team/a/v1/messages?beta=true HTTP/1.1\r\n")

    run(scenario)


def test_the_placeholder_never_goes_upstream_and_the_key_never_comes_back(run: Run) -> None:
    async def scenario() -> None:
        async with RawUpstream() as upstream, rig(upstream.url) as this:
            answer = await this.ask(
                f"/{TOKEN}/v1/messages", AS_KEY, b"Authorization: Bearer " + HELD.encode()
            )
        assert HELD.encode() not in upstream.requests[0]
        assert upstream.requests[0].count(KEY.encode()) == 1
        assert KEY.encode() not in answer
        assert KEY not in f"{this.seen} {this.guard!r} {vars(this.guard)}"

    run(scenario)


@pytest.mark.parametrize("path", ["/api/oauth/profile", "//x/../y", "/v1/%6dessages"])
def test_in_mode_subscription_any_path_goes_on_as_it_is(run: Run, path: str) -> None:
    async def scenario() -> None:
        async with (
            RawUpstream() as upstream,
            rig(upstream.url, mode=BillingMode.SUBSCRIPTION) as this,
        ):
            await this.ask(f"/{TOKEN}{path}", *LOGIN, method="GET", body=b"")
        assert upstream.requests[0].startswith(f"GET {path} HTTP/1.1\r\n".encode())
        assert LOGIN[0] in upstream.requests[0]
        assert not this.seen[0].facts.verdict.presented.name.startswith("API")

    run(scenario)


@pytest.mark.parametrize(
    "body",
    [b'{"a": 1}', gzip.compress(b'{"a": 1}'), b"", b"x" * 300_000],
    ids=["JSON", "gzip", "empty", "large"],
)
def test_an_answer_of_known_length_comes_back_as_it_is(run: Run, body: bytes) -> None:
    headers = (
        b"Content-Type: application/json\r\nContent-Encoding: gzip\r\nRequest-Id: r\r\n"
        b"anthropic-ratelimit-unified-5h-status: allowed\r\nX-A: 1\r\nx-a: 2\r\n"
        b"Set-Cookie: a=b\r\nContent-Length: %d\r\n" % len(body)
    )
    answered = b"HTTP/1.1 429 Too Many\r\nConnection: keep-alive\r\n" + headers + b"\r\n" + body

    async def scenario() -> None:
        async with RawUpstream(answered) as upstream, rig(upstream.url) as this:
            answer = await this.ask(f"/{TOKEN}/v1/messages", AS_KEY)
        (seen,) = this.seen
        assert answer == b"HTTP/1.1 429 \r\n" + headers + b"Connection: close\r\n\r\n" + body
        assert (seen.heads[0][0], seen.body, seen.ends) == (429, body, [True])
        assert ("anthropic-ratelimit-unified-5h-status", "allowed") in seen.heads[0][1]

    run(scenario)


ANSWERS = {
    "document": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-A:  1 \r\nx-a: caf\xe9\r\n"
    b"Keep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\n{}",
    "error": b"HTTP/1.1 529 Overloaded\r\nretry-after: 3\r\nx-should-retry: true\r\n"
    b"Connection: X-Hop\r\nX-Hop: 1\r\nContent-Length: 4\r\n\r\nbusy",
    "stream": SSE
    + chunk(EVENTS[0])
    + b"5;extension=1\r\n: hi\n\r\n"
    + b"".join(map(chunk, EVENTS[1:]))
    + b"0\r\nX-Trailer: 1\r\n\r\n",
    "compressed": SSE.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")
    + chunk(gzip.compress(EVENTS[0]))
    + b"0\r\n\r\n",
    "without a length": b"HTTP/1.1 200 OK\r\nX-A: 1\r\nConnection: close\r\n\r\nto the end",
    "nothing": b"HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n",
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_an_answer_arrives_as_if_it_had_been_read_directly(run: Run, answer: bytes) -> None:
    async def say(stream: SocketStream) -> None:
        await stream.send(answer)
        await stream.aclose()

    async def scenario() -> None:
        async with RawUpstream(say) as upstream, rig(upstream.url) as this:
            async with raw_client(upstream.url) as client:
                await client.send(head(BillingMode.API_KEY, this, upstream, "/v1/messages"))
                direct = await client.read_to_end()
            guarded = await this.ask(f"/{TOKEN}/v1/messages", AS_KEY)
        assert end_to_end_of(guarded) == end_to_end_of(direct)
        assert b"caf\xe9" in guarded or b"caf\xe9" not in direct

    run(scenario)


def end_to_end_of(answer: bytes) -> tuple[bytes, list[bytes], bytes]:
    """Status, headers and body, without what the guard's docstring says may differ."""
    top, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = top.split(b"\r\n")
    pairs = [(name, value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
    is_chunked = (b"Transfer-Encoding", b"chunked") in pairs
    hop = {b"connection", b"keep-alive", b"transfer-encoding", b"x-hop"}
    kept = [name + b": " + value for name, value in pairs if name.lower() not in hop]
    return status[:12], kept, without_chunks(body) if is_chunked else body


def without_chunks(body: bytes) -> bytes:
    """A chunked body's content, without extensions and trailers."""
    content = b""
    while size := int(body.partition(b"\r\n")[0].partition(b";")[0], 16):
        _, _, body = body.partition(b"\r\n")
        content, body = content + body[:size], body[size + 2 :]
    return content


def test_events_pings_and_comments_come_through_each_at_once(run: Run) -> None:
    may_go_on = anyio.Event()

    async def say(stream: SocketStream) -> None:
        nonlocal may_go_on
        await stream.send(SSE)
        for event in EVENTS:
            await stream.send(chunk(event))
            await may_go_on.wait()
            may_go_on = anyio.Event()
        await stream.send(b"0\r\n\r\n")

    async def scenario() -> None:
        async with (
            RawUpstream(say) as upstream,
            rig(upstream.url) as this,
            raw_client(this.url) as client,
        ):
            await client.send(this.request(f"/{TOKEN}/v1/messages", AS_KEY))
            for event in EVENTS:
                await client.read_until(event)
                may_go_on.set()
            received = await client.read_until(b"\r\n0\r\n\r\n")
        assert unchunked(received.partition(b"\r\n\r\n")[2]) == b"".join(EVENTS)
        assert this.seen[0].body == b"".join(EVENTS)
        assert this.seen[0].ends == [True]

    run(scenario)


def test_what_has_arrived_at_once_is_passed_on_at_once(run: Run) -> None:
    many = [b"data: %d\n\n" % number for number in range(100_000)]
    sent = SSE + b"".join(map(chunk, many)) + b"0\r\n\r\n"

    async def scenario() -> None:
        async with RawUpstream(sent) as upstream, rig(upstream.url) as this:
            answer = await this.ask(f"/{TOKEN}/v1/messages", AS_KEY)
        assert unchunked(answer.partition(b"\r\n\r\n")[2]) == b"".join(many)
        assert this.seen[0].body == b"".join(many)
        assert len(this.seen[0].chunks) < len(many) / 100
        assert max(map(len, this.seen[0].chunks)) <= 64 * 1024

    run(scenario)


def test_no_secret_is_logged_however_much_is(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with RawUpstream() as upstream, rig(upstream.url) as this:
            await this.ask(f"/{TOKEN}/v1/messages", AS_KEY)
            await this.ask(f"/{TOKEN}/v1/messages", *LOGIN)
        async with RawUpstream() as upstream, rig(upstream.url, mode=BillingMode.SUBSCRIPTION) as b:
            await b.ask(f"/{TOKEN}/v1/messages", *LOGIN)

    with caplog.at_level(logging.DEBUG):
        run(scenario)

    assert "httpcore" in {record.name.partition(".")[0] for record in caplog.records}
    assert not [secret for secret in (*SECRETS, TOKEN) if secret in caplog.text]


def test_connections_are_used_again_on_both_sides(run: Run) -> None:
    async def scenario() -> None:
        async with (
            RawUpstream(SSE + chunk(b"a") + b"0\r\n\r\n") as upstream,
            rig(upstream.url) as this,
            raw_client(this.url) as client,
        ):
            for times in (1, 2, 3):
                await client.send(this.request(f"/{TOKEN}/v1/messages", AS_KEY))
                await client.read_until(b"\r\n0\r\n\r\n", times=times)
            assert not upstream.left.is_set()
        assert len(upstream.requests) == 3

    run(scenario)


def test_a_connection_that_the_upstream_has_closed_is_not_used_again(run: Run) -> None:
    async def say(stream: SocketStream) -> None:
        await stream.send(OK)
        await stream.aclose()

    async def scenario() -> None:
        async with RawUpstream(say) as upstream, rig(upstream.url) as this:
            for _ in range(3):
                assert (await this.ask(f"/{TOKEN}/v1/messages", AS_KEY)).endswith(b"ok")
                await anyio.wait_all_tasks_blocked()
        assert len(upstream.requests) == 3

    run(scenario)


def test_a_chunked_request_gets_the_length_it_has(run: Run) -> None:
    async def scenario() -> None:
        async with RawUpstream() as upstream, rig(upstream.url) as this:
            headers = (AS_KEY, b"Transfer-Encoding: chunked", b"Connection: close")
            head = this.request(f"/{TOKEN}/v1/messages", *headers, body=b"")
            await this.tell(head + chunk(b"abc") + chunk(b"defg") + b"0\r\n\r\n")
        assert b"\r\nContent-Length: 7\r\n\r\nabcdefg" in upstream.requests[0]

    run(scenario)


def test_a_body_of_32_mib_goes_up_and_comes_down(run: Run) -> None:
    big = b"\x00\xff0123456789abcd" * (2 * 1024 * 1024)

    async def scenario() -> None:
        length = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(big)
        async with RawUpstream(length + big) as upstream, rig(upstream.url) as this:
            with anyio.fail_after(60):
                async with raw_client(this.url) as client:
                    request = this.request(f"/{TOKEN}/v1/messages", AS_KEY, body=big)
                    await client.stream.send(request)
                    head = await client.read_until(b"\r\n\r\n")
                    parts = [head.partition(b"\r\n\r\n")[2]]
                    left = len(big) - len(parts[0])
                    while left:
                        parts.append(await client.stream.receive())
                        left -= len(parts[-1])
        assert upstream.requests[0].endswith(big)
        assert b"".join(parts) == big
        assert max(map(len, this.seen[0].chunks)) <= 1024 * 1024

    run(scenario)


def test_over_64_mib_a_body_is_refused_before_it_is_read(run: Run) -> None:
    async def scenario() -> None:
        async with RawUpstream() as upstream, rig(upstream.url) as this:
            length = b"Content-Length: %d" % (64 * 1024 * 1024 + 1)
            sent = this.request(f"/{TOKEN}/v1/messages", AS_KEY, length, body=b"")
            assert (await this.tell(sent)).startswith(b"HTTP/1.1 413")
        assert upstream.requests == []

    run(scenario)


def test_a_head_only_answer_in_mode_subscription_ends_well(run: Run) -> None:
    async def scenario() -> None:
        async with (
            RawUpstream(OK.removesuffix(b"ok")) as upstream,
            rig(upstream.url, mode=BillingMode.SUBSCRIPTION) as this,
        ):
            answer = await this.ask(f"/{TOKEN}/", method="HEAD", body=b"")
        assert answer.startswith(b"HTTP/1.1 200")
        assert upstream.requests[0].startswith(b"HEAD / HTTP/1.1\r\n")
        verdict = this.seen[0].facts.verdict
        assert getattr(verdict, "way", None) is Way.UNCHANGED

    run(scenario)
