"""The command `acp-bridge usage`, run in this process on a ledger that a test has filled."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from acp_bridge.cli import main
from acp_bridge.ledger import ledger_path
from acp_bridge.ledger.records import Row
from acp_bridge.ledger.writer import LedgerWriter
from tests.bridge.process import bridge_environment


@dataclass(frozen=True, slots=True)
class Said:
    """What the command said and how it ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def document(self) -> Any:
        assert (self.status, self.stderr) == (0, "")
        return json.loads(self.stdout)


Usage = Callable[..., Said]


@pytest.fixture
def usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Usage:
    """Run the command in this process, on the test's own state directory."""
    env = bridge_environment(tmp_path)
    for name in [name for name in os.environ if name.startswith("ACP_BRIDGE_")]:
        monkeypatch.delenv(name)
    for name, value in env.items():
        monkeypatch.setenv(name, value)

    def usage(*arguments: str) -> Said:
        status = main(["usage", *arguments])
        return Said(status, *capsys.readouterr())

    return usage


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return ledger_path(tmp_path / "state")


def write(path: Path, *rows: Row) -> None:
    writer = LedgerWriter(path)
    for row in rows:
        writer.record(row)
    assert writer.close(60).ok


def assert_wrong(said: Said, *words: str) -> None:
    """One line that says what is wrong, one that says what to do."""
    assert (said.status, said.stdout) == (2, "")
    error, hint = said.stderr.splitlines()
    assert error.startswith("error: ")
    assert hint.startswith("hint: ")
    for word in words:
        assert word in said.stderr
