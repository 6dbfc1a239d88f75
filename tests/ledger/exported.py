"""A ledger with rows of every kind, and what is taken out of it."""

import io
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from acp_bridge.ledger.database import open_for_writing
from acp_bridge.ledger.exporting import (
    Format,
    Part,
    export_ledger,
)
from acp_bridge.ledger.records import (
    EvidenceRow,
    Reading,
    ReservationRow,
    Row,
    ViolationRow,
)
from acp_bridge.ledger.reservations import store_reservation
from acp_bridge.ledger.storing import Store
from acp_bridge.metering.usage import CostKind, Source, Tokens
from acp_bridge.modes import BillingMode, Bucket
from tests.ledger.rows import NOON, run, session, spent, told

EVIDENCE = EvidenceRow(
    run_id="run", at=NOON, kind="declared", source="plan", value="v", verdict="agrees"
)
VIOLATION = ViolationRow(run_id="run", at=NOON, reason="mode_locked", detail="refused")
READING = Reading(run_id="run", session_id="session", at=NOON, model="opus", tokens=Tokens(1))
RESERVATION = ReservationRow(
    reservation_id="r-1",
    run_id="run",
    session_id="session",
    at=NOON,
    mode=BillingMode.API_KEY,
    bucket=Bucket.API,
    cost_kind=CostKind.BILLED_ESTIMATE,
    cost_micros=2_000_000,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ledger.sqlite3"


def store(path: Path, *rows: Row) -> None:
    with closing(Store(open_for_writing(path))) as into:
        into.write(rows)


def reserve(path: Path, *reservations: ReservationRow) -> None:
    with closing(open_for_writing(path)) as connection:
        for one in reservations:
            store_reservation(connection, one)


def exported(path: Path, asked: Part, form: Format = Format.JSONL) -> str:
    text = io.StringIO()
    written = export_ledger(path, asked, form, text)
    lines = len(text.getvalue().splitlines())
    assert written == lines - (1 if asked.others or form is Format.CSV else 0)
    return text.getvalue()


def rows(path: Path, asked: Part) -> list[Any]:
    return [json.loads(line) for line in exported(path, asked).splitlines()]


def everything_of_a_run(path: Path) -> None:
    store(
        path,
        run(),
        session(),
        spent("a"),
        EVIDENCE,
        VIOLATION,
        READING,
        told(Source.WIRE),
    )
    reserve(path, RESERVATION)
