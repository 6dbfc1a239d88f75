"""The writer: nobody waits for it, it gives up nothing in silence, and it ends in time."""

import subprocess
import sys
import threading
from datetime import datetime, timedelta
from pathlib import Path

from acp_bridge.ledger.queries import Ledger
from acp_bridge.ledger.writer import LedgerWriter
from tests.ledger.children import ROOT, SECONDS
from tests.ledger.rows import NOON, run, session, spent


def test_the_ledger_is_private(tmp_path: Path) -> None:
    path = tmp_path / "state" / "ledger.sqlite3"
    writer = LedgerWriter(path)
    writer.record(spent("a"))
    assert writer.flush(SECONDS)
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}
    assert len(list(path.parent.iterdir())) == 3
    writer.close(SECONDS)


def test_rows_of_many_threads_all_arrive_and_new_ones_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    writer = LedgerWriter(path)

    def record(name: int) -> None:
        for number in range(500):
            writer.record(spent(f"{name}-{number}"))
            writer.record(spent(f"{name}-{number}"))

    threads = [threading.Thread(target=record, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    health = writer.close(SECONDS)
    assert (health.ok, health.waiting, health.lost, health.added) == (True, 0, 0, 2000)
    with Ledger(path) as ledger:
        assert ledger.report().totals.requests == 2000


def test_too_many_waiting_rows_are_counted_not_dropped_in_silence(tmp_path: Path) -> None:
    blocked = tmp_path / "state"
    blocked.write_text("")
    writer = LedgerWriter(
        blocked / "ledger.sqlite3", most_waiting=10, first_retry=0.01, longest_retry=0.05
    )
    writer.record(spent("first"))
    while writer.health.ok:
        writer.flush(0.05)
    for number in range(20):
        writer.record(spent(str(number)))
    assert (writer.health.waiting, writer.health.lost) == (10, 11)
    blocked.unlink()
    assert writer.flush(SECONDS)
    health = writer.close(SECONDS)
    assert (health.ok, health.lost, health.added) == (False, 11, 10)
    assert "11 rows are not in the ledger" in health.reason
    with Ledger(blocked / "ledger.sqlite3") as ledger:
        assert "19" in {row.entry.key for row in ledger.entries()}


def test_a_row_that_no_ledger_could_take_does_not_hold_up_the_others(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    writer = LedgerWriter(path)
    nonsense = [
        spent("huge", cost_micros=1 << 70),
        spent("surrogate \ud800"),
        spent("naive", at=datetime(2026, 1, 1)),  # noqa: DTZ001 - what a caller must not do
    ]
    for row in (spent("a"), *nonsense, spent("b")):
        writer.record(row)
    health = writer.close(SECONDS)
    assert (health.ok, health.lost, health.added) == (False, 3, 2)
    assert "cannot be stored" in health.reason


def test_closing_an_obstructed_writer_counts_what_is_lost(tmp_path: Path) -> None:
    blocked = tmp_path / "state"
    blocked.write_text("")
    writer = LedgerWriter(blocked / "ledger.sqlite3")
    writer.record(spent("a"))
    health = writer.close(SECONDS)
    assert (health.ok, health.waiting, health.lost) == (False, 0, 1)
    writer.record(spent("after"))
    assert writer.close(SECONDS).lost == 2


def test_a_ledger_that_was_moved_away_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    writer = LedgerWriter(path)
    writer.record(spent("a"))
    assert writer.flush(SECONDS)
    for file in list(tmp_path.iterdir()):
        file.rename(file.with_name("old-" + file.name))
    writer.record(spent("b"))
    assert writer.close(SECONDS).ok
    with Ledger(path) as ledger:
        assert [row.entry.key for row in ledger.entries()] == ["b"]


def test_a_writer_without_rows_touches_no_disk_and_imports_no_sqlite(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from acp_bridge.ledger.writer import LedgerWriter\n"
        "LedgerWriter(Path(sys.argv[1])).close(1); assert 'sqlite3' not in sys.modules"
    )
    path = tmp_path / "state" / "ledger.sqlite3"
    subprocess.run([sys.executable, "-c", program, str(path)], cwd=ROOT, check=True)
    assert not path.parent.exists()


def test_a_run_and_a_session_fill_in_what_was_unknown(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    writer = LedgerWriter(path)
    later = NOON + timedelta(hours=1)
    for row in (
        run(),
        session(),
        run(started_at=later),
        session(settled_at=later),
        session(),
        session("other", run_id="other"),
    ):
        writer.record(row)
    writer.close(SECONDS)
    with Ledger(path) as ledger:
        assert ledger.runs() == [run()]
        assert ledger.sessions(run_id="run") == [session(settled_at=later)]
        assert ledger.unsettled_sessions() == [session("other", run_id="other")]
