"""Full disk, read-only directory, locked or damaged file: said clearly, survived, nothing lost."""

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from acp_bridge.ledger.database import LedgerError
from acp_bridge.ledger.queries import Ledger
from acp_bridge.ledger.report import GroupKey
from acp_bridge.ledger.writer import LedgerWriter
from tests.ledger.children import (
    SECONDS,
    argv_of,
    fill_a_quota,
    finished,
    on_a_small_disk,
    said_to_a_budget,
    start,
)
from tests.ledger.rows import spent


def impatient(path: Path) -> LedgerWriter:
    return LedgerWriter(path, first_retry=0.01, longest_retry=0.05)


def filled(path: Path, count: int = 3) -> Path:
    writer = LedgerWriter(path)
    for number in range(count):
        writer.record(spent(f"before-{number}", session_id=f"s-{number}"))
    assert writer.close(SECONDS).ok
    return path


def requests(path: Path) -> int | None:
    with Ledger(path) as ledger:
        return ledger.report().totals.requests


def wait_for_trouble(writer: LedgerWriter) -> None:
    """Until the writer has met the obstacle; the suite's time limit ends a wait in vain."""
    while writer.health.ok:
        writer.flush(0.05)


@pytest.mark.parametrize("way", ["disk", "quota"])
def test_a_full_disk_holds_entries_up_and_loses_none(tmp_path: Path, way: str) -> None:
    is_disk = way == "disk"
    argv = on_a_small_disk(tmp_path) if is_disk else argv_of(fill_a_quota.__name__, tmp_path)
    seen = finished(argv)
    assert "disk" in seen["reason"]
    assert "disk" in seen["hint"]
    assert seen["damage"] == []
    assert seen["waited"] + seen["committed"] == seen["recorded"]
    assert seen["emptied"]
    assert (seen["ok_after"], seen["lost"]) == (True, 0)
    assert seen["arrived"] == seen["recorded"]
    assert "disk" in seen["budget"]
    assert seen["budget_after"] == ""


def leave_log(path: Path) -> None:
    """Commit one more entry and leave the files as a `kill -9` would: it is in the log only."""
    log = path.with_name(path.name + "-wal")
    with closing(sqlite3.connect(path)) as other:
        other.execute("SELECT count(*) FROM usage").fetchone()
        writer = LedgerWriter(path)
        writer.record(spent("in the log"))
        writer.close(SECONDS)
        left = {file: file.read_bytes() for file in (path, log)}
    for file, content in left.items():
        file.write_bytes(content)


def make_readable_by_all(folder: Path) -> None:
    """And writable by none: for root, the child becomes somebody else."""
    for file in folder.iterdir():
        file.chmod(0o444)
    folder.chmod(0o555)


@pytest.mark.parametrize("is_clean", [True, False])
def test_a_read_only_directory_can_be_read_and_the_writer_says_so(*, is_clean: bool) -> None:
    # Not below pytest's own folder, which nobody else may enter.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = filled(folder / "ledger.sqlite3")
        if not is_clean:
            leave_log(path)
        make_readable_by_all(folder)
        seen = finished(argv_of("use_unwritable", path))
        folder.chmod(0o755)
    assert seen["read"] == (3 if is_clean else 4)
    assert "ACP_BRIDGE_STATE_DIR" in seen["hint"]
    assert seen["lost"] == 1
    assert "cannot be written" in seen["budget"]


def test_a_file_in_the_place_of_the_directory_is_named_until_it_is_gone(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.write_text("")
    writer = impatient(state / "ledger.sqlite3")
    writer.record(spent("a"))
    wait_for_trouble(writer)
    assert "ACP_BRIDGE_STATE_DIR" in writer.health.hint
    assert writer.health.waiting == 1
    state.unlink()
    assert writer.flush(SECONDS)
    assert writer.close(SECONDS).ok
    assert requests(state / "ledger.sqlite3") == 1


def test_a_locked_ledger_is_waited_for(tmp_path: Path) -> None:
    path = filled(tmp_path / "ledger.sqlite3")
    with start("hold_exclusively", path) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        writer = impatient(path)
        writer.record(spent("a"))
        wait_for_trouble(writer)
        assert "locked" in writer.health.reason
        with pytest.raises(LedgerError, match="locked"):
            requests(path)
        assert "is locked by another program" in said_to_a_budget(path)
        holder.communicate(b"let go\n")
    assert writer.flush(SECONDS)
    assert writer.close(SECONDS).ok
    assert requests(path) == 4


def test_garbage_in_place_of_the_file_is_one_line_and_ends_when_it_is_moved(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    path.write_bytes(b"this is no database, " * 500)
    with pytest.raises(LedgerError, match="is no database") as caught:
        Ledger(path)
    assert "\n" not in caught.value.message
    assert "move the file away" in caught.value.hint
    writer = impatient(path)
    writer.record(spent("a"))
    wait_for_trouble(writer)
    assert "is no database" in writer.health.reason
    path.rename(tmp_path / "garbage")
    assert writer.flush(SECONDS)
    assert writer.close(SECONDS).ok
    assert requests(path) == 1


def test_a_damaged_page_is_one_line_for_readers_and_writers(tmp_path: Path) -> None:
    path = filled(tmp_path / "ledger.sqlite3", 3000)
    damaged = bytearray(path.read_bytes())
    damaged[4096 * 2 :] = b"\xa5" * (len(damaged) - 4096 * 2)
    path.write_bytes(damaged)
    with pytest.raises(LedgerError, match="is damaged"), Ledger(path) as ledger:
        ledger.report([GroupKey.SESSION])
    writer = impatient(path)
    writer.record(spent("a"))
    wait_for_trouble(writer)
    assert "is damaged" in writer.health.reason
    assert writer.health.waiting == 1
    path.rename(tmp_path / "damaged")
    assert writer.flush(SECONDS)
    writer.close(SECONDS)
    assert requests(path) == 1
