"""A receipt: the evidence, usage and decisions of a session, or of a whole run, in one document.

It is made of documents that are there already, an entry of ``bridges`` in ``status --json`` and
usage documents, and says nothing that they do not say; so the three cannot disagree. Its shape:

    {schema_version,
     run: {run_id, mode, mode_letter, guarantees, guard, bucket, expected_credential_class,
           started_at, ended_at},
     versions: {bridge, agent_name, agent_version, claude_version},
     session: {session_id, cwd, model} or null,
     decisions: {removed: [{channel, origin}]},
     evidence, violations, wire, metering,
     usage: {by_model: [row], by_state: [row], totals: figures or null}}

Times are aware ISO 8601, money is decimal text in US dollars. What could not be known is null.
Evidence, violations and removed channels are the run's also in the receipt of a session: who pays
is decided for the run.
"""

from collections.abc import Mapping
from typing import Any

from acp_bridge.ledger.report import GroupKey

Json = Mapping[str, Any]

SCHEMA_VERSION = 1

_RUN = (
    "run_id",
    "mode",
    "mode_letter",
    "guarantees",
    "guard",
    "bucket",
    "expected_credential_class",
    "started_at",
    "ended_at",
)
_SESSION = ("session_id", "cwd", "model")


def run_receipt(
    run: Json, *, by_model: Json, by_state: Json, bridge_version: str | None
) -> dict[str, Any]:
    """The receipt of a whole run.

    Args:
        run: the run, as an entry of ``bridges``.
        by_model: the run's usage, grouped by model.
        by_state: the same usage, grouped by state.
        bridge_version: of the bridge that made the run; None if nobody noted it.

    Raises:
        ValueError: a usage document is grouped by something else.
    """
    return _receipt(run, None, _usage(by_model, by_state), run["metering"], bridge_version)


def session_receipt(
    run: Json, session_id: str, *, by_model: Json, by_state: Json, bridge_version: str | None
) -> dict[str, Any]:
    """The receipt of one session of the client.

    Args:
        run: the run, as an entry of ``bridges``.
        session_id: the client's session.
        by_model: the session's usage, grouped by model.
        by_state: the same usage, grouped by session and state.
        bridge_version: of the bridge that made the run; None if nobody noted it.

    Raises:
        KeyError: the status of the run has no such session.
        ValueError: a usage document is grouped by something else.
    """
    session = next((one for one in run["sessions"] if one["session_id"] == session_id), None)
    if session is None:
        raise KeyError(session_id)
    usage = _usage(by_model, by_state) | {"totals": session["usage"]}
    return _receipt(run, session, usage, _metering_of(session_id, run["metering"]), bridge_version)


def _receipt(
    run: Json,
    session: Json | None,
    usage: Json,
    metering: Json | None,
    bridge_version: str | None,
) -> dict[str, Any]:
    agent = run["agent"]
    return {
        "schema_version": SCHEMA_VERSION,
        "run": {name: run[name] for name in _RUN},
        "versions": {
            "bridge": bridge_version,
            "agent_name": agent["name"],
            "agent_version": agent["version"],
            "claude_version": agent["claude_version"],
        },
        "session": None if session is None else {name: session[name] for name in _SESSION},
        "decisions": {"removed": run["removed"]},
        "evidence": run["evidence"],
        "violations": run["violations"],
        "wire": run["wire"],
        "usage": usage,
        "metering": metering,
    }


def _usage(by_model: Json, by_state: Json) -> dict[str, Any]:
    for usage, key in ((by_model, GroupKey.MODEL), (by_state, GroupKey.STATE)):
        if usage["group_by"] != [key.value]:
            raise ValueError(f"usage is grouped by {usage['group_by']}, not by {key.value}")
    return {
        "by_model": list(by_model["rows"]),
        "by_state": list(by_state["rows"]),
        "totals": by_model["totals"],
    }


def _metering_of(session_id: str, metering: Json | None) -> Json | None:
    """How the meter does, of the sources only the session's own."""
    if metering is None:
        return None
    own = [one for one in metering["sources"] if one["session_id"] == session_id]
    return {**metering, "sources": own}
