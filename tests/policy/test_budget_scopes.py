"""Whom a budget is for: scopes, of what is known and what is not."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acp_bridge.metering.usage import CostKind
from acp_bridge.modes import BillingMode, Bucket
from acp_bridge.policy.budgets import (
    MONEY_OF_MODE,
    Limit,
    LimitUnit,
    Scope,
    Spender,
)
from tests.policy.budgets_to_ask import EVERYBODY, SPENDER, TOKENS, UNKNOWN, UNTIMED, budget, meets


def test_a_scope_without_conditions_is_everybody() -> None:
    assert meets(EVERYBODY)
    assert meets(EVERYBODY, UNKNOWN)


@pytest.mark.parametrize(
    ("met", "unmet"),
    [
        (Scope(mode=BillingMode.API_KEY), Scope(mode=BillingMode.SUBSCRIPTION)),
        (Scope(bucket=Bucket.API), Scope(bucket=Bucket.PLAN_LIMITS)),
        (Scope(bucket=Bucket.API), Scope(bucket=Bucket.UNKNOWN)),
        (Scope(project="/home/me/src"), Scope(project="/home/me/other")),
        (Scope(model="claude-opus-5-5"), Scope(model="claude-opus-5")),
        (Scope(session="acp-1"), Scope(session="acp-2")),
        (Scope(session="claude-1"), Scope(session="acp")),
    ],
)
def test_each_condition_is_met_or_not(met: Scope, unmet: Scope) -> None:
    assert meets(met)
    assert not meets(unmet)


def test_all_conditions_must_be_met() -> None:
    here = Scope(mode=BillingMode.API_KEY, project="/home/me/src")

    assert meets(replace(here, model="claude-*"))
    assert not meets(replace(here, model="gpt-*"))
    assert not meets(replace(here, session="other"))


@pytest.mark.parametrize(
    ("project", "matches"),
    [
        ("/home/me/src/bridge", True),
        ("/home/me/src/bridge/", True),
        ("/home/me", True),
        ("/home/./me//src", True),
        ("/", True),
        ("/home/me/src/bridge/tests", False),
        ("/home/me/src/bri", False),
        ("/home/me/src/bridge2", False),
        ("/me/src", False),
    ],
)
def test_a_project_is_its_directory_and_those_below(project: str, matches: bool) -> None:  # noqa: FBT001 - a row of the table
    assert meets(Scope(project=project)) is matches


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("claude-opus-5-5", True),
        ("Claude-Opus-5-5", True),
        ("claude-opus-*", True),
        ("*opus*", True),
        ("*-5-5", True),
        ("*", True),
        ("claude-opus-5-5*", True),
        ("claude*opus*5*5", True),
        ("claude**5", True),
        ("claude-sonnet-*", False),
        ("opus*", False),
        ("*opus", False),
        ("*opus-5-5*5", False),
        ("claude-opus-5*-5-5", False),
        ("*5*5*5*", False),
        ("*opus*claude*", False),
        ("claude-opus-5-?", False),
        ("claude-opus-5-[5]", False),
        ("claude.opus.5.5", False),
    ],
)
def test_a_model_is_named_or_matched_by_stars_alone(pattern: str, matches: bool) -> None:  # noqa: FBT001 - a row of the table
    assert meets(Scope(model=pattern)) is matches
    assert meets(Scope(model=pattern), replace(SPENDER, model="CLAUDE-opus-5-5")) is matches


@UNTIMED
@given(st.lists(st.text("ab-", max_size=4), min_size=2, max_size=4), st.data())
def test_a_star_is_any_text(parts: list[str], data: st.DataObject) -> None:
    fillings = [data.draw(st.text("ab-", max_size=4)) for _ in parts[1:]]
    name = parts[0] + "".join(fill + part for fill, part in zip(fillings, parts[1:], strict=True))
    spender = Spender(mode=BillingMode.API_KEY, bucket=Bucket.API, model=name or "-")

    assert meets(Scope(model="*".join(parts)), spender)


@pytest.mark.parametrize(
    "scope",
    [
        Scope(bucket=Bucket.API),
        Scope(project="/home/me"),
        Scope(model="claude-*"),
        Scope(session="acp-1"),
        Scope(mode=BillingMode.API_KEY, model="claude-*"),
    ],
)
def test_what_is_unknown_is_in_the_scope_for_admission_and_not_for_reports(scope: Scope) -> None:
    assert scope.matches(UNKNOWN, unknown_matches=True)
    assert not scope.matches(UNKNOWN, unknown_matches=False)


def test_what_is_unknown_does_not_make_up_for_what_is_known_to_differ() -> None:
    elsewhere = Scope(mode=BillingMode.ENDPOINT, model="claude-*")

    assert not meets(elsewhere, UNKNOWN)


def test_a_scope_may_be_what_nobody_knows_the_bucket_of() -> None:
    assert meets(Scope(bucket=Bucket.UNKNOWN), UNKNOWN)


@pytest.mark.parametrize("mode", BillingMode)
@pytest.mark.parametrize("money", MONEY_OF_MODE.values())
def test_a_budget_in_dollars_is_for_modes_that_pay_in_that_money(
    mode: BillingMode, money: CostKind
) -> None:
    spender = Spender(mode=mode, bucket=Bucket.UNKNOWN)
    in_usd = budget(limit=Limit(LimitUnit.USD, 1, money))

    assert in_usd.is_for(spender, unknown_matches=True) is (MONEY_OF_MODE[mode] is money)
    assert budget(limit=TOKENS).is_for(spender, unknown_matches=True)


def test_a_budget_is_for_those_in_its_scope() -> None:
    scoped = budget(scope=Scope(model="claude-*"))

    assert scoped.is_for(SPENDER, unknown_matches=False)
    assert scoped.is_for(UNKNOWN, unknown_matches=True)
    assert not scoped.is_for(UNKNOWN, unknown_matches=False)


@pytest.mark.parametrize(
    ("unit", "amount", "money"),
    [
        (LimitUnit.TOKENS, 0, None),
        (LimitUnit.TOKENS, -1, None),
        (LimitUnit.USD, 1, None),
        (LimitUnit.USD, 1, CostKind.UNKNOWN),
        (LimitUnit.TOKENS, 1, CostKind.BILLED_ESTIMATE),
        (LimitUnit.REQUESTS, 1, CostKind.UNKNOWN),
    ],
)
def test_a_limit_that_cannot_be_is_not_made(
    unit: LimitUnit, amount: int, money: CostKind | None
) -> None:
    with pytest.raises(ValueError, match="a limit"):
        Limit(unit, amount, money)
