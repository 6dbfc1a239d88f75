"""Migrations: an old ledger is upgraded with all it holds, a newer one is refused."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from acp_bridge.ledger.database import LedgerError, open_for_writing
from acp_bridge.ledger.queries import Ledger
from acp_bridge.ledger.schema import MIGRATIONS
from acp_bridge.ledger.writer import LedgerWriter
from tests.ledger.children import SECONDS
from tests.ledger.rows import TOKENS, spent


def tables(path: Path) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(path)) as file:
        return file.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()


def rows(path: Path, table: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as file:
        return file.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608 - own names


SUMS = ("place_quarters", "charge_quarters", "place_sums")
ADDED = {
    1: ("charge_quarters", "place_quarters", "place_sums", "witnesses", "reservations"),
    2: ("place_sums", "witnesses", "reservations"),
    3: ("place_sums", "reservations"),
    4: ("place_sums",),
}
"""The tables that the version of that number did not have yet."""

COLUMNS_SINCE = 4

ADDED_LATER = {
    "charges": ("policy_version",),
    "runs": ("plan", "policy_version", "bridge_version", "removed", "wire"),
    "sessions": ("client_session_id",),
}
"""The columns that came with the version `COLUMNS_SINCE`."""


def take_back(path: Path, version: int) -> None:
    """Take the newest ledger back to what it was in that version of the schema."""
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        for table in ADDED[version]:
            file.execute(f"DROP TABLE {table}")
        if version >= COLUMNS_SINCE:
            file.execute(f"PRAGMA user_version = {version}")
            return
        (view,) = file.execute("SELECT sql FROM sqlite_master WHERE name = 'entries'").fetchone()
        file.execute("DROP VIEW entries")
        for table, columns in ADDED_LATER.items():
            for column in columns:
                file.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        file.execute(view.replace(", policy_version", ""))
        file.execute(f"PRAGMA user_version = {version}")


@pytest.mark.parametrize("version", ADDED)
def test_an_older_ledger_is_upgraded_with_its_entries(tmp_path: Path, version: int) -> None:
    path = tmp_path / "ledger.sqlite3"
    writer = LedgerWriter(path)
    for number in range(30):
        writer.record(spent(str(number), agent_id="agent" if number % 2 else None))
    writer.close(SECONDS)
    before = {table: rows(path, table) for table in SUMS}
    schema = tables(path)
    take_back(path, version)
    assert tables(path) != schema
    with Ledger(path) as ledger:
        assert ledger.report().totals.tokens.input == 30 * TOKENS.input
        assert ledger.witnesses() == []
    assert tables(path) == schema
    assert {table: rows(path, table) for table in before} == before


def test_every_version_but_the_newest_is_tried() -> None:
    assert set(ADDED) == set(range(1, len(MIGRATIONS)))


def test_a_newer_ledger_is_refused_with_a_hint_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    open_for_writing(path).close()
    with closing(sqlite3.connect(path)) as file:
        file.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    content = path.read_bytes()
    with pytest.raises(LedgerError, match="newer acp-bridge") as caught:
        Ledger(path)
    assert "upgrade acp-bridge" in caught.value.hint
    writer = LedgerWriter(path)
    writer.record(spent("a"))
    while writer.health.ok:
        writer.flush(0.05)
    assert "newer acp-bridge" in writer.health.reason
    assert writer.close(SECONDS).lost == 1
    assert path.read_bytes() == content


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    with closing(sqlite3.connect(path)) as file:
        file.execute("CREATE TABLE usage (strange)")
    before = tables(path)
    with pytest.raises(LedgerError, match="already exists"):
        open_for_writing(path)
    assert tables(path) == before
