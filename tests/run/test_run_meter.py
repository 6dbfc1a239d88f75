"""The meter of a run, told in an order that only a busy machine makes; what a dead run left."""

import json
from datetime import timedelta
from pathlib import Path

from acp_bridge.ledger import ledger_path
from acp_bridge.ledger.queries import Ledger
from acp_bridge.ledger.records import TurnRow
from acp_bridge.ledger.writer import LedgerWriter
from acp_bridge.metering.meter import Meter
from acp_bridge.metering.usage import AskedBy, State, UsageEntry
from acp_bridge.protocol.facts import SessionClosed, SessionOpened
from acp_bridge.run.meter import RunMeter
from acp_bridge.run.settlement import Settler
from tests.ledger.children import SECONDS
from tests.ledger.rows import NOON, run, session

ID = "11111111-2222-3333-4444-555555555555"


def totals(spent: int) -> str:
    """The line that a process writes at its end."""
    usage = {"opus": {"inputTokens": spent}}
    return json.dumps({"type": "cost-state", "sessionId": ID, "modelUsage": usage})


def telemetry(spent: int) -> bytes:
    """A request, as Claude Code tells it."""
    told = {
        "event.name": "api_request",
        "session.id": ID,
        "model": "opus",
        "query_source": "sdk",
        "request_id": f"req_{spent}",
        "input_tokens": str(spent),
        "output_tokens": "0",
    }
    attributes = [{"key": key, "value": {"stringValue": of}} for key, of in told.items()]
    return json.dumps(
        {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"attributes": attributes}]}]}]}
    ).encode()


class Desk:
    """A run's meter over a ledger, with Claude Code's folder beside it."""

    def __init__(self, folder: Path) -> None:
        self.path = ledger_path(folder / "state")
        self.transcript = folder / "config" / "projects" / "p" / f"{ID}.jsonl"
        self.transcript.parent.mkdir(parents=True)
        self.writer = LedgerWriter(self.path)
        settler = Settler(folder / "config", self.path, lambda run_id: run_id == "run")
        self.meter = RunMeter(
            run("run"), Meter("run"), self.writer, settler, clock=lambda: NOON + timedelta(hours=1)
        )

    def write(self, *lines: str) -> None:
        with self.transcript.open("a") as file:
            file.writelines(f"{line}\n" for line in lines)

    async def entries(self) -> list[UsageEntry]:
        """All that is in the ledger when everything has been counted."""
        await self.meter.finish()
        assert self.writer.close(SECONDS).ok
        with Ledger(self.path) as ledger:
            return [row.entry for row in ledger.entries()]


async def test_telemetry_before_the_answer_that_opens_a_session_does_not_open_it(
    tmp_path: Path,
) -> None:
    desk = Desk(tmp_path)
    desk.writer.record(run("before"))
    desk.writer.record(session(ID, run_id="before", settled_at=NOON))
    assert desk.writer.flush(SECONDS)
    desk.write(totals(100), totals(140))

    desk.meter.hear(telemetry(7))
    desk.meter.see(SessionOpened(ID, "/w", None, continued=True))

    found = {entry.state: entry.tokens and entry.tokens.input for entry in await desk.entries()}
    assert found[State.LIVE] == 7
    assert found[State.OUTSIDE] == 40


async def test_a_session_opened_again_at_once_leaves_each_process_its_own(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.meter.see(SessionOpened(ID, "/w", None))
    desk.meter.see(SessionClosed(ID))
    desk.meter.hear(telemetry(10))
    desk.meter.see(SessionOpened(ID, "/w", None, continued=True))
    desk.meter.hear(telemetry(5))
    desk.write(totals(10), '{"type":"api-request","id":"a","querySource":"sdk"}')

    entries = await desk.entries()

    assert [(one.state, one.tokens and one.tokens.input) for one in entries] == [
        (State.LIVE, 10),
        (State.LIVE, 5),
    ]


async def test_a_turn_of_a_dead_run_is_unknown_also_without_a_transcript(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.writer.record(run("dead"))
    desk.writer.record(session(ID, run_id="dead"))
    desk.writer.record(TurnRow(run_id="dead", session_id=ID, began_at=NOON))
    assert desk.writer.flush(SECONDS)

    desk.meter.see(SessionOpened(ID, "/w", None, continued=True))

    unknown = [one.asked_by for one in await desk.entries() if one.state is State.UNKNOWN]
    assert sorted(unknown) == [AskedBy.MAIN, AskedBy.SUGGESTION]
