"""What is kept: the registry of runs, and the ledger of usage, evidence and violations."""

from pathlib import Path

LEDGER_FILE = "ledger.sqlite3"
"""The ledger's name in ``STATE_DIR``."""


def ledger_path(state_dir: Path) -> Path:
    """Where the ledger of a state directory is."""
    return state_dir / LEDGER_FILE
