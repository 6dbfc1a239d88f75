"""The meter of a run with a wire guard: the wire counts, the others are held against it."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import anyio
import pytest

from acp_bridge.ledger.queries import Ledger
from acp_bridge.metering.meter import Meter
from acp_bridge.metering.readings import Reading
from acp_bridge.metering.usage import Source, State, Tokens, UsageEntry
from acp_bridge.metering.wire_books import WireBooks
from acp_bridge.metering.wire_exchange import AnswerBegan, WireExchange
from acp_bridge.modes import CredentialClass
from acp_bridge.protocol.facts import (
    PromptEnded,
    PromptStarted,
    SessionClosed,
    SessionOpened,
    TurnEnd,
)
from acp_bridge.run.meter import RunMeter
from acp_bridge.run.settlement import Settler, rows_of
from tests.ledger.children import SECONDS
from tests.ledger.rows import NOON, run, session, spent, told
from tests.metering.test_wire_exchanges import ANSWER, EXCHANGE, REQUEST
from tests.run.test_run_meter import ID, Desk, telemetry, totals


class GuardedDesk(Desk):
    """A run's meter that is told what a wire guard saw."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.bypassed: list[UsageEntry] = []
        self.meter = RunMeter(
            run("run"),
            Meter("run"),
            self.writer,
            Settler(folder / "config", self.path, lambda run_id: run_id == "run"),
            clock=lambda: NOON + timedelta(hours=1),
            wire=WireBooks(),
            bypassed=self.bypassed.append,
        )


def exchange(spent: int, number: int = 1) -> WireExchange:
    """A request that cost that much input, as the wire shows it."""
    tokens = replace(ANSWER.tokens, input=spent, output=0) if ANSWER.tokens else None
    answer = replace(ANSWER, tokens=tokens, model="opus", request_id=f"req_{spent}")
    request = replace(REQUEST, session_id=ID, agent_id=None)
    return replace(EXCHANGE, number=number, request=request, answer=answer)


async def test_what_telemetry_tells_of_a_request_on_the_wire_is_kept_beside_it_and_not_counted(
    tmp_path: Path,
) -> None:
    desk = GuardedDesk(tmp_path)
    desk.meter.see(SessionOpened(ID, "/w", None))
    desk.meter.watch(AnswerBegan("req_7"))
    desk.meter.hear(telemetry(7))  # before the guard has seen the end of the answer
    desk.meter.watch(exchange(7))
    desk.write(totals(7))

    (entry,) = await desk.entries()
    assert (entry.source, entry.tokens and entry.tokens.total) == (Source.WIRE, 7)
    assert desk.bypassed == []
    with Ledger(desk.path) as ledger:
        told = {(row.source, row.tokens.total) for row in ledger.witnesses(run_id="run")}
    assert told == {(Source.WIRE, 7), (Source.TELEMETRY, 7), (Source.TRANSCRIPT, 7)}


async def test_a_request_that_went_round_the_guard_is_counted_told_and_nobodys(
    tmp_path: Path,
) -> None:
    desk = GuardedDesk(tmp_path)
    desk.meter.see(SessionOpened(ID, "/w", None))
    desk.meter.watch(AnswerBegan("req_7"))
    desk.meter.watch(exchange(7))
    desk.meter.hear(telemetry(90))

    await desk.entries()
    with Ledger(desk.path) as ledger:
        rows = {row.entry.source: row for row in ledger.entries()}
    assert [entry.request_id for entry in desk.bypassed] == ["req_90"]
    assert rows[Source.WIRE].credential_class is CredentialClass.SUBSCRIPTION_OAUTH
    assert rows[Source.TELEMETRY].credential_class is CredentialClass.UNKNOWN


async def test_a_session_that_is_silent_to_the_bridge_is_found_by_its_last_totals(
    tmp_path: Path,
) -> None:
    desk = GuardedDesk(tmp_path)
    desk.meter.see(SessionOpened(ID, "/w", None))
    desk.meter.watch(exchange(7))
    desk.write(totals(50))

    entries = await desk.entries()
    assert [(one.source, one.state) for one in desk.bypassed] == [
        (Source.TRANSCRIPT, State.SETTLED)
    ]
    assert {one.source for one in entries} == {Source.WIRE, Source.TRANSCRIPT}


async def test_what_the_wire_tells_of_a_closed_session_is_taken_before_it_is_settled(
    tmp_path: Path,
) -> None:
    desk = GuardedDesk(tmp_path)
    desk.meter.see(SessionOpened(ID, "/w", None))
    desk.meter.see(SessionClosed(ID))
    desk.meter.watch(AnswerBegan("req_7"))
    desk.meter.watch(exchange(7))
    desk.write(totals(7))

    (entry,) = await desk.entries()
    assert entry.source is Source.WIRE
    assert desk.bypassed == []


@pytest.mark.parametrize("witnessed", [True, False], ids=["telemetry kept", "telemetry lost"])
async def test_of_a_dead_run_only_what_its_guard_did_not_count_is_settled(
    tmp_path: Path, *, witnessed: bool
) -> None:
    desk = GuardedDesk(tmp_path)
    desk.writer.record(run("dead"))
    desk.writer.record(session(ID, run_id="dead"))
    for reading in rows_of(Reading(ID), "dead", NOON):
        desk.writer.record(reading)
    seen = Tokens(input=7)
    wire = spent("wire:1", source=Source.WIRE, run_id="dead", session_id=ID, tokens=seen)
    desk.writer.record(wire)
    if witnessed:
        desk.writer.record(told(Source.TELEMETRY, run_id="dead", session_id=ID, tokens=seen))
    assert desk.writer.flush(SECONDS)
    desk.write(totals(10))

    desk.meter.see(SessionOpened(ID, "/w", None, continued=True))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(desk.meter.run)
        entries = await desk.entries()
    counted = [(one.state, one.tokens.input) for one in entries if one.tokens]
    assert counted == [(State.LIVE, 7), (State.SETTLED, 3)]


async def test_an_agent_of_another_kind_that_tells_its_usage_has_bypassed_nothing(
    tmp_path: Path,
) -> None:
    desk = GuardedDesk(tmp_path)
    desk.meter.disclaim()
    desk.meter.see(SessionOpened(ID, "/w", None))
    desk.meter.see(PromptStarted(ID))
    told_usage = b'{"stopReason": "end_turn", "usage": {"inputTokens": 90, "outputTokens": 1}}'
    desk.meter.see(PromptEnded(ID, TurnEnd.ANSWERED, told_usage))

    (entry,) = await desk.entries()
    assert (entry.source, entry.tokens and entry.tokens.input) == (Source.ACP, 90)
    assert desk.bypassed == []
