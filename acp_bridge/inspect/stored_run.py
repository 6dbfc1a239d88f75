"""A run as the ledger alone remembers it, in the words of ``status --json``.

The registry forgets a run a month after its end, the ledger never does.
"""

import json
from collections.abc import Sequence
from typing import Any

from acp_bridge.ledger.queries import Ledger
from acp_bridge.ledger.records import EvidenceRow, RunRow
from acp_bridge.modes import Bucket
from acp_bridge.protocol.evidence import Source, Verdict
from acp_bridge.protocol.initialize import GUARANTEES_NONE
from acp_bridge.run.record import KEPT_EVIDENCE, KEPT_VIOLATIONS


def stored_run(ledger: Ledger, row: RunRow) -> dict[str, Any]:
    """An entry of ``bridges`` of the ledger's own, without what only the registry knows.

    That is process, life and sessions. How the meter did (``metering``) is null. So is what was
    not noted: removed channels by older bridges, and requests on the wire of a run whose end nobody
    saw, since they are counted at the end. Besides it has ``plan``, ``policy_version`` and
    ``bridge_version``.

    Args:
        ledger: where evidence and violations are looked up.
        row: the run.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    evidence, violations = ledger.evidence(row.run_id), ledger.violations(row.run_id)
    return {
        "run_id": row.run_id,
        "mode": row.mode.value,
        "mode_letter": row.mode.letter,
        "guarantees": row.guarantees,
        "agent": {
            "name": row.agent_name,
            "version": row.agent_version,
            "claude_version": row.claude_version,
        },
        "guard": row.guard.value,
        "started_at": row.started_at.isoformat(),
        "ended_at": None if row.ended_at is None else row.ended_at.isoformat(),
        "expected_credential_class": row.credential_class.value,
        "bucket": _bucket(row, evidence),
        "removed": _noted(row.removed),
        "evidence": [
            {
                "kind": one.kind,
                "source": one.source,
                "at": one.at.isoformat(),
                "value": one.value,
                "verdict": one.verdict,
            }
            for one in evidence[-KEPT_EVIDENCE:]
        ],
        "wire": None if row.ended_at is None else _noted(row.wire),
        "violations": [
            {"reason": one.reason, "at": one.at.isoformat(), "detail": one.detail}
            for one in violations[-KEPT_VIOLATIONS:]
        ],
        "metering": None,
        "plan": None if row.plan is None else row.plan.value,
        "policy_version": row.policy_version,
        "bridge_version": row.bridge_version,
    }


def _bucket(row: RunRow, evidence: Sequence[EvidenceRow]) -> str:
    """What was charged last. The row has what the run began with; each change is evidence."""
    if row.guarantees == GUARANTEES_NONE:
        return row.bucket.value
    changes = (
        one.value
        for one in reversed(evidence)
        if (one.source, one.verdict) == (Source.RATE_LIMIT, Verdict.NOTE)
    )
    return next((value for value in changes if value in _CHANGED_TO), row.bucket.value)


_CHANGED_TO = frozenset(Bucket) - {Bucket.API, Bucket.ENDPOINT}
"""A plan's buckets change. Of the same source, ``api`` names a kind of rate limit."""


def _noted(text: str | None) -> Any:
    """What was stored as JSON; None if nothing was, or if somebody garbled it."""
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return None
