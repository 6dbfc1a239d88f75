"""Processes that the tests of the ledger start: each runs one function of this module."""

import json
import os
import resource
import secrets
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from acp_bridge.ledger.database import LedgerError
from acp_bridge.ledger.queries import Ledger
from acp_bridge.ledger.records import ReservationRow
from acp_bridge.ledger.writer import LedgerWriter
from acp_bridge.metering.usage import CostKind
from acp_bridge.modes import BillingMode, Bucket
from acp_bridge.policy.budget_rows import read_budgets
from acp_bridge.policy.budgets import Allow, Spender
from acp_bridge.run.budget_books import BudgetBooks
from tests.ledger.rows import NOON, spent

ROOT = Path(__file__).parent.parent.parent
SECONDS = 60.0
NOBODY = 65534
BALLAST = 700 * 1024
SMALL_DISK = 1024 * 1024


def argv_of(function: str, *args: object) -> list[str]:
    program = "import sys; from tests.ledger import children; "
    call = f"getattr(children, {function!r})(*sys.argv[1:])"
    return [sys.executable, "-c", program + call, *map(str, args)]


def start(function: str, *args: object) -> "subprocess.Popen[bytes]":
    """A child that can be talked to by its stdin and stdout."""
    pipe = subprocess.PIPE
    return subprocess.Popen(argv_of(function, *args), stdin=pipe, stdout=pipe, cwd=ROOT)


def tell(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def said_to_a_budget(path: Path) -> str:
    """What whoever asks to spend under a budget is told of the ledger; empty if it may."""
    (budget,) = read_budgets(
        [{"name": "b", "window": "session", "limit_requests": 10**9}],
        origin="test",
        default_zone="UTC",
    )
    spender = Spender(mode=BillingMode.API_KEY, bucket=Bucket.API)
    row = ReservationRow(
        reservation_id=secrets.token_hex(8),
        run_id="run",
        session_id=None,
        at=NOON,
        mode=spender.mode,
        bucket=spender.bucket,
        cost_kind=CostKind.BILLED_ESTIMATE,
        project="/project" * 1000,
    )
    books = BudgetBooks(path)
    try:
        verdict = books.admit([budget], spender, NOON, reservation=row)
        books.close()
    except LedgerError as error:
        return f"{error.message}; {error.hint}"
    assert isinstance(verdict, Allow)
    return ""


def write_entries(path: str, name: str, count: str, step: str) -> None:
    """Record entries; after each step that is committed, say how many are."""
    writer = LedgerWriter(Path(path))
    for number in range(int(count)):
        writer.record(spent(f"{name}-{number}", run_id=name, session_id=name))
        if (number + 1) % int(step) == 0:
            assert writer.flush(600)
            tell(number + 1)
    assert writer.close(600).ok


def hold_exclusively(path: str) -> None:
    """Keep everybody else out of the ledger until stdin says something."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        # In WAL mode another connection's read mark would be waited for.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        tell("held")
        sys.stdin.readline()
        connection.execute("ROLLBACK")


def fill_a_disk(folder: str) -> None:
    """Write to a disk that is full, then to the same with room again; print what was seen."""
    ballast = Path(folder) / "ballast"
    ballast.write_bytes(b"x" * BALLAST)
    write_until_no_room(Path(folder), ballast.unlink)


def fill_a_quota(folder: str) -> None:
    """The same with a limit on the size of files, where no disk of one's own can be mounted."""
    most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL_DISK - BALLAST, most))
    write_until_no_room(
        Path(folder), lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    )


def write_until_no_room(folder: Path, make_room: Any) -> None:
    path = folder / "state" / "ledger.sqlite3"
    writer = LedgerWriter(path, first_retry=0.01, longest_retry=0.05)
    recorded = committed = 0
    told = ""
    while True:
        while writer.health.ok:
            for _ in range(50):
                writer.record(spent(f"key-{recorded}"))
                recorded += 1
            writer.flush(0.05)
        hindered = writer.health
        told = said_to_a_budget(path)
        with Ledger(path) as ledger:
            committed = ledger.report().totals.requests or 0
            damage = ledger.check()
        # SQLite may find room again, in its log, for what waits or for something small.
        if told and not hindered.ok and writer.health == hindered:
            break
    make_room()
    told_after = said_to_a_budget(path)
    emptied = writer.flush(SECONDS)
    after = writer.close(SECONDS)
    with Ledger(path) as ledger:
        arrived = ledger.report().totals.requests
    seen = {
        "reason": hindered.reason,
        "hint": hindered.hint,
        "waited": hindered.waiting,
        "committed": committed,
        "damage": damage,
        "emptied": emptied,
        "ok_after": after.ok,
        "lost": after.lost,
        "recorded": recorded,
        "arrived": arrived,
        "budget": told,
        "budget_after": told_after,
    }
    tell(json.dumps(seen))


def use_unwritable(path: str) -> None:
    """As a user who may read the ledger's directory and no more: read it, and try to write."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    with Ledger(Path(path)) as ledger:
        read = ledger.report().totals.requests
    writer = LedgerWriter(Path(path), first_retry=0.01, longest_retry=0.05)
    writer.record(spent("further"))
    while writer.health.ok:
        writer.flush(0.05)
    health = writer.close(SECONDS)
    told = said_to_a_budget(Path(path))
    tell(json.dumps({"read": read, "hint": health.hint, "lost": health.lost, "budget": told}))


def finished(argv: Sequence[str]) -> dict[str, Any]:
    """What a child printed last, as JSON."""
    done = subprocess.run(argv, cwd=ROOT, check=True, stdout=subprocess.PIPE, timeout=SECONDS * 2)
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return seen


def on_a_small_disk(folder: Path) -> list[str]:
    """The command that runs `fill_a_disk` on a disk of one megabyte of its own, or its stand-in."""
    mount = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    script = f'mount -t tmpfs -o size={SMALL_DISK} none "$0" && exec "$@"'
    can_mount = shutil.which("unshare") is not None and (
        subprocess.run(
            [*mount, script, str(folder), "true"], check=False, capture_output=True
        ).returncode
        == 0
    )
    if can_mount:
        return [*mount, script, str(folder), *argv_of("fill_a_disk", folder)]
    return argv_of("fill_a_quota", folder)
