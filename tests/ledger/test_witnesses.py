"""What each witness told: the last word stays, periods choose whole sessions, entries beside it."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acp_bridge.ledger.queries import Ledger
from acp_bridge.ledger.records import Row, WitnessRow
from acp_bridge.ledger.schema import migrate
from acp_bridge.ledger.storing import Store
from acp_bridge.ledger.witnesses import Wanted, witnessed
from acp_bridge.ledger.writer import LedgerWriter
from acp_bridge.metering.usage import Source, State, Tokens
from tests.ledger.children import SECONDS
from tests.ledger.rows import NOON, TOKENS, moments, spent, told

COUNT = st.integers(0, 5000)
STATEMENTS = st.builds(
    told,
    st.sampled_from(Source),
    run_id=st.sampled_from(("run-1", "run-2")),
    session_id=st.sampled_from(("s-1", "s-2", "")),
    model=st.sampled_from(("opus", "haiku", "")),
    tokens=st.builds(Tokens, COUNT, COUNT, COUNT, COUNT, COUNT),
    requests=st.none() | COUNT,
    cost_micros=st.none() | COUNT,
    at=moments(),
)


def place(row: WitnessRow) -> tuple[str, ...]:
    return row.run_id, row.session_id, row.source, row.model


def stored(path: Path, *rows: Row) -> Ledger:
    writer = LedgerWriter(path / "ledger.sqlite3")
    for row in rows:
        writer.record(row)
    health = writer.close(SECONDS)
    assert (health.ok, health.waiting, health.lost) == (True, 0, 0)
    return Ledger(path / "ledger.sqlite3")


def test_the_last_word_of_a_witness_replaces_its_earlier_ones_and_nobody_elses() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection)
        store = Store(connection)

        @settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(st.lists(st.lists(STATEMENTS, max_size=12), max_size=4))
        def told_in_batches(batches: list[list[WitnessRow]]) -> None:
            connection.execute("DELETE FROM witnesses")
            last = {place(row): row for batch in batches for row in batch}
            assert [store.write(batch) for batch in batches] == [0] * len(batches)
            found = witnessed(connection, Wanted()).witnesses
            assert len(found) == len(last)
            assert {place(row): row for row in found} == last

        told_in_batches()


def test_what_is_unknown_by_now_replaces_what_was_known(tmp_path: Path) -> None:
    known = told(Source.ACP)
    unknown = replace(known, requests=None, cost_micros=None, tokens=Tokens())
    with stored(tmp_path, known, unknown) as ledger:
        assert ledger.witnesses() == [unknown]


def test_what_witnesses_tell_changes_no_report_and_is_no_entry(tmp_path: Path) -> None:
    with stored(tmp_path, spent("1"), *(told(source) for source in Source)) as ledger:
        assert ledger.report().totals.tokens == TOKENS
        assert ledger.report().totals.requests == 1
        assert len(list(ledger.entries())) == 1
        assert len(ledger.witnesses()) == len(Source)


def test_a_figure_beyond_all_reason_is_given_up_and_counted_and_the_others_stay(
    tmp_path: Path,
) -> None:
    writer = LedgerWriter(tmp_path / "ledger.sqlite3")
    for row in (
        told(Source.WIRE),
        told(Source.ACP, tokens=Tokens(1 << 50)),
        told(Source.TELEMETRY, model="\ud800"),
        told(Source.TRANSCRIPT),
    ):
        writer.record(row)
    health = writer.close(SECONDS)
    assert (health.ok, health.lost, health.added) == (False, 2, 0)
    with Ledger(tmp_path / "ledger.sqlite3") as ledger:
        assert {row.source for row in ledger.witnesses()} == {Source.WIRE, Source.TRANSCRIPT}


def test_rows_come_by_run_then_by_when_the_session_was_last_told_of(tmp_path: Path) -> None:
    rows = [
        told(Source.ACP, run_id="2", session_id="a"),
        told(Source.ACP, run_id="1", session_id="a", at=NOON + timedelta(hours=1)),
        told(Source.ACP, run_id="1", session_id="b", model="opus"),
        told(Source.ACP, run_id="1", session_id="b", model="haiku"),
    ]
    with stored(tmp_path, *rows) as ledger:
        assert ledger.witnesses() == [rows[3], rows[2], rows[1], rows[0]]


def test_a_run_or_a_session_is_asked_for_by_its_id(tmp_path: Path) -> None:
    rows = [told(Source.WIRE, run_id=run, session_id=of) for run in "12" for of in "ab"]
    with stored(tmp_path, *rows) as ledger:
        assert ledger.witnesses(run_id="2") == rows[2:]
        assert ledger.witnesses(session_id="a") == [rows[0], rows[2]]
        assert ledger.witnesses(run_id="1", session_id="b") == [rows[1]]
        assert ledger.witnesses(run_id="3") == []


def test_a_period_chooses_whole_sessions_by_their_last_figure(tmp_path: Path) -> None:
    hour = timedelta(hours=1)
    early = [told(Source.WIRE, session_id="early"), told(Source.ACP, session_id="early")]
    late = [
        told(Source.ACP, session_id="late", at=NOON + hour),
        told(Source.WIRE, session_id="late"),
    ]
    with stored(tmp_path, *early, *late) as ledger:
        assert ledger.witnesses(until=NOON) == []
        assert set(ledger.witnesses(until=NOON + hour)) == set(early)
        assert set(ledger.witnesses(since=NOON + hour)) == set(late)
        assert set(ledger.witnesses(since=NOON, until=NOON + 2 * hour)) == {*early, *late}
        assert ledger.witnesses(since=NOON + 2 * hour) == []


def test_beside_them_stand_the_entries_of_the_same_sessions_without_what_others_spent(
    tmp_path: Path,
) -> None:
    rows: list[Row] = [
        told(Source.WIRE),
        spent("1"),
        spent("2", project="/elsewhere", at=NOON + timedelta(days=3)),
        spent("3", state=State.SETTLED, model="haiku", tokens=Tokens(7)),
        spent("4", state=State.OUTSIDE, tokens=Tokens(1_000_000)),
        spent("5", state=State.UNKNOWN, tokens=None),
        spent("6", run_id="other"),
        spent("7", session_id="other"),
        spent("8", session_id=None),
    ]
    with stored(tmp_path, *rows) as ledger:
        assert ledger.witnessed(Wanted()).recorded == {
            ("run", "session", "opus"): TOKENS + TOKENS,
            ("run", "session", "haiku"): Tokens(7),
        }
        assert ledger.witnessed(Wanted(run_id="other")).recorded == {}


def test_entries_without_a_session_or_model_stand_under_no_name(tmp_path: Path) -> None:
    told_so = told(Source.ACP, session_id="", model="")
    with stored(tmp_path, told_so, spent("1", session_id=None, model=None)) as ledger:
        assert ledger.witnessed(Wanted()).recorded == {("run", "", ""): TOKENS}


def test_a_ledger_that_does_not_exist_has_no_witnesses(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite3") as ledger:
        assert ledger.witnesses() == []
        assert ledger.witnessed(Wanted()).recorded == {}
    assert list(tmp_path.iterdir()) == []
