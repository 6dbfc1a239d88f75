"""The status of runs: one document for programs, one page for people.

Both show the same facts. The document is the ``status --json`` of the README's contract.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from acp_bridge.errors import ConfigurationError
from acp_bridge.ledger.runs import read_runs

SCHEMA_VERSION = 1
SHOWN_ENDED = 3
"""How many ended runs the page for people shows; the document has them all."""


def status_document(state_dir: Path, run_id: str | None = None) -> dict[str, Any]:
    """All recorded runs, or one, oldest first.

    Raises:
        ConfigurationError: no run has that id.
    """
    runs = read_runs(state_dir)
    if run_id is not None:
        runs = [run for run in runs if run.get("run_id") == run_id]
        if not runs:
            raise ConfigurationError(
                f"no run {run_id!r} is recorded in {state_dir}",
                hint="acp-bridge status lists the runs there are",
            )
    return {"schema_version": SCHEMA_VERSION, "bridges": runs}


def render(document: dict[str, Any], *, only: bool = False) -> str:
    """The page for people.

    Args:
        document: from `status_document`.
        only: it holds the one run that was asked for, so show it whatever its age.
    """
    runs: Sequence[dict[str, Any]] = document["bridges"]
    living = [run for run in runs if run["alive"]]
    ended = [run for run in runs if not run["alive"]]
    shown = list(runs) if only else living + ended[-SHOWN_ENDED:]
    if not shown:
        return "No run is recorded. Start one with: acp-bridge demo\n"
    pages = ["\n".join(_page(run)) for run in shown]
    hidden = len(runs) - len(shown)
    if hidden:
        pages.append(f"{hidden} older runs are in acp-bridge status --json.")
    return "\n\n".join(pages) + "\n"


def _page(run: dict[str, Any]) -> Iterator[str]:
    state = f"running, pid {run['pid']}" if run["alive"] else f"ended {run['ended_at']}"
    agent = run["agent"]
    yield f"{run['run_id']}  mode {run['mode']} ({run['mode_letter']})  {state}"
    yield f"  expected     {run['expected_credential_class']}, charged to {run['bucket']}"
    yield f"  guarantees   {run['guarantees']}; wire guard {run['guard']}"
    yield f"  agent        {_agent_in_words(agent)}"
    for limit in run.get("limits", ()):
        yield f"  limit        {limit_in_words(limit)}"
    if run["wire"]["presented"]:
        yield f"  on the wire  {wire_in_words(run['wire'])}"
    if run["removed"]:
        names = ", ".join(f"{item['channel']} ({item['origin']})" for item in run["removed"])
        yield f"  removed      {names}"
    for item in run["evidence"]:
        yield (
            f"  evidence     {item['kind']}: {item['value']} from {item['source']}"
            f", {item['verdict']} ({item['at']})"
        )
    for item in run["violations"]:
        yield f"  VIOLATION    {item['reason']}: {item['detail']} ({item['at']})"
    for session in run["sessions"]:
        model = f", {session['model']}" if session["model"] else ""
        yield f"  session      {session['session_id']} in {session['cwd']}{model}"


def _agent_in_words(agent: Mapping[str, str | None]) -> str:
    """A command under ``exec`` is Claude Code itself; other agents say later who they are."""
    named = " ".join(filter(None, (agent["name"], agent["version"])))
    claude = agent["claude_version"] and f"Claude Code {agent['claude_version']}"
    return ", ".join(filter(None, (named, claude))) or "not yet known"


def limit_in_words(limit: Mapping[str, Any]) -> str:
    """What was last read of a window of the plan's limits; what was not told is left out."""
    parts = []
    if limit["used"] is not None:
        parts.append(f"{Decimal(limit['used']) * 100:.0f} % used")
    if limit["status"] is not None:
        parts.append(limit["status"])
    if limit["resets_at"] is not None:
        parts.append(f"resets {limit['resets_at']}")
    told = ", ".join(parts) or "nothing told"
    return f"{limit['window']}: {told} ({limit['source']}, {limit['seen_at']})"


def wire_in_words(wire: Mapping[str, Mapping[str, int]]) -> str:
    """Which credentials the wire guard saw requests come with, and which they went on with."""
    presented, attached = (
        ", ".join(f"{count} x {name}" for name, count in wire[part].items()) or "nothing"
        for part in ("presented", "attached")
    )
    return f"came with {presented}; went on with {attached}"
