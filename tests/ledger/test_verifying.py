"""Verifying: each way in which a ledger can be wrong is told, and a sound one is called sound."""

import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acp_bridge.ledger.database import LedgerError, open_for_writing
from acp_bridge.ledger.records import ReservationRow, Row, SpentRow
from acp_bridge.ledger.reservations import store_reservation
from acp_bridge.ledger.schema import MIGRATIONS
from acp_bridge.ledger.storing import Store
from acp_bridge.ledger.verifying import Verified, free_reservations, verify
from acp_bridge.metering.usage import CostKind
from acp_bridge.modes import BillingMode, Bucket
from tests.ledger.children import start
from tests.ledger.rows import NOON, spendings, spent

RESERVED = ReservationRow(
    reservation_id="1",
    run_id="dead",
    session_id=None,
    at=NOON,
    mode=BillingMode.API_KEY,
    bucket=Bucket.API,
    cost_kind=CostKind.BILLED_ESTIMATE,
)


def is_alive(run_id: str) -> bool:
    return run_id == "alive"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ledger.sqlite3"


def store(path: Path, *rows: Row) -> None:
    with closing(Store(open_for_writing(path))) as into:
        into.write(rows)


def change(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute(sql)


def problems(path: Path) -> list[str]:
    return verify(path, is_alive).problems


def test_a_sound_ledger_says_how_many_entries_it_holds_and_since_when(path: Path) -> None:
    store(path, spent("b", at=NOON + timedelta(days=1)), spent("a"), spent("c"))
    assert verify(path, is_alive) == Verified(
        schema=len(MIGRATIONS), entries=3, first=NOON, last=NOON + timedelta(days=1)
    )


@settings(deadline=None, max_examples=30)
@given(st.lists(st.lists(spendings(), max_size=12), max_size=3))
def test_whatever_is_written_is_sound(batches: list[Sequence[SpentRow]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.sqlite3"
        store(path)
        for batch in batches:
            store(path, *batch)
        assert problems(path) == []


def test_an_empty_and_a_missing_ledger_are_sound(path: Path) -> None:
    assert verify(path, is_alive) == Verified()
    assert not path.exists()
    store(path)
    assert verify(path, is_alive) == Verified(schema=len(MIGRATIONS))


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE usage SET input_tokens = 11",
        "UPDATE usage SET cost_micros = NULL WHERE key = 'a'",
        "DELETE FROM usage WHERE key = 'a'",
        "DELETE FROM place_quarters WHERE agent_id = ''",
        "UPDATE place_quarters SET requests = requests + 1",
        "UPDATE place_quarters SET quarter = quarter + 1",
    ],
)
def test_sums_that_are_not_those_of_the_entries_are_told(path: Path, sql: str) -> None:
    store(path, spent("a"), spent("b", agent_id="agent"))
    change(path, sql)
    found = [problem for problem in problems(path) if problem.startswith("place_quarters: in ")]
    assert len(found) == 1
    assert "the first at 2026-11-24 12:00:00+00:00" in found[0]


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM charge_quarters",
        "UPDATE charge_quarters SET tokens_live = tokens_live + 1",
        "UPDATE charge_quarters SET unasked_cost_micros = 5",
        "UPDATE charge_quarters SET quarter = quarter + 1",
    ],
)
def test_so_are_sums_by_charge_that_are_not_those_by_place(path: Path, sql: str) -> None:
    store(path, spent("a"))
    change(path, sql)
    (problem,) = problems(path)
    assert problem.startswith("charge_quarters: in ")
    assert "the first at 2026-11-24 12:00:00+00:00" in problem


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM place_sums WHERE agent_id = 'agent'",
        "UPDATE place_sums SET output_tokens = output_tokens + 1",
        "UPDATE place_sums SET in_settled = 5",
        "UPDATE place_sums SET agent_id = 'another' WHERE agent_id = 'agent'",
    ],
)
def test_so_are_sums_of_sessions_and_subagents(path: Path, sql: str) -> None:
    store(path, spent("a"), spent("b", agent_id="agent"))
    change(path, sql)
    assert problems(path) == ["place_sums: in 1 place the sums are not those of place_quarters"]


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("DELETE FROM kinds", "1 row of usage name what is not in kinds"),
        ("DELETE FROM places", "1 row of usage name what is not in places"),
        ("DELETE FROM charges", "1 row of kinds name what is not in charges"),
        ("DELETE FROM kinds", "1 row of place_quarters name what is not in kinds"),
        ("DELETE FROM places", "1 row of place_quarters name what is not in places"),
        ("DELETE FROM charges", "1 row of charge_quarters name what is not in charges"),
        ("DELETE FROM places", "1 row of place_sums name what is not in places"),
        ("DELETE FROM charges", "1 row of place_sums name what is not in charges"),
    ],
)
def test_entries_and_sums_whose_words_are_gone_are_told(path: Path, sql: str, said: str) -> None:
    store(path, spent("a"))
    change(path, sql)
    assert said in problems(path)


@pytest.mark.parametrize(
    ("table", "column"),
    [
        *(("charges", name) for name in ("mode", "credential_class", "bucket", "surface")),
        *(("kinds", name) for name in ("asked_by", "state")),
        ("charges", "cost_kind"),
        ("kinds", "source"),
    ],
)
def test_words_that_nobody_knows_are_told(path: Path, table: str, column: str) -> None:
    store(path, spent("a"))
    change(path, f"UPDATE {table} SET {column} = 'free'")  # noqa: S608 - own names
    assert f"1 row of {table} have the {column} 'free', which is unknown" in problems(path)


def test_a_damaged_page_is_told(path: Path) -> None:
    store(path, *(spent(str(number)) for number in range(500)))
    damaged = bytearray(path.read_bytes())
    damaged[-4096 * 3 :] = b"\xa5" * (4096 * 3)
    path.write_bytes(damaged)
    found = verify(path, is_alive)
    assert not found.is_sound
    assert all("damaged" in problem for problem in found.problems)
    assert found.entries is None


def test_an_index_that_is_not_that_of_its_table_is_told(path: Path) -> None:
    store(path, spent("a"))
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("PRAGMA writable_schema = ON")
        file.execute(
            "UPDATE sqlite_master SET sql = 'CREATE INDEX usage_by_time ON usage (turn)'"
            " WHERE name = 'usage_by_time'"
        )
    found = verify(path, is_alive)
    assert found.problems[0].startswith("the file is damaged: row 1 missing from index")
    assert found.entries is None


def test_a_ledger_cut_short_is_told(path: Path) -> None:
    store(path, *(spent(str(number)) for number in range(500)))
    path.write_bytes(path.read_bytes()[: 4096 * 4])
    (problem,) = problems(path)
    assert "is damaged" in problem


def test_what_is_no_database_is_told(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"this is no database, " * 500)
    (problem,) = problems(path)
    assert "is no database" in problem


def test_of_a_locked_ledger_nothing_is_said(path: Path) -> None:
    store(path, spent("a"))
    with start("hold_exclusively", path) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(LedgerError, match="locked"):
            verify(path, is_alive)
        holder.communicate(b"let go\n")
    assert problems(path) == []


def test_reservations_of_dead_runs_are_counted_and_are_no_damage(path: Path) -> None:
    with closing(open_for_writing(path)) as connection:
        store_reservation(connection, RESERVED)
        store_reservation(connection, replace(RESERVED, reservation_id="2"))
        store_reservation(connection, replace(RESERVED, reservation_id="3", run_id="alive"))
    found = verify(path, is_alive)
    assert (found.is_sound, found.reservations, found.orphaned) == (True, 3, 2)
    assert free_reservations(path, is_alive) == 2
    found = verify(path, is_alive)
    assert (found.reservations, found.orphaned) == (1, 0)
    assert free_reservations(path, is_alive) == 0
