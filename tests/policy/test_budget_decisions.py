"""Whether a request may be made, and what of it is told once."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acp_bridge.metering.usage import CostKind
from acp_bridge.modes import BillingMode
from acp_bridge.policy.budgets import (
    Action,
    Allow,
    Level,
    Limit,
    LimitUnit,
    Scope,
    Spent,
    Stop,
    Verdict,
    admit,
    standing,
)
from acp_bridge.policy.windows import Window, WindowKind
from tests.policy.budgets_to_ask import (
    FIVE_HOURS,
    MONTH,
    NOW,
    REQUESTS,
    SESSION,
    SPENDER,
    STOPPING,
    TOKENS,
    UNKNOWN,
    UNTIMED,
    USD,
    WHY,
    ZURICH,
    allowed,
    ask,
    budget,
    stand,
    stopped,
)


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
