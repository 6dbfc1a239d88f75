"""What the guard does when the upstream fails, the client leaves or the credential is missing."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from anyio.abc import SocketStream

from acp_bridge.errors import ConfigurationError
from acp_bridge.loopback.bound import bind_loopback
from acp_bridge.loopback.http import Listener, Request
from acp_bridge.loopback.message import HeaderPairs
from acp_bridge.loopback.upstream import Upstream
from acp_bridge.policy.judgement import with_credential
from tests.loopback.guard_rig import AS_KEY, HELD, OK, SECRETS, TOKEN, RawUpstream, rig
from tests.support.raw import raw_client

Run = Callable[[Callable[[], Awaitable[Any]]], Any]
PATH = f"/{TOKEN}/v1/messages"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
UNAUTHORIZED = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 3\r\n\r\nno!"


def error_of(answer: bytes) -> tuple[bytes, bytes, dict[str, str]]:
    """Status, ``x-should-retry`` and error of an answer; it must hold no secret."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert not [secret for secret in SECRETS if secret.encode() in answer]
    retry = head.partition(b"x-should-retry: ")[2].partition(b"\r\n")[0]
    document = json.loads(body)
    assert document["type"] == "error"
    return head[9:12], retry, document["error"]


async def cut(stream: SocketStream) -> None:
    await stream.aclose()


async def mute(stream: SocketStream) -> None:
    with anyio.move_on_after(5):
        await stream.receive()


def saying(data: bytes) -> Callable[[SocketStream], Awaitable[None]]:
    async def say(stream: SocketStream) -> None:
        await stream.send(data)
        await stream.aclose()

    return say


@pytest.mark.parametrize(
    ("say", "words"),
    [
        (cut, "broke"),
        (saying(b"HTTP/1.1 200 O"), "broke"),
        (saying(b"this is no HTTP\r\n\r\n"), "broke"),
        (saying(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n"), "broke"),
        (saying(b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 200_000), "broke"),
        (saying(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"), "broke"),
        (mute, "in time"),
    ],
    ids=["closed", "half a head", "no HTTP", "bad length", "long head", "upgrade", "silent"],
)
def test_an_upstream_without_an_answer_becomes_an_api_error_to_try_again(
    run: Run, say: Callable[[SocketStream], Awaitable[None]], words: str
) -> None:
    async def scenario() -> None:
        async with (
            RawUpstream(say) as server,
            rig(Upstream(server.url, silence_seconds=0.1)) as this,
        ):
            status, retry, error = error_of(await this.ask(PATH, AS_KEY))
        assert (status, retry, error["type"]) == (b"502", b"true", "api_error")
        assert words in error["message"]
        assert (this.seen[0].heads, this.seen[0].ends) == ([], [False])

    run(scenario)


def test_an_upstream_that_is_not_there_is_said_to_be_out_of_reach(run: Run) -> None:
    async def scenario() -> None:
        with bind_loopback() as nobody:
            port = nobody.getsockname()[1]
        async with rig(f"http://127.0.0.1:{port}") as this:
            status, retry, error = error_of(await this.ask(PATH, AS_KEY))
        assert (status, retry) == (b"502", b"true")
        assert "could not be reached" in error["message"]

    run(scenario)


def test_an_upstream_without_tls_where_it_should_be_is_named(run: Run) -> None:
    async def scenario() -> None:
        async with (
            Listener(saying(b"HTTP/1.1 400 Bad\r\n\r\n")) as server,
            rig(server.url.replace("http:", "https:")) as this,
        ):
            status, retry, error = error_of(await this.ask(PATH, AS_KEY))
        assert (status, retry) == (b"502", b"true")
        assert "secure connection" in error["message"]

    run(scenario)


@pytest.mark.parametrize(
    "half",
    [
        CHUNKED + b"5\r\nhello\r\n",
        CHUNKED + b"10\r\nhello",
        CHUNKED + b"5\r\nhello\r\n0\r\n",
        CHUNKED + b"5\r\nhello\r\nno chunk",
        CHUNKED + b"5\r\nhelloXX0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
    ],
    ids=["no last chunk", "half a chunk", "half an end", "no chunk", "overlong", "short"],
)
def test_half_a_stream_is_cut_and_not_ended(run: Run, half: bytes) -> None:
    async def scenario() -> None:
        async with RawUpstream(saying(half)) as server, rig(server.url) as this:
            answer = await this.ask(PATH, AS_KEY)
        assert answer[9:12] in (b"200", b"502")  # what breaks before the head is passed on is 502
        assert not answer.endswith((b"0\r\n\r\n", b"10\r\n\r\n"))
        assert this.seen[0].ends == [False]

    run(scenario)


def test_a_stream_that_falls_silent_is_cut(run: Run) -> None:
    async def say(stream: SocketStream) -> None:
        await stream.send(CHUNKED + b"5\r\nhello\r\n")
        await mute(stream)

    async def scenario() -> None:
        async with (
            RawUpstream(say) as server,
            rig(Upstream(server.url, silence_seconds=0.1)) as this,
        ):
            answer = await this.ask(PATH, AS_KEY)
        assert answer.endswith(b"hello\r\n")
        assert this.seen[0].ends == [False]

    run(scenario)


@pytest.mark.parametrize("when", ["before the head", "in the stream"])
def test_a_client_that_leaves_cancels_the_upstream_request_at_once(run: Run, when: str) -> None:
    async def scenario() -> None:
        asked = anyio.Event()

        async def say(stream: SocketStream) -> None:
            if when == "in the stream":
                await stream.send(CHUNKED + b"5\r\nhello\r\n")
            asked.set()
            await stream.receive()

        async with RawUpstream(say) as server, rig(server.url) as this:
            async with raw_client(this.url) as client:
                await client.send(this.request(PATH, AS_KEY))
                with anyio.fail_after(5):
                    await asked.wait()
                if when == "in the stream":
                    await client.read_until(b"hello")
            with anyio.fail_after(5):
                await server.left.wait()
                await this.seen[0].ended.wait()
        assert this.seen[0].ends == [False]

    run(scenario)


def test_leaving_the_block_cuts_what_is_being_answered(run: Run) -> None:
    async def say(stream: SocketStream) -> None:
        await stream.send(CHUNKED + b"5\r\nhello\r\n")
        await stream.receive()

    async def scenario() -> None:
        async with RawUpstream(say) as server:
            with anyio.fail_after(5):
                async with rig(server.url) as this, raw_client(this.url) as client:
                    await client.send(this.request(PATH, AS_KEY))
                    await client.read_until(b"hello")
                await server.left.wait()
        assert this.seen[0].ends == [False]

    run(scenario)


def test_a_key_that_cannot_be_read_ends_the_turn_with_its_sentence(run: Run) -> None:
    async def attach(_headers: HeaderPairs) -> HeaderPairs:
        raise ConfigurationError("the key command gave no key", hint="Run it by hand.")

    async def scenario() -> None:
        async with RawUpstream() as server, rig(server.url, attach=attach) as this:
            status, retry, error = error_of(await this.ask(PATH, AS_KEY))
        assert (status, retry, error["type"]) == (b"402", b"false", "billing_error")
        assert error["message"].endswith("the key command gave no key. Run it by hand.")
        assert server.requests == []
        assert this.seen[0].ends == [False]

    run(scenario)


@pytest.mark.parametrize(("renewed", "requests"), [(True, 2), (False, 1)])
def test_a_key_that_is_refused_is_renewed_once(run: Run, renewed: bool, requests: int) -> None:  # noqa: FBT001
    keys = ["FAKE-one"]

    async def attach(headers: HeaderPairs) -> HeaderPairs:
        return with_credential(headers, [("x-api-key", keys[-1])])

    async def renew(_: HeaderPairs) -> bool:
        keys.append("FAKE-two")
        return renewed

    async def scenario() -> None:
        async with (
            RawUpstream(UNAUTHORIZED) as server,
            rig(server.url, attach=attach, renew=renew) as this,
        ):
            answer = await this.ask(PATH, AS_KEY)
        assert answer.startswith(b"HTTP/1.1 401")
        assert answer.endswith(b"no!")
        assert [
            key for key in ("one", "two") if f"FAKE-{key}".encode() in b"".join(server.requests)
        ]
        assert len(server.requests) == requests
        assert len(this.seen) == 1
        assert [status for status, _ in this.seen[0].heads] == [401]

    run(scenario)


def test_a_redirect_is_an_answer_and_the_key_is_not_taken_there(run: Run) -> None:
    async def scenario() -> None:
        async with RawUpstream() as elsewhere:
            moved = f"HTTP/1.1 307 Moved\r\nLocation: {elsewhere.url}/\r\nContent-Length: 0\r\n\r\n"
            async with RawUpstream(moved.encode()) as server, rig(server.url) as this:
                answer = await this.ask(PATH, AS_KEY)
        assert answer.startswith(b"HTTP/1.1 307")
        assert elsewhere.requests == []

    run(scenario)


def test_a_cookie_of_one_answer_does_not_go_into_the_next_request(run: Run) -> None:
    async def scenario() -> None:
        cookie = OK.replace(b"\r\n", b"\r\nSet-Cookie: a=FAKE\r\n", 1)
        async with RawUpstream(cookie) as server, rig(server.url) as this:
            for _ in range(2):
                await this.ask(PATH, AS_KEY)
        assert b"FAKE" not in b"".join(server.requests).replace(b"sk-ant-api03-FAKE-key", b"")

    run(scenario)


def test_an_answer_that_nobody_takes_any_more_lets_the_upstream_go(run: Run) -> None:
    """The client may leave in the moment between the upstream's head and our own."""

    async def say(stream: SocketStream) -> None:
        await stream.send(CHUNKED)
        await stream.receive()

    async def scenario() -> None:
        async with RawUpstream(say) as server, rig(server.url) as this:
            headers = (("host", f"127.0.0.1:{this.port}"), ("x-api-key", HELD))
            response = await this.guard._answer(Request("POST", PATH, headers, b"", headers))
            assert not isinstance(response.body, bytes)
            await response.body.aclose()
            with anyio.fail_after(5):
                await server.left.wait()
        assert this.seen[0].ends == [False]

    run(scenario)
