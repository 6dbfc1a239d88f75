"""Dollars, the kind of money they are, and the share at which a budget warns."""

from decimal import Decimal

import pytest

from acp_bridge.metering.usage import CostKind
from acp_bridge.modes import BillingMode, Bucket
from acp_bridge.policy.budgets import MONEY_OF_MODE
from tests.policy.rows_read import IN_USD, MONEY_OF_BUCKET, SMALLEST, one, wrong


@pytest.mark.parametrize(
    ("value", "micros"),
    [
        ("25.00", 25_000_000),
        ("25", 25_000_000),
        (25, 25_000_000),
        ("0.000001", 1),
        ("0.5", 500_000),
        ("999999999.999999", 999_999_999_999_999),
    ],
)
def test_dollars_are_read_exactly(value: object, micros: int) -> None:
    assert one(IN_USD, limit_usd=value).limit.amount == micros


@pytest.mark.parametrize(
    "value",
    ["", "0.0000001", "1e3", "-1", "+1", "1,000", ".5", "5.", "$5", " 5", "5\n", "nan", -1, 10**9],
)
def test_other_dollars_are_refused(value: object) -> None:
    message, hint = wrong(IN_USD, limit_usd=value)

    assert message.startswith("limit_usd cannot be ")
    assert 'limit_usd = "25.00"' in hint


@pytest.mark.parametrize("value", ["0", "0.00", 0])
def test_no_dollars_are_no_limit(value: object) -> None:
    message, hint = wrong(IN_USD, limit_usd=value)

    assert message == f"limit_usd cannot be {value!r}"
    assert "more than 0" in hint


def test_a_binary_fraction_of_a_dollar_is_to_be_quoted() -> None:
    message, hint = wrong(IN_USD, limit_usd=25.1)

    assert "not exact" in message
    assert hint == 'quote it: limit_usd = "25.1"'
    assert wrong(IN_USD, limit_usd=True)[0].startswith("limit_usd must be a whole number")


@pytest.mark.parametrize("mode", BillingMode)
def test_a_mode_implies_the_money(mode: BillingMode) -> None:
    budget = one(IN_USD, scope={"mode": mode.value}, limit_usd=1)

    assert budget.limit.cost_kind is MONEY_OF_MODE[mode]


@pytest.mark.parametrize(("bucket", "kind"), MONEY_OF_BUCKET.items())
def test_a_bucket_implies_the_money(bucket: Bucket, kind: CostKind) -> None:
    budget = one(IN_USD, scope={"bucket": bucket.value}, limit_usd=1)

    assert budget.limit.cost_kind is kind


@pytest.mark.parametrize("scope", [None, {}, {"model": "x"}, {"bucket": "unknown"}])
def test_without_mode_or_bucket_dollars_say_which_money(scope: object) -> None:
    message, hint = wrong(IN_USD, scope=scope, limit_usd=1)

    assert "which money" in message
    assert "billed_estimate, list_price_equivalent, endpoint_price, or a scope" in hint
    assert one(IN_USD, scope=scope, limit_usd=1, money="endpoint_price").limit.cost_kind is (
        CostKind.ENDPOINT_PRICE
    )


@pytest.mark.parametrize("money", ["unknown", "usd", 5])
def test_money_is_of_a_known_kind(money: object) -> None:
    message, _ = wrong(IN_USD, limit_usd=1, money=money)

    assert message == f"money cannot be {money!r}"


def test_a_budget_that_nobody_could_spend_is_refused() -> None:
    message, _ = wrong(IN_USD, limit_usd=1, money="endpoint_price")
    assert message.startswith("scope.mode goes with billed_estimate and money with endpoint_price")

    never = {"mode": "api-key", "bucket": "plan_limits"}
    message, _ = wrong(SMALLEST, scope=never)
    assert message.startswith("scope.mode goes with billed_estimate and scope.bucket with list_pri")


@pytest.mark.parametrize(
    ("value", "share"),
    [(0.8, "0.8"), (1, "1"), (1.0, "1"), ("0.85", "0.85"), (0.0001, "0.0001")],
)
def test_a_warning_is_due_at_a_share(value: object, share: str) -> None:
    assert one(SMALLEST, warn_at=value).warn_at == Decimal(share)


@pytest.mark.parametrize(
    "value", [0, 0.0, -0.5, 1.01, 80, "80%", True, float("nan"), float("inf"), 0.00001, [], "1\n"]
)
def test_another_share_is_refused(value: object) -> None:
    message, hint = wrong(SMALLEST, warn_at=value)

    assert message.startswith("warn_at cannot be ")
    assert "warn_at = 0.8" in hint
