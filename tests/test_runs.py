"""The registry of runs: private, honest about who is alive, clean after the dead."""

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from acp_bridge.errors import ConfigurationError
from acp_bridge.ledger.runs import KEEP_ENDED, RunDirectory, new_run_id, read_runs, sweep

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


def start(state: Path, *, at: datetime = NOW) -> RunDirectory:
    run = RunDirectory.create(state, new_run_id(at))
    run.write_status({"run_id": run.path.name, "ended_at": None})
    return run


def test_a_run_is_alive_until_it_is_closed(tmp_path: Path) -> None:
    run = start(tmp_path)
    assert [document["alive"] for document in read_runs(tmp_path)] == [True]
    run.close()
    (document,) = read_runs(tmp_path)
    assert document["alive"] is False
    assert document["ended_at"] is not None


def test_a_run_that_was_killed_is_not_alive(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tests.test_runs import start\n"
        "run = start(Path(sys.argv[1])); print('up', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parent.parent,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        assert read_runs(tmp_path)[0]["alive"] is True
        child.send_signal(signal.SIGKILL)
    assert read_runs(tmp_path)[0]["alive"] is False


def test_directories_are_0700_and_files_0600(tmp_path: Path) -> None:
    run = start(tmp_path / "state")
    for path in (tmp_path / "state").rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600)
    run.close()


def test_closing_a_run_leaves_its_status_and_no_credential(tmp_path: Path) -> None:
    run = start(tmp_path)
    (run.path / "bin").mkdir()
    (run.path / "bin" / "claude").write_text("launcher")
    (run.path / "credential").write_text("fake")
    run.close()
    assert sorted(path.name for path in run.path.iterdir()) == ["alive", "status.json"]


def test_a_sweep_takes_what_dead_runs_left_and_spares_the_living(tmp_path: Path) -> None:
    living, dead = start(tmp_path), start(tmp_path)
    for run in (living, dead):
        (run.path / "credential").write_text("fake")
    os.close(dead._lock)
    sweep(tmp_path, NOW)
    assert (living.path / "credential").exists()
    assert not (dead.path / "credential").exists()
    living.close()


def test_ended_runs_are_kept_for_a_month(tmp_path: Path) -> None:
    run = start(tmp_path)
    run.close()
    changed = datetime.fromtimestamp(run.path.stat().st_mtime, UTC)
    sweep(tmp_path, changed + KEEP_ENDED - timedelta(minutes=1))
    assert run.path.exists()
    sweep(tmp_path, changed + KEEP_ENDED + timedelta(minutes=1))
    assert not run.path.exists()


def test_a_torn_or_foreign_entry_does_not_hide_the_others(tmp_path: Path) -> None:
    run = start(tmp_path)
    torn = tmp_path / "runs" / new_run_id(NOW)
    torn.mkdir()
    (torn / "status.json").write_text('{"run_id": ')
    (tmp_path / "runs" / "notes").mkdir()
    assert [document["run_id"] for document in read_runs(tmp_path)] == [run.path.name]
    sweep(tmp_path, NOW)
    assert (tmp_path / "runs" / "notes").exists()
    run.close()


def test_a_status_is_replaced_at_once(tmp_path: Path) -> None:
    run = start(tmp_path)
    run.write_status({"run_id": run.path.name, "mode": "subscription"})
    assert json.loads((run.path / "status.json").read_text())["mode"] == "subscription"
    assert not (run.path / "status.json.new").exists()
    run.close()


def test_a_state_directory_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(ConfigurationError) as caught:
        RunDirectory.create(blocked, new_run_id(NOW))
    assert "ACP_BRIDGE_STATE_DIR" in caught.value.hint
