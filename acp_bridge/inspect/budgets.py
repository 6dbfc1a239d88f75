"""Budgets, plan pools and reservations: one document for programs, one page for people."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from acp_bridge.inspect.budget_standings import Held, Shown, ShownPool, Standings
from acp_bridge.policy.budgets import Action, Budget, Level, Limit, LimitUnit, usd_text
from acp_bridge.policy.windows import Window, WindowKind

SCHEMA_VERSION = 1

_LABEL = 10
_SCOPE_KEYS = ("mode", "bucket", "project", "model", "session")
_AT_LIMIT = {
    Action.WARN: "only tells",
    Action.BLOCK: "refuses further requests",
    Action.CANCEL: "refuses further requests and cancels the turn under way",
}


def budgets_document(found: Standings) -> dict[str, Any]:
    """How everything stands.

    Amounts of US dollars are decimal text, tokens and requests numbers; ``share`` and ``warn_at``
    are parts of 1. Times are UTC, in ISO 8601. What is not known is null.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "budgets": [_budget(one) for one in found.budgets],
        "pools": [_pool(one) for one in found.pools],
        "reservations": [_reservation(one) for one in found.held],
    }


def render(found: Standings, *, example: str) -> str:
    """The page for people.

    Args:
        found: how everything stands.
        example: a command that sets a budget, for who has none.
    """
    blocks = [list(_block(one)) for one in found.budgets]
    if not found.budgets:
        blocks.append(["No budget is set. This sets one:", f"  {example}"])
    blocks += [list(_pool_block(one)) for one in found.pools]
    if found.held:
        blocks.append([line for one in found.held for line in _held_lines(one)])
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def described(budget: Budget) -> str:
    """What a budget says, in lines, without how it stands."""
    lines = [_head(budget), *_rules(budget)]
    return "\n".join(lines) + "\n"


def _budget(shown: Shown) -> dict[str, Any]:
    one = shown.standing
    budget, limit = one.budget, one.budget.limit
    zone = budget.window.zone
    return {
        "name": budget.name,
        "scope": _scope(budget),
        "window": budget.window.text,
        "cycle_day": budget.window.cycle_day,
        "time_zone": zone.key if isinstance(zone, ZoneInfo) else None,
        "starts_at": _time(one.span.start),
        "resets_at": _time(one.resets_at),
        "session_id": shown.session_id,
        "limit": {
            "unit": limit.unit.value,
            "amount": _amount(limit, limit.amount),
            "cost_kind": limit.cost_kind.value if limit.cost_kind else None,
        },
        "spent": _amount(limit, one.spent.amount),
        "reserved": _amount(limit, one.spent.reserved),
        "left": _amount(limit, one.left),
        "uncounted": one.spent.uncounted,
        "share": float(one.share),
        "level": one.level.value,
        "action": budget.action.value,
        "warn_at": float(budget.warn_at),
    }


def _pool(one: ShownPool) -> dict[str, Any]:
    return {
        "plan": one.plan.value,
        "usd": str(one.pool.usd),
        "bucket": one.pool.bucket.value,
        "window": one.pool.window,
        "rolls_over": one.pool.rolls_over,
        "in_force": one.pool.in_force,
        "status": one.pool.status.value,
        "since": None if one.pool.since is None else one.pool.since.isoformat(),
        "rule": one.pool.rule,
        "budget": None if one.shown is None else _budget(one.shown),
    }


def _reservation(one: Held) -> dict[str, Any]:
    return {
        "run_id": one.run_id,
        "alive": one.alive,
        "requests": one.requests,
        "tokens": one.tokens,
        "cost_usd": None if one.cost_micros is None else usd_text(one.cost_micros),
        "cost_kind": one.cost_kind.value,
        "since": _time(one.since),
    }


def _scope(budget: Budget) -> dict[str, str]:
    values = {key: getattr(budget.scope, key) for key in _SCOPE_KEYS}
    return {key: str(value) for key, value in values.items() if value is not None}


def _amount(limit: Limit, amount: int) -> str | int:
    return usd_text(amount) if limit.unit is LimitUnit.USD else amount


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _block(shown: Shown) -> Iterator[str]:
    one = shown.standing
    budget = one.budget
    limit, window = budget.limit, budget.window
    yield _head(budget)
    yield from _rules(budget)
    if window.kind is WindowKind.SESSION and budget.scope.session is None:
        if shown.session_id is None:
            yield _line("spent", "nothing in any session yet")
            return
        yield _line("most", f"session {shown.session_id}")
    percent = int(one.share * 100)
    at_least = "at least " if one.spent.uncounted else ""
    level = "" if one.level is Level.OK else f", {_LEVELS[one.level]}"
    yield _line("spent", f"{at_least}{limit.shown(one.spent.amount)} ({percent} %){level}")
    if one.spent.uncounted:
        yield _line("", f"beside {_count(one.spent.uncounted, 'request')} that nobody could count")
    if one.spent.reserved:
        yield _line("reserved", limit.shown(one.spent.reserved))
    yield _line("left", limit.shown(one.left))
    if one.span.start is not None:
        yield _line("counts", window.since(one.span))
    yield _line("resets", window.until(one.resets_at).removeprefix("it resets "))


_LEVELS = {Level.WARNED: "near the limit", Level.REACHED: "the limit is reached"}


def _head(budget: Budget) -> str:
    conditions = [f"{key} {value}" for key, value in _scope(budget).items()]
    return f"budget {budget.name}: for {', '.join(conditions) or 'everything'}"


def _rules(budget: Budget) -> Iterator[str]:
    yield _line("limit", f"{budget.limit} {_per(budget.window)}")
    warns = f"warns at {(budget.warn_at * 100).normalize():f} %"
    yield _line("at limit", f"{budget.action.value}: {_AT_LIMIT[budget.action]}; {warns}")


def _per(window: Window) -> str:
    zone = window.zone.key if isinstance(window.zone, ZoneInfo) else "this machine's time zone"
    match window.kind:
        case WindowKind.SESSION:
            return "per session"
        case WindowKind.ROLLING:
            return "in any hour" if window.hours == 1 else f"in any {window.hours} hours"
        case WindowKind.CYCLE:
            return f"per billing cycle, from day {window.cycle_day} of the month ({zone})"
        case kind:
            return f"per {kind.value} ({zone})"


def _pool_block(one: ShownPool) -> Iterator[str]:
    usd = usd_text(int(one.pool.usd.scaleb(6)))
    kept = "rolls over" if one.pool.rolls_over else "no rollover"
    words = one.pool.bucket.value.replace("_", " ")
    head = f"plan {one.plan}: {usd} USD a {one.pool.window} {words}, {kept}: "
    if one.shown is None:
        since = f" {one.pool.since}" if one.pool.since else ""
        yield f"{head}not in force ({one.pool.status.value}{since})"
        yield _line("", "so it counts nothing; `acp-bridge explain` says what is charged instead")
        return
    yield f"{head}in force"
    yield from list(_block(one.shown))[1:]


def _held_lines(one: Held) -> Iterator[str]:
    since = f"{one.since.astimezone():%Y-%m-%d %H:%M %z}"
    cost = "an unknown cost"
    if one.cost_micros is not None:
        money = one.cost_kind.replace("_", " ")
        cost = f"{usd_text(one.cost_micros)} USD ({money})"
    tokens = _count(one.tokens, "token")
    amount = f"{_count(one.requests, 'request')}, at most {tokens} and {cost}, since {since}"
    if one.alive:
        yield f"held by run {one.run_id}, under way: {amount}"
    else:
        yield f"held by run {one.run_id}, which was killed under way: {amount}"
        yield _line("", "`acp-bridge budget release` frees it")


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}" + ("" if number == 1 else "s")


def _line(label: str, text: str) -> str:
    return f"  {label:<{_LABEL}}{text}"
