from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal, getcontext, localcontext
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acp_bridge.metering.usage import CostKind
from acp_bridge.modes import BillingMode, Bucket
from acp_bridge.policy.budgets import (
    MONEY_OF_MODE,
    Action,
    Allow,
    Budget,
    Level,
    Limit,
    LimitUnit,
    Scope,
    Spender,
    Spent,
    Standing,
    Stop,
    Verdict,
    admit,
    standing,
    usd_text,
)
from acp_bridge.policy.windows import Span, Window, WindowKind

UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
ZURICH = ZoneInfo("Europe/Zurich")
NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
MONTH = Window(WindowKind.MONTH, zone=ZURICH)
FIVE_HOURS = Window(WindowKind.ROLLING, hours=5, zone=ZURICH)
SESSION = Window(WindowKind.SESSION, zone=ZURICH)
USD = Limit(LimitUnit.USD, 25_000_000, CostKind.BILLED_ESTIMATE)
TOKENS = Limit(LimitUnit.TOKENS, 100)
REQUESTS = Limit(LimitUnit.REQUESTS, 20)
EVERYBODY = Scope()
SPENDER = Spender(
    mode=BillingMode.API_KEY,
    bucket=Bucket.API,
    project="/home/me/src/bridge",
    model="claude-opus-5-5",
    session_ids=frozenset({"acp-1", "claude-1"}),
)
UNKNOWN = Spender(mode=BillingMode.API_KEY, bucket=Bucket.UNKNOWN)
WHY = "no price is known of 'claude-novel-1'"
STOPPING = [Action.BLOCK, Action.CANCEL]


def budget(
    name: str = "month",
    limit: Limit = USD,
    action: Action = Action.BLOCK,
    window: Window = MONTH,
    scope: Scope = EVERYBODY,
) -> Budget:
    return Budget(name, scope, window, limit, Decimal("0.8"), action)


def stand(of: Budget, spent: int, reserved: int = 0, uncounted: int = 0) -> Standing:
    return standing(of, Spent(spent, reserved, uncounted), NOW)


def ask(*standings: Standing, unpriced: str | None = None) -> Verdict:
    return admit(standings, SPENDER, unpriced=unpriced)


def allowed(verdict: Verdict) -> Allow:
    assert isinstance(verdict, Allow)
    return verdict


def stopped(verdict: Verdict) -> Stop:
    assert isinstance(verdict, Stop)
    return verdict


def meets(scope: Scope, spender: Spender = SPENDER) -> bool:
    """Whether a scope matches, where nothing is unknown that matters."""
    found = {scope.matches(spender, unknown_matches=unknown) for unknown in (True, False)}
    assert len(found) == 1
    return found.pop()


# Whom a budget is for


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


# How a budget stands


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


# Whether a request may be made


def test_without_budgets_everything_is_allowed() -> None:
    assert ask() == Allow()
    assert ask(unpriced=WHY) == Allow()


@pytest.mark.parametrize("action", STOPPING)
@pytest.mark.parametrize("limit", [USD, TOKENS, REQUESTS])
def test_below_the_limit_a_request_is_allowed_and_at_the_limit_it_is_not(
    limit: Limit, action: Action
) -> None:
    of = budget(limit=limit, action=action)

    allowed(ask(stand(of, limit.amount - 1)))
    verdict = stopped(ask(stand(of, limit.amount)))
    assert verdict.budget is of
    assert verdict.spent == Spent(limit.amount)
    assert verdict.limit is limit
    assert verdict.resets_at == MONTH.span(NOW).end
    assert not verdict.waits


@pytest.mark.parametrize("action", STOPPING)
def test_where_only_reservations_are_in_the_way_it_waits(action: Action) -> None:
    of = budget(limit=TOKENS, action=action)

    allowed(ask(stand(of, 50, reserved=49)))
    verdict = stopped(ask(stand(of, 50, reserved=50)))
    assert verdict.waits
    assert "50 of 100 tokens" in verdict.sentence
    assert "50 more is reserved" in verdict.sentence
    assert verdict.hint == (
        "try again when they have ended, or raise it with"
        " `acp-bridge budget set month --limit-tokens …`"
    )
    assert not stopped(ask(stand(of, 100, reserved=50))).waits


def test_a_budget_that_warns_stops_nothing() -> None:
    of = budget(action=Action.WARN)

    allowed(ask(stand(of, 10**9, reserved=10**9)))
    allowed(ask(stand(of, 0, reserved=10**9)))
    allowed(ask(stand(of, 10**9), unpriced=WHY))


def test_a_budget_for_somebody_else_stops_nothing() -> None:
    for scope in (Scope(mode=BillingMode.SUBSCRIPTION), Scope(project="/home/you")):
        verdict = allowed(ask(stand(budget(limit=TOKENS, scope=scope), 100)))
        assert verdict == Allow()
    plan = budget(limit=Limit(LimitUnit.USD, 1, CostKind.LIST_PRICE_EQUIVALENT))
    assert ask(stand(plan, 1)) == Allow()
    assert ask(stand(plan, 0), unpriced=WHY) == Allow()


def test_a_limit_is_not_passed_by_saying_nothing() -> None:
    of = budget(scope=Scope(model="claude-*"))

    assert isinstance(admit([stand(of, USD.amount)], UNKNOWN, unpriced=None), Stop)


@pytest.mark.parametrize("action", STOPPING)
def test_what_a_budget_in_dollars_cannot_count_it_stops(action: Action) -> None:
    verdict = stopped(ask(stand(budget(action=action), 0), unpriced=WHY))

    assert verdict.sentence == (
        f"budget month counts USD, and this request cannot be counted: {WHY}"
    )
    assert "`acp-bridge budget set month --limit-tokens …`" in verdict.hint
    assert not verdict.waits


def test_tokens_and_requests_are_counted_without_prices() -> None:
    tokens, requests = (stand(budget(limit=limit), 0) for limit in (TOKENS, REQUESTS))

    allowed(ask(tokens, requests, unpriced=WHY))


@pytest.mark.parametrize(
    ("window", "resets_at", "otherwise"),
    [
        (MONTH, None, "wait until then"),
        (FIVE_HOURS, NOW + timedelta(hours=1), "wait until then"),
        (FIVE_HOURS, None, "wait"),
        (SESSION, None, "start a new session"),
    ],
)
@pytest.mark.parametrize("limit", [USD, TOKENS, REQUESTS])
def test_a_stop_says_how_to_go_on(
    limit: Limit, window: Window, resets_at: datetime | None, otherwise: str
) -> None:
    at_limit = standing(budget(limit=limit, window=window), Spent(limit.amount), NOW, resets_at)
    verdict = stopped(ask(at_limit))

    assert verdict.sentence == at_limit.sentence
    assert verdict.hint == (
        f"raise it with `acp-bridge budget set month --limit-{limit.unit} …`, or {otherwise}"
    )


def test_of_several_stops_the_one_that_keeps_longest_is_told() -> None:
    held = stand(budget("held", TOKENS), 50, reserved=50)
    unpriced = stand(budget("unpriced"), 0)
    day = Window(WindowKind.DAY, zone=ZURICH)
    today = stand(budget("today", TOKENS, window=day), 100)
    month = stand(budget("month", TOKENS), 100)
    never = stand(budget("talk", TOKENS, window=SESSION), 100)

    assert stopped(ask(held, unpriced, today, month, never, unpriced=WHY)).budget.name == "talk"
    assert stopped(ask(held, unpriced, today, month, unpriced=WHY)).budget.name == "month"
    assert stopped(ask(held, unpriced, month, today, unpriced=WHY)).budget.name == "month"
    assert stopped(ask(held, unpriced, unpriced=WHY)).budget.name == "unpriced"
    assert stopped(ask(held, unpriced)).budget.name == "held"


def test_a_room_in_one_budget_does_not_make_room_in_another() -> None:
    room, full = stand(budget("a", REQUESTS), 0), stand(budget("b", TOKENS), 100)

    assert stopped(ask(room, full)).budget.name == "b"
    assert stopped(ask(full, room)).budget.name == "b"


amounts = st.integers(0, 40)


@UNTIMED
@given(st.lists(st.tuples(amounts, amounts, st.sampled_from(Action)), max_size=4))
def test_a_request_is_admitted_where_every_budget_that_stops_has_room(
    rows: list[tuple[int, int, Action]],
) -> None:
    verdict = ask(
        *(
            stand(budget(f"b{n}", REQUESTS, action), spent, reserved)
            for n, (spent, reserved, action) in enumerate(rows)
        )
    )
    stopping = [(spent, reserved) for spent, reserved, action in rows if action in STOPPING]

    assert isinstance(verdict, Allow) is all(sum(one) < REQUESTS.amount for one in stopping)
    if isinstance(verdict, Stop):
        assert verdict.waits is all(spent < REQUESTS.amount for spent, _ in stopping)


# What is told once


def names(verdict: Verdict) -> list[tuple[str, Level]]:
    return [(one.budget.name, one.level) for one in allowed(verdict).warnings]


def test_what_is_warned_or_reached_is_told_in_the_order_of_the_file() -> None:
    verdict = ask(
        stand(budget("a", REQUESTS), 16),
        stand(budget("b", REQUESTS), 15),
        stand(budget("c", REQUESTS, Action.WARN), 20),
    )

    assert names(verdict) == [("a", Level.WARNED), ("c", Level.REACHED)]


@pytest.mark.parametrize("window", [MONTH, FIVE_HOURS, SESSION])
def test_a_crossing_is_told_once_and_again_at_the_next_level(window: Window) -> None:
    of = budget(limit=REQUESTS, action=Action.WARN, window=window)
    told = allowed(ask(stand(of, 16))).crossed
    later = NOW + timedelta(minutes=5)
    again = allowed(
        admit([standing(of, Spent(17), later)], SPENDER, unpriced=None, told=told),
    )
    reached = admit([standing(of, Spent(20), later)], SPENDER, unpriced=None, told=again.crossed)

    assert again.warnings == ()
    assert again.crossed == told
    assert names(reached) == [("month", Level.REACHED)]


def test_a_crossing_is_told_again_after_the_budget_had_room() -> None:
    of = budget(limit=REQUESTS, window=FIVE_HOURS)
    told = allowed(ask(stand(of, 16))).crossed
    told = allowed(admit([stand(of, 2)], SPENDER, unpriced=None, told=told)).crossed

    assert told == frozenset()
    assert names(admit([stand(of, 16)], SPENDER, unpriced=None, told=told)) == [
        ("month", Level.WARNED)
    ]


def test_a_crossing_is_told_again_in_the_next_month() -> None:
    of = budget(limit=REQUESTS)
    told = allowed(ask(stand(of, 16))).crossed
    december = standing(of, Spent(16), NOW + timedelta(days=10))

    assert names(admit([december], SPENDER, unpriced=None, told=told)) == [("month", Level.WARNED)]
