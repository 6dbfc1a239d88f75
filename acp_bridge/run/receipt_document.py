"""A receipt: the evidence, usage and decisions of a session, or of a whole run, in one document.

It is made of documents that are there already, an entry of ``bridges`` in ``status --json`` and
usage documents, and says nothing that they do not say; so the three cannot disagree. Its shape:

    {schema_version,
     run: {run_id, mode, mode_letter, guarantees, guard, bucket, expected_credential_class,
           started_at, ended_at},
     versions: {bridge, agent_name, agent_version, claude_version},
     policy: {plan, policy_version},
     session: {session_id, cwd, model} or null,
     decisions: {removed: [{channel, origin}] or null},
     evidence, violations, wire, metering,
     usage: {by_model: [row], by_state: [row], by_bucket: [row] or null, by_source: [row] or null,
             totals: figures or null, uncosted_entries: number or null}}

Times are aware ISO 8601, money is decimal text in US dollars. What could not be known is null.
A run that only the ledger remembers has no ``metering``, and no ``wire`` if nobody saw its end.
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
_POLICY = ("plan", "policy_version")
_SESSION = ("session_id", "cwd", "model")


def run_receipt(  # noqa: PLR0913 - one usage in four groupings, each by name
    run: Json,
    *,
    by_model: Json,
    by_state: Json,
    by_bucket: Json | None = None,
    by_source: Json | None = None,
    uncosted_entries: int | None = None,
    bridge_version: str | None,
) -> dict[str, Any]:
    """The receipt of a whole run.

    Args:
        run: the run, as an entry of ``bridges``; it may have ``plan`` and ``policy_version``.
        by_model: the run's usage, grouped by model.
        by_state: the same usage, grouped by state.
        by_bucket: the same usage, grouped by bucket; None where that is not told.
        by_source: the same usage, grouped by source; None where that is not told.
        uncosted_entries: those in it whose cost is in no sum of money; None where that is not told.
        bridge_version: of the bridge that made the run; None if nobody noted it.

    Raises:
        ValueError: a usage document is grouped by something else.
    """
    usage = _usage(by_model, by_state, by_bucket, by_source, uncosted_entries)
    return _receipt(run, None, usage, run["metering"], bridge_version)


def session_receipt(  # noqa: PLR0913 - as above
    run: Json,
    session_id: str,
    *,
    by_model: Json,
    by_state: Json,
    by_bucket: Json | None = None,
    by_source: Json | None = None,
    uncosted_entries: int | None = None,
    bridge_version: str | None,
) -> dict[str, Any]:
    """The receipt of one session of the client.

    Args:
        run: the run, as an entry of ``bridges``; it may have ``plan`` and ``policy_version``.
        session_id: the client's session.
        by_model: the session's usage, grouped by model.
        by_state: the same usage, grouped by state.
        by_bucket: the same usage, grouped by bucket; None where that is not told.
        by_source: the same usage, grouped by source; None where that is not told.
        uncosted_entries: those in it whose cost is in no sum of money; None where that is not told.
        bridge_version: of the bridge that made the run; None if nobody noted it.

    Raises:
        KeyError: the status of the run has no such session.
        ValueError: a usage document is grouped by something else.
    """
    session = next((one for one in run["sessions"] if one["session_id"] == session_id), None)
    if session is None:
        raise KeyError(session_id)
    usage = _usage(by_model, by_state, by_bucket, by_source, uncosted_entries)
    usage["totals"] = session["usage"]
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
        "policy": {name: run.get(name) for name in _POLICY},
        "session": None if session is None else {name: session[name] for name in _SESSION},
        "decisions": {"removed": run["removed"]},
        "evidence": run["evidence"],
        "violations": run["violations"],
        "wire": run["wire"],
        "usage": usage,
        "metering": metering,
    }


def _usage(
    by_model: Json,
    by_state: Json,
    by_bucket: Json | None,
    by_source: Json | None,
    uncosted_entries: int | None,
) -> dict[str, Any]:
    return {
        "by_model": _rows(by_model, GroupKey.MODEL),
        "by_state": _rows(by_state, GroupKey.STATE),
        "by_bucket": None if by_bucket is None else _rows(by_bucket, GroupKey.BUCKET),
        "by_source": None if by_source is None else _rows(by_source, GroupKey.SOURCE),
        "totals": by_model["totals"],
        "uncosted_entries": uncosted_entries,
    }


def _rows(usage: Json, key: GroupKey) -> list[Json]:
    if usage["group_by"] != [key.value]:
        raise ValueError(f"usage is grouped by {usage['group_by']}, not by {key.value}")
    return list(usage["rows"])


def _metering_of(session_id: str, metering: Json | None) -> Json | None:
    """How the meter does, of the sources only the session's own."""
    if metering is None:
        return None
    own = [one for one in metering["sources"] if one["session_id"] == session_id]
    return {**metering, "sources": own}
