"""The schemas of the contract: they refuse what is not in it, and know every word that is."""

from collections.abc import Iterable
from typing import Any

import pytest

from acp_bridge.errors import Reason
from acp_bridge.ledger.report import GroupKey
from acp_bridge.metering.comparison import Reference
from acp_bridge.metering.usage import AskedBy, CostKind, Source, State
from acp_bridge.modes import BillingMode, Bucket, CredentialClass, Guard
from acp_bridge.policy.surface import Surface
from acp_bridge.protocol.evidence import EvidenceKind, Verdict
from acp_bridge.proving.sightings import Outcome
from tests import documents
from tests.documents import (
    assert_card,
    assert_error_data,
    assert_reconciliation,
    assert_shape,
    assert_usage,
)

CARD: dict[str, Any] = {
    "version": "1.2.3",
    "run_id": "20260131-235959-a1b2c3",
    "mode": "subscription",
    "mode_letter": "B",
    "credential_class": "subscription_oauth",
    "bucket": "plan_limits",
    "guard": "off",
    "guarantees": "enforced",
}
TOKENS = dict.fromkeys(documents.TOKENS, 0)
FIGURES: dict[str, Any] = {
    "requests": 0,
    **TOKENS,
    "sources": {},
    "states": {},
    "state_tokens": {},
    "unknown_requests": 0,
    "pending": False,
    "cost": [{"cost_kind": "unknown", "cost_usd": "0.000000"}],
    "unasked": {"requests": 0, **TOKENS, "cost": []},
}


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (documents.MODES, BillingMode),
        (documents.LETTERS, [mode.letter for mode in BillingMode]),
        (documents.GUARDS, Guard),
        (documents.BUCKETS, Bucket),
        (documents.CREDENTIAL_CLASSES, CredentialClass),
        (documents.SURFACES, Surface),
        (documents.EVIDENCE_KINDS, EvidenceKind),
        (documents.VERDICTS, Verdict),
        (documents.REASONS, Reason),
        (documents.SOURCES, Source),
        (documents.STATES, State),
        (documents.ASKED_BY, AskedBy),
        (documents.COST_KINDS, CostKind),
        (documents.GROUP_KEYS, GroupKey),
        (documents.OUTCOMES, Outcome),
        (documents.REFERENCES, Reference),
    ],
)
def test_the_contract_has_the_words_of_the_product_and_no_others(
    written: Iterable[str], words: Iterable[str]
) -> None:
    assert set(written) == set(map(str, words))


def test_the_examples_are_documents_of_the_contract() -> None:
    assert_card(CARD)
    assert_shape(FIGURES, documents.FIGURES, "figures")


@pytest.mark.parametrize("change", [{"more": 1}, {"mode": "free"}, {"version": None}], ids=str)
def test_a_card_that_says_anything_else_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        assert_card(CARD | change)


@pytest.mark.parametrize("lacking", CARD)
def test_a_card_that_lacks_anything_is_refused(lacking: str) -> None:
    with pytest.raises(AssertionError):
        assert_card({key: value for key, value in CARD.items() if key != lacking})


@pytest.mark.parametrize(
    "change",
    [
        {"requests": True},
        {"requests": -1},
        {"input_tokens": "12"},
        {"pending": 0},
        {"sources": {"a friend": 1}},
        {"cost": [{"cost_kind": "unknown", "cost_usd": 0.5}]},
        {"cost": [{"cost_kind": "unknown", "cost_usd": "1e-6"}]},
    ],
    ids=str,
)
def test_figures_of_any_other_type_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        assert_shape(FIGURES | change, documents.FIGURES, "figures")


def test_a_row_has_exactly_what_the_document_is_grouped_by() -> None:
    row = {"mode": "api-key", "model": None, **FIGURES}
    document = {
        "schema_version": 1,
        "group_by": ["mode", "model"],
        "rows": [row],
        "totals": FIGURES,
    }
    assert_usage(document)
    for other in (["mode"], ["mode", "model", "run"], ["mode", "colour"]):
        with pytest.raises(AssertionError):
            assert_usage(document | {"group_by": other})


def test_an_error_may_lack_its_method_and_channel_and_nothing_else() -> None:
    data = {"reason": "agent_exited", "mode": "endpoint", "hint": "start again"}
    assert_error_data(data)
    assert_error_data(data | {"method": "logout", "channel": "env.ANTHROPIC_API_KEY"})
    for wrong in (data | {"method": None}, data | {"reason": "bad luck"}, {"mode": "endpoint"}):
        with pytest.raises(AssertionError):
            assert_error_data(wrong)


WITNESS: dict[str, Any] = {
    "requests": None,
    **TOKENS,
    "missed_tokens": TOKENS,
    "beyond_tokens": TOKENS,
    "share": "0.930",
}


@pytest.mark.parametrize(
    "change",
    [{}, {"share": None}, {"requests": 3}, {"share": "1.000"}, {"share": "0.000"}],
    ids=str,
)
def test_a_witness_may_leave_its_requests_and_its_share_unknown(change: dict[str, Any]) -> None:
    assert_shape(WITNESS | change, documents.WITNESS, "witness")


@pytest.mark.parametrize(
    "change",
    [{"share": 0.93}, {"share": "1.330"}, {"share": "0.9"}, {"input_tokens": None}, {"more": 1}],
    ids=str,
)
def test_a_witness_that_says_anything_else_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        assert_shape(WITNESS | change, documents.WITNESS, "witness")


def test_a_reconciliation_names_every_witness_also_one_that_told_nothing() -> None:
    witnesses = {**dict.fromkeys(documents.SOURCES), "acp": WITNESS}
    compared = {"reference_tokens": TOKENS, "witnesses": witnesses}
    row = {"run_id": "run", "session_id": None, "model": None, "reference": "ledger", **compared}
    document = {"schema_version": 1, "rows": [row], "totals": compared}
    assert_reconciliation(document)
    fewer = {"reference_tokens": TOKENS, "witnesses": {"acp": WITNESS}}
    for wrong in ({"totals": fewer}, {"rows": [row | {"reference": "acp"}]}, {"totals": None}):
        with pytest.raises(AssertionError):
            assert_reconciliation(document | wrong)


@pytest.mark.parametrize("time", ["2026-01-31T12:00:00", 1769860800, None])
def test_a_time_without_a_zone_is_refused(time: object) -> None:
    assert_shape("2026-01-31T12:00:00+00:00", documents.moment, "at")
    with pytest.raises(AssertionError):
        assert_shape(time, documents.moment, "at")
