"""A request waits until it is admitted; one that is not goes nowhere, and its sender reads why."""

import json
from collections.abc import Awaitable, Callable

import anyio
import pytest

from acp_bridge.errors import RefusedError
from acp_bridge.modes import BillingMode
from tests.loopback.guard_rig import AS_KEY, LOGIN, RawUpstream, rig
from tests.support.raw import raw_client

PATH = "/FAKE0token/v1/messages"
MODES = [(BillingMode.API_KEY, (AS_KEY,)), (BillingMode.SUBSCRIPTION, LOGIN)]
Run = Callable[[Callable[[], Awaitable[None]]], None]


@pytest.fixture(params=["asyncio", "trio"])
def run(request: pytest.FixtureRequest) -> Run:
    return lambda scenario: anyio.run(scenario, backend=request.param)


@pytest.mark.parametrize(("mode", "headers"), MODES)
def test_a_request_that_is_not_admitted_ends_the_turn_with_the_sentence(
    run: Run, mode: BillingMode, headers: tuple[bytes, ...]
) -> None:
    async def refuse() -> None:
        raise RefusedError("budget month has spent 25.00 of 25.00 USD", hint="Raise it.")

    async def scenario() -> None:
        async with RawUpstream() as server, rig(server.url, mode=mode, admits=refuse) as this:
            head, _, body = (await this.ask(PATH, *headers)).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 402 ")
        assert b"x-should-retry: false" in head.lower()
        error = json.loads(body)["error"]
        assert error["type"] == "billing_error"
        assert error["message"].endswith("budget month has spent 25.00 of 25.00 USD. Raise it.")
        assert server.requests == []
        assert (this.seen[0].ends, this.seen[0].sent) == ([False], False)

    run(scenario)


def test_a_request_waits_until_it_is_admitted(run: Run) -> None:
    async def scenario() -> None:
        room = anyio.Event()
        async with (
            RawUpstream() as server,
            rig(server.url, admits=room.wait) as this,
            raw_client(this.url) as client,
            anyio.create_task_group() as tasks,
        ):
            await client.send(this.request(PATH, AS_KEY, b"Connection: close"))

            async def make_room() -> None:
                await anyio.sleep(0.1)
                assert (server.requests, this.seen[0].ends) == ([], [])
                room.set()

            tasks.start_soon(make_room)
            answer = await client.read_to_end()
        assert answer.endswith(b"ok")
        assert len(server.requests) == 1
        assert (this.seen[0].ends, this.seen[0].sent) == ([True], True)

    run(scenario)


def test_a_request_whose_sender_leaves_while_it_waits_is_never_sent(run: Run) -> None:
    async def scenario() -> None:
        asked = anyio.Event()

        async def wait() -> None:
            asked.set()
            await anyio.sleep_forever()

        async with RawUpstream() as server, rig(server.url, admits=wait) as this:
            async with raw_client(this.url) as client:
                await client.send(this.request(PATH, AS_KEY))
                await asked.wait()
            with anyio.fail_after(5):
                await this.seen[0].ended.wait()
        assert server.requests == []
        assert (this.seen[0].ends, this.seen[0].sent) == ([False], False)

    run(scenario)


def test_what_the_guard_refuses_or_answers_itself_is_not_asked_for(run: Run) -> None:
    async def fail() -> None:
        raise AssertionError("nobody should be asked")

    async def scenario() -> None:
        async with RawUpstream() as server, rig(server.url, admits=fail) as this:
            wrong = await this.ask(PATH, b"x-api-key: sk-ant-FAKE-another")
            local = await this.ask("/FAKE0token/", method="HEAD", body=b"")
        assert wrong.startswith(b"HTTP/1.1 402 ")
        assert local.startswith(b"HTTP/1.1 200 ")
        assert [one.sent for one in this.seen] == [False, False]

    run(scenario)
