"""Budgets that are written into a file and read again, and whatever else may stand there."""

from datetime import timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from acp_bridge.errors import ConfigurationError
from acp_bridge.metering.usage import CostKind
from acp_bridge.modes import BillingMode, Bucket
from acp_bridge.policy.budget_rows import MOST, pool_budget
from acp_bridge.policy.budgets import MONEY_OF_MODE, Action, Budget, Limit, LimitUnit, Scope
from acp_bridge.policy.windows import Window, WindowKind
from tests.policy.budget_tables import as_table
from tests.policy.rows_read import (
    IN_USD,
    LIMITS,
    MONEY,
    MONEY_OF_BUCKET,
    SMALLEST,
    UNTIMED,
    ZURICH,
    one,
    read,
)


def test_a_table_has_every_choice_written_out() -> None:
    assert as_table(one(IN_USD, limit_usd="25.5", scope={"mode": "A", "model": "x*"})) == {
        "name": "month",
        "scope": {"mode": "api-key", "model": "x*"},
        "window": "month",
        "time_zone": "Europe/Zurich",
        "limit_usd": "25.50",
        "money": "billed_estimate",
        "warn_at": 0.8,
        "action": "block",
    }
    assert as_table(one(SMALLEST, window="5h", warn_at=1)) == {
        "name": "month",
        "window": "5h",
        "limit_tokens": 1000,
        "warn_at": 1.0,
        "action": "block",
    }


def test_values_of_a_table_are_plain_so_that_any_toml_writer_takes_them() -> None:
    table = as_table(one(IN_USD, limit_usd=1))
    scope = table["scope"]
    assert isinstance(scope, dict)

    assert {type(value) for value in (*table.values(), *scope.values())} == {str, float, dict}


def test_a_zone_without_a_name_is_left_to_the_caller() -> None:
    nameless = timezone(timedelta(hours=3))
    (budget,) = read(SMALLEST, zone=nameless)
    table = as_table(budget)

    assert "time_zone" not in table
    assert read(table, zone=nameless) == (budget,)


texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
zones = st.sampled_from(["UTC", "Europe/Zurich", "America/New_York"]).map(ZoneInfo)
whole = st.integers(1, MOST)
limits = st.one_of(
    st.builds(Limit, st.just(LimitUnit.USD), st.integers(1, MOST - 1), st.sampled_from(MONEY)),
    st.builds(Limit, st.sampled_from([LimitUnit.TOKENS, LimitUnit.REQUESTS]), whole),
)


@st.composite
def _windows(draw: st.DrawFn) -> Window:
    kind = draw(st.sampled_from(WindowKind))
    return Window(
        kind,
        draw(st.integers(1, 8784)) if kind is WindowKind.ROLLING else None,
        draw(st.integers(1, 31)) if kind is WindowKind.CYCLE else None,
        draw(zones) if kind.is_calendar else ZURICH,
    )


@st.composite
def _budgets(draw: st.DrawFn) -> Budget:
    limit = draw(limits)
    modes = [
        mode
        for mode in BillingMode
        if limit.cost_kind is None or MONEY_OF_MODE[mode] is limit.cost_kind
    ]
    mode = draw(st.one_of(st.none(), st.sampled_from(modes)))
    money = limit.cost_kind or (MONEY_OF_MODE[mode] if mode else None)
    buckets = [
        bucket for bucket in Bucket if money is None or MONEY_OF_BUCKET.get(bucket, money) is money
    ]
    return Budget(
        draw(st.from_regex(r"[a-z0-9][a-z0-9._-]{0,39}", fullmatch=True)),
        Scope(
            mode=mode,
            bucket=draw(st.one_of(st.none(), st.sampled_from(buckets))),
            project=draw(st.one_of(st.none(), texts.map("/{}".format).filter(_has_no_dots))),
            model=draw(st.one_of(st.none(), texts)),
            session=draw(st.one_of(st.none(), texts)),
        ),
        draw(_windows()),
        limit,
        Decimal(draw(st.integers(1, 10_000))).scaleb(-4),
        draw(st.sampled_from(Action)),
    )


def _has_no_dots(path: str) -> bool:
    return ".." not in path


@UNTIMED
@given(_budgets())
def test_a_budget_that_is_written_and_read_again_is_the_same(budget: Budget) -> None:
    assert read(as_table(budget)) == (budget,)


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
keys = st.sampled_from(
    [*("name", "scope", "window", "cycle_day", "time_zone", "money", "warn_at", "action"), *LIMITS]
)


@UNTIMED
@given(_budgets().map(as_table), keys, json)
def test_whatever_stands_in_the_file_is_read_or_refused_in_one_line(
    table: dict[str, object], key: str, value: object
) -> None:
    try:
        (budget,) = read({**table, key: value})
    except ConfigurationError as error:
        assert "\n" not in error.message + error.hint  # noqa: PT017 - either will do
    else:
        assert read(as_table(budget)) == (budget,)


def test_a_pool_is_a_monthly_budget_of_its_bucket_that_only_warns() -> None:
    bucket = Bucket.PROGRAMMATIC_CREDIT
    pool = pool_budget("credit", bucket, Decimal("100.50"), in_force=True, zone=ZURICH)

    assert pool == Budget(
        "credit",
        Scope(bucket=bucket),
        Window(WindowKind.MONTH, zone=ZURICH),
        Limit(LimitUnit.USD, 100_500_000, CostKind.LIST_PRICE_EQUIVALENT),
        Decimal("0.8"),
        Action.WARN,
    )
    assert read(as_table(pool)) == (pool,)


def test_a_pool_that_is_not_in_force_has_no_budget() -> None:
    bucket = Bucket.PROGRAMMATIC_CREDIT

    assert pool_budget("credit", bucket, Decimal(20), in_force=False, zone=ZURICH) is None
