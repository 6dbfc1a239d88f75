"""`acp-bridge ledger`: what its actions say, where they write, and what they refuse."""

import csv
import io
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from acp_bridge.cli import main
from acp_bridge.ledger.database import open_for_writing
from acp_bridge.ledger.records import ReservationRow
from acp_bridge.ledger.reservations import store_reservation
from acp_bridge.ledger.runs import RunDirectory
from acp_bridge.metering.usage import CostKind
from acp_bridge.modes import BillingMode, Bucket
from tests.cli.usage_command import Said, Usage, assert_wrong, write
from tests.ledger.rows import NOON, run, session, spent

RUN = "20261124-120000-aaaaaa"
OLD = NOON - timedelta(days=10)
RESERVED = ReservationRow(
    reservation_id="1",
    run_id=RUN,
    session_id=None,
    at=NOON,
    mode=BillingMode.API_KEY,
    bucket=Bucket.API,
    cost_kind=CostKind.BILLED_ESTIMATE,
)

Command = Callable[..., Said]


@pytest.fixture
def ledger(usage: Usage, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run the command in this process, in the environment of `usage`."""
    del usage

    def ledger(*arguments: str) -> Said:
        status = main(["ledger", *arguments])
        return Said(status, *capsys.readouterr())

    return ledger


def test_every_entry_is_a_line_of_json(path: Path, ledger: Command) -> None:
    write(path, spent("a"), spent("b", at=NOON + timedelta(hours=1)))
    said = ledger("export")
    assert [json.loads(line)["key"] for line in said.stdout.splitlines()] == ["a", "b"]
    assert (said.status, said.stderr) == (0, "")


def test_a_part_is_asked_for_by_time_and_run(path: Path, ledger: Command) -> None:
    write(path, run(RUN), spent("a"), spent("b", run_id=RUN), spent("c", run_id=RUN, at=OLD))
    assert ledger("export", "--since", "2026-11-20", "--run", RUN).document["key"] == "b"
    assert ledger("export", "--until", "2026-11-20").document["key"] == "c"


def test_everything_has_the_other_tables_too(path: Path, ledger: Command) -> None:
    write(path, run(), session(), spent("a"))
    version, *rows = map(json.loads, ledger("export", "--everything").stdout.splitlines())
    assert version == {"schema_version": 1}
    assert [row["table"] for row in rows] == ["entries", "runs", "sessions"]


def test_csv_is_for_spreadsheets(path: Path, ledger: Command) -> None:
    write(path, spent("a", model="=1+1"))
    (row,) = csv.DictReader(io.StringIO(ledger("export", "--format", "csv").stdout, newline=""))
    assert (row["model"], row["cost_usd"]) == ("'=1+1", "0.001500")


def test_a_file_is_private_and_replaced_only_by_force(
    path: Path, ledger: Command, tmp_path: Path
) -> None:
    write(path, spent("a"))
    output = tmp_path / "entries.jsonl"
    said = ledger("export", "--output", str(output))
    assert said == Said(0, f"1 row is in {output}\n", "")
    content = output.read_text()
    assert (json.loads(content)["key"], output.stat().st_mode & 0o777) == ("a", 0o600)
    assert_wrong(ledger("export", "--output", str(output)), str(output), "is there already")
    write(path, spent("b"))
    assert ledger("export", "--output", str(output), "--force").stdout.startswith("2 rows are")
    assert len(output.read_text().splitlines()) == 2


def test_an_export_of_nothing_is_empty(ledger: Command) -> None:
    assert ledger("export") == Said(0, "", "")


def test_a_backup_is_a_sound_ledger_that_replaces_nothing(
    path: Path, ledger: Command, tmp_path: Path
) -> None:
    write(path, spent("a"))
    into = tmp_path / "backup"
    said = ledger("backup", str(into))
    size = into.stat().st_size
    assert said == Said(0, f"{into} is a sound copy of the ledger, {size:,} bytes\n", "")
    assert_wrong(ledger("backup", str(into)), "is there already")


def test_a_sound_ledger_is_called_sound(path: Path, ledger: Command) -> None:
    write(path, spent("a", at=OLD), spent("b"))
    assert ledger("verify").stdout.splitlines() == [
        f"{path} is sound (schema 5)",
        "2 entries since 2026-11-14, the last on 2026-11-24",
    ]
    assert ledger("verify", "--json").document == {
        "schema_version": 1,
        "ledger": str(path),
        "sound": True,
        "problems": [],
        "ledger_schema": 5,
        "entries": 2,
        "first_at": "2026-11-14T12:00:00+00:00",
        "last_at": "2026-11-24T12:00:00+00:00",
        "reservations": {"all": 0, "of_dead_runs": 0},
    }


def test_an_unsound_ledger_is_told_apart_by_the_exit_status(path: Path, ledger: Command) -> None:
    write(path, spent("a"))
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("DELETE FROM usage")
    said = ledger("verify")
    assert (said.status, said.stderr) == (1, "")
    first, problem, entries, advice = said.stdout.splitlines()
    assert first == f"{path} is NOT sound (schema 5)"
    assert problem.startswith("  place_quarters: in 1 quarter of an hour")
    assert entries == "no entries"
    assert "ledger export --everything" in advice
    said = ledger("verify", "--json")
    assert (said.status, json.loads(said.stdout)["sound"]) == (1, False)


@pytest.mark.parametrize("state", ["missing", "garbage", "folder", "empty"])
def test_what_is_no_ledger_is_told_in_one_line(path: Path, ledger: Command, state: str) -> None:
    path.parent.mkdir()
    if state == "garbage":
        path.write_bytes(b"this is no database, " * 500)
        said = ledger("verify")
        assert (said.status, said.stderr) == (1, "")
        assert "is no database" in said.stdout
        assert_wrong(ledger("export"), "is no database")
        assert_wrong(ledger("backup", str(path.with_name("b"))), "is no database")
        assert_wrong(ledger("prune", "--before", "2026-11-20"), "is no database")
    elif state == "folder":
        path.mkdir()
        assert_wrong(ledger("verify"), "is a folder")
    else:
        if state == "empty":
            path.touch()
        said = ledger("verify")
        assert said == Said(0, f"There is no ledger at {path} yet; nothing is lost.\n", "")
        assert ledger("prune", "--before", "2026-11-20", "--yes").stdout == (
            "Nothing in the ledger is before 2026-11-20.\n"
        )


def test_what_dead_runs_reserved_is_told_with_what_frees_it(path: Path, ledger: Command) -> None:
    write(path, spent("a"))
    alive = RunDirectory.create(path.parent, "20261124-120000-bbbbbb")
    with closing(open_for_writing(path)) as connection:
        store_reservation(connection, RESERVED)
        of_alive = replace(RESERVED, reservation_id="2", run_id=alive.path.name)
        store_reservation(connection, of_alive)
    try:
        page = ledger("verify").stdout
        assert "dead runs, which hold a part of a budget: 1; `acp-bridge budget release`" in page
        reservations = ledger("verify", "--json").document["reservations"]
        assert reservations == {"all": 2, "of_dead_runs": 1}
    finally:
        alive.close()


def old_and_new(path: Path) -> None:
    old = replace(run("old", started_at=OLD), ended_at=OLD)
    write(path, old, spent("a", run_id="old", at=OLD), run("new"), spent("b", run_id="new"))


def keys(ledger: Command) -> list[str]:
    return [json.loads(line)["key"] for line in ledger("export").stdout.splitlines()]


def test_pruning_first_says_what_would_go(path: Path, ledger: Command) -> None:
    old_and_new(path)
    said = ledger("prune", "--before", "2026-11-20")
    first, second, third = said.stdout.splitlines()
    assert first == "Before 2026-11-20: 1 entry (the first of 2026-11-14), 1 run."
    assert second.startswith(f"A copy would be in {path.parent}/pruned-before-2026-11-20-at-")
    assert third == "Nothing was deleted; --yes does it."
    assert keys(ledger) == ["a", "b"]
    assert not list(path.parent.glob("pruned-*"))


def test_pruning_keeps_a_copy_beside_the_ledger(path: Path, ledger: Command) -> None:
    old_and_new(path)
    said = ledger("prune", "--before", "2026-11-20", "--yes")
    (copy,) = path.parent.glob("pruned-before-2026-11-20-at-*Z.jsonl")
    assert said.stdout.splitlines() == [
        "Deleted 1 entry (the first of 2026-11-14), 1 run.",
        f"A copy is in {copy}.",
    ]
    assert '"key": "a"' in copy.read_text()
    assert keys(ledger) == ["b"]
    assert ledger("verify").status == 0


def test_the_copy_may_be_elsewhere_or_not_wanted(
    path: Path, ledger: Command, tmp_path: Path
) -> None:
    old_and_new(path)
    prune = ("prune", "--yes", "--before")
    copy = tmp_path / "copy"
    assert f"A copy is in {copy}." in ledger(*prune, "2026-11-20", "--export", str(copy)).stdout
    assert len(copy.read_text().splitlines()) == 3  # the version, the entry, the run
    assert "No copy was kept." in ledger(*prune, "2026-11-25", "--no-export").stdout
    assert not list(path.parent.glob("pruned-*"))


def test_a_bridge_that_has_it_open_is_told(path: Path, ledger: Command) -> None:
    old_and_new(path)
    with closing(open_for_writing(path)):
        said = ledger("prune", "--before", "2026-11-20", "--yes")
    assert "The file keeps its size: another program has the ledger open." in said.stdout


def test_a_run_that_lives_keeps_its_entries(path: Path, ledger: Command) -> None:
    alive = RunDirectory.create(path.parent, RUN)
    write(path, run(RUN, started_at=OLD), spent("a", run_id=RUN, at=OLD))
    try:
        assert_wrong(ledger("prune", "--before", "2026-11-20", "--yes"), RUN, "end these bridges")
    finally:
        alive.close()
    assert keys(ledger) == ["a"]


def test_inside_a_bridged_session_nothing_is_pruned(
    path: Path, ledger: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_and_new(path)
    launch = path.parent / "runs" / RUN / "launch"
    (launch / "bin").mkdir(parents=True)
    for file in (launch / "gate.py", launch / "bin" / "claude"):
        file.touch()
    monkeypatch.setenv("PATH", f"{launch / 'bin'}{os.pathsep}{os.environ['PATH']}")
    said = ledger("prune", "--before", "2026-11-20", "--yes")
    assert (said.status, said.stdout) == (3, "")
    assert "does not run inside a bridged Claude Code session" in said.stderr
    assert keys(ledger) == ["a", "b"]
    assert ledger("verify").status == 0


@pytest.mark.parametrize("place", ["before", "after"])
def test_settings_may_stand_before_and_after_the_action(
    ledger: Command, tmp_path: Path, place: str
) -> None:
    elsewhere = tmp_path / "elsewhere" / "ledger.sqlite3"
    write(elsewhere, spent("a"))
    setting = ["--state-dir", str(elsewhere.parent)]
    said = ledger(*setting, "export") if place == "before" else ledger("export", *setting)
    assert said.document["key"] == "a"


@pytest.mark.parametrize("ending", ["", "-wal", "-shm", "-journal"])
def test_nothing_is_written_over_the_ledger_or_the_files_beside_it(
    path: Path, ledger: Command, ending: str
) -> None:
    write(path, spent("a"))
    own = str(path) + ending
    assert_wrong(ledger("export", "--output", own, "--force"), "is the ledger's own")
    if not Path(own).exists():
        assert_wrong(ledger("backup", own), "is the ledger's own")
    assert keys(ledger) == ["a"]


def test_a_day_before_all_days_is_no_traceback(path: Path, ledger: Command) -> None:
    write(path, spent("a"))
    said = ledger("prune", "--before", "0001-01-01")
    assert said.status in (0, 2)
    assert "Traceback" not in said.stderr


def test_an_output_that_is_full_is_told_in_one_line(path: Path) -> None:
    write(path, spent("a"))
    argv = [sys.executable, "-m", "acp_bridge", "ledger", "export"]
    env = {**os.environ, "ACP_BRIDGE_STATE_DIR": str(path.parent), "ACP_BRIDGE_CONFIG": os.devnull}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(argv, env=env, stdout=full, stderr=subprocess.PIPE, check=False)
    error, hint = done.stderr.decode().splitlines()
    assert done.returncode == 1
    assert error.startswith("error: the output cannot be written: ")
    assert hint.startswith("hint: ")
