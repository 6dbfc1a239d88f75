"""What was used, as the document that programs read: ``usage --json`` of the README's contract.

What could not be known is null, and kinds of money are never added together.
"""

from typing import Any

from acp_bridge.ledger.report import Cost, Report, ReportRow
from acp_bridge.metering.usage import Tokens

SCHEMA_VERSION = 1
_MICROS = 1_000_000


def usage_document(report: Report) -> dict[str, Any]:
    """A report as ``usage --json`` prints it."""
    names = [key.value for key in report.by]
    return {
        "schema_version": SCHEMA_VERSION,
        "group_by": names,
        "rows": [dict(zip(names, row.values, strict=True)) | figures(row) for row in report.rows],
        "totals": figures(report.totals),
    }


def figures(row: ReportRow) -> dict[str, Any]:
    """The figures of a row, without what it is grouped by; also a session's in ``status``."""
    return {
        "requests": row.requests,
        **(_tokens(row.tokens) if row.tokens_told else _NOT_TOLD),
        "sources": {source.value: count for source, count in row.sources.items()},
        "states": {state.value: count for state, count in row.states.items()},
        "state_tokens": {state.value: count for state, count in row.state_tokens.items()},
        "unknown_requests": row.unknown_requests,
        "pending": row.pending,
        "cost": _cost(row.cost),
        "unasked": {
            "requests": row.unasked.requests,
            **_tokens(row.unasked.tokens),
            "cost": _cost(row.unasked.cost),
        },
    }


def _tokens(tokens: Tokens) -> dict[str, int]:
    return {
        "input_tokens": tokens.input,
        "output_tokens": tokens.output,
        "cache_read_tokens": tokens.cache_read,
        "cache_write_5m_tokens": tokens.cache_write_5m,
        "cache_write_1h_tokens": tokens.cache_write_1h,
    }


_NOT_TOLD: dict[str, int | None] = dict.fromkeys(_tokens(Tokens()))


def _cost(cost: Cost) -> list[dict[str, str | None]]:
    return [
        {"cost_kind": kind.value, "cost_usd": None if micros is None else dollars(micros)}
        for kind, micros in sorted(cost.items())
    ]


def dollars(micros: int) -> str:
    """Millionths of a US dollar as an exact decimal text."""
    sign, rest = "-" if micros < 0 else "", abs(micros)
    return f"{sign}{rest // _MICROS}.{rest % _MICROS:06d}"
