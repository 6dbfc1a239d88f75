"""Looking things up: what goes in comes out, and what settlement adds up."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from hypothesis import given, settings

from acp_bridge.ledger.queries import Ledger
from acp_bridge.ledger.records import EvidenceRow, Reading, Reopened, Row, SpentRow, ViolationRow
from acp_bridge.ledger.storing import micros, moment
from acp_bridge.ledger.writer import LedgerWriter
from acp_bridge.metering.usage import Tokens
from tests.ledger.children import SECONDS
from tests.ledger.rows import NOON, moments, run, session, spent


def stored(path: Path, *rows: Row) -> Ledger:
    writer = LedgerWriter(path / "ledger.sqlite3")
    for row in rows:
        writer.record(row)
    assert writer.close(SECONDS).ok
    return Ledger(path / "ledger.sqlite3")


@settings(deadline=None)
@given(moments())
def test_times_are_kept_to_the_microsecond(at: object) -> None:
    assert moment(micros(at)) == at  # type: ignore[arg-type]


def test_an_entry_comes_out_as_it_went_in(tmp_path: Path) -> None:
    full = spent("a", agent_id="agent", at=NOON + timedelta(microseconds=1))
    bare = spent("b", session_id=None, model=None, tokens=None, cost_micros=None, requests=None)
    later: SpentRow = replace(bare, project=None)
    with stored(tmp_path, full, later) as ledger:
        assert list(ledger.entries()) == [later, full]
        assert list(ledger.entries(run_id="run", session_id="session")) == [full]


def test_the_readings_of_a_session_come_in_the_order_in_which_they_were_stored(
    tmp_path: Path,
) -> None:
    old = Reading(run_id="run", session_id="s", at=NOON, model="opus", tokens=Tokens(1))
    new = replace(old, at=NOON + timedelta(seconds=1), tokens=Tokens(2), cost_micros=5)
    with stored(tmp_path, new, old, replace(old, session_id="other")) as ledger:
        assert ledger.readings("s") == [new, old]


def test_a_session_that_goes_on_after_it_was_settled_waits_again(tmp_path: Path) -> None:
    settled = replace(session("a", settled_at=NOON), ended_at=NOON)
    again = Reopened(run_id=settled.run_id, session_id=settled.session_id)
    with stored(tmp_path, settled, again) as ledger:
        assert ledger.unsettled_sessions() == [replace(settled, ended_at=None, settled_at=None)]


def test_runs_come_newest_first(tmp_path: Path) -> None:
    first, second = run("1"), run("2", started_at=NOON + timedelta(days=1))
    with stored(tmp_path, second, first) as ledger:
        assert ledger.runs() == [second, first]
        assert ledger.runs(limit=1) == [second]
        assert ledger.run("1") == first
        assert ledger.run("3") is None


def test_sessions_wait_for_settlement_until_it_is_noted(tmp_path: Path) -> None:
    waiting, settled = session("a"), session("b", settled_at=NOON)
    with stored(tmp_path, waiting, settled) as ledger:
        assert ledger.unsettled_sessions() == [waiting]


def test_evidence_and_violations_are_kept_in_the_order_of_time(tmp_path: Path) -> None:
    evidence = EvidenceRow(
        run_id="run", at=NOON, kind="declared", source="plan", value="v", verdict="agrees"
    )
    violation = ViolationRow(run_id="run", at=NOON, reason="mode_locked", detail="refused")
    earlier = replace(evidence, at=NOON - timedelta(seconds=1))
    with stored(tmp_path, evidence, earlier, violation) as ledger:
        assert ledger.evidence("run") == [earlier, evidence]
        assert ledger.violations("run") == [violation]
        assert ledger.violations("other") == []
