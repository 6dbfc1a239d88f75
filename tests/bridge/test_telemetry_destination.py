"""A user's own telemetry destination, with the real agent: it gets what it got before."""

import socket
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from acp_bridge.loopback.asked import RequestKind
from acp_bridge.loopback.seen import Outcome, SeenRequest
from acp_bridge.metering.usage import Source, State, UsageEntry
from tests.launch.collector import Collector, events, running_collector
from tests.launch.standin import write_settings
from tests.matrix.extent import FULL_PROFILE
from tests.metering.bridged import Bridged
from tests.support.acp import AcpClient, acp_client
from tests.support.offline import Offline, offline
from tests.support.real import ADAPTER_ARGV
from tests.support.waiting import until

pytestmark = pytest.mark.agent

LOGS = "/v1/logs"
SECONDS = 60.0
CREDENTIAL = "Bearer FAKE-of-the-destination"
Event = tuple[str, frozenset[tuple[str, str]]]

# The title is asked for beside the first turn: which request comes first is chance.
_BY_CHANCE = {"event.sequence", "request_id", "client_request_id"}


def exporting(url: str) -> dict[str, str]:
    """The variables of a user who exports log events with a credential."""
    return {
        "CLAUDE_CODE_ENABLE_TELEMETRY": "1",
        "OTEL_LOGS_EXPORTER": "otlp",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json",
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_EXPORTER_OTLP_HEADERS": f"authorization={CREDENTIAL}",
        "OTEL_LOGS_EXPORT_INTERVAL": "200",
        "OTEL_RESOURCE_ATTRIBUTES": "team=blue",
    }


def configure(world: Offline, scope: str, url: str) -> Mapping[str, str]:
    """Write the user's settings if they are meant; what the environment has besides."""
    if scope == "environment":
        return exporting(url)
    write_settings(world.home.config / "settings.json", {"env": exporting(url)})
    return {}


def completed(world: Offline) -> int:
    """The model requests that were answered to their end."""
    return sum(
        seen.usage is not None and seen.outcome is Outcome.COMPLETE for seen in world.endpoint.seen
    )


async def converse(world: Offline, client: AcpClient) -> None:
    """Two prompts, and what Claude Code asks besides."""
    await client.initialize()
    session = await client.new_session(world.home.project)
    for text in ("What is this project about?", "And who pays?"):
        assert (await client.prompt(session, text, seconds=SECONDS)).stop_reason == "end_turn"
    for kind in (RequestKind.TITLE, RequestKind.SUGGESTION):

        def is_done(seen: SeenRequest, kind: RequestKind = kind) -> bool:
            return seen.kind is kind and seen.outcome is Outcome.COMPLETE

        await world.endpoint.wait_for(is_done, SECONDS)


async def tell(
    collector: Collector, world: Offline, agent: AbstractAsyncContextManager[AcpClient]
) -> None:
    """The conversation, until the collector was told of every request."""
    async with agent as client:
        await converse(world, client)
        await until(lambda: len(requests(collector)) == completed(world))


def requests(collector: Collector) -> list[dict[str, Any]]:
    found = events(collector.bodies(LOGS))
    return [attributes for name, attributes in found if name == "claude_code.api_request"]


def told(collector: Collector) -> Counter[Event]:
    """How often each event came, with the attributes that are the same in every run."""
    return Counter(
        (name, frozenset((key, _shown(key, value)) for key, value in lasting.items()))
        for name, lasting in events(collector.bodies(LOGS))
    )


def _shown(key: str, value: object) -> str:
    return "" if key in _BY_CHANCE else str(value)


def headers(collector: Collector) -> set[str]:
    """The names of all headers but the one for each hop."""
    return {name for one in collector.received for name in one.headers} - {"connection"}


def assert_all_counted_live(world: Offline, live: list[UsageEntry]) -> None:
    counted = [entry.source for entry in live if entry.state is State.LIVE]
    assert counted == [Source.TELEMETRY] * completed(world)


SCOPES = ["environment", "user settings"]


@pytest.mark.parametrize("scope", SCOPES if FULL_PROFILE else SCOPES[1:])
async def test_it_gets_the_same_events_with_the_bridge_in_between_which_counts_them_live(
    tmp_path: Path, scope: str
) -> None:
    with running_collector() as before, running_collector() as after:
        async with offline(tmp_path / "plain", login=True) as world:
            env = {**world.env, **configure(world, scope, before.url)}
            await tell(before, world, acp_client(ADAPTER_ARGV, env=env, cwd=world.home.project))
        async with offline(tmp_path / "bridged", login=True) as world:
            bridged = Bridged(world, configure(world, scope, after.url))
            await tell(after, world, bridged.agent())

    assert told(after) == told(before)
    assert len(requests(after)) == completed(world) >= 4
    for collector in (before, after):
        assert {one.headers["authorization"] for one in collector.received} == {CREDENTIAL}
    assert {one.path for one in after.received} == {one.path for one in before.received}
    assert headers(after) == headers(before)
    assert_all_counted_live(world, bridged.live)


@contextmanager
def closed_port() -> Iterator[str]:
    """A destination that refuses every connection."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@contextmanager
def deaf_port() -> Iterator[str]:
    """A destination that takes every connection and answers none."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize("destination", [closed_port, deaf_port] if FULL_PROFILE else [deaf_port])
async def test_one_that_is_down_disturbs_neither_turn_nor_meter(
    tmp_path: Path, destination: Callable[[], AbstractContextManager[str]]
) -> None:
    with destination() as url:
        async with offline(tmp_path, login=True) as world:
            # Until then Claude Code waits for an answer before it exports more; by default 10 s.
            bridged = Bridged(world, {**exporting(url), "OTEL_EXPORTER_OTLP_TIMEOUT": "1000"})
            async with bridged.agent() as client:
                await converse(world, client)
                await until(lambda: len(bridged.entries()) >= completed(world))
    assert client.process.returncode == 0
    assert_all_counted_live(world, bridged.live)
