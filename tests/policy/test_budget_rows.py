"""The rows of the configuration file that are budgets: what is read, and what is refused."""

import tomllib
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from acp_bridge.errors import ConfigurationError
from acp_bridge.metering.usage import CostKind
from acp_bridge.modes import BillingMode, Bucket
from acp_bridge.policy.budget_rows import MOST, read_budgets
from acp_bridge.policy.budgets import Action, Budget, Limit, LimitUnit, Scope
from acp_bridge.policy.windows import Window, WindowKind
from tests.policy.rows_read import SMALLEST, ZURICH, one, read, wrong


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
