"""The real Claude Code's telemetry, with and without the bridge listening in."""

import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from acp_bridge.launch.credentials import api_key
from acp_bridge.launch.launcher import Launcher, write_launcher
from acp_bridge.launch.plan import make_plan
from acp_bridge.launch.settings_files import Folders, survey
from acp_bridge.launch.telemetry_records import Fallback, FallbackReason, fallbacks
from acp_bridge.loopback.bound import address_of, bind_loopback, new_token
from acp_bridge.loopback.scratch import FAKE_API_KEY
from acp_bridge.loopback.script import Script, say, use
from acp_bridge.loopback.telemetry import TelemetryBody, TelemetryCounts, TelemetryReceiver
from acp_bridge.modes import BillingMode
from tests.launch.collector import Collector, events, running_collector
from tests.launch.standin import CHANNELS, write_settings
from tests.support.acp import acp_client
from tests.support.offline import Offline, offline
from tests.support.real import ADAPTER_ARGV, CLAUDE, run_claude
from tests.support.waiting import until

pytestmark = pytest.mark.agent

LOGS = "/v1/logs"
METRICS = "/v1/metrics"
ASK = ("-p", "hello")


@dataclass(frozen=True, slots=True)
class Where:
    """Where the user's telemetry is configured."""

    environment: Mapping[str, str] | None = None
    user: Mapping[str, str] | None = None
    project: Mapping[str, str] | None = None

    def write(self, world: Offline) -> dict[str, str]:
        """Write the files; the environment to start from."""
        if self.user:
            write_settings(world.home.config / "settings.json", {"env": self.user})
        if self.project:
            write_settings(world.home.project / ".claude" / "settings.json", {"env": self.project})
        return {**world.env, **(self.environment or {})}


@dataclass(frozen=True, slots=True)
class Seen:
    """What the bridge's receiver saw of a run, and what left the machine."""

    shown: list[TelemetryBody]
    counts: TelemetryCounts
    fallbacks: list[Fallback]
    left_for: set[str]

    @property
    def bodies(self) -> list[bytes]:
        return [body.body for body in self.shown]


def exporting(collector: Collector, **others: str) -> dict[str, str]:
    """A user's variables that send log events to a collector."""
    return {
        "CLAUDE_CODE_ENABLE_TELEMETRY": "1",
        "OTEL_LOGS_EXPORTER": "otlp",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        **others,
    }


async def without_the_bridge(tmp_path: Path, where: Where) -> None:
    async with offline(tmp_path / "without") as world:
        env = {**where.write(world), "ANTHROPIC_API_KEY": FAKE_API_KEY}
        done = await run_claude(*ASK, env=env, cwd=world.home.project)
    assert done.status == 0, done.stderr


@dataclass(frozen=True, slots=True)
class Tap:
    """A gate with a receiver, in an offline world."""

    world: Offline
    launcher: Launcher
    receiver: TelemetryReceiver
    shown: list[TelemetryBody]


@asynccontextmanager
async def tap(
    tmp_path: Path, where: Where, script: Script = (), *, login: bool = False
) -> AsyncIterator[Tap]:
    """Open a `Tap`; with ``login`` in mode B, else in mode A."""
    shown: list[TelemetryBody] = []
    listening, token = bind_loopback(), new_token()
    async with offline(tmp_path / "tapped", script, login=login) as world:
        inherited = where.write(world)
        plan = make_plan(
            CHANNELS,
            mode=BillingMode.SUBSCRIPTION if login else BillingMode.API_KEY,
            inherited=inherited,
            credential=None if login else api_key(FAKE_API_KEY, source="a test"),
            upstream=world.endpoint.url,
            files=survey(CHANNELS, Folders.of(CHANNELS, inherited), world.home.project),
            telemetry_url=address_of(listening, token),
        )
        launcher = write_launcher(plan, world.home.path / "run", claude=CLAUDE)
        records = launcher.telemetry_records
        async with TelemetryReceiver(listening, token, shown.append, records=records) as receiver:
            yield Tap(world, launcher, receiver, shown)


async def tapped(
    tmp_path: Path, where: Where, arguments: tuple[str, ...] = ASK, script: Script = ()
) -> Seen:
    """Run Claude Code behind a gate with a receiver, in mode A."""
    async with tap(tmp_path, where, script) as this:
        program = (str(this.launcher.executable),)
        env, cwd = this.launcher.environment, this.world.home.project
        done = await run_claude(*arguments, env=env, cwd=cwd, argv=program)
        found = fallbacks(this.launcher.telemetry_records)
    assert done.status == 0, done.stderr
    return Seen(this.shown, this.receiver.counts, found, this.world.left_for)


def header_names(collector: Collector) -> set[str]:
    """The names of all headers but the one for each hop."""
    names = {name for request in collector.received for name in request.headers}
    return names - {"connection"}


def sources(bodies: Iterable[bytes]) -> set[str]:
    """What the requests were made for, in Claude Code's words."""
    return {request["query_source"] for request in requests(list(bodies))}


def requests(bodies: list[bytes]) -> list[dict[str, Any]]:
    return [attributes for name, attributes in events(bodies) if name == "claude_code.api_request"]


async def test_without_telemetry_of_the_users_events_reach_the_bridge_and_nobody_else(
    tmp_path: Path,
) -> None:
    seen = await tapped(tmp_path, Where())

    (request,) = requests(seen.bodies)
    assert {"model", "input_tokens", "output_tokens", "request_id"} <= request.keys()
    assert seen.left_for == set()
    assert (seen.counts.refused, seen.counts.forwarded, seen.fallbacks) == (0, 0, [])


@pytest.mark.parametrize("scope", ["environment", "user", "project"])
async def test_the_users_destination_gets_what_it_got_and_the_bridge_sees_the_same(
    tmp_path: Path, scope: str
) -> None:
    headers = {"OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer FAKE"}
    with running_collector() as before, running_collector() as after:
        await without_the_bridge(tmp_path, Where(**{scope: exporting(before, **headers)}))
        seen = await tapped(tmp_path, Where(**{scope: exporting(after, **headers)}))

    assert len(requests(seen.bodies)) == 1
    assert events(after.bodies(LOGS)) == events(before.bodies(LOGS))
    assert {request.path for request in after.received} == {
        request.path for request in before.received
    }
    if scope == "project":
        # 2.1.316 exports nothing to where a project's settings point; with the bridge neither.
        assert (before.received, after.received) == ([], [])
    else:
        assert after.bodies(LOGS) == seen.bodies != []
        assert {request.headers["authorization"] for request in after.received} == {"Bearer FAKE"}
        assert header_names(after) == header_names(before)
    assert seen.left_for == set()


async def test_metrics_go_where_they_went_without_coming_by(tmp_path: Path) -> None:
    metrics = {"OTEL_METRICS_EXPORTER": "otlp", "OTEL_METRIC_EXPORT_INTERVAL": "300"}
    with running_collector() as collector:
        seen = await tapped(tmp_path, Where(user=exporting(collector, **metrics)))
        alone = len(collector.bodies(LOGS))
        no_logs = exporting(collector, **metrics, OTEL_LOGS_EXPORTER="none")
        quiet = await tapped(tmp_path / "again", Where(user=no_logs))

    names = b"".join(collector.bodies(METRICS))
    assert b"claude_code.token.usage" in names
    assert collector.bodies(LOGS) == seen.bodies
    assert (len(requests(quiet.bodies)), len(collector.bodies(LOGS))) == (1, alone)
    assert (seen.counts.refused, quiet.counts.refused) == (0, 0)


async def test_what_was_switched_off_stays_off_also_in_nested_calls(tmp_path: Path) -> None:
    script = [
        use("Bash", command="claude -p nested", description="Ask again"),
        say("Nested."),
        say("Done."),
    ]
    with running_collector() as collector:
        off = exporting(collector, OTEL_METRICS_EXPORTER="otlp", OTEL_METRIC_EXPORT_INTERVAL="100")
        del off["CLAUDE_CODE_ENABLE_TELEMETRY"]
        arguments = ("--allowedTools", "Bash", "-p", "go")
        seen = await tapped(tmp_path, Where(user=off), arguments, script)

    assert collector.received == []
    assert sorted(request["request_id"] for request in requests(seen.bodies)) == [
        f"req_embedded{number:06d}" for number in (1, 2, 3)
    ]


async def test_a_client_cannot_lead_the_events_elsewhere(tmp_path: Path) -> None:
    with running_collector() as theirs:
        env = {
            "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": f"{theirs.url}{LOGS}",
            "OTEL_EXPORTER_OTLP_ENDPOINT": theirs.url,
        }
        given = ("--settings", json.dumps({"env": env}))
        policy = ("--managed-settings", json.dumps({"env": exporting(theirs)}))
        seen = await tapped(tmp_path, Where(project=env), (*given, *policy, *ASK))

    assert theirs.received == []
    assert len(requests(seen.bodies)) == 1


async def test_what_cannot_pass_through_arrives_untouched_and_the_meter_says_why(
    tmp_path: Path,
) -> None:
    with running_collector() as before, running_collector() as after:
        protocol = {"OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "http/protobuf"}
        await without_the_bridge(tmp_path, Where(user=exporting(before, **protocol)))
        seen = await tapped(tmp_path, Where(user=exporting(after, **protocol)))

    assert seen.shown == []
    assert [fallback.reason for fallback in seen.fallbacks] == [FallbackReason.PROTOCOL]
    for collector in (before, after):
        types = {request.headers["content-type"] for request in collector.received}
        assert types == {"application/x-protobuf"}


async def test_sessions_of_the_adapter_are_seen_with_the_login_and_forwarded(
    tmp_path: Path,
) -> None:
    with running_collector() as collector:
        async with tap(tmp_path, Where(user=exporting(collector)), login=True) as this:
            env, cwd = this.launcher.environment, this.world.home.project
            async with acp_client(ADAPTER_ARGV, env=env, cwd=cwd) as client:
                await client.initialize()
                await client.prompt(await client.new_session(cwd), "hello")
                # The events come after the turn, and an agent that is ended loses what waits.
                await until(lambda: "sdk" in sources(body.body for body in this.shown))
        bodies = [body.body for body in this.shown]

    assert collector.bodies(LOGS) == bodies
    assert this.world.left_for == {"api.anthropic.com:443"}
