"""The documents of the contract, as schemas: exact keys, types, and closed sets of words.

The words stand here once more, and are not read from the product: a changed word is a changed
contract, and has to be changed here as well.

    assert_status(json.loads(stdout))
    assert_error_data(error["data"]["acp_bridge"])
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

Words = frozenset[str]

MODES: Final = Words({"api-key", "subscription", "endpoint"})
LETTERS: Final = Words({"A", "B", "C"})
GUARANTEES: Final = Words({"enforced", "none"})
GUARDS: Final = Words({"enforce", "observe", "off"})
BUCKETS: Final = Words(
    {"plan_limits", "extra_usage", "programmatic_credit", "api", "endpoint", "unknown"}
)
CREDENTIAL_CLASSES: Final = Words(
    {"api_key", "subscription_oauth", "endpoint_credential", "cloud", "none", "unknown"}
)
PLANS: Final = Words({"pro", "max-5x", "max-20x", "team", "enterprise"})
SURFACES: Final = Words(
    {
        "agent-sdk",
        "print",
        "terminal",
        "github-actions",
        "chat",
        "cowork",
        "third-party",
        "unknown",
    }
)
EVIDENCE_KINDS: Final = Words({"declared", "self_reported", "on_the_wire"})
EVIDENCE_SOURCES: Final = Words(
    {"launch plan", "auth_status", "wire", "telemetry", "raw_init", "rate_limit"}
)
VERDICTS: Final = Words({"agrees", "contradiction", "nothing", "note", "not_logged_in"})
LIMITS_SOURCES: Final = Words({"wire", "rate_limit_event"})
REASONS: Final = Words(
    {
        "mode_locked",
        "budget_exhausted",
        "metering_failed",
        "credential_contradiction",
        "guard_bypassed",
        "agent_exited",
        "line_too_long",
        "unparseable",
        "batch_not_supported",
    }
)
SOURCES: Final = Words({"wire", "telemetry", "transcript", "agent_result", "acp"})
STATES: Final = Words({"live", "settled", "outside", "unknown"})
ASKED_BY: Final = Words(
    {"main", "subagent", "title", "suggestion", "compaction", "retry", "count", "other"}
)
COST_KINDS: Final = Words({"billed_estimate", "list_price_equivalent", "endpoint_price", "unknown"})

REFERENCES: Final = Words({"wire", "ledger"})

_SHARE = re.compile(r"(0\.[0-9]|1\.0)[0-9]{2}")
_FRACTION = re.compile(r"[0-9]+(\.[0-9]+)?")
_MONEY = re.compile(r"[0-9]+\.[0-9]{6}")


@dataclass(frozen=True, slots=True)
class Nullable:
    """A value of that schema, or null."""

    schema: Any


@dataclass(frozen=True, slots=True)
class MayLack:
    """A member that may be left out, and is never null."""

    schema: Any


@dataclass(frozen=True, slots=True)
class Each:
    """An object with some of these words as keys, and values of one schema."""

    words: Words
    schema: Any


def moment(value: object) -> bool:
    """A time: ISO 8601, aware."""
    return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None


def money(value: object) -> bool:
    """US dollars as decimal text."""
    return isinstance(value, str) and _MONEY.fullmatch(value) is not None


def share(value: object) -> bool:
    """A part of a whole, as decimal text of three places."""
    return isinstance(value, str) and _SHARE.fullmatch(value) is not None


def fraction(value: object) -> bool:
    """A number that is not negative, as decimal text."""
    return isinstance(value, str) and _FRACTION.fullmatch(value) is not None


def count(value: object) -> bool:
    """A number of things, which no boolean is."""
    return type(value) is int and value >= 0


def one(value: object) -> bool:
    """The version of every document's shape."""
    return type(value) is int and value == 1


COST: Final = [{"cost_kind": COST_KINDS, "cost_usd": Nullable(money)}]
TOKENS: Final = {
    "input_tokens": count,
    "output_tokens": count,
    "cache_read_tokens": count,
    "cache_write_5m_tokens": count,
    "cache_write_1h_tokens": count,
}
FIGURES: Final = {
    "requests": Nullable(count),
    **{name: Nullable(condition) for name, condition in TOKENS.items()},
    "sources": Each(SOURCES, count),
    "states": Each(STATES, count),
    "state_tokens": Each(STATES, count),
    "unknown_requests": count,
    "pending": bool,
    "cost": COST,
    "unasked": {"requests": count, **TOKENS, "cost": COST},
}
GROUP_KEYS: Final[Mapping[str, Any]] = {
    "mode": MODES,
    "credential_class": CREDENTIAL_CLASSES,
    "bucket": BUCKETS,
    "surface": SURFACES,
    "model": Nullable(str),
    "asked_by": ASKED_BY,
    "source": SOURCES,
    "state": STATES,
    "run": str,
    "session": Nullable(str),
    "project": Nullable(str),
    "subagent": Nullable(str),
    "hour": str,
    "day": str,
    "week": str,
    "month": str,
}
WITNESS: Final = Nullable(
    {
        "requests": Nullable(count),
        **TOKENS,
        "missed_tokens": TOKENS,
        "beyond_tokens": TOKENS,
        "share": Nullable(share),
    }
)
WITNESSED: Final = {
    "reference_tokens": TOKENS,
    "witnesses": dict.fromkeys(SOURCES, WITNESS),
}
RECONCILIATION: Final = {
    "schema_version": one,
    "rows": [
        {
            "run_id": str,
            "session_id": Nullable(str),
            "model": Nullable(str),
            "reference": REFERENCES,
            **WITNESSED,
        }
    ],
    "totals": WITNESSED,
}
REMOVED: Final = [{"channel": str, "origin": str}]
EVIDENCE: Final = [
    {
        "kind": EVIDENCE_KINDS,
        "source": EVIDENCE_SOURCES,
        "at": moment,
        "value": str,
        "verdict": VERDICTS,
    }
]
VIOLATIONS: Final = [{"reason": REASONS, "at": moment, "detail": str}]
WIRE: Final = {
    "presented": Each(CREDENTIAL_CLASSES, count),
    "attached": Each(CREDENTIAL_CLASSES, count),
}
LIMITS: Final = [
    {
        "window": str,
        "used": Nullable(fraction),
        "status": Nullable(str),
        "resets_at": Nullable(moment),
        "seen_at": moment,
        "source": LIMITS_SOURCES,
    }
]
METERING: Final = Nullable(
    {
        "telemetry": bool,
        "sources": [{"session_id": str, "source": SOURCES}],
        "falls_back": [str],
        "pending": bool,
        "ledger": {"ok": bool, "reason": str, "hint": str, "lost": count},
    }
)
PAYER: Final = {
    "run_id": str,
    "mode": MODES,
    "mode_letter": LETTERS,
    "guarantees": GUARANTEES,
    "guard": GUARDS,
    "bucket": BUCKETS,
}
SESSION: Final = {"session_id": str, "cwd": Nullable(str), "model": Nullable(str)}
RUN: Final = {
    **PAYER,
    "expected_credential_class": CREDENTIAL_CLASSES,
    "started_at": moment,
    "ended_at": Nullable(moment),
}

STATUS: Final = {
    "schema_version": one,
    "bridges": [
        {
            **RUN,
            "pid": count,
            "alive": bool,
            "agent": {
                "name": Nullable(str),
                "version": Nullable(str),
                "claude_version": Nullable(str),
            },
            "plan": Nullable(PLANS),
            "policy_version": Nullable(str),
            "limits": LIMITS,
            "removed": REMOVED,
            "evidence": EVIDENCE,
            "wire": WIRE,
            "violations": VIOLATIONS,
            "sessions": [{**SESSION, "usage": Nullable(FIGURES)}],
            "metering": METERING,
        }
    ],
}
CARD: Final = {**PAYER, "version": str, "credential_class": CREDENTIAL_CLASSES}
ERROR_DATA: Final = {
    "reason": REASONS,
    "mode": MODES,
    "method": MayLack(str),
    "channel": MayLack(str),
    "hint": str,
}
RECEIPT: Final = {
    "schema_version": one,
    "run": RUN,
    "versions": {
        "bridge": Nullable(str),
        "agent_name": Nullable(str),
        "agent_version": Nullable(str),
        "claude_version": Nullable(str),
    },
    "policy": {"plan": Nullable(PLANS), "policy_version": Nullable(str)},
    "session": Nullable(SESSION),
    "decisions": {"removed": Nullable(REMOVED)},
    "evidence": EVIDENCE,
    "violations": VIOLATIONS,
    "wire": Nullable(WIRE),
    "usage": {
        "by_model": [{"model": Nullable(str), **FIGURES}],
        "by_state": [{"state": STATES, **FIGURES}],
        "by_bucket": Nullable([{"bucket": BUCKETS, **FIGURES}]),
        "by_source": Nullable([{"source": SOURCES, **FIGURES}]),
        "totals": Nullable(FIGURES),
        "uncosted_entries": Nullable(count),
    },
    "metering": METERING,
}
RECEIPTS: Final = {
    "schema_version": one,
    "session_id": Nullable(str),
    "receipts": [RECEIPT],
    "other_runs": [str],
}

OUTCOMES: Final = Words({"held", "leaked", "refused", "no_answer"})
PROOF: Final = {
    "schema_version": one,
    "agent": {"version": Nullable(str), "claude_version": Nullable(str)},
    "bridge_version": str,
    "profile": Words({"quick", "full"}),
    "guard": Each(MODES, GUARDS),
    "cases": [
        {
            "channel": str,
            "scope": str,
            "mode": MODES,
            "mode_letter": LETTERS,
            "without": OUTCOMES,
            "with": OUTCOMES,
            "held": bool,
            "detail": str,
        }
    ],
    "totals": {"planted": count, "leak_without": count, "held": count, "not_held": count},
    "held": bool,
}


def assert_status(document: Any) -> None:
    """Fail unless it is what ``status --json`` may print."""
    _assert_document(document, STATUS, "status")


def assert_usage(document: Any) -> None:
    """Fail unless it is what ``usage --json`` may print, whatever it is grouped by."""
    keys = document["group_by"]
    assert_shape(keys, [Words(GROUP_KEYS)], "usage.group_by")
    row = {**{key: GROUP_KEYS[key] for key in keys}, **FIGURES}
    schema = {"schema_version": one, "group_by": [str], "rows": [row], "totals": FIGURES}
    _assert_document(document, schema, "usage")


def assert_reconciliation(document: Any) -> None:
    """Fail unless it is what ``usage --reconcile --json`` may print."""
    _assert_document(document, RECONCILIATION, "reconciliation")


def assert_card(card: Any) -> None:
    """Fail unless it is what ``initialize`` may carry in ``_meta["acp_bridge"]``."""
    _assert_document(card, CARD, "card")


def assert_error_data(data: Any) -> None:
    """Fail unless it is what an error may carry in ``data.acp_bridge``."""
    _assert_document(data, ERROR_DATA, "error")


def assert_receipt(document: Any) -> None:
    """Fail unless it is a receipt."""
    _assert_document(document, RECEIPT, "receipt")


def assert_receipts(document: Any) -> None:
    """Fail unless it is what ``receipt --json`` may print."""
    _assert_document(document, RECEIPTS, "receipts")


def assert_proof(document: Any) -> None:
    """Fail unless it is what ``prove --json`` may print."""
    _assert_document(document, PROOF, "proof")


def _assert_document(document: Any, schema: Any, name: str) -> None:
    assert_shape(document, schema, name)
    assert json.loads(json.dumps(document)) == document, f"{name} is no JSON"


def assert_shape(value: Any, schema: Any, path: str) -> None:
    """Fail unless the value has exactly the keys, types and words of the schema.

    Args:
        value: what is looked at.
        schema: an object by its members, a list by the schema of its items, a closed set of words,
            a type, a condition, or one of the wrappers of this module.
        path: where the value is, for the failure.
    """
    match schema:
        case Nullable():
            if value is not None:
                assert_shape(value, schema.schema, path)
        case Each():
            assert isinstance(value, dict), f"{path} is {value!r}"
            for word, inner in value.items():
                assert word in schema.words, f"{path} has {word!r}"
                assert_shape(inner, schema.schema, f"{path}.{word}")
        case dict():
            _assert_members(value, schema, path)
        case list():
            assert isinstance(value, list), f"{path} is {value!r}"
            for number, item in enumerate(value):
                assert_shape(item, schema[0], f"{path}[{number}]")
        case frozenset():
            assert value in schema, f"{path} is {value!r}"
        case type():
            assert isinstance(value, schema), f"{path} is {value!r}"
        case _:
            _assert_condition(value, schema, path)


def _assert_members(value: Any, schema: Mapping[str, Any], path: str) -> None:
    assert isinstance(value, dict), f"{path} is {value!r}"
    may_lack = {key for key, inner in schema.items() if isinstance(inner, MayLack)}
    assert schema.keys() - may_lack <= value.keys() <= schema.keys(), f"{path} has {list(value)}"
    for key, inner in value.items():
        expected = schema[key]
        expected = expected.schema if isinstance(expected, MayLack) else expected
        assert_shape(inner, expected, f"{path}.{key}")


def _assert_condition(value: Any, condition: Callable[[object], bool], path: str) -> None:
    assert condition(value), f"{path} is {value!r}, which is no {condition.__name__}"
