"""What a witness missed, and what it told that the reference has not."""

from collections.abc import Mapping
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acp_bridge.metering.comparison import (
    UNNAMED,
    Compared,
    Comparison,
    Reference,
    WitnessedSession,
    totals,
)
from acp_bridge.metering.reconciling import Figures
from acp_bridge.metering.usage import Source, Tokens, total

WIRE, TELEMETRY, RESULT, ACP = Source.WIRE, Source.TELEMETRY, Source.AGENT_RESULT, Source.ACP
TRUE = Tokens(100, 50, 1000, 40, 10)

Said = Mapping[Source, Mapping[str, Tokens]]


def session(told: Said, recorded: Mapping[str, Tokens] | None = None) -> WitnessedSession:
    figures = {
        source: {model: Figures(tokens, 1) for model, tokens in of.items()}
        for source, of in told.items()
    }
    return WitnessedSession("run", "session", figures, recorded or {})


def in_all(*sessions: WitnessedSession) -> Comparison:
    return totals(one.by_model() for one in sessions)


def beside(comparison: Comparison, source: Source) -> Compared:
    found = comparison.witnesses[source]
    assert found is not None
    return found


def test_the_wire_is_the_reference_where_it_saw_the_session() -> None:
    witnessed = session({WIRE: {"opus": TRUE}}, {"opus": TRUE + TRUE})
    assert witnessed.reference is Reference.WIRE
    found = witnessed.by_model()["opus"]
    assert found.reference == TRUE
    assert beside(found, WIRE) == Compared(Figures(TRUE, 1))
    assert beside(found, WIRE).share(TRUE) == Decimal("1.000")


def test_the_ledger_is_the_reference_where_the_wire_saw_nothing() -> None:
    witnessed = session({TELEMETRY: {"opus": TRUE}}, {"opus": TRUE, "haiku": Tokens(3)})
    assert witnessed.reference is Reference.LEDGER
    found = witnessed.by_model()
    assert {model: one.reference for model, one in found.items()} == {
        "haiku": Tokens(3),
        "opus": TRUE,
    }
    assert beside(found["opus"], TELEMETRY).missed == Tokens()


def test_who_told_nothing_has_no_figures_at_all() -> None:
    found = session({WIRE: {"opus": TRUE}, ACP: {"haiku": Tokens()}}).by_model()
    assert found["opus"].witnesses[ACP] is None
    assert found["haiku"].witnesses[WIRE] is None
    assert beside(found["haiku"], ACP).figures == Figures(Tokens(), 1)
    assert set(found["opus"].witnesses) == set(Source)


def test_missed_and_beyond_are_told_kind_by_kind_and_do_not_make_up_for_one_another() -> None:
    told = Tokens(90, 60, 1000, 40, 0)
    found = beside(session({WIRE: {"m": TRUE}, RESULT: {"m": told}}).by_model()["m"], RESULT)
    assert found.missed == Tokens(input=10, cache_write_1h=10)
    assert found.beyond == Tokens(output=10)
    assert found.share(TRUE) == Decimal("0.983")


def test_a_model_that_the_wire_did_not_see_in_its_session_is_beyond_it() -> None:
    found = session({WIRE: {"opus": TRUE}, TELEMETRY: {"haiku": Tokens(5)}}).by_model()["haiku"]
    assert found.reference == Tokens()
    assert beside(found, TELEMETRY).beyond == Tokens(5)
    assert beside(found, TELEMETRY).share(found.reference) is None


@pytest.mark.parametrize(
    ("missed", "share"), [(0, "1.000"), (1, "0.999"), (1_000_000, "0.000"), (999_999, "0.000")]
)
def test_the_share_is_a_whole_one_only_if_nothing_is_missed(missed: int, share: str) -> None:
    found = Compared(Figures(), missed=Tokens(missed))
    assert found.share(Tokens(1_000_000)) == Decimal(share)


def test_acp_does_not_tell_how_long_writes_last_and_is_not_held_to_it() -> None:
    all_as_5m = Tokens(100, 50, 1000, 50, 0)
    told = {WIRE: {"m": TRUE}, ACP: {"m": all_as_5m}, RESULT: {"m": all_as_5m}}
    found = session(told).by_model()["m"]
    assert (beside(found, ACP).missed, beside(found, ACP).beyond) == (Tokens(), Tokens())
    assert beside(found, RESULT).missed == Tokens(cache_write_1h=10)
    assert beside(found, RESULT).beyond == Tokens(cache_write_5m=10)


def test_a_correction_that_is_negative_in_one_kind_is_no_token_to_be_missed() -> None:
    recorded = Tokens(10, 0, 0, -4, 0)
    found = session({ACP: {"m": Tokens(10)}}, {"m": recorded}).by_model()["m"]
    assert beside(found, ACP).missed == beside(found, ACP).beyond == Tokens()
    assert beside(found, ACP).share(recorded) == Decimal("1.000")


def test_what_is_told_without_a_model_is_held_against_all_models_together() -> None:
    told = {WIRE: {"opus": TRUE, "haiku": Tokens(20)}, ACP: {UNNAMED: Tokens(110, 50, 1000, 50)}}
    found = session(told).by_model()
    assert list(found) == ["haiku", "opus", UNNAMED]
    assert found[UNNAMED].reference == TRUE + Tokens(20)
    assert beside(found[UNNAMED], ACP).missed == Tokens(10)
    assert beside(found[UNNAMED], ACP).beyond == Tokens()
    assert beside(found[UNNAMED], WIRE).figures == Figures(TRUE + Tokens(20), 2)
    assert found["opus"].witnesses[ACP] is None


def test_totals_hold_everything_once_also_where_all_models_stand_beside_each() -> None:
    named = session({WIRE: {"opus": TRUE, "haiku": Tokens(20)}})
    unnamed = session({WIRE: {"opus": TRUE}, ACP: {UNNAMED: TRUE}})
    found = in_all(named, unnamed)
    assert found.reference == TRUE + TRUE + Tokens(20)
    assert beside(found, WIRE).figures == Figures(TRUE + TRUE + Tokens(20), 3)
    assert beside(found, WIRE).missed == Tokens()


def test_in_the_totals_a_session_that_a_witness_did_not_tell_of_is_missed() -> None:
    told_of = session({WIRE: {"opus": TRUE}, ACP: {"opus": TRUE}})
    untold = session({WIRE: {"opus": Tokens(7)}})
    found = in_all(told_of, untold)
    assert beside(found, ACP).missed == Tokens(7)
    assert beside(found, ACP).figures == Figures(TRUE, 1)
    assert found.witnesses[RESULT] is None


def test_no_sessions_have_no_witnesses() -> None:
    assert totals([]) == Comparison(Tokens(), dict.fromkeys(Source))


COUNT = st.integers(0, 100)
TOKENS = st.builds(Tokens, COUNT, COUNT, COUNT, COUNT, COUNT)
BY_MODEL = st.dictionaries(st.sampled_from(["opus", "haiku", UNNAMED]), TOKENS, min_size=1)
SESSIONS = st.builds(
    session,
    st.dictionaries(st.sampled_from(Source), BY_MODEL, min_size=1),
    st.dictionaries(st.sampled_from(["opus", "haiku", UNNAMED]), TOKENS),
)


@given(SESSIONS)
def test_what_was_told_is_the_reference_less_missed_and_with_what_is_beyond(
    witnessed: WitnessedSession,
) -> None:
    for comparison in witnessed.by_model().values():
        for source, found in comparison.witnesses.items():
            if found is None:
                continue
            rest = comparison.reference - found.missed + found.beyond - found.figures.tokens
            if source is not ACP:
                assert rest == Tokens()
            assert rest.total == 0
            assert found.missed == found.missed.positive
            assert found.beyond == found.beyond.positive
            share = found.share(comparison.reference)
            assert (share is None) is (comparison.reference == Tokens())
            assert share is None or 0 <= share <= 1
            assert share is None or (share == 1) is (not found.missed)


@given(st.lists(SESSIONS, max_size=4))
def test_totals_add_up_what_every_witness_told_and_every_true_token(
    sessions: list[WitnessedSession],
) -> None:
    found = in_all(*sessions)
    assert found.reference == total(tokens for one in sessions for tokens in one._truth().values())
    for source in Source:
        told = [of.tokens for one in sessions for of in one.told.get(source, {}).values()]
        compared = found.witnesses[source]
        assert (compared is None) is (not told)
        if compared is not None:
            assert compared.figures.tokens == total(told)
            assert compared.figures.requests == len(told)
            rest = found.reference - compared.missed + compared.beyond - total(told)
            assert rest.total == 0
    wire = found.witnesses[WIRE]
    if wire is not None and all(one.reference is Reference.WIRE for one in sessions):
        assert wire.missed == wire.beyond == Tokens()
