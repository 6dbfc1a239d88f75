"""Tables of budgets, read as the configuration file is."""

from collections.abc import Mapping
from datetime import tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, settings

from acp_bridge.errors import ConfigurationError
from acp_bridge.metering.usage import CostKind
from acp_bridge.modes import Bucket
from acp_bridge.policy.budget_rows import read_budgets
from acp_bridge.policy.budgets import Budget, LimitUnit

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
