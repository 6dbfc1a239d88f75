"""Looking things up: what goes in comes out, and what settlement adds up."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from hypothesis import given, settings

from acp_bridge.ledger.queries import Ledger, SessionSum
from acp_bridge.ledger.records import EvidenceRow, Reading, Row, SpentRow, ViolationRow
from acp_bridge.ledger.storing import micros, moment
from acp_bridge.ledger.writer import LedgerWriter
from acp_bridge.metering.usage import State, Tokens
from tests.ledger.children import SECONDS
from tests.ledger.rows import NOON, TOKENS, moments, run, session, spent


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


def test_a_session_is_summed_by_run_model_and_state(tmp_path: Path) -> None:
    unpriced = spent("d", run_id="other", cost_micros=None)
    rows = [spent("a"), spent("b"), spent("c", state=State.OUTSIDE), unpriced]
    both = SessionSum(
        run_id="run",
        session_id="session",
        model="opus",
        state=State.LIVE,
        requests=2,
        tokens=TOKENS + TOKENS,
        cost_micros=3000,
    )
    outside = replace(both, state=State.OUTSIDE, requests=1, tokens=TOKENS, cost_micros=1500)
    elsewhere = replace(both, run_id="other", requests=1, tokens=TOKENS, cost_micros=None)
    with stored(tmp_path, *rows, spent("e", session_id="another")) as ledger:
        assert ledger.session_sums("session") == [elsewhere, both, outside]
        assert ledger.session_sums("session", run_id="run") == [both, outside]


def test_the_latest_reading_of_each_model_is_found(tmp_path: Path) -> None:
    old = Reading(run_id="run", session_id="s", at=NOON, model="opus", tokens=Tokens(1))
    new = replace(old, at=NOON + timedelta(seconds=1), tokens=Tokens(2), cost_micros=5)
    haiku = replace(old, model="haiku")
    with stored(tmp_path, new, old, haiku, replace(old, session_id="other")) as ledger:
        assert ledger.latest_readings("s") == {"opus": new, "haiku": haiku}


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
