"""One line on who pays, for Claude Code's status line; made of nothing but a run's status document.

Claude Code runs it after each answer, so what it imports is chosen by what that costs.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

NOT_BRIDGED = "no acp-bridge: payer unknown"
_LAUNCHER = "CLAUDE_CODE_EXECUTABLE"
_FOLDERS = ("launch", "agent", "claude")
"""Where below a run's directory the launch gate is, which names itself in the environment."""
_MONEY = {
    "billed_estimate": "",
    "list_price_equivalent": " at list price",
    "endpoint_price": " at the endpoint's price",
}
_TOKENS = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
)
_THOUSAND = 1000


def statusline(given: str, environ: Mapping[str, str]) -> str:
    """The line, without a line break. It never fails: what cannot be read is not told.

    Args:
        given: what Claude Code gave it on stdin: JSON with ``session_id``.
        environ: the environment of Claude Code, in which the launch gate names itself.
    """
    run = _run(environ)
    if run is None:
        return NOT_BRIDGED
    try:
        return " · ".join(_parts(run, _session_id(given)))
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"acp-bridge: mode {run.get('mode')}"


def _session_id(given: str) -> object:
    try:
        asked = json.loads(given)
    except (ValueError, RecursionError):
        return None
    return asked.get("session_id") if isinstance(asked, dict) else None


def _run(environ: Mapping[str, str]) -> dict[str, Any] | None:
    """The status document of the run that Claude Code is part of."""
    launcher = Path(environ.get(_LAUNCHER, ""))
    if launcher.parts[-len(_FOLDERS) :] != _FOLDERS:
        return None
    try:
        document = json.loads(
            launcher.parents[len(_FOLDERS) - 1].joinpath("status.json").read_bytes()
        )
    except (OSError, ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _parts(run: Mapping[str, Any], session_id: object) -> Iterator[str]:
    yield f"{run['mode']} ({run['mode_letter']})"
    yield str(run["bucket"])
    sessions: Sequence[Mapping[str, Any]] = run["sessions"]
    own = [one for one in sessions if one["session_id"] == session_id]
    yield spent_in_words(own)
    if len(sessions) > len(own):
        yield f"run {spent_in_words(sessions)}"
    for limit in run["limits"]:
        if limit["used"] is not None:
            yield window_in_words(limit)
    if run["violations"]:
        yield f"VIOLATION {run['violations'][-1]['reason']}"


def spent_in_words(sessions: Sequence[Mapping[str, Any]]) -> str:
    """What sessions have spent: money of each kind, or tokens where its price is not known."""
    used = [one["usage"] for one in sessions if one["usage"] is not None]
    micros: dict[str, int] = {}
    for usage in used:
        for cost in usage["cost"]:
            if cost["cost_usd"] is not None and cost["cost_kind"] in _MONEY:
                whole, _, rest = cost["cost_usd"].partition(".")
                kind = cost["cost_kind"]
                micros[kind] = micros.get(kind, 0) + int(whole + rest.ljust(6, "0"))
    if micros:
        return ", ".join(f"${of / 1e6:.2f}{_MONEY[kind]}" for kind, of in micros.items())
    return f"{tokens_in_words(sessions)} tokens"


def tokens_in_words(sessions: Sequence[Mapping[str, Any]]) -> str:
    """Tokens of all kinds that sessions have used."""
    used = [one["usage"] for one in sessions if one["usage"] is not None]
    tokens = sum(usage[name] or 0 for usage in used for name in _TOKENS)
    return f"{tokens / _THOUSAND:.1f}k" if tokens >= _THOUSAND else str(tokens)


def window_in_words(limit: Mapping[str, Any]) -> str:
    """How much of a window of the plan's limits is used, and when it resets."""
    words = f"{limit['window']} {float(limit['used']) * 100:.0f} %"
    if limit["resets_at"] is None:
        return words
    resets = datetime.fromisoformat(limit["resets_at"]).astimezone()
    return f"{words}, resets {resets:%a %H:%M}"


def own_line(text: str) -> str:
    """The line as a terminal may be given it: no character moves the cursor."""
    return "".join(char if char.isprintable() else " " for char in text) + os.linesep
