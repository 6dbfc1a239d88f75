"""Budgets as the tables that they are read from."""

from zoneinfo import ZoneInfo

from acp_bridge.policy.budgets import Budget, usd_text

SCOPE_KEYS = ("mode", "bucket", "project", "model", "session")


def as_table(budget: Budget) -> dict[str, object]:
    """A budget as the table that `read_budgets` reads as the same, every choice written out.

    A calendar window's zone is written if it has a name; the system's may have none.
    """
    window, limit = budget.window, budget.limit
    scope = {key: getattr(budget.scope, key) for key in SCOPE_KEYS}
    in_usd = limit.cost_kind is not None
    table = {
        "name": budget.name,
        "scope": {key: str(value) for key, value in scope.items() if value is not None} or None,
        "window": window.text,
        "cycle_day": window.cycle_day,
        "time_zone": window.zone.key
        if window.kind.is_calendar and isinstance(window.zone, ZoneInfo)
        else None,
        f"limit_{limit.unit.value}": usd_text(limit.amount) if in_usd else limit.amount,
        "money": limit.cost_kind.value if limit.cost_kind else None,
        "warn_at": float(budget.warn_at),
        "action": budget.action.value,
    }
    return {key: value for key, value in table.items() if value is not None}
