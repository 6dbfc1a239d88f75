"""Pruning: what is before a day goes, with what only it needed; everything else stays exact."""

import json
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acp_bridge.errors import ConfigurationError
from acp_bridge.ledger.database import LedgerError, open_for_writing
from acp_bridge.ledger.exporting import export
from acp_bridge.ledger.pruning import Pruned, Pruning
from acp_bridge.ledger.queries import Ledger
from acp_bridge.ledger.records import (
    EvidenceRow,
    Reading,
    Row,
    RunRow,
    SessionRow,
    SpentRow,
    ViolationRow,
)
from acp_bridge.ledger.report import GroupKey
from acp_bridge.ledger.schema import QUARTER
from acp_bridge.ledger.storing import Store, micros
from acp_bridge.ledger.verifying import verify
from acp_bridge.metering.usage import Source, Tokens
from tests.ledger.recount import all_said, recount
from tests.ledger.rows import NOON, moments, run, session, spendings, spent, told

OLD = NOON - timedelta(days=10)
DAY = NOON.replace(hour=0)


def nobody(_: str) -> bool:
    return False


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ledger.sqlite3"


def store(path: Path, *rows: Row) -> None:
    with closing(Store(open_for_writing(path))) as into:
        into.write(rows)


def ended(run_id: str, at: datetime) -> RunRow:
    return replace(run(run_id, started_at=at), ended_at=at + timedelta(hours=1))


def settled(session_id: str, run_id: str) -> SessionRow:
    return session(session_id, run_id=run_id, settled_at=NOON)


def around(run_id: str, session_id: str, at: datetime) -> Sequence[Row]:
    """A run that is over, with a row in each table."""
    return [
        ended(run_id, at),
        settled(session_id, run_id),
        spent(f"{run_id}-{session_id}", run_id=run_id, session_id=session_id, at=at),
        EvidenceRow(run_id=run_id, at=at, kind="k", source="s", value="v", verdict="agrees"),
        ViolationRow(run_id=run_id, at=at, reason="mode_locked", detail="refused"),
        Reading(run_id=run_id, session_id=session_id, at=at, model="opus", tokens=Tokens(1)),
        told(Source.WIRE, run_id=run_id, session_id=session_id, at=at),
    ]


TABLES = ("usage", "runs", "sessions", "evidence", "violations", "readings", "witnesses", "places")


def counts(path: Path) -> dict[str, int]:
    with closing(sqlite3.connect(path)) as file:
        return {
            table: file.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608 - own names
            for table in TABLES
        }


def prune(path: Path, before: datetime = DAY) -> Pruned:
    return Pruning(path, before, nobody).prune(None)


def test_what_is_before_the_day_goes_with_all_that_was_of_it(path: Path) -> None:
    store(path, *around("old", "a", OLD), *around("new", "b", NOON))
    pruned = prune(path)
    assert counts(path) == dict.fromkeys(TABLES, 1)
    with Ledger(path) as ledger:
        assert [row.entry.key for row in ledger.entries()] == ["new-b"]
        assert ledger.run("old") is None
        assert len(ledger.evidence("new")) == 1
    assert {pruned.doomed.rows[table] for table in TABLES} == {1}
    assert pruned.doomed.first == OLD


def test_the_first_moment_of_the_day_stays(path: Path) -> None:
    last = DAY - timedelta(microseconds=1)
    store(path, spent("last", at=last), spent("first", at=DAY))
    prune(path)
    with Ledger(path) as ledger:
        assert [row.entry.key for row in ledger.entries()] == ["first"]
        for by in ([GroupKey.DAY], [GroupKey.DAY, GroupKey.SESSION]):
            assert [row.requests for row in ledger.report(by).rows] == [1]


def test_a_run_that_goes_on_after_the_day_loses_only_its_old_entries(path: Path) -> None:
    later = spent("later", run_id="long", session_id="a", at=NOON)
    store(path, *around("long", "a", OLD), later)
    prune(path)
    assert counts(path) == dict.fromkeys(TABLES, 1)


def test_of_a_session_that_a_later_run_has_too_the_totals_are_kept(path: Path) -> None:
    store(path, *around("old", "shared", OLD), *around("new", "shared", NOON))
    prune(path)
    left = counts(path)
    assert (left["runs"], left["sessions"], left["readings"]) == (1, 2, 2)
    assert left["evidence"] == 1


def test_old_runs_that_spent_nothing_go_too(path: Path) -> None:
    store(path, ended("silent", OLD), run("killed", started_at=OLD), run("new"))
    assert Pruning(path, DAY, nobody).look().rows["runs"] == 2
    prune(path)
    with Ledger(path) as ledger:
        assert [one.run_id for one in ledger.runs()] == ["new"]


def test_an_old_run_that_lives_stays(path: Path) -> None:
    store(path, run("alive", started_at=OLD), spent("old", run_id="other", at=OLD))
    Pruning(path, DAY, lambda run_id: run_id == "alive").prune(None)
    with Ledger(path) as ledger:
        assert ledger.run("alive") is not None
        assert list(ledger.entries()) == []


def test_an_old_run_with_a_session_that_waits_for_settlement_stays(path: Path) -> None:
    store(path, ended("old", OLD), session("waiting", run_id="old"))
    prune(path)
    with Ledger(path) as ledger:
        assert ledger.run("old") is not None
        assert len(ledger.unsettled_sessions()) == 1


def test_entries_of_a_session_that_is_not_settled_are_refused(path: Path) -> None:
    store(path, *around("old", "a", OLD), session("waiting", run_id="old"))
    store(path, spent("w", run_id="old", session_id="waiting", at=OLD))
    before = counts(path)
    pruning = Pruning(path, DAY, nobody)
    for refuse in (pruning.look, lambda: pruning.prune(None)):
        with pytest.raises(ConfigurationError, match=r"1 session .* is not settled: waiting"):
            refuse()
    assert counts(path) == before


def test_a_session_that_is_not_settled_may_be_younger(path: Path) -> None:
    store(path, spent("old", at=OLD), session("waiting"), spent("w", session_id="waiting"))
    prune(path)
    with Ledger(path) as ledger:
        assert [row.entry.key for row in ledger.entries()] == ["w"]


def test_entries_of_a_run_that_lives_are_refused(path: Path) -> None:
    for number in range(4):
        store(path, run(f"alive-{number}", started_at=OLD))
        store(path, spent(str(number), run_id=f"alive-{number}", session_id=None, at=OLD))
    pruning = Pruning(path, DAY, lambda _: True)
    with pytest.raises(ConfigurationError, match=r"4 runs .* live: alive-0, alive-1, alive-2, …"):
        pruning.look()
    with pytest.raises(ConfigurationError, match="4 runs"):
        pruning.prune(None)


def test_looking_changes_nothing_and_says_what_pruning_deletes(path: Path) -> None:
    store(path, *around("old", "a", OLD), *around("new", "b", NOON))
    pruning = Pruning(path, DAY, nobody)
    content = path.read_bytes()
    would = pruning.look()
    assert path.read_bytes() == content
    assert pruning.prune(None).doomed == would
    assert pruning.look().is_nothing


def test_a_missing_ledger_has_nothing_to_prune(path: Path) -> None:
    assert Pruning(path, DAY, nobody).look().is_nothing
    assert not path.exists()


def test_what_goes_is_exported_first_and_nothing_else(path: Path, tmp_path: Path) -> None:
    store(path, *around("old", "a", OLD), *around("new", "b", NOON))
    Pruning(path, DAY, nobody).prune(tmp_path / "gone")
    lines = [json.loads(line) for line in (tmp_path / "gone").read_text().splitlines()[1:]]
    assert sorted(line["table"] for line in lines) == sorted(
        ["entries", "runs", "sessions", "evidence", "violations", "readings", "witnesses"]
    )
    assert {line["run_id"] for line in lines} == {"old"}
    assert (tmp_path / "gone").stat().st_mode & 0o777 == 0o600


def test_where_the_export_cannot_be_written_nothing_is_deleted(path: Path, tmp_path: Path) -> None:
    store(path, *around("old", "a", OLD))
    before = counts(path)
    with pytest.raises(ConfigurationError, match="cannot be written"):
        Pruning(path, DAY, nobody).prune(tmp_path / "missing" / "gone")
    assert counts(path) == before


def test_what_came_during_the_export_is_not_deleted_unexported(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(path, *around("old", "a", OLD))

    def slow_export(*asked: object) -> int:
        store(path, spent("found late", run_id="old", session_id="a", at=OLD))
        return export(*asked)  # type: ignore[arg-type]

    monkeypatch.setattr("acp_bridge.ledger.pruning.export", slow_export)
    with pytest.raises(LedgerError, match="nothing was deleted"):
        Pruning(path, DAY, nobody).prune(tmp_path / "gone")
    assert counts(path)["usage"] == 2


def test_a_moment_within_a_quarter_of_an_hour_is_refused(path: Path) -> None:
    odd = DAY.astimezone(timezone(timedelta(minutes=7))).replace(minute=0)
    with pytest.raises(ConfigurationError, match="quarter of an hour"):
        Pruning(path, odd, nobody)


def test_the_file_becomes_smaller_where_nobody_else_has_it_open(path: Path) -> None:
    store(path, *(spent(str(number), at=OLD) for number in range(2000)), spent("new"))
    size = path.stat().st_size
    assert prune(path).kept_size is None
    assert path.stat().st_size < size / 2
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_bridge_that_has_it_open_goes_on_writing_and_the_file_keeps_its_size(path: Path) -> None:
    with closing(Store(open_for_writing(path))) as bridge:
        bridge.write([spent("old", at=OLD), spent("new")])
        assert prune(path).kept_size == "another program has the ledger open"
        # With the words that it knows by their numbers.
        bridge.write([spent("later", run_id="new run"), spent("last")])
    with Ledger(path) as ledger:
        assert [row.entry.key for row in ledger.entries()] == ["new", "later", "last"]
    assert verify(path, nobody).is_sound


def test_a_locked_ledger_is_left_alone(path: Path) -> None:
    store(path, *around("old", "a", OLD))
    before = counts(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerError, match="locked"):
            prune(path)
    assert counts(path) == before


@settings(deadline=None, max_examples=40)
@given(rows=st.lists(spendings(), max_size=30), before=moments())
def test_reports_of_what_is_left_equal_a_recount(rows: list[SpentRow], before: datetime) -> None:
    first = {row.entry.key: row for row in reversed(rows)}
    day = datetime.fromtimestamp((micros(before) or 0) // QUARTER * 900, UTC)
    left = [row for row in first.values() if row.entry.at >= day]
    by_time = (GroupKey.DAY, GroupKey.MODEL, GroupKey.SESSION)
    by_place = (GroupKey.SESSION, GroupKey.SUBAGENT, GroupKey.BUCKET)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.sqlite3"
        store(path, *rows)
        prune(path, day)
        with Ledger(path) as ledger:
            found = {by: ledger.report(by).rows for by in (by_time, by_place)}
        assert verify(path, nobody).is_sound
    for by, rows_of in found.items():
        assert all_said(rows_of) == recount(left, by, since=None, until=None, zone=UTC)
