"""A ledger of a million entries, beside ccusage on the same entries as transcripts.

    scripts/bench ledger [--entries N] [--rounds N] [--without-ccusage]

Builds the ledger of a made-up year, then prints what it took, what the file weighs, how long
reports take (a fresh connection each time, medians over the rounds), what a check of budgets costs
and what the writer adds to a bridge's start. ccusage (pinned in `ccusage/`, installed when it is
first needed) reads the same entries as Claude Code transcripts, offline and in a scratch HOME.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from budget_checks import measure_budgets
from year_of_usage import START, sessions, write_transcripts

from acp_bridge.ledger import ledger_path
from acp_bridge.ledger.database import open_for_writing
from acp_bridge.ledger.queries import Ledger
from acp_bridge.ledger.report import GroupKey
from acp_bridge.ledger.storing import Store

if TYPE_CHECKING:
    from acp_bridge.ledger.records import Row

HERE = Path(__file__).parent
T = TypeVar("T")
PREFIX = Path(sys.prefix) / "share" / "acp-bridge" / "benchmarks"
CCUSAGE = PREFIX / "node_modules/@ccusage/ccusage-linux-x64/bin/ccusage"
BATCH = 1000
USAGE_REPORT = (GroupKey.DAY, GroupKey.MODE, GroupKey.MODEL)
GROUPINGS = (
    (),
    (GroupKey.DAY,),
    USAGE_REPORT,
    (GroupKey.WEEK, GroupKey.BUCKET),
    (GroupKey.MONTH, GroupKey.MODEL),
    (GroupKey.HOUR, GroupKey.MODE),
    (GroupKey.ASKED_BY, GroupKey.SOURCE, GroupKey.STATE),
    (GroupKey.PROJECT,),
    (GroupKey.SESSION,),
    (GroupKey.SUBAGENT,),
    (GroupKey.PROJECT, GroupKey.MONTH),
    (GroupKey.PROJECT, GroupKey.MODEL),
    (GroupKey.SESSION, GroupKey.DAY),
    (GroupKey.SESSION, GroupKey.MODEL),
    (GroupKey.ASKED_BY, GroupKey.DAY),
    (GroupKey.SESSION, GroupKey.ASKED_BY),
)
START_UP = """
import sys, time
from pathlib import Path
begin = time.perf_counter()
from acp_bridge.ledger.writer import LedgerWriter
imported = time.perf_counter()
writer = LedgerWriter(Path(sys.argv[1]))
made = time.perf_counter()
from acp_bridge.ledger.records import EvidenceRow
from datetime import UTC, datetime
row = EvidenceRow(run_id="r", at=datetime.now(UTC), kind="k", source="s", value="v", verdict="a")
recording = time.perf_counter()
writer.record(row)
recorded = time.perf_counter()
print(imported - begin, made - imported, recorded - recording)
writer.close(20)
"""


def build(path: Path, count: int) -> float:
    """Write the year into a new ledger; the seconds that the ledger took of it."""
    store = Store(open_for_writing(path))
    seconds = 0.0
    rows: list[Row] = []
    written = 0
    for run, session, spent in sessions(count):
        rows += [run, session, *spent]
        if len(rows) < BATCH:
            continue
        took, added = timed(lambda batch=rows: store.write(batch))
        seconds, written, rows = seconds + took, written + added, []
    took, added = timed(lambda: store.write(rows))
    assert written + added == count
    store.close()
    return seconds + took


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """Seconds, and what came of it."""
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found


def report(path: Path, by: tuple[GroupKey, ...], **narrowed: Any) -> int:
    """Open the ledger and report; the number of rows."""
    with Ledger(path) as ledger:
        return len(ledger.report(by, **narrowed).rows)


def measure_reports(path: Path, rounds: int) -> list[tuple[str, float, int]]:
    """What was asked, the median of its milliseconds, and its rows."""
    odd = timedelta(hours=7, minutes=31, seconds=17)
    half_a_year = {
        "since": START + timedelta(days=60) + odd,
        "until": START + timedelta(days=240) + odd,
    }
    asked: list[tuple[str, tuple[GroupKey, ...], dict[str, Any]]] = [
        (", ".join(by) or "totals only", by, {}) for by in GROUPINGS
    ]
    asked += [
        (f"{', '.join(by)} of half a year, odd edges", by, half_a_year)
        for by in (USAGE_REPORT, (GroupKey.PROJECT,), (GroupKey.SESSION,), (GroupKey.SUBAGENT,))
    ]
    found = []
    for name, by, narrowed in asked:
        times = [timed(lambda b=by, n=narrowed: report(path, b, **n)) for _ in range(rounds)]
        found.append((name, statistics.median(took for took, _ in times) * 1e3, times[0][1]))
    return found


def in_own_process(path: Path) -> float:
    """Seconds of a process that imports the reader and makes the usage report."""
    program = (
        "import sys; from pathlib import Path; from acp_bridge.ledger.queries import Ledger\n"
        "from acp_bridge.ledger.report import GroupKey as G\n"
        "Ledger(Path(sys.argv[1])).report([G.DAY, G.MODE, G.MODEL])"
    )
    return timed(lambda: subprocess.run([sys.executable, "-c", program, path], check=True))[0]


def measure_start(path: Path, rounds: int) -> list[float]:
    """Medians in milliseconds: import the writer, make it, hand the first row over."""
    found = []
    for _ in range(rounds):
        argv = [sys.executable, "-c", START_UP, str(path)]
        done = subprocess.run(argv, check=True, stdout=subprocess.PIPE)
        found.append([float(word) * 1e3 for word in done.stdout.split()])
    return [statistics.median(times) for times in zip(*found, strict=True)]


def install_ccusage() -> str | None:
    """Install the pinned program; why not, if that cannot be."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        return "the pinned ccusage is a program for Linux on x86-64"
    done = subprocess.run([HERE / "ccusage" / "install", PREFIX], check=False)
    return None if done.returncode == 0 else "its package could not be installed"


def measure_ccusage(home: Path, rounds: int, expected: int) -> tuple[float, float]:
    """Median seconds of `ccusage daily --offline --json`, and its memory in MB.

    It must have counted all the tokens that are expected, else nothing was compared.
    """
    env = {"HOME": str(home), "CLAUDE_CONFIG_DIR": str(home / ".claude"), "PATH": os.defpath}
    times, memory = [], 0.0
    output = home / "ccusage.json"
    for _ in range(rounds):
        start = time.perf_counter()
        with output.open("wb") as file:
            argv = [CCUSAGE, "daily", "--offline", "--json"]
            child = subprocess.Popen(argv, env=env, stdout=file)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        assert child.returncode == 0
        times.append(time.perf_counter() - start)
        memory = max(memory, used.ru_maxrss / 1e3)
    counted = json.loads(output.read_bytes())["totals"]["totalTokens"]
    assert counted == expected, f"ccusage counted {counted} of {expected} tokens"
    return statistics.median(times), memory


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--without-ccusage", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = ledger_path(Path(folder) / "state")
        seconds = build(path, options.entries)
        size = path.stat().st_size / 1e6
        print(f"{options.entries:,} entries in {seconds:.0f} s, a file of {size:.0f} MB.\n")
        print("| report by | ms | rows |\n|---|---|---|")
        for name, took, rows in measure_reports(path, options.rounds):
            print(f"| {name} | {took:,.0f} | {rows:,} |")
        imported, made, recorded = measure_start(path, options.rounds)
        print(f"\nAt a bridge's start: import {imported:.1f} ms, construct {made:.2f} ms,")
        print(f"hand over the first row {recorded:.2f} ms.\n")
        first, usual, slowest = measure_budgets(path)
        print(f"A check of ten budgets, with its reservation: {usual:.2f} ms in the median,")
        print(f"{slowest:.2f} ms at most, {first:.0f} ms for the first of a process.\n")
        if not options.without_ccusage:
            compare(Path(folder), path, options.entries, options.rounds)


def compare(folder: Path, path: Path, entries: int, rounds: int) -> None:
    """Print the same report by both, each as a process of its own."""
    missing = install_ccusage()
    if missing is not None:
        print(f"ccusage was not measured: {missing}.")
        return
    own = statistics.median(in_own_process(path) for _ in range(rounds))
    with Ledger(path) as ledger:
        expected = ledger.report().totals.tokens.total
    written = write_transcripts(folder / "home", entries)
    took, memory = measure_ccusage(folder / "home", max(1, rounds // 2), expected)
    print("| usage by day, as a process of its own | s | ratio |\n|---|---|---|")
    print(f"| ledger, by day, mode and model | {own:.2f} | 1 |")
    print(
        f"| ccusage daily --offline, {written / 1e9:.1f} GB of transcripts | {took:.2f} |", end=""
    )
    print(f" {took / own:.1f} |\n")
    print(f"Both counted {expected:,} tokens. ccusage's memory: {memory:.0f} MB.")


if __name__ == "__main__":
    main()
