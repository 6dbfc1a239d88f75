"""Reports: the sums by quarter of an hour always say what the entries say."""

import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acp_bridge.ledger.database import open_for_writing
from acp_bridge.ledger.queries import Ledger
from acp_bridge.ledger.records import Row, SpentRow
from acp_bridge.ledger.report import GroupKey, Report
from acp_bridge.ledger.schema import (
    ENTRY_SUMS,
    QUARTER,
    QUARTER_SUMS,
    SUMS_OF_PLACES,
    with_breakdown,
)
from acp_bridge.ledger.storing import Store
from acp_bridge.metering.usage import AskedBy, CostKind, Source, State, Tokens
from tests.ledger.recount import all_said, recount, said, summed
from tests.ledger.rows import NOON, TOKENS, moments, session, spendings, spent

BERLIN = ZoneInfo("Europe/Berlin")
ZONES: tuple[tzinfo, ...] = (
    UTC,
    BERLIN,
    ZoneInfo("Asia/Kathmandu"),  # 5 h 45 min
    timezone(timedelta(minutes=7)),  # no whole quarters
)


def store(path: Path, *batches: Sequence[Row]) -> int:
    with closing(Store(open_for_writing(path))) as into:
        return sum(into.write(batch) for batch in batches)


def report(path: Path, *by: GroupKey, zone: tzinfo = UTC) -> Report:
    with Ledger(path) as ledger:
        return ledger.report(by, zone=zone)


@settings(deadline=None)
@given(
    batches=st.lists(st.lists(spendings(), max_size=12), max_size=4),
    by=st.lists(st.sampled_from(GroupKey), max_size=3, unique=True),
    since=st.none() | moments(),
    until=st.none() | moments(),
    zone=st.sampled_from(ZONES),
)
def test_a_report_equals_a_recount_of_the_entries(
    batches: list[list[SpentRow]],
    by: list[GroupKey],
    since: datetime | None,
    until: datetime | None,
    zone: tzinfo,
) -> None:
    first = {row.entry.key: row for batch in reversed(batches) for row in reversed(batch)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.sqlite3"
        assert store(path, *batches) == len(first)
        with Ledger(path) as ledger:
            found = ledger.report(by, since=since, until=until, zone=zone)
    expected = recount(first.values(), tuple(by), since=since, until=until, zone=zone)
    assert all_said(found.rows) == expected
    within = recount(first.values(), (), since=since, until=until, zone=zone)
    nothing = replace(summed((), []), requests=0)
    assert said(found.totals) == (within[0] if within else nothing)


@settings(deadline=None)
@given(st.lists(st.lists(spendings(), max_size=12), max_size=4))
def test_the_sums_in_the_file_equal_a_recomputation_from_its_entries(
    batches: list[list[SpentRow]],
) -> None:
    by_place = f"""SELECT at / {QUARTER}, kind_id, place_id, ifnull(agent_id, ''),
        {", ".join(f"sum({part})" for part in ENTRY_SUMS)}
        FROM usage t GROUP BY 1, 2, 3, 4"""  # noqa: S608 - own names
    by_charge = f"""SELECT quarter, charge_id, {with_breakdown(QUARTER_SUMS)}
        FROM place_quarters t JOIN kinds k ON k.id = kind_id GROUP BY 1, 2"""  # noqa: S608 - likewise
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.sqlite3"
        store(path, *batches)
        with closing(sqlite3.connect(path)) as file:
            for table, recomputed in (
                ("place_quarters", by_place),
                ("charge_quarters", by_charge),
                ("place_sums", f"{SUMS_OF_PLACES} GROUP BY 1, 2, 3"),
            ):
                kept = file.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608 - likewise
                assert sorted(kept) == sorted(file.execute(recomputed).fetchall())


def test_an_entry_that_is_told_twice_counts_once_and_is_never_changed(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    later = spent("a", tokens=Tokens(999), cost_micros=999)
    assert store(path, [spent("a"), spent("a")], [later]) == 1
    assert report(path).totals.tokens == TOKENS


def test_kinds_of_money_stay_apart_and_the_unknown_is_no_zero(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    billed = spent("a", cost_kind=CostKind.BILLED_ESTIMATE, cost_micros=7)
    listed = spent("b", cost_micros=11)
    unpriced = spent("c", cost_kind=CostKind.UNKNOWN, cost_micros=None)
    store(path, [billed, listed, unpriced])
    assert report(path).totals.cost == {
        CostKind.BILLED_ESTIMATE: 7,
        CostKind.LIST_PRICE_EQUIVALENT: 11,
        CostKind.UNKNOWN: None,
    }


def test_requests_that_nobody_could_count_are_unknown(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    store(path, [spent("a", requests=None), spent("b", model="haiku")])
    found = {row.values: row.requests for row in report(path, GroupKey.MODEL).rows}
    assert found == {("opus",): None, ("haiku",): 1}


def test_a_request_whose_tokens_nobody_told_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    store(path, [spent("a"), spent("b", state=State.UNKNOWN, tokens=None, cost_micros=None)])
    totals = report(path).totals
    assert (totals.requests, totals.unknown_requests, totals.tokens) == (2, 1, TOKENS)
    assert totals.states == {State.LIVE: 1, State.UNKNOWN: 1}
    assert totals.sources == {Source.TELEMETRY: 2}


def test_what_nobody_typed_is_shown_apart(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    title, suggestion = AskedBy.TITLE, AskedBy.SUGGESTION
    store(path, [spent("a"), spent("b", asked_by=title), spent("c", asked_by=suggestion)])
    unasked = report(path).totals.unasked
    assert (unasked.requests, unasked.tokens) == (2, TOKENS + TOKENS)
    assert unasked.cost == {CostKind.LIST_PRICE_EQUIVALENT: 3000}


def test_an_hour_that_the_clocks_repeat_is_two(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    end_of_summer = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    store(path, [spent("a", at=end_of_summer), spent("b", at=end_of_summer + timedelta(hours=1))])
    found = [row.values for row in report(path, GroupKey.HOUR, zone=BERLIN).rows]
    assert found == [("2026-10-25T02:00+01:00",), ("2026-10-25T02:00+02:00",)]
    assert len(report(path, GroupKey.DAY, zone=BERLIN).rows) == 1


@pytest.mark.parametrize(("is_settled", "pending"), [(False, True), (True, False)])
def test_a_row_is_pending_until_its_sessions_are_settled(
    tmp_path: Path, *, is_settled: bool, pending: bool
) -> None:
    path = tmp_path / "ledger.sqlite3"
    done = session("done", settled_at=NOON)
    asked = session("asked", settled_at=NOON if is_settled else None)
    rows = [spent("a", session_id="done"), spent("b", session_id="asked", model="haiku")]
    store(path, [done, asked, *rows])
    found = report(path, GroupKey.MODEL)
    assert {row.values: row.pending for row in found.rows} == {
        ("opus",): False,
        ("haiku",): pending,
    }
    assert found.totals.pending is pending


def test_a_report_can_be_of_one_run_or_session(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    store(path, [spent("a"), spent("b", run_id="other"), spent("c", session_id="other")])
    with Ledger(path) as ledger:
        assert ledger.report(run_id="run").totals.requests == 2
        assert ledger.report(session_id="session").totals.requests == 2
        assert ledger.report(run_id="run", session_id="other").totals.requests == 1


def test_a_missing_ledger_is_an_empty_report(tmp_path: Path) -> None:
    found = report(tmp_path / "none" / "ledger.sqlite3", GroupKey.DAY)
    assert (found.rows, found.totals.requests, found.totals.cost) == ([], 0, {})
    assert not (tmp_path / "none").exists()
