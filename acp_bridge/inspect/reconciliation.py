"""What each witness told beside what is known best: ``usage --reconcile``, for programs.

A witness that told nothing is null, and never a row of zeros.
"""

from collections.abc import Iterable
from typing import Any

from acp_bridge.ledger.schema import TOKEN_COLUMNS
from acp_bridge.ledger.witnesses import Told
from acp_bridge.metering.comparison import Compared, Comparison, WitnessedSession, totals
from acp_bridge.metering.reconciling import Figures
from acp_bridge.metering.usage import Source, Tokens

SCHEMA_VERSION = 1


def reconciliation_document(told: Told) -> dict[str, Any]:
    """As ``usage --reconcile --json`` prints it.

    A row is a model of a session in a run. A row whose ``model`` is null is all models of the
    session together, and stands beside the others where a witness named no model.
    """
    sessions = [(session, session.by_model()) for session in _sessions(told)]
    return {
        "schema_version": SCHEMA_VERSION,
        "rows": [
            {
                "run_id": session.run_id,
                "session_id": session.session_id or None,
                "model": model or None,
                "reference": session.reference.value,
                **_compared(comparison),
            }
            for session, by_model in sessions
            for model, comparison in by_model.items()
        ],
        "totals": _compared(totals(by_model for _, by_model in sessions)),
    }


def _sessions(told: Told) -> Iterable[WitnessedSession]:
    """Sessions in the order of their rows."""
    said: dict[tuple[str, str], dict[Source, dict[str, Figures]]] = {}
    for row in told.witnesses:
        of_session = said.setdefault((row.run_id, row.session_id), {})
        figures = Figures(row.tokens, row.requests, row.cost_micros)
        of_session.setdefault(row.source, {})[row.model] = figures
    recorded: dict[tuple[str, str], dict[str, Tokens]] = {}
    for (run_id, session_id, model), tokens in told.recorded.items():
        recorded.setdefault((run_id, session_id), {})[model] = tokens
    for place, by_source in said.items():
        yield WitnessedSession(*place, by_source, recorded.get(place, {}))


def _compared(comparison: Comparison) -> dict[str, Any]:
    reference = comparison.reference
    return {
        "reference_tokens": _tokens(reference),
        "witnesses": {
            source.value: None if found is None else _witness(found, reference)
            for source, found in comparison.witnesses.items()
        },
    }


def _witness(found: Compared, reference: Tokens) -> dict[str, Any]:
    share = found.share(reference)
    return {
        "requests": found.figures.requests,
        **_tokens(found.figures.tokens),
        "missed_tokens": _tokens(found.missed),
        "beyond_tokens": _tokens(found.beyond),
        "share": None if share is None else str(share),
    }


def _tokens(tokens: Tokens) -> dict[str, int]:
    return dict(zip(TOKEN_COLUMNS, tokens.counts, strict=True))
