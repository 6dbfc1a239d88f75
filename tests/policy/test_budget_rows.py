import tomllib
from collections.abc import Mapping
from datetime import timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acp_bridge.errors import ConfigurationError
from acp_bridge.metering.usage import CostKind
from acp_bridge.modes import BillingMode, Bucket
from acp_bridge.policy.budget_rows import MOST, pool_budget, read_budgets
from acp_bridge.policy.budgets import MONEY_OF_MODE, Action, Budget, Limit, LimitUnit, Scope
from acp_bridge.policy.windows import Window, WindowKind
from tests.policy.budget_tables import as_table

UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
ZURICH = ZoneInfo("Europe/Zurich")
SMALLEST: dict[str, Any] = {"name": "month", "window": "month", "limit_tokens": 1000}
IN_USD: dict[str, Any] = {"name": "month", "window": "month", "scope": {"mode": "api-key"}}
LIMITS = [f"limit_{unit.value}" for unit in LimitUnit]
MONEY = [kind for kind in CostKind if kind is not CostKind.UNKNOWN]
MONEY_OF_BUCKET = {
    Bucket.PLAN_LIMITS: CostKind.LIST_PRICE_EQUIVALENT,
    Bucket.EXTRA_USAGE: CostKind.LIST_PRICE_EQUIVALENT,
    Bucket.PROGRAMMATIC_CREDIT: CostKind.LIST_PRICE_EQUIVALENT,
    Bucket.API: CostKind.BILLED_ESTIMATE,
    Bucket.ENDPOINT: CostKind.ENDPOINT_PRICE,
}


def read(*tables: object, zone: str | tzinfo | None = ZURICH) -> tuple[Budget, ...]:
    return read_budgets(list(tables), origin="config.toml", default_zone=zone)


def one(table: Mapping[str, Any], **changes: Any) -> Budget:
    """The budget of a table in which some keys are changed, or taken out (None)."""
    changed = {**table, **changes}
    (budget,) = read({key: value for key, value in changed.items() if value is not None})
    return budget


def wrong(table: Mapping[str, Any], **changes: Any) -> tuple[str, str]:
    """The message, without where, and the hint."""
    with pytest.raises(ConfigurationError) as refused:
        one(table, **changes)
    where, _, message = refused.value.message.partition(": ")
    assert where.endswith(" in config.toml")
    assert "\n" not in message + refused.value.hint
    return message, refused.value.hint


def test_the_example_of_the_documentation_is_read() -> None:
    document = """
        [[budget]]
        name = "month"
        scope = { mode = "api-key" }
        window = "cycle"
        cycle_day = 31
        time_zone = "America/New_York"
        limit_usd = "25.00"
        money = "billed_estimate"
        warn_at = 0.9
        action = "cancel"

        [[budget]]
        name = "burst"
        window = "5h"
        limit_requests = 200
    """
    assert read(*tomllib.loads(document)["budget"]) == (
        Budget(
            "month",
            Scope(mode=BillingMode.API_KEY),
            Window(WindowKind.CYCLE, cycle_day=31, zone=ZoneInfo("America/New_York")),
            Limit(LimitUnit.USD, 25_000_000, CostKind.BILLED_ESTIMATE),
            Decimal("0.9"),
            Action.CANCEL,
        ),
        Budget(
            "burst",
            Scope(),
            Window(WindowKind.ROLLING, hours=5, zone=ZURICH),
            Limit(LimitUnit.REQUESTS, 200),
            Decimal("0.8"),
            Action.BLOCK,
        ),
    )


def test_no_tables_are_no_budgets() -> None:
    assert read() == ()


def test_one_pair_of_brackets_is_told_apart_from_two() -> None:
    with pytest.raises(ConfigurationError, match="not a list of tables") as refused:
        read_budgets(SMALLEST, origin="config.toml", default_zone=None)
    assert "[[budget]]" in refused.value.hint


def test_an_error_names_the_file_and_the_budget_or_its_number() -> None:
    broken = {**SMALLEST, "name": "b", "window": "moon"}
    nameless = {key: value for key, value in SMALLEST.items() if key != "name"}

    with pytest.raises(ConfigurationError, match=r"^budget b in config\.toml: window 'moon'"):
        read(SMALLEST, broken)
    with pytest.raises(
        ConfigurationError, match=r"^budget number 2 in config\.toml: it has no nam"
    ):
        read(SMALLEST, nameless)
    with pytest.raises(ConfigurationError, match=r"^budget number 1 in config\.toml: name cannot"):
        read({**SMALLEST, "name": "Two words"})
    with pytest.raises(ConfigurationError, match=r"^budget number 1 in config\.toml: it must be a"):
        read("month")


def test_two_budgets_may_not_have_one_name() -> None:
    with pytest.raises(ConfigurationError, match=r"month in config\.toml: there is another budget"):
        read(SMALLEST, {**SMALLEST, "name": "other"}, {**SMALLEST, "window": "day"})


@pytest.mark.parametrize("name", ["a", "0", "a.b-c_d", "x" * 40])
def test_a_name_is_short_and_plain(name: str) -> None:
    assert one(SMALLEST, name=name).name == name


@pytest.mark.parametrize("name", ["", "-a", "A", "a b", "x" * 41, "ä", "a\n", 5])
def test_another_name_is_refused(name: object) -> None:
    message, hint = wrong(SMALLEST, name=name)

    assert message.startswith("name cannot be ")
    assert "1 to 40" in hint


@pytest.mark.parametrize(
    ("changes", "message", "hint"),
    [
        ({"windw": "day"}, "it has no key 'windw'", "did you mean window?"),
        ({"limit": 5}, "it has no key 'limit'", "did you mean limit_usd?"),
        ({"qqqqqq": 1}, "it has no key 'qqqqqq'", "use one of name, scope, window, cycle_day, "),
        ({"scope": {"modell": "x"}}, "scope has no key 'modell'", "did you mean model?"),
        ({"scope": {"mode": "api_key"}}, "scope.mode cannot be 'api_key'", "did you mean api-key?"),
        (
            {"scope": {"bucket": "plan_limit"}},
            "scope.bucket cannot be 'plan_limit'",
            "mean plan_limits?",
        ),
        ({"scope": {"model": 5}}, "scope.model must be text, not 5", "in quotes"),
        ({"scope": {"session": ""}}, "scope.session must be text, not ''", "in quotes"),
        ({"scope": "api-key"}, "scope must be a table, not 'api-key'", "scope = {"),
        ({"scope": {"project": "src"}}, "scope.project must be an absolute directory", "from / on"),
        ({"scope": {"project": "/a/../b"}}, "scope.project must be an absolute", "without .."),
        ({"window": None}, "it has no window", 'window = "month"'),
        ({"window": 5}, "window must be text, not 5", "in quotes"),
        ({"window": "cycle"}, 'window "cycle" needs cycle_day', "cycle_day"),
        ({"window": "cycle", "cycle_day": 32}, "cycle_day must be from 1 to 31, not 32", "last"),
        ({"window": "cycle", "cycle_day": "1"}, "cycle_day must be a whole number", "quotes"),
        ({"cycle_day": 3}, 'cycle_day does not go with window "month"', "cycle_day"),
        ({"window": "5h", "time_zone": "UTC"}, 'time_zone does not go with window "5h"', "remove"),
        ({"window": "session", "time_zone": "UTC"}, "time_zone does not go", "remove"),
        ({"time_zone": "Europe/Zürich"}, "time_zone 'Europe/Zürich' is not known", "IANA"),
        ({"time_zone": "Europe"}, "time_zone 'Europe' is not known here", "IANA"),
        ({"time_zone": "/etc/localtime"}, "time_zone '/etc/localtime' is not known", "IANA"),
        ({"time_zone": "tzdata.zi"}, "time_zone 'tzdata.zi' is not known here", "IANA"),
        ({"time_zone": 1}, "time_zone must be text, not 1", "in quotes"),
        ({"limit_tokens": None}, "it has no limit", "limit_usd, limit_tokens, limit_requests"),
        ({"limit_requests": 5}, "limit_tokens and limit_requests are both given", "give one of"),
        ({"limit_tokens": "5"}, "limit_tokens must be a whole number, not '5'", "quotes"),
        ({"limit_tokens": 5.0}, "limit_tokens must be a whole number, not 5.0", "fraction"),
        (
            {"limit_tokens": True},
            "limit_tokens must be a whole number, not True",
            "as in limit_tokens = 20",
        ),
        ({"limit_tokens": 0}, "limit_tokens cannot be 0", "more than 0; to have none, remove"),
        ({"limit_tokens": -1}, "limit_tokens cannot be -1", "more than 0"),
        ({"limit_tokens": MOST + 1}, "limit_tokens cannot be 1000000000000001", str(MOST)),
        ({"money": "billed_estimate"}, "money does not go with limit_tokens", "limit_usd"),
        ({"action": "stop"}, "action cannot be 'stop'", "use one of warn, block, cancel"),
        ({"action": True}, "action cannot be True", "use one of warn, block, cancel"),
        ({"action": "blok"}, "action cannot be 'blok'", "did you mean block?"),
    ],
)
def test_what_is_wrong_is_named_with_what_to_do(
    changes: dict[str, object], message: str, hint: str
) -> None:
    said, advice = wrong(SMALLEST, **changes)

    assert said.startswith(message)
    assert hint in advice


def test_a_long_value_is_cut_in_the_message() -> None:
    message, _ = wrong(SMALLEST, action="x" * 10_000)

    assert len(message) < 100


def test_the_callers_zone_is_that_of_windows_that_name_none() -> None:
    for zone in (ZURICH, "Europe/Zurich"):
        (budget,) = read(SMALLEST, zone=zone)
        assert budget.window.zone is ZURICH
    assert one(SMALLEST, time_zone="UTC").window.zone == ZoneInfo("UTC")


@pytest.mark.parametrize("zone", [None, "No/Where"])
def test_where_the_callers_zone_is_unknown_a_calendar_window_must_name_one(
    zone: str | None,
) -> None:
    with pytest.raises(ConfigurationError, match="needs a time zone"):
        read(SMALLEST, zone=zone)
    (rolling,) = read({**SMALLEST, "window": "5h"}, zone=zone)
    assert rolling.window.zone is None


@pytest.mark.parametrize(("letter", "mode"), [("A", "api-key"), ("b", "subscription")])
def test_a_mode_may_be_its_letter(letter: str, mode: str) -> None:
    assert one(SMALLEST, scope={"mode": letter}).scope.mode == mode


def test_a_scope_has_all_that_was_given() -> None:
    given = {
        "mode": "endpoint",
        "bucket": "endpoint",
        "project": "/home/me/src",
        "model": "claude-opus-*",
        "session": "5f0c",
    }
    assert one(SMALLEST, scope=given).scope == Scope(
        mode=BillingMode.ENDPOINT,
        bucket=Bucket.ENDPOINT,
        project="/home/me/src",
        model="claude-opus-*",
        session="5f0c",
    )


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
