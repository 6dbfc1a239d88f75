"""How budgets and plan pools stand by the ledger, and what is reserved: what the page shows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal

from acp_bridge.inspect.plots import Allowance
from acp_bridge.ledger import ledger_path
from acp_bridge.ledger.queries import Ledger
from acp_bridge.ledger.records import ReservationRow
from acp_bridge.ledger.report import GroupKey, ReportRow
from acp_bridge.ledger.runs import is_alive
from acp_bridge.ledger.shares import Share, is_at, is_charged
from acp_bridge.metering.usage import CostKind
from acp_bridge.modes import BillingMode, Bucket, Plan
from acp_bridge.policy.billing import BillingPolicy, Pool
from acp_bridge.policy.budgets import Budget, LimitUnit, Spender, Spent, Standing, standing
from acp_bridge.policy.windows import Span, WindowKind
from acp_bridge.run.budget_books import BudgetBooks, share_of
from acp_bridge.run.budget_file import plan_pools
from acp_bridge.settings import Settings

_WHOSE = (GroupKey.MODE, GroupKey.BUCKET, GroupKey.MODEL, GroupKey.PROJECT, GroupKey.SESSION)


@dataclass(frozen=True, slots=True)
class Shown:
    """A budget and how it stands.

    Attributes:
        standing: as the ledger has it.
        session_id: whose spending that is, where the budget counts by session: of all sessions the
            one that used most. None if there is none, and for every other budget.
    """

    standing: Standing
    session_id: str | None = None


@dataclass(frozen=True, slots=True)
class ShownPool:
    """The pool of the user's plan; how it stands is None while it is not in force."""

    plan: Plan
    pool: Pool
    shown: Shown | None


@dataclass(frozen=True, slots=True)
class Held:
    """What one run has reserved, of one kind of money.

    Attributes:
        run_id: the run.
        alive: whether it lives.
        requests: API requests.
        tokens: of all kinds, at most.
        cost_micros: at most; None if the cost of one of them is not known.
        cost_kind: which money.
        since: when the oldest was made.
    """

    run_id: str
    alive: bool
    requests: int
    tokens: int
    cost_micros: int | None
    cost_kind: CostKind
    since: datetime


@dataclass(frozen=True, slots=True)
class Standings:
    """All of it."""

    budgets: Sequence[Shown]
    pools: Sequence[ShownPool]
    held: Sequence[Held]


def look(
    settings: Settings, budgets: Sequence[Budget], policy: BillingPolicy, at: datetime
) -> Standings:
    """Ask the ledger how everything stands.

    Args:
        settings: with the state directory and the plan.
        budgets: of the user's file.
        policy: tells what the plan gives.
        at: the moment; aware.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    path = ledger_path(settings.state_dir)
    today = at.astimezone().date()
    pools = plan_pools(settings, policy, today)
    if path.exists():
        books = BudgetBooks(path)
        try:
            with Ledger(path) as ledger:
                shown = [_shown(books, ledger, one, at) for one in (*budgets, *pools)]
            reserved = books.reservations()
        finally:
            books.close()
    else:
        shown = [Shown(standing(one, Spent(0), at)) for one in (*budgets, *pools)]
        reserved = []
    of_pool = shown[len(budgets)] if pools else None
    pool = policy.pool(settings.plan, today) if settings.plan is not None else None
    return Standings(
        budgets=shown[: len(budgets)],
        pools=[ShownPool(settings.plan, pool, of_pool)] if settings.plan and pool else [],
        held=_held(settings, reserved),
    )


def allowance(shown: Standing) -> Allowance | None:
    """What a budget allows in its window, for a plot; None unless the calendar lays the window."""
    budget, start = shown.budget, shown.span.start
    if start is None or not budget.window.kind.is_calendar:
        return None
    unit = "USD" if budget.limit.unit is LimitUnit.USD else budget.limit.unit.value
    return Allowance(
        title=f"budget {budget.name}",
        limit=_plotted(budget, budget.limit.amount),
        unit=unit,
        begin=start,
        end=shown.span.end,
    )


def spent_by_day(settings: Settings, budget: Budget, since: datetime) -> Mapping[date, Decimal]:
    """What a budget has spent by day of its zone, in US dollars or in its unit.

    Args:
        settings: with the state directory.
        budget: the budget.
        since: the first moment that counts; aware.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    share = share_of(budget, Span(since, None), None)
    days: dict[date, Decimal] = {}
    with Ledger(ledger_path(settings.state_dir)) as ledger:
        zone = budget.window.zone or UTC
        report = ledger.report((*_WHOSE, GroupKey.DAY), since=since, zone=zone)
    for row in report.rows:
        if _counts(share, row):
            day = date.fromisoformat(row.values[-1] or "")
            amount = _plotted(budget, _amount(budget, row))
            days[day] = days.get(day, Decimal(0)) + amount
    return days


def _shown(books: BudgetBooks, ledger: Ledger, budget: Budget, at: datetime) -> Shown:
    spender, session_id = None, None
    if budget.window.kind is WindowKind.SESSION and budget.scope.session is None:
        session_id, ids = _dearest_session(ledger, budget)
        mode = budget.scope.mode or BillingMode.SUBSCRIPTION
        spender = Spender(mode=mode, bucket=Bucket.UNKNOWN, session_ids=ids)
    return Shown(books.standings([budget], spender, at)[0], session_id)


def _dearest_session(ledger: Ledger, budget: Budget) -> tuple[str | None, frozenset[str]]:
    """The client's session that used most of a budget, and its sessions of Claude Code."""
    client_of = {
        session.session_id: session.client_session_id or session.session_id
        for session in ledger.sessions()
    }
    share = replace(share_of(budget, Span(None, None), None), session_ids=None)
    spent: dict[str, int] = {}
    parts: dict[str, set[str]] = {}
    for row in ledger.report(_WHOSE).rows:
        session_id = row.values[-1]
        if session_id is None or not _counts(share, row):
            continue
        client = client_of.get(session_id, session_id)
        spent[client] = spent.get(client, 0) + _amount(budget, row)
        parts.setdefault(client, {client}).add(session_id)
    dearest = max(spent, key=lambda one: spent[one], default=None)
    return dearest, frozenset() if dearest is None else frozenset(parts[dearest])


def _counts(share: Share, row: ReportRow) -> bool:
    mode, bucket, model, project, session_id, *_ = row.values
    charge = (mode or "", bucket or "", "", model)
    return is_charged(share, charge) and is_at(share, (session_id, project))


def _amount(budget: Budget, row: ReportRow) -> int:
    """What a group used, in the unit of a budget."""
    limit = budget.limit
    match limit.unit:
        case LimitUnit.USD:
            return (row.cost.get(limit.cost_kind) if limit.cost_kind else None) or 0
        case LimitUnit.TOKENS:
            return row.tokens.total
        case LimitUnit.REQUESTS:
            return row.requests or 0


def _plotted(budget: Budget, amount: int) -> Decimal:
    return Decimal(amount).scaleb(-6 if budget.limit.unit is LimitUnit.USD else 0)


def _held(settings: Settings, reserved: Iterable[ReservationRow]) -> list[Held]:
    by_run: dict[tuple[str, CostKind], list[ReservationRow]] = {}
    for row in reserved:
        by_run.setdefault((row.run_id, row.cost_kind), []).append(row)
    return [
        Held(
            run_id=run_id,
            alive=is_alive(settings.state_dir, run_id),
            requests=sum(row.requests for row in rows),
            tokens=sum(row.tokens for row in rows),
            cost_micros=_sum([row.cost_micros for row in rows]),
            cost_kind=cost_kind,
            since=min(row.at for row in rows),
        )
        for (run_id, cost_kind), rows in by_run.items()
    ]


def _sum(costs: Sequence[int | None]) -> int | None:
    known = [cost for cost in costs if cost is not None]
    return sum(known) if len(known) == len(costs) else None
