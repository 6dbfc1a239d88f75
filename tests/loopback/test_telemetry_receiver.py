"""The telemetry receiver, asked with raw sockets on both event loops."""

import gzip
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from acp_bridge.loopback.telemetry import TelemetryBody
from tests.loopback.receiver_rig import AT, BODY, JSON, TOKEN, Rig, rig
from tests.support.raw import RawClient, raw_client

Run = Callable[[Callable[[], Awaitable[Any]]], Any]


def test_a_body_is_shown_with_its_type_and_time(run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with rig(tmp_path) as this:
            answer = await this.ask()
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.endswith(b"{}")
        assert this.shown == [TelemetryBody(BODY, "application/json", AT)]
        assert this.receiver.counts.observed == 1

    run(scenario)


def test_localhost_is_a_name_for_it_too(run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with rig(tmp_path) as this:
            await this.ask(host=f"localhost:{this.port}")
        assert len(this.shown) == 1

    run(scenario)


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [(b"gzip", gzip.compress), (b"deflate", zlib.compress), (b"identity", bytes)],
)
def test_a_packed_body_is_shown_unpacked(
    run: Run, tmp_path: Path, encoding: bytes, encode: Callable[[bytes], bytes]
) -> None:
    async def scenario() -> None:
        async with rig(tmp_path) as this:
            packed = b"Content-Encoding: " + encoding
            await this.ask(f"/{TOKEN}/v1/logs", JSON, packed, body=encode(BODY))
        assert [shown.body for shown in this.shown] == [BODY]

    run(scenario)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        (b"br", BODY),
        (b"gzip", BODY),
        (b"gzip", gzip.compress(BODY)[:-4]),
        (b"gzip", gzip.compress(bytes(40 * 1024 * 1024))),
    ],
    ids=["unknown", "broken", "cut", "too large"],
)
def test_what_cannot_be_unpacked_is_counted_and_not_shown(
    run: Run, tmp_path: Path, encoding: bytes, body: bytes
) -> None:
    async def scenario() -> None:
        async with rig(tmp_path) as this:
            packed = b"Content-Encoding: " + encoding
            answer = await this.ask(f"/{TOKEN}/v1/logs", JSON, packed, body=body)
        assert answer.startswith(b"HTTP/1.1 200")
        assert this.shown == []
        assert this.receiver.counts.unreadable == 1

    run(scenario)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/logs",
        "/FAKE0other/v1/logs",
        f"/{TOKEN}",
        f"/{TOKEN}/v1/metrics",
        f"/{TOKEN}/v1/traces",
        f"/{TOKEN}/a/b/v1/logs",
        f"/{TOKEN}/v1/logs?x",
        "http://127.0.0.1/v1/logs",
    ],
)
def test_another_path_is_not_found_and_counted(run: Run, tmp_path: Path, path: str) -> None:
    async def scenario() -> None:
        async with rig(tmp_path) as this:
            answer = await this.ask(path)
        assert answer.startswith(b"HTTP/1.1 404")
        assert this.shown == []
        assert this.receiver.counts.refused == 1

    run(scenario)


@pytest.mark.parametrize(
    ("options", "headers", "status"),
    [
        ({"method": "PUT"}, (), 404),
        ({}, (b"Origin: http://page.example",), 403),
        ({}, (b"Origin: null",), 403),
        ({"host": "page.example"}, (), 403),
        ({"host": "127.0.0.1:1"}, (), 403),
    ],
)
def test_who_does_not_ask_like_claude_code_is_refused_and_counted(
    run: Run,
    tmp_path: Path,
    options: dict[str, str],
    headers: tuple[bytes, ...],
    status: int,
) -> None:
    async def scenario() -> None:
        async with rig(tmp_path) as this:
            answer = await this.ask(f"/{TOKEN}/v1/logs", *headers, **options)
        assert answer.startswith(b"HTTP/1.1 %d" % status)
        assert this.shown == []
        assert this.receiver.counts.refused == 1

    run(scenario)


def test_a_body_beyond_the_bound_is_refused_before_it_is_read(run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with rig(tmp_path) as this, raw_client(this.url) as client:
            head = this.request(body=b"").replace(b"Length: 0", b"Length: 99999999999")
            await client.send(head)
            assert (await client.read_until(b"\r\n\r\n")).startswith(b"HTTP/1.1 413")
        assert this.shown == []

    run(scenario)


def test_events_that_nobody_else_gets_are_accepted_in_their_own_type(
    run: Run, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with rig(tmp_path) as this:
            protobuf = b"Content-Type: application/x-protobuf"
            answer = await this.ask(f"/{TOKEN}/v1/logs", protobuf, body=b"\n\x00")
        assert b"content-type: application/x-protobuf\r\n" in answer
        assert answer.endswith(b"\r\n\r\n")

    run(scenario)


async def _one_after_the_other(this: Rig, client: RawClient) -> None:
    for number in range(300):
        await client.send(this.request(body=b"%d" % number))
        await client.read_until(b"HTTP/1.1 200", times=number + 1)


def test_only_the_last_bodies_are_remembered(run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with rig(tmp_path) as this, raw_client(this.url) as client:
            await _one_after_the_other(this, client)
            assert len(this.receiver._seen) == 256
            assert len(this.shown) == 300

    run(scenario)
