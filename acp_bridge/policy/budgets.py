"""Budgets: whom one is for, how much of it is used, and whether a request may be made. Pure.

A limit counts one thing: US dollars of one kind, tokens, or requests. Kinds of money are never
added together, so a budget in dollars is only for spenders whose mode pays in that kind.
`acp_bridge.policy.budget_rows` reads budgets from the user's file.
"""

from collections.abc import Container, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_DOWN, Context, Decimal
from enum import StrEnum

from acp_bridge.metering.model_names import is_model
from acp_bridge.metering.usage import CostKind
from acp_bridge.modes import BillingMode, Bucket
from acp_bridge.policy.windows import Span, Window

MONEY_OF_MODE = {
    BillingMode.API_KEY: CostKind.BILLED_ESTIMATE,
    BillingMode.SUBSCRIPTION: CostKind.LIST_PRICE_EQUIVALENT,
    BillingMode.ENDPOINT: CostKind.ENDPOINT_PRICE,
}
"""The kind of money in which a mode pays."""

_MONEY = {
    CostKind.BILLED_ESTIMATE: "billed estimate",
    CostKind.LIST_PRICE_EQUIVALENT: "list-price equivalent",
    CostKind.ENDPOINT_PRICE: "endpoint price",
}
_NO_PRICE = "choose a model with a price, or count what needs none: `{} --limit-tokens …`"
_SET = "acp-bridge budget set"
# Rounded down: what is not used up is never shown as if it were.
_SHARE = Context(prec=6, rounding=ROUND_DOWN)
_NEVER = datetime.max.replace(tzinfo=UTC)


class LimitUnit(StrEnum):
    """What a limit counts."""

    USD = "usd"
    TOKENS = "tokens"
    REQUESTS = "requests"


class Action(StrEnum):
    """At the limit: tell; refuse further requests; also cancel the turn under way."""

    WARN = "warn"
    BLOCK = "block"
    CANCEL = "cancel"


class Level(StrEnum):
    """How far a budget is used. What is only reserved does not raise it."""

    OK = "ok"
    WARNED = "warned"
    REACHED = "reached"


@dataclass(frozen=True, slots=True)
class Limit:
    """How much of what.

    Attributes:
        unit: what it counts.
        amount: micro-dollars, tokens of all kinds together, or API requests; more than 0.
        cost_kind: which money; None unless the unit is US dollars.

    Raises:
        ValueError: the amount is not positive, or unit and money do not go together.
    """

    unit: LimitUnit
    amount: int
    cost_kind: CostKind | None = None

    def __post_init__(self) -> None:
        if self.amount <= 0:
            raise ValueError("a limit is more than 0")
        in_usd = self.unit is LimitUnit.USD
        if not (self.cost_kind in _MONEY if in_usd else self.cost_kind is None):
            raise ValueError("a limit in US dollars names a known kind of money, and no other does")

    def shown(self, amount: int) -> str:
        """An amount of the limit's unit in figures: exact, dollars with two decimals or more."""
        return usd_text(amount) if self.unit is LimitUnit.USD else str(amount)

    def __str__(self) -> str:
        if self.cost_kind is not None:
            return f"{self.shown(self.amount)} USD ({_MONEY[self.cost_kind]})"
        return f"{self.amount} {self.unit.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spender:
    """Who is about to spend.

    Attributes:
        mode: the billing mode.
        bucket: what is expected to be charged; `unknown` may be any.
        project: the session's directory: absolute, without ``..``; None if unknown.
        model: the model's id as asked for; None if unknown.
        session_ids: all ids of the session; empty if unknown.
    """

    mode: BillingMode
    bucket: Bucket
    project: str | None = None
    model: str | None = None
    session_ids: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Whom a budget is for: everybody who meets every condition that is not None.

    Attributes:
        mode: the billing mode.
        bucket: what is expected to be charged.
        project: an absolute directory, which stands for those below it too.
        model: a model's id, or a pattern in which ``*`` is any text; the case does not matter.
        session: one of the session's ids.
    """

    mode: BillingMode | None = None
    bucket: Bucket | None = None
    project: str | None = None
    model: str | None = None
    session: str | None = None

    def matches(self, spender: Spender, *, unknown_matches: bool) -> bool:
        """Whether it is for a spender.

        Args:
            spender: of whom some things may be unknown.
            unknown_matches: whether a condition about something unknown is met. True where a
                request is to be admitted, so that no limit is passed by saying nothing; False
                where amounts are reported, so that nothing is charged to a scope by guess.
        """
        project, model, ids = spender.project, spender.model, spender.session_ids
        any_bucket = unknown_matches and spender.bucket is Bucket.UNKNOWN
        return (
            self.mode in (None, spender.mode)
            and (self.bucket in (None, spender.bucket) or any_bucket)
            and (not self.project or (is_in(self.project, project) if project else unknown_matches))
            and (not self.model or (is_model(self.model, model) if model else unknown_matches))
            and (not self.session or (self.session in ids if ids else unknown_matches))
        )


@dataclass(frozen=True, slots=True)
class Budget:
    """One ``[[budget]]`` of the user's file.

    Attributes:
        name: what the user calls it; unique.
        scope: whom it is for.
        window: over which time it counts.
        limit: how much may be spent in it.
        warn_at: the share of the limit at which a warning is due; more than 0, at most 1.
        action: what happens at the limit.
    """

    name: str
    scope: Scope
    window: Window
    limit: Limit
    warn_at: Decimal
    action: Action

    def is_for(self, spender: Spender, *, unknown_matches: bool) -> bool:
        """Whether it is for what a spender spends: the scope matches, and the kind of money."""
        money = self.limit.cost_kind
        if money is not None and money is not MONEY_OF_MODE[spender.mode]:
            return False
        return self.scope.matches(spender, unknown_matches=unknown_matches)


@dataclass(frozen=True, slots=True)
class Spent:
    """What was counted in a budget's span, in the unit of its limit.

    Attributes:
        amount: spent.
        reserved: held for requests that are under way.
        uncounted: requests that are in no amount, as nobody knows their tokens or their cost.
    """

    amount: int
    reserved: int = 0
    uncounted: int = 0


@dataclass(frozen=True, slots=True)
class Crossing:
    """That a budget, by name, stands at a level since its calendar window began, if it has one."""

    budget: str
    level: Level
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Standing:
    """How a budget stands at a moment. `standing` makes it.

    Attributes:
        budget: the budget.
        spent: what was counted in the span.
        span: the stretch of time, by the budget's window.
        resets_at: when there is room again: the end of the span, or when a rolling window's oldest
            spending goes out; None if it never does or nobody said. Aware.
    """

    budget: Budget
    spent: Spent
    span: Span
    resets_at: datetime | None

    @property
    def left(self) -> int:
        """What is neither spent nor reserved, in the unit of the limit; 0 if nothing is."""
        return max(0, self.budget.limit.amount - self.spent.amount - self.spent.reserved)

    @property
    def share(self) -> Decimal:
        """What is spent, as a share of the limit; six digits, rounded down."""
        return _SHARE.divide(Decimal(self.spent.amount), Decimal(self.budget.limit.amount))

    @property
    def level(self) -> Level:
        """How far it is used."""
        spent, limit = self.spent.amount, self.budget.limit.amount
        if spent >= limit:
            return Level.REACHED
        part, whole = self.budget.warn_at.as_integer_ratio()
        return Level.WARNED if spent * whole >= limit * part else Level.OK

    @property
    def crossing(self) -> Crossing:
        """What there is to tell once about its level."""
        since = self.span.start if self.budget.window.kind.is_calendar else None
        return Crossing(self.budget.name, self.level, since)

    @property
    def sentence(self) -> str:
        """How it stands, for people; without a full stop."""
        limit, spent = self.budget.limit, self.spent
        text = f"budget {self.budget.name} has spent {'at least ' if spent.uncounted else ''}"
        text += f"{limit.shown(spent.amount)} of {limit} {self.budget.window.since(self.span)}"
        if spent.uncounted:
            requests = "1 request" if spent.uncounted == 1 else f"{spent.uncounted} requests"
            text += f", beside {requests} that nobody could count"
        if spent.reserved:
            text += f", and {limit.shown(spent.reserved)} more is reserved by requests under way"
        return f"{text}; {self.budget.window.until(self.resets_at)}"


def standing(
    budget: Budget, spent: Spent, at: datetime, resets_at: datetime | None = None
) -> Standing:
    """How a budget stands.

    Args:
        budget: what the user set.
        spent: what was counted in ``budget.window.span(at)``.
        at: the moment; aware.
        resets_at: when a rolling window's oldest spending goes out; aware.
    """
    span = budget.window.span(at)
    return Standing(budget, spent, span, span.end or resets_at)


@dataclass(frozen=True, slots=True)
class Allow:
    """The request may be made.

    Attributes:
        warnings: what is warned or reached and has not been told yet.
        crossed: all that is; for the same session's next `admit`, as ``told``.
    """

    warnings: tuple[Standing, ...] = ()
    crossed: frozenset[Crossing] = frozenset()


@dataclass(frozen=True, slots=True)
class Stop:
    """The request may not be made.

    Attributes:
        budget: the budget that stops it.
        sentence: why, for people; without a full stop.
        hint: what to do about it.
        spent: what was counted.
        limit: the limit.
        resets_at: when there is room again; None if it never does or nobody said.
        waits: whether only reservations are in the way, so that room may come back at any time.
    """

    budget: Budget
    sentence: str
    hint: str
    spent: Spent
    limit: Limit
    resets_at: datetime | None
    waits: bool


Verdict = Allow | Stop


def admit(
    standings: Iterable[Standing],
    spender: Spender,
    *,
    unpriced: str | None,
    told: Container[Crossing] = frozenset(),
) -> Verdict:
    """Decide on one API request, or on a prompt before there is any.

    It is admitted if, in every budget that is for the spender and that stops, what is spent and
    reserved together is below the limit. So the last request may pass the limit by its own cost.
    Of several reasons the one that keeps longest is told: a limit that is reached, the latest reset
    first; then a price that is not known; then reservations.

    Args:
        standings: how the budgets stand now; those that are for somebody else are passed over.
        spender: who asks.
        unpriced: why the request has no price, in words such as ``Cost.why``; None if it has one,
            or if nothing is to be priced yet. What a budget in dollars could not count, it stops.
        told: what the session was told at its last admission (`Allow.crossed`).
    """
    concerned = [one for one in standings if one.budget.is_for(spender, unknown_matches=True)]
    stopping = [one for one in concerned if one.budget.action is not Action.WARN]
    reached = [one for one in stopping if one.level is Level.REACHED]
    if reached:
        last = max(reached, key=lambda one: one.resets_at or _NEVER)
        otherwise = last.budget.window.otherwise(last.resets_at)
        return _stop(last, last.sentence, f"{_raise(last.budget)}, or {otherwise}")
    in_usd = [one for one in stopping if one.budget.limit.unit is LimitUnit.USD]
    if unpriced is not None and in_usd:
        name = in_usd[0].budget.name
        sentence = f"budget {name} counts USD, and this request cannot be counted: {unpriced}"
        return _stop(in_usd[0], sentence, _NO_PRICE.format(f"{_SET} {name}"))
    for one in stopping:
        if not one.left:
            hint = f"try again when they have ended, or {_raise(one.budget)}"
            return _stop(one, one.sentence, hint, waits=True)
    crossed = [one for one in concerned if one.level is not Level.OK]
    return Allow(
        tuple(one for one in crossed if one.crossing not in told),
        frozenset(one.crossing for one in crossed),
    )


def usd_text(micros: int) -> str:
    """Micro-dollars, not negative, as dollars: exact, with two decimals or more."""
    whole, part = divmod(micros, 10**6)
    return f"{whole}.{f'{part:06}'.rstrip('0'):0<2}"


def _stop(one: Standing, sentence: str, hint: str, *, waits: bool = False) -> Stop:
    limit = one.budget.limit
    return Stop(one.budget, sentence, hint, one.spent, limit, one.resets_at, waits)


def _raise(budget: Budget) -> str:
    return f"raise it with `{_SET} {budget.name} --limit-{budget.limit.unit.value} …`"


def is_in(folder: str, path: str) -> bool:
    """Whether a directory is another one, or below it; both are absolute."""
    wanted = _folders(folder)
    return _folders(path)[: len(wanted)] == wanted


def _folders(path: str) -> list[str]:
    return [name for name in path.split("/") if name not in ("", ".")]
