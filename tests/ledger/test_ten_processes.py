"""Ten bridges write to one ledger at once, and one of them is killed hard."""

import signal
from pathlib import Path

from acp_bridge.ledger.queries import Ledger
from acp_bridge.ledger.report import GroupKey
from acp_bridge.metering.usage import Tokens
from tests.ledger.children import start
from tests.ledger.rows import TOKENS
from tests.matrix.extent import FULL_PROFILE

PROCESSES = 10
EACH = 100_000 if FULL_PROFILE else 5_000
STEP = EACH // 20
KILLED_AFTER = EACH // 2


def test_nothing_that_was_committed_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "state" / "ledger.sqlite3"
    names = [f"run-{number}" for number in range(PROCESSES)]
    children = [start("write_entries", path, name, EACH, STEP) for name in names]
    victim, *others = children
    assert victim.stdout is not None
    acknowledged = 0
    while acknowledged < KILLED_AFTER:
        acknowledged = int(victim.stdout.readline())
    victim.send_signal(signal.SIGKILL)
    acknowledged = max([acknowledged, *map(int, victim.stdout.read().split())])
    for child in others:
        child.communicate()
        assert child.returncode == 0
    victim.communicate()
    assert victim.returncode == -signal.SIGKILL

    with Ledger(path) as ledger:
        assert ledger.check() == []
        found = {row.values[0]: row for row in ledger.report([GroupKey.RUN]).rows}
        keys = {row.entry.key for row in ledger.entries(run_id=names[0])}
    assert {found[name].requests for name in names[1:]} == {EACH}
    assert acknowledged <= len(keys) < EACH
    assert {f"{names[0]}-{number}" for number in range(acknowledged)} <= keys
    for row in found.values():
        assert row.requests is not None
        assert row.tokens == Tokens(*(count * row.requests for count in TOKENS.counts))
    assert found[names[0]].requests == len(keys)
