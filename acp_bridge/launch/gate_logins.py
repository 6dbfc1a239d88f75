"""Which stored sign-in Claude Code would pay with in place of the mode's own.

Of such a file only the names of its keys are looked at; nothing is kept. The standard library only.
"""
# ruff: noqa: PTH123 — importing pathlib would add half to the gate's time

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ASKS_NO_MODEL = ("auth", "setup-token")
"""Commands of Claude Code by which a user signs in and out."""


def stored_payer(rows: Sequence[Mapping[str, str]]) -> str | None:
    """A sentence about the first sign-in that is there and would pay; None without one.

    Args:
        rows: of the sealed plan: ``path``, ``key`` and ``sentence``.
    """
    return next((row["sentence"] for row in rows if _is_stored(row["path"], row["key"])), None)


def _is_stored(path: str, key: str) -> bool:
    try:
        with open(path, encoding="utf-8-sig") as file:
            content = json.load(file)
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and bool(content.get(key))
