"""Log events that pass through the telemetry receiver, on both event loops."""

import gzip
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from acp_bridge.loopback.bound import bind_loopback
from acp_bridge.loopback.http import Request, Response, listen
from tests.loopback.receiver_rig import BODY, JSON, TOKEN, recorded, rig
from tests.support.raw import raw_client

Run = Callable[[Callable[[], Awaitable[Any]]], Any]


def test_a_body_goes_on_to_its_destination_as_it_came(run: Run, tmp_path: Path) -> None:
    arrived: list[Request] = []
    packed = gzip.compress(BODY)

    async def collector(request: Request) -> Response:
        arrived.append(request)
        return Response(400, (("content-type", "text/plain"), ("x-theirs", "1")), b"theirs")

    async def scenario() -> None:
        async with listen(collector) as server, rig(tmp_path) as this:
            path = recorded(tmp_path, f"{server.url}/v1/logs")
            headers = (JSON, b"Content-Encoding: gzip", b"Authorization: Bearer FAKE")
            answer = await this.ask(path, *headers, body=packed)
        assert answer.startswith(b"HTTP/1.1 400")
        assert b"x-theirs: 1\r\n" in answer
        assert answer.endswith(b"theirs")
        assert [shown.body for shown in this.shown] == [BODY]
        assert (arrived[0].target, arrived[0].body) == ("/v1/logs", packed)
        assert arrived[0].header("authorization") == "Bearer FAKE"
        assert (this.receiver.counts.forwarded, len(arrived)) == (1, 1)

    run(scenario)


def test_a_body_that_is_sent_again_is_shown_once_and_forwarded_again(
    run: Run, tmp_path: Path
) -> None:
    statuses = iter([503, 200])

    async def collector(_request: Request) -> Response:
        return Response(next(statuses))

    async def scenario() -> None:
        async with listen(collector) as server, rig(tmp_path) as this:
            path = recorded(tmp_path, server.url + "/")
            answers = [await this.ask(path), await this.ask(path)]
        assert [answer[9:12] for answer in answers] == [b"503", b"200"]
        assert len(this.shown) == 1
        assert (this.receiver.counts.repeated, this.receiver.counts.forwarded) == (1, 2)

    run(scenario)


def test_a_slow_destination_does_not_delay_the_meter(run: Run, tmp_path: Path) -> None:
    reached, may_answer = anyio.Event(), anyio.Event()

    async def collector(_request: Request) -> Response:
        reached.set()
        await may_answer.wait()
        return Response(200)

    async def scenario() -> None:
        async with listen(collector) as server, rig(tmp_path) as this:
            path = recorded(tmp_path, server.url + "/")
            async with raw_client(this.url) as slow:
                await slow.send(this.request(path))
                with anyio.fail_after(5):
                    await reached.wait()
                assert len(this.shown) == 1
                await this.ask(body=b"{}")
                assert len(this.shown) == 2
                may_answer.set()
                await slow.read_until(b"HTTP/1.1 200")

    run(scenario)


def test_what_claude_code_does_not_wait_for_still_arrives(run: Run, tmp_path: Path) -> None:
    reached, may_answer = anyio.Event(), anyio.Event()
    answered: list[bytes] = []

    async def collector(request: Request) -> Response:
        reached.set()
        await may_answer.wait()
        answered.append(request.body)
        return Response(200)

    async def scenario() -> None:
        async with listen(collector) as server, rig(tmp_path) as this:
            path = recorded(tmp_path, server.url + "/")
            async with raw_client(this.url) as leaving:
                await leaving.send(this.request(path))
                with anyio.fail_after(5):
                    await reached.wait()
            may_answer.set()
        assert answered == [BODY]
        assert this.receiver.counts.forwarded == 1

    run(scenario)


def test_leaving_lets_what_is_under_way_arrive(run: Run, tmp_path: Path) -> None:
    reached = anyio.Event()

    async def collector(_request: Request) -> Response:
        reached.set()
        for _ in range(50):  # meanwhile the receiver is being left
            await anyio.lowlevel.checkpoint()
        return Response(200)

    async def scenario() -> None:
        async with listen(collector) as server:
            async with rig(tmp_path) as this, raw_client(this.url) as client:
                await client.send(this.request(recorded(tmp_path, server.url + "/")))
                with anyio.fail_after(5):
                    await reached.wait()
            assert this.receiver.counts.forwarded == 1

    run(scenario)


def test_leaving_does_not_wait_for_ever_for_a_dead_destination(run: Run, tmp_path: Path) -> None:
    reached = anyio.Event()

    async def collector(_request: Request) -> Response:
        reached.set()
        await anyio.sleep_forever()
        return Response(200)

    async def scenario() -> None:
        async with listen(collector) as server:
            with anyio.fail_after(5):
                async with (
                    rig(tmp_path, grace_seconds=0.01) as this,
                    raw_client(this.url) as client,
                ):
                    await client.send(this.request(recorded(tmp_path, server.url + "/")))
                    await reached.wait()

    run(scenario)


@pytest.mark.parametrize("gone", ["destination", "record"])
def test_without_a_destination_there_is_no_answer_but_the_meter_has_the_body(
    run: Run, tmp_path: Path, gone: str
) -> None:
    """Claude Code sends a body again after some answers, but not after none."""

    async def scenario() -> None:
        async with rig(tmp_path) as this:
            with bind_loopback() as nobody:
                port = nobody.getsockname()[1]
            path = recorded(tmp_path, f"http://127.0.0.1:{port}/")
            if gone == "record":
                path = f"/{TOKEN}/{'0' * 32}/v1/logs"
            assert await this.ask(path) == b""
        assert [shown.body for shown in this.shown] == [BODY]
        assert this.receiver.counts.undelivered == 1

    run(scenario)
