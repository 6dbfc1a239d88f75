"""`acp-bridge receipt`, run in this process, and rows for it to tell of."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from acp_bridge.cli import main
from acp_bridge.ledger.records import EvidenceRow, Row, RunRow, SessionRow, ViolationRow
from acp_bridge.ledger.report import RowSum
from acp_bridge.ledger.runs import RunDirectory
from acp_bridge.ledger.sums import breakdown_of, sums_of
from acp_bridge.metering.usage import AskedBy, CostKind, Source, State
from acp_bridge.modes import Bucket, Guard
from acp_bridge.run.usage_document import figures
from tests.bridge.process import Json
from tests.cli.usage_command import Said, Usage
from tests.documents import assert_receipts
from tests.ledger.rows import NOON, run, session, spent

RUN, LATER, KILLED = "20261124-120000-aaaaaa", "20261125-120000-bbbbbb", "20261123-120000-cccccc"
SESSION = "0b8c7a54-1111-2222-3333-444444444444"
CLEARED = "0b8c7a54-5555-6666-7777-888888888888"
OTHER = "99999999-1111-2222-3333-444444444444"
DAY = timedelta(days=1)
PAGE = Path(__file__).with_name("receipt_page.txt")
MARKDOWN = Path(__file__).with_name("receipt_page.md")
"""What the command says of the small ledger, to be read."""

Receipt = Callable[..., Said]


@pytest.fixture
def receipt(usage: Usage, capsys: pytest.CaptureFixture[str]) -> Receipt:
    """Run the command in this process, in the environment that `usage` has set."""
    del usage

    def receipt(*arguments: str) -> Said:
        status = main(["receipt", *arguments])
        return Said(status, *capsys.readouterr())

    return receipt


def one(said: Said) -> Any:
    """The only receipt of a document."""
    assert_receipts(said.document)
    (found,) = said.document["receipts"]
    return found


def opened(
    session_id: str = SESSION, client: str | None = SESSION, *, run_id: str = RUN, **more: Any
) -> SessionRow:
    made = session(session_id, run_id=run_id, settled_at=NOON)
    return replace(made, **{"client_session_id": client, **more})


def ended(run_id: str = RUN, **more: Any) -> RunRow:
    made = run(run_id)
    return replace(made, **{"ended_at": NOON + DAY, "agent_name": "claude-agent-acp", **more})


def evidence(run_id: str = RUN, *, value: str = "subscription_oauth", at: int = 0) -> EvidenceRow:
    told = {"kind": "declared", "source": "launch plan", "value": value, "verdict": "agrees"}
    return EvidenceRow(run_id=run_id, at=NOON + timedelta(seconds=at), **told)


def violation(detail: str, run_id: str = RUN) -> ViolationRow:
    return ViolationRow(run_id=run_id, at=NOON, reason="mode_locked", detail=detail)


def small_ledger() -> list[Row]:
    """A session with something of everything, cleared once, in a run with another session."""
    api: Any = {"bucket": Bucket.EXTRA_USAGE, "cost_kind": CostKind.BILLED_ESTIMATE}
    return [
        ended(
            guard=Guard.ENFORCE,
            agent_version="0.9.0",
            claude_version="2.9.0",
            wire='{"presented": {"subscription_oauth": 5}, "attached": {"subscription_oauth": 4}}',
        ),
        opened(cwd="/home/somebody/project", model="opus"),
        opened(CLEARED, settled_at=None),
        opened(OTHER, OTHER),
        spent("1", run_id=RUN, session_id=SESSION),
        spent("2", run_id=RUN, session_id=SESSION, model="haiku", asked_by=AskedBy.TITLE),
        spent("3", run_id=RUN, session_id=CLEARED, source=Source.WIRE, cost_micros=2500, **api),
        spent("4", run_id=RUN, session_id=CLEARED, model="fable", cost_micros=None),
        spent("5", run_id=RUN, session_id=CLEARED, state=State.UNKNOWN, tokens=None),
        spent("6", run_id=RUN, session_id=OTHER, model="sonnet"),
        evidence(),
        violation("logout is refused in mode subscription"),
    ]


def one_request() -> Json:
    """A session's usage, as a status shows it."""
    entry, found = spent("1").entry, RowSum()
    sums = sums_of(entry)
    found.add(CostKind.LIST_PRICE_EQUIVALENT, [*sums, *breakdown_of(entry, sums)])
    return figures(found.row((), pending=True))


def registered(state: Path, *, run_id: str = RUN, **more: Any) -> RunDirectory:
    """A run of the registry, whose ledger cannot be written."""
    directory = RunDirectory.create(state, run_id)
    document = {
        "run_id": run_id,
        "pid": 1,
        "alive": True,
        "mode": "subscription",
        "mode_letter": "B",
        "guarantees": "enforced",
        "agent": {"name": None, "version": None, "claude_version": None},
        "guard": "enforce",
        "started_at": NOON.isoformat(),
        "ended_at": None,
        "expected_credential_class": "subscription_oauth",
        "bucket": "plan_limits",
        "removed": [],
        "evidence": [],
        "wire": {"presented": {}, "attached": {}},
        "violations": [],
        "sessions": [
            {"session_id": one, "cwd": None, "model": None, "usage": one_request()}
            for one in (OTHER, SESSION)
        ],
        "metering": {
            "telemetry": True,
            "sources": [],
            "falls_back": ["a company's own telemetry"],
            "pending": True,
            "ledger": {"ok": False, "reason": "the disk is full", "hint": "", "lost": 1234},
        },
    }
    directory.write_status(document | more)
    return directory
