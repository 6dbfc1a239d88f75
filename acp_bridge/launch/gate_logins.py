"""Which stored sign-in Claude Code would pay with in place of the mode's own.

Of such a file only the names of its keys are looked at, and the scopes of a login; nothing is kept.
The standard library only.
"""
# ruff: noqa: PTH123 — importing pathlib would add half to the gate's time

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

ASKS_NO_MODEL = ("auth", "setup-token")
"""Commands of Claude Code by which a user signs in and out."""


def stored_payer(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """A sentence about the first sign-in that is there and would pay; None without one.

    Args:
        rows: of the sealed plan: ``path``, ``key``, ``sentence``, and ``login``, the place of a
            login beside which it does not pay, or None.
    """
    for row in rows:
        login = row["login"]
        if _stored(row["path"]).get(row["key"]) and not (login and _is_a_login(login)):
            return str(row["sentence"])
    return None


def _is_a_login(login: Mapping[str, str]) -> bool:
    stored = _stored(login["path"]).get(login["key"])
    return isinstance(stored, dict) and login["scope"] in (stored.get("scopes") or ())


def _stored(path: str) -> Mapping[str, Any]:
    try:
        with open(path, encoding="utf-8-sig") as file:
            content = json.load(file)
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
