"""Files that an export or a backup makes: whole, private, and never in the place of another."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from acp_bridge.errors import ConfigurationError
from acp_bridge.ledger.database import LedgerError, open_for_writing
from acp_bridge.ledger.exporting import (
    back_up,
    new_file,
    part,
)
from acp_bridge.ledger.queries import Ledger
from tests.ledger.children import start
from tests.ledger.exported import everything_of_a_run, rows, store
from tests.ledger.rows import spent


def test_a_new_file_is_private_and_has_its_name_only_when_all_went_well(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with new_file(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        temporary.write_text("all of it")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("all of it", 0o600)
    assert list(tmp_path.iterdir()) == [path]


def test_where_writing_fails_there_is_no_file_and_nothing_beside_it(tmp_path: Path) -> None:
    def write_half() -> None:
        with new_file(tmp_path / "file") as temporary:
            temporary.write_text("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(ConfigurationError, match="No space left"):
        write_half()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_replaced_only_by_force(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(ConfigurationError, match="is there already"), new_file(path):
        pass
    assert path.read_text() == "old"
    with new_file(path, force=True) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"


def test_a_file_that_came_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with pytest.raises(ConfigurationError, match="is there already"), new_file(path):
        path.write_text("somebody else's")
    assert path.read_text() == "somebody else's"


def test_what_is_no_ordinary_file_is_never_replaced(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigurationError, match="no ordinary file"),
        new_file(tmp_path, force=True),
    ):
        pass


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "file"
    with pytest.raises(ConfigurationError, match="cannot be written: No such"), new_file(path):
        pass


def test_a_backup_holds_everything_in_one_private_file(path: Path, tmp_path: Path) -> None:
    everything_of_a_run(path)
    into = tmp_path / "backup"
    with closing(open_for_writing(path)) as bridge:  # its log is not merged while it is open
        bridge.execute("SELECT count(*) FROM usage").fetchone()
        store(path, spent("in the log"))
        back_up(path, into)
    assert into.stat().st_mode & 0o777 == 0o600
    assert sorted(tmp_path.iterdir()) == [into, path.parent]
    assert rows(into, part(everything=True)) == rows(path, part(everything=True))
    with Ledger(into) as ledger:
        assert ledger.report().totals.requests == 2
        assert ledger.check() == []
    with closing(sqlite3.connect(into)) as file:  # so that it can be read where none can write
        assert file.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_a_backup_while_a_bridge_writes_is_of_one_moment(path: Path, tmp_path: Path) -> None:
    with start("write_entries", path, "run", 2000, 100) as child:
        assert child.stdout is not None
        acknowledged = int(child.stdout.readline())
        back_up(path, tmp_path / "backup")
        child.communicate()
    assert child.returncode == 0
    with Ledger(tmp_path / "backup") as ledger:
        requests = ledger.report().totals.requests or 0
        assert len(list(ledger.entries())) == requests >= acknowledged
    with Ledger(path) as ledger:
        assert ledger.report().totals.requests == 2000


def test_a_backup_replaces_nothing(path: Path, tmp_path: Path) -> None:
    store(path, spent("a"))
    (tmp_path / "backup").write_text("an older one")
    with pytest.raises(ConfigurationError, match="is there already"):
        back_up(path, tmp_path / "backup")
    assert (tmp_path / "backup").read_text() == "an older one"


def test_there_is_no_backup_of_what_is_not_there(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no ledger at"):
        back_up(path, tmp_path / "backup")
    assert not (tmp_path / "backup").exists()


def test_a_damaged_ledger_gives_no_backup(path: Path, tmp_path: Path) -> None:
    store(path, *(spent(str(number)) for number in range(500)))
    damaged = bytearray(path.read_bytes())
    damaged[-4096 * 3 :] = b"\xa5" * (4096 * 3)
    path.write_bytes(damaged)
    with pytest.raises(LedgerError, match="is damaged"):
        back_up(path, tmp_path / "backup")
    assert list(tmp_path.iterdir()) == [path.parent]


def test_times_are_the_moments_that_they_were(path: Path) -> None:
    at = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    store(path, spent("a", at=at))
    assert datetime.fromisoformat(rows(path, part())[0]["at"]) == at
