"""Budgets, how they stand, and somebody who wants to spend."""

from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, settings

from acp_bridge.metering.usage import CostKind
from acp_bridge.modes import BillingMode, Bucket
from acp_bridge.policy.budgets import (
    Action,
    Allow,
    Budget,
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
)
from acp_bridge.policy.windows import Window, WindowKind

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
