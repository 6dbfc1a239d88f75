"""How a budget stands: its level, what is left of it, and how people read it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal, getcontext, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acp_bridge.metering.usage import CostKind
from acp_bridge.policy.budgets import (
    Action,
    Budget,
    Level,
    Limit,
    LimitUnit,
    Spent,
    Standing,
    standing,
    usd_text,
)
from acp_bridge.policy.windows import Span
from tests.policy.budgets_to_ask import (
    EVERYBODY,
    FIVE_HOURS,
    MONTH,
    NOW,
    REQUESTS,
    SESSION,
    TOKENS,
    UNTIMED,
    budget,
    stand,
)


@pytest.mark.parametrize(
    ("spent", "reserved", "level", "left"),
    [
        (0, 0, Level.OK, 100),
        (79, 0, Level.OK, 21),
        (79, 21, Level.OK, 0),
        (80, 0, Level.WARNED, 20),
        (99, 30, Level.WARNED, 0),
        (100, 0, Level.REACHED, 0),
        (130, 0, Level.REACHED, 0),
    ],
)
def test_the_level_is_of_what_is_spent_and_the_rest_also_of_what_is_reserved(
    spent: int, reserved: int, level: Level, left: int
) -> None:
    found = stand(budget(limit=TOKENS), spent, reserved)

    assert found.level is level
    assert found.left == left


def test_the_share_is_never_shown_as_more_than_it_is() -> None:
    assert stand(budget(limit=TOKENS), 25).share == Decimal("0.25")
    assert stand(budget(limit=TOKENS), 150).share == Decimal("1.5")
    assert stand(budget(), 24_999_999).share == Decimal("0.999999")
    assert stand(budget(limit=Limit(LimitUnit.TOKENS, 10**15)), 10**15 - 1).share < 1


@UNTIMED
@given(st.integers(1, 10**15), st.integers(1, 10_000), st.integers(-2, 2))
def test_the_warning_is_due_at_the_exact_amount_in_any_decimal_context(
    limit: int, share: int, beside: int
) -> None:
    warn_at = Decimal(share).scaleb(-4)
    of = Budget("b", EVERYBODY, MONTH, Limit(LimitUnit.TOKENS, limit), warn_at, Action.WARN)
    spent = max(0, limit * share // 10_000 + beside)
    with localcontext(prec=2):
        assert getcontext().prec == 2
        level = standing(of, Spent(spent), NOW).level

    due = spent * 10_000 >= limit * share
    assert level is (Level.REACHED if spent >= limit else Level.WARNED if due else Level.OK)


def test_a_calendar_budget_knows_when_it_resets() -> None:
    found = standing(budget(), Spent(0), NOW, resets_at=NOW)

    assert found.span == MONTH.span(NOW)
    assert found.resets_at == MONTH.span(NOW).end == datetime(2026, 11, 30, 23, tzinfo=UTC)


def test_a_rolling_budget_is_told() -> None:
    soon = NOW + timedelta(minutes=7)

    assert standing(budget(window=FIVE_HOURS), Spent(0), NOW, soon).resets_at == soon
    assert standing(budget(window=FIVE_HOURS), Spent(0), NOW).resets_at is None
    assert standing(budget(window=SESSION), Spent(0), NOW).span == Span(None, None)


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (0, "0.00"),
        (1, "0.000001"),
        (10, "0.00001"),
        (500_000, "0.50"),
        (25_000_000, "25.00"),
        (25_012_300, "25.0123"),
        (25_100_000, "25.10"),
        (999_999_999_999_999, "999999999.999999"),
    ],
)
def test_dollars_are_exact_with_two_decimals_or_more(micros: int, text: str) -> None:
    assert usd_text(micros) == text


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (
            stand(budget(), 25_012_300),
            (
                "budget month has spent 25.0123 of 25.00 USD (billed estimate)"
                " since 2026-11-01 00:00 +01:00; it resets on 2026-12-01 00:00 +01:00"
            ),
        ),
        (
            stand(budget(), 20_000_000, reserved=300_000, uncounted=3),
            (
                "budget month has spent at least 20.00 of 25.00 USD (billed estimate)"
                " since 2026-11-01 00:00 +01:00, beside 3 requests that nobody could count,"
                " and 0.30 more is reserved by requests under way;"
                " it resets on 2026-12-01 00:00 +01:00"
            ),
        ),
        (
            stand(budget("talk", TOKENS, window=SESSION), 120, uncounted=1),
            (
                "budget talk has spent at least 120 of 100 tokens in this session,"
                " beside 1 request that nobody could count; it does not reset"
            ),
        ),
        (
            stand(budget("burst", REQUESTS, window=FIVE_HOURS), 19),
            (
                "budget burst has spent 19 of 20 requests in the last 5 hours;"
                " room comes back as what was spent gets 5 hours old"
            ),
        ),
        (
            standing(
                budget(
                    "burst", Limit(LimitUnit.USD, 1, CostKind.ENDPOINT_PRICE), window=FIVE_HOURS
                ),
                Spent(1),
                NOW,
                NOW + timedelta(hours=1),
            ),
            (
                "budget burst has spent 0.000001 of 0.000001 USD (endpoint price)"
                " in the last 5 hours; room comes back from 2026-11-26 14:00 +01:00"
            ),
        ),
        (
            stand(budget(limit=Limit(LimitUnit.USD, 1, CostKind.LIST_PRICE_EQUIVALENT)), 0),
            (
                "budget month has spent 0.00 of 0.000001 USD (list-price equivalent)"
                " since 2026-11-01 00:00 +01:00; it resets on 2026-12-01 00:00 +01:00"
            ),
        ),
    ],
)
def test_a_person_reads_what_was_spent_of_what_since_and_until_when(
    found: Standing, sentence: str
) -> None:
    assert found.sentence == sentence
