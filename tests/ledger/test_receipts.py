"""What receipts look up: a client's session is one, whatever Claude Code made of it."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acp_bridge.ledger.receipts import ReceiptLedger
from acp_bridge.ledger.records import Row, RunRow, SessionRow, SpentRow
from acp_bridge.ledger.report import GroupKey, Report
from acp_bridge.ledger.writer import LedgerWriter
from tests.ledger.children import SECONDS
from tests.ledger.recount import Recounted, all_said, recount, said, summed
from tests.ledger.rows import NOON, run, session, spendings, spent

KEYS = (GroupKey.MODEL, GroupKey.STATE, GroupKey.BUCKET, GroupKey.SOURCE)
HOUR = timedelta(hours=1)


def stored(path: Path, *rows: Row) -> ReceiptLedger:
    writer = LedgerWriter(path / "ledger.sqlite3")
    for row in rows:
        writer.record(row)
    assert writer.close(SECONDS).ok
    return ReceiptLedger(path / "ledger.sqlite3")


def of_client(
    session_id: str, client: str | None, *, run_id: str = "run", hours: int = 0
) -> SessionRow:
    """Claude Code's session, opened so many hours after noon."""
    made = session(session_id, run_id=run_id, settled_at=NOON)
    return replace(made, client_session_id=client, opened_at=NOON + hours * HOUR)


def old(row: RunRow) -> RunRow:
    """A run of a bridge that did not note its version, nor who opened a session."""
    return replace(row, bridge_version=None)


def counted(report: Report) -> list[tuple[str | None, int | None, bool]]:
    return [(row.values[0], row.requests, row.pending) for row in report.rows]


def recounted(rows: Sequence[SpentRow], key: GroupKey) -> tuple[list[Recounted], Recounted]:
    """The same entry by entry; all of ``s-2`` is pending."""
    waiting = [row for row in rows if row.entry.session_id == "s-2"]
    found, pending = (
        [*recount(of, (key,), since=None, until=None, zone=UTC)] for of in (rows, waiting)
    )
    values = {row.values for row in pending}
    totals = replace(summed((), list(rows)), pending=bool(waiting))
    if not rows:
        totals = replace(totals, requests=0)
    return [replace(row, pending=row.values in values) for row in found], totals


@settings(deadline=None, max_examples=40)
@given(st.lists(spendings(), max_size=12), st.sampled_from(KEYS))
def test_what_a_run_or_session_used_is_the_sum_of_its_entries(
    rows: list[SpentRow], key: GroupKey
) -> None:
    """``s-2`` is the client's ``s-1`` after ``/clear``; it is not settled."""
    unsettled = replace(of_client("s-2", "s-1", run_id="run-1"), settled_at=None)
    opened = (of_client("s-1", "s-1", run_id="run-1"), unsettled)
    entries = list({row.entry.key: row for row in reversed(rows)}.values())
    of_run = [row for row in entries if row.entry.run_id == "run-1"]
    of_session = [row for row in of_run if row.entry.session_id is not None]
    with tempfile.TemporaryDirectory() as folder, stored(Path(folder), *opened, *rows) as ledger:
        for kept, found in (
            (of_run, ledger.used(key, "run-1")),
            (of_session, ledger.used(key, "run-1", "s-1")),
        ):
            assert (all_said(found.rows), said(found.totals)) == recounted(kept, key)
        used, reported = ledger.used(key, "run-1"), ledger.report([key], run_id="run-1")
        assert all_said(used.rows) == all_said(reported.rows)
        assert said(used.totals) == said(reported.totals)


def test_of_another_session_or_run_nothing_is_in_it(tmp_path: Path) -> None:
    rows: tuple[Row, ...] = (
        *(of_client(one, one) for one in ("one", "two")),
        of_client("one", "one", run_id="later"),
        spent("1", session_id="one"),
        spent("2", session_id="two", model="haiku"),
        spent("3", session_id="one", run_id="later", model="sonnet"),
        spent("4", session_id=None, model="fable"),
    )
    with stored(tmp_path, *rows) as ledger:
        assert counted(ledger.used(GroupKey.MODEL, "run", "one")) == [("opus", 1, False)]
        assert counted(ledger.used(GroupKey.MODEL, "later", "one")) == [("sonnet", 1, False)]
        assert counted(ledger.used(GroupKey.MODEL, "run", "nobody")) == []


def test_each_part_of_a_session_is_the_clients_and_the_newest_is_first(tmp_path: Path) -> None:
    rows = (
        of_client("client", "client", hours=1),
        replace(of_client("cleared", "client", hours=3), cwd="/elsewhere", model="haiku"),
        replace(of_client("client", "client", run_id="later", hours=2), cwd="/w", model="opus"),
        of_client("other", "other", hours=4),
    )
    with stored(tmp_path, *rows) as ledger:
        found = ledger.parts("client")
    assert [(one.run_id, one.opened_at) for one in found] == [
        ("later", NOON + 2 * HOUR),
        ("run", NOON + HOUR),
    ]
    assert [(one.session_id, one.cwd, one.model) for one in found] == [
        ("client", "/w", "opus"),
        ("client", "/project", None),
    ]


def test_a_session_that_no_client_opened_is_one_of_its_own(tmp_path: Path) -> None:
    with stored(tmp_path, of_client("nested", None), spent("1", session_id="nested")) as ledger:
        assert ledger.named("nested") == ["nested"]
        assert [one.session_id for one in ledger.parts("nested")] == ["nested"]
        assert counted(ledger.used(GroupKey.MODEL, "run", "nested")) == [("opus", 1, False)]


def test_an_id_of_claude_codes_names_the_clients_session_unless_it_is_the_clients_own(
    tmp_path: Path,
) -> None:
    rows = (
        *(of_client("a", "a"), of_client("b", "a"), of_client("c", "a")),
        *(of_client("b", "b", run_id="later"), of_client("c", "z", run_id="later")),
    )
    with stored(tmp_path, *rows) as ledger:
        assert ledger.named("a") == ["a"]
        assert ledger.named("b") == ["b"]
        assert ledger.named("c") == ["a", "z"]
        assert ledger.named("d") == []


def test_the_beginning_of_either_id_names_a_session(tmp_path: Path) -> None:
    rows = (of_client("aaaa-1", "aaaa-1"), of_client("bbbb-1", "aaaa-1"), of_client("b_%", "b_%"))
    with stored(tmp_path, *rows) as ledger:
        assert ledger.beginning_with("aaaa") == ["aaaa-1"]
        assert ledger.beginning_with("bbbb") == ["aaaa-1"]
        assert ledger.beginning_with("b") == ["aaaa-1", "b_%"]
        assert ledger.beginning_with("b_") == ["b_%"]
        assert ledger.beginning_with("%") == []


def test_the_newest_sessions_are_those_that_clients_opened_last(tmp_path: Path) -> None:
    rows = (
        *(run("run"), old(run("old"))),
        of_client("first", "first", hours=1),
        of_client("nested", None, hours=9),
        of_client("from before", None, run_id="old", hours=3),
        of_client("second", "second", hours=2),
        of_client("first", "first", run_id="later", hours=4),
    )
    with stored(tmp_path, *rows) as ledger:
        assert ledger.newest(2) == [(NOON + 4 * HOUR, "first"), (NOON + 3 * HOUR, "from before")]
        assert [session_id for _, session_id in ledger.newest(9)] == [
            "first",
            "from before",
            "second",
        ]


def test_what_is_looked_up_at_one_moment_is_the_same_whatever_is_written_meanwhile(
    tmp_path: Path,
) -> None:
    with stored(tmp_path, of_client("s", "s"), spent("1", session_id="s")) as ledger:
        with ledger.at_one_moment():
            before = ledger.used(GroupKey.MODEL, "run", "s")
            stored(tmp_path, spent("2", session_id="s")).close()
            meanwhile = ledger.used(GroupKey.STATE, "run", "s")
            assert said(meanwhile.totals) == said(before.totals)
        assert ledger.used(GroupKey.STATE, "run", "s").totals.requests == 2


@pytest.mark.parametrize("is_there", [True, False])
def test_nothing_is_found_under_half_a_surrogate_pair_nor_in_a_ledger_that_is_not_there(
    tmp_path: Path, *, is_there: bool
) -> None:
    ledger = stored(tmp_path, run()) if is_there else ReceiptLedger(tmp_path / "none")
    with ledger, ledger.at_one_moment():
        assert ledger.named("\ud800") == ledger.beginning_with("\ud800") == []
        assert ledger.parts("\ud800") == []
        assert ledger.newest(3) == []
        assert ledger.run("\ud800") is None
        assert ledger.used(GroupKey.MODEL, "\ud800").rows == []
