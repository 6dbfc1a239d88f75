"""The real agent behind the bridge with its wire guard: the ledger is what the endpoint told."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from acp_bridge.loopback.seen import Outcome, SeenRequest
from acp_bridge.metering.usage import AskedBy, Source, State, Tokens, UsageEntry, total
from tests.launch.collector import running_collector
from tests.matrix.extent import FULL_PROFILE
from tests.metering.judge import Truth, truths
from tests.metering.scenarios import NAMES
from tests.metering.test_scenarios import WITH_A_GUARD, play

pytestmark = pytest.mark.agent

GUARD = {"ACP_BRIDGE_GUARD": "enforce"}
_OF_A_KILLED_BRIDGE = frozenset({"bridge killed", "bridge killed in a turn"})
_GUARDED = [name for name in NAMES if name not in _OF_A_KILLED_BRIDGE]
_PLAYED = _GUARDED if FULL_PROFILE else WITH_A_GUARD
_Line = tuple[str | None, str | None, str | None, AskedBy, Tokens]


def told(seen: Sequence[SeenRequest], outside: set[int]) -> list[Truth]:
    """The endpoint's ledger: an answer that broke off had told one token of output."""
    costly = [one for one in seen if one.usage is not None]
    return [
        truth
        if one.outcome is Outcome.COMPLETE
        else replace(truth, tokens=replace(truth.tokens, output=1))
        for one, truth in zip(costly, truths(seen, outside), strict=True)
    ]


def lines(of: Sequence[Truth] | Sequence[UsageEntry]) -> Counter[_Line]:
    return Counter(
        (one.session_id, one.agent_id, one.model, one.asked_by, one.tokens)
        for one in of
        if one.tokens is not None
    )


def who(line: _Line | UsageEntry) -> tuple[str | None, str | None, str | None, AskedBy]:
    if isinstance(line, UsageEntry):
        return line.session_id, line.agent_id, line.model, line.asked_by
    return line[:4]


@pytest.mark.parametrize("name", _PLAYED)
async def test_the_ledger_is_the_wire_request_by_request(name: str, tmp_path: Path) -> None:
    stage, counting = await play(name, tmp_path, GUARD)

    truth = told(stage.world.endpoint.seen, stage.outside)
    entries = counting.entries()
    own = [one for one in entries if one.state is not State.OUTSIDE]
    counted, true = lines(own), lines([one for one in truth if not one.outside])
    assert counted - true == Counter()
    # Of what the ending agent hung up on before a byte came, the wire shows the request alone.
    unknown = [one for one in own if one.state is State.UNKNOWN]
    assert Counter(map(who, unknown)) == Counter(map(who, (true - counted).elements()))
    assert {one.asked_by for one in unknown} <= {AskedBy.TITLE, AskedBy.SUGGESTION}
    assert {one.source for one in own} == {Source.WIRE}
    assert counting.violations() == []
    outside = total(one.tokens for one in entries if one.tokens and one.state is State.OUTSIDE)
    assert outside == total(one.tokens for one in truth if one.outside)


@pytest.mark.parametrize(
    "name", sorted(_OF_A_KILLED_BRIDGE) if FULL_PROFILE else ["bridge killed in a turn"]
)
async def test_what_a_killed_bridge_saw_stays_and_the_rest_is_unknown(
    name: str, tmp_path: Path
) -> None:
    stage, counting = await play(name, tmp_path, GUARD)

    truth = told(stage.world.endpoint.seen, stage.outside)
    entries = counting.entries()
    live = [one for one in entries if one.state is State.LIVE]
    assert lines(live) - lines(truth) == Counter()
    assert {one.source for one in live} == {Source.WIRE}
    # What was on its way when the bridge died is in Claude Code's last totals, or nobody knows.
    settled = [one.tokens for one in entries if one.tokens and one.state is State.SETTLED]
    missed = list((lines(truth) - lines(live)).elements())
    assert Counter(settled) <= Counter(line[4] for line in missed)
    unknown = Counter(one.asked_by for one in entries if one.state is State.UNKNOWN)
    assert Counter(line[3] for line in missed) <= unknown


async def test_agents_that_tell_only_totals_bypass_nothing_either(tmp_path: Path) -> None:
    """What a company exports in a protocol that cannot come by is left alone."""
    with running_collector() as collector:
        company = {
            "CLAUDE_CODE_ENABLE_TELEMETRY": "1",
            "OTEL_LOGS_EXPORTER": "otlp",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        }
        stage, counting = await play("cancelled mid stream", tmp_path, {**GUARD, **company})

    entries = counting.entries()
    assert lines(entries) - lines(told(stage.world.endpoint.seen, stage.outside)) == Counter()
    assert {one.source for one in entries} == {Source.WIRE}
    assert counting.violations() == []
