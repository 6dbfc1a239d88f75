"""The real agent behind the bridge in every metering scenario: the ledger against the endpoint."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from acp_bridge.metering.usage import Source, State
from tests.launch.collector import running_collector
from tests.matrix.extent import FULL_PROFILE
from tests.metering.bridged import Bridged
from tests.metering.judge import check, missed_live, truths
from tests.metering.scenarios import NAMES, SCENARIOS
from tests.metering.stage import Stage, numbered_world

pytestmark = pytest.mark.agent
WITH_A_GUARD = (
    "more than twenty requests",
    "cancelled mid stream",
    "stream cut by the server",
    "retry after 529",
    "failed turns",
    "clear",
    "continued outside and back",
    "suggestion aborted by the next prompt",
    "answered by another name",
)
"""Played with the wire guard in any run of the tests, and without it in the full one.

There the wire sees more than the other witnesses, or they see it otherwise.
"""
LONG = ("bridge killed", "closed and opened again")
"""Whatever is settled at the next start is settled late."""


async def play(
    name: str, tmp_path: Path, more: Mapping[str, str] | None = None, *, patience: float = 5.0
) -> tuple[Stage, Bridged]:
    scenario = SCENARIOS[name]
    async with numbered_world(tmp_path, scenario.script, scenario.suggestion) as world:
        counting = Bridged(world, more or {})
        stage = Stage(world, counting, patience_seconds=patience)
        await scenario.play(stage)
    assert world.left_for <= {"api.anthropic.com:443"}
    return stage, counting


@pytest.mark.parametrize(
    "name", NAMES if FULL_PROFILE else [n for n in NAMES if n not in (*WITH_A_GUARD, *LONG)]
)
async def test_every_request_is_counted_once(name: str, tmp_path: Path) -> None:
    stage, counting = await play(name, tmp_path)

    truth = truths(stage.world.endpoint.seen, stage.outside)
    assert [one for one in missed_live(truth, counting.live) if one.whole] == []
    check(truth, counting.entries())


async def test_without_telemetry_the_agents_own_totals_count(tmp_path: Path) -> None:
    """What a company exports in a protocol that cannot come by is left alone."""
    with running_collector() as collector:
        company = {
            "CLAUDE_CODE_ENABLE_TELEMETRY": "1",
            "OTEL_LOGS_EXPORTER": "otlp",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        }
        stage, counting = await play("tools", tmp_path, company, patience=3.0)

    truth = truths(stage.world.endpoint.seen, stage.outside)
    entries = counting.entries()
    assert {entry.source for entry in entries if entry.state is State.LIVE} == {Source.AGENT_RESULT}
    counted = [entry.tokens for entry in entries if entry.tokens]
    assert sum(tokens.total for tokens in counted) == sum(one.tokens.total for one in truth)
    assert collector.received != []
