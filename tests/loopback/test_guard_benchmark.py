"""The benchmark of the guard runs; what it prints at full size is in the README."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_benchmark_measures_the_guard_beside_no_relay() -> None:
    argv = ["scripts/bench", "guard", "--quick", "--without-others"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("| median (ratio) | no relay | the guard, metering |")
    for figure in ("first byte p50, ms", "events/s", "memory per open stream, KB", "start-up"):
        assert f"\n| {figure}" in done.stdout
