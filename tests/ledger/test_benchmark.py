"""The benchmark of the ledger runs; what it prints at full size is in the README."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_benchmark_reports_over_the_entries_it_made() -> None:
    argv = ["scripts/bench", "ledger", "--entries", "3000", "--rounds", "1", "--without-ccusage"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("3,000 entries in ")
    assert "| day, mode, model | " in done.stdout
    assert "At a bridge's start: import " in done.stdout
    assert "A check of ten budgets, with its reservation: " in done.stdout
