"""What a request would be charged to, and why: one document for programs, one page for people."""

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from acp_bridge.modes import CredentialClass
from acp_bridge.policy.billing import BillingPolicy, Pool, Question
from acp_bridge.policy.billing_rules import Follow, Source, Status
from acp_bridge.policy.surface import Surface

SCHEMA_VERSION = 1
WIDTH = 100
"""Columns of the page, fixed so that it reads the same everywhere."""

_LABEL = 14


def explanation_document(policy: BillingPolicy, question: Question) -> dict[str, Any]:
    """What the policy says to a question: bucket, rule, status, source, and what would change.

    What is not known is null. ``usd`` is decimal text.
    """
    decision = policy.decide(question)
    pool = None
    if question.plan is not None and _is_subscription(question):
        pool = policy.pool(question.plan, question.on)
    return {
        "schema_version": SCHEMA_VERSION,
        "asked": {
            "credential_class": question.credential_class.value,
            "surface": question.surface.value,
            "plan": question.plan.value if question.plan else None,
            "date": question.on.isoformat(),
        },
        "bucket": decision.bucket.value,
        "bucket_means": policy.buckets[decision.bucket].what,
        "rule": decision.rule,
        "status": decision.status.value if decision.status else None,
        "since": decision.since.isoformat() if decision.since else None,
        "source": _source(decision.source),
        "then": _then(decision.then),
        "pool": _pool(pool),
        "would_change": [
            {
                "sentence": change.sentence,
                "rule": change.rule,
                "status": change.status.value,
                "bucket": change.bucket.value,
                "then": _then(change.then),
            }
            for change in decision.would_change
        ],
        "notes": [note for note in (decision.note, *_notes(policy, question)) if note],
        "caveat": decision.caveat,
        "policy": {"version": policy.version, "older_than": policy.older_than},
    }


def render(document: Mapping[str, Any]) -> str:
    """The page for people.

    Args:
        document: from `explanation_document`.
    """
    return "\n".join([_heading(document["asked"]), "", *_lines(document)]) + "\n"


def _is_subscription(question: Question) -> bool:
    return question.credential_class is CredentialClass.SUBSCRIPTION_OAUTH


def _notes(policy: BillingPolicy, question: Question) -> Iterator[str]:
    surface = policy.surfaces[question.surface]
    if not surface.bridge and question.surface is not Surface.UNKNOWN:
        yield f"acp-bridge never runs this surface: {surface.what}."
    if _is_subscription(question):
        if question.plan is None:
            yield "Which plan you have is not known; --plan or ACP_BRIDGE_PLAN says it."
        else:
            yield policy.plans[question.plan].note
    if policy.older_than is not None:
        yield (
            f"Your own billing policy of {policy.version} is older than the one that came with"
            f" acp-bridge, of {policy.older_than}."
        )


def _source(source: Source | None) -> dict[str, Any] | None:
    if source is None:
        return None
    dated = source.dated.isoformat() if source.dated else None
    return {"title": source.title, "date": dated, "url": source.url}


def _then(follows: tuple[Follow, ...]) -> list[dict[str, str]]:
    return [{"to": follow.to.value, "when": follow.when} for follow in follows]


def _pool(pool: Pool | None) -> dict[str, Any] | None:
    if pool is None:
        return None
    return {
        "usd": str(pool.usd),
        "bucket": pool.bucket.value,
        "window": pool.window,
        "rolls_over": pool.rolls_over,
        "in_force": pool.in_force,
        "status": pool.status.value,
        "rule": pool.rule,
    }


def _heading(asked: Mapping[str, Any]) -> str:
    plan = ""
    if asked["credential_class"] == CredentialClass.SUBSCRIPTION_OAUTH:
        plan = f", plan {asked['plan'] or 'not known'}"
    return f"{asked['surface']} with {asked['credential_class']}{plan}, on {asked['date']}"


def _lines(document: Mapping[str, Any]) -> Iterator[str]:
    yield from _line("bucket", f"{document['bucket']}: {document['bucket_means']}")
    pool = document["pool"]
    if pool is not None and pool["rule"] == document["rule"]:
        kept = "rolls over" if pool["rolls_over"] else "no rollover"
        yield from _line("", f"{pool['usd']} USD a {pool['window']}, {kept}")
    yield from _line("rule", _rule(document))
    if document["source"] is not None:
        named = (document["source"][key] for key in ("title", "date", "url"))
        yield from _line("source", "; ".join(part for part in named if part))
    for label, follow in _labelled("used up", document["then"]):
        yield from _line(label, f"{follow['to']}: {follow['when']}")
    for label, change in _labelled("would change", document["would_change"]):
        yield from _line(label, change["sentence"])
    for label, note in _labelled("note", document["notes"]):
        yield from _line(label, note)
    yield from _line("caveat", document["caveat"])
    yield from _line("policy", document["policy"]["version"])


def _rule(document: Mapping[str, Any]) -> str:
    if document["rule"] is None:
        return "none"
    since = f"since {document['since']}" if document["since"] else "as far back as is known"
    return f"{document['rule']}, {Status(document['status']).replace('_', ' ')} {since}"


def _labelled(label: str, items: list[Any]) -> Iterator[tuple[str, Any]]:
    """The items, the first under the label."""
    for number, item in enumerate(items):
        yield "" if number else label, item


def _line(label: str, text: str) -> Iterator[str]:
    wrapped = textwrap.wrap(
        text, WIDTH - _LABEL, break_long_words=False, break_on_hyphens=False
    ) or [""]
    for number, part in enumerate(wrapped):
        yield f"{'' if number else label:<{_LABEL}}{part}"
