"""How budgets stand by the ledger: their windows and scopes put as questions to it. Blocks."""

from collections.abc import Container, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from acp_bridge.ledger.database import LedgerError
from acp_bridge.ledger.records import ReservationRow
from acp_bridge.ledger.shares import Amounts, Share
from acp_bridge.ledger.spending import Spending
from acp_bridge.ledger.spending import Spent as SpentInLedger
from acp_bridge.policy.budgets import (
    Allow,
    Budget,
    Crossing,
    LimitUnit,
    Spender,
    Spent,
    Standing,
    Stop,
    Verdict,
    admit,
)
from acp_bridge.policy.windows import Span, Window, WindowKind


class BudgetBooks:
    """Asks the ledger how budgets stand, from one thread at a time.

    Args:
        path: the ledger's file, which is opened when it is first needed.

    Raises:
        LedgerError: the ledger cannot be read or written; any method may raise it, and the next
            call tries again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened: Spending | None = None
        self._spans: dict[Window, Span] = {}

    def close(self) -> None:
        """Close the ledger; may be repeated."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def standings(
        self, budgets: Sequence[Budget], spender: Spender | None, at: datetime
    ) -> list[Standing]:
        """How budgets stand, each with the time when a rolling one has room again.

        Args:
            budgets: of any scope.
            spender: whose session is meant where a budget counts by session; None for no session.
            at: the moment; aware.
        """
        spans = [self._span(budget.window, at) for budget in budgets]
        shares = [share_of(*one, spender) for one in zip(budgets, spans, strict=True)]
        try:
            spent = self._spending().spent(shares)
            return [
                self._standing(*one, with_reset=True)
                for one in zip(budgets, spans, shares, spent, strict=True)
            ]
        except LedgerError:
            self.close()
            raise

    def admit(  # noqa: PLR0913 - each by name
        self,
        budgets: Sequence[Budget],
        spender: Spender,
        at: datetime,
        *,
        unpriced: str | None = None,
        reservation: ReservationRow | None = None,
        told: Container[Crossing] = frozenset(),
    ) -> Verdict:
        """Decide whether a spender may go on; if so, store the reservation in the same moment.

        Args:
            budgets: those that may be for the spender.
            spender: who asks.
            at: the moment; aware.
            unpriced: why what is asked for has no price; None if it has one, or needs none yet.
            reservation: what it may cost at most; None reserves nothing.
            told: what was told before; see `acp_bridge.policy.budgets.admit`.
        """
        concerned = [one for one in budgets if one.is_for(spender, unknown_matches=True)]
        if not concerned:
            return Allow()
        spans = [self._span(budget.window, at) for budget in concerned]
        shares = [share_of(*one, spender) for one in zip(concerned, spans, strict=True)]
        found: list[SpentInLedger] = []
        verdict: Verdict = Allow()

        def judge(*, with_reset: bool = False) -> Verdict:
            standings = [
                self._standing(*one, with_reset=with_reset)
                for one in zip(concerned, spans, shares, found, strict=True)
            ]
            return admit(standings, spender, unpriced=unpriced, told=told)

        def admits(spent: list[SpentInLedger]) -> bool:
            nonlocal verdict
            found.extend(spent)
            verdict = judge()
            return isinstance(verdict, Allow)

        try:
            if reservation is None:
                admits(self._spending().spent(shares))
            else:
                self._spending().reserve(shares, reservation, admits)
            return judge(with_reset=True) if isinstance(verdict, Stop) else verdict
        except LedgerError:
            self.close()
            raise

    @property
    def holders(self) -> frozenset[str]:
        """The runs that had something reserved when a budget was last asked for."""
        return frozenset() if self._opened is None else self._opened.holders

    def reservations(self) -> list[ReservationRow]:
        """All that is reserved, oldest first."""
        return self._spending().reservations()

    def _spending(self) -> Spending:
        if self._opened is None:
            self._opened = Spending(self._path)
        return self._opened

    def _span(self, window: Window, at: datetime) -> Span:
        """The stretch of a window at a moment; that of a calendar window is kept while it lasts."""
        kept = self._spans.get(window)
        if kept is not None and kept.start and kept.end and kept.start <= at < kept.end:
            return kept
        span = window.span(at)
        self._spans[window] = span
        return span

    def _standing(
        self, budget: Budget, span: Span, share: Share, found: SpentInLedger, *, with_reset: bool
    ) -> Standing:
        resets_at = span.end
        if with_reset and budget.window.kind is WindowKind.ROLLING:
            oldest = self._spending().oldest(share)
            hours = timedelta(hours=budget.window.hours or 0)
            resets_at = None if oldest is None else oldest + hours
        return Standing(budget, spent_of(budget.limit.unit, found), span, resets_at)


def share_of(budget: Budget, span: Span, spender: Spender | None) -> Share:
    """Which of the ledger's entries a budget counts.

    Args:
        budget: the budget.
        span: the stretch of its window.
        spender: whose session is meant; None for no session.
    """
    scope = budget.scope
    own = frozenset[str]() if spender is None else spender.session_ids
    session_ids: tuple[str, ...] | None = None
    if scope.session is not None:
        session_ids = tuple(sorted(own)) if scope.session in own else (scope.session,)
    elif budget.window.kind is WindowKind.SESSION:
        session_ids = tuple(sorted(own))
    return Share(
        budget.name,
        mode=scope.mode,
        bucket=scope.bucket,
        cost_kind=budget.limit.cost_kind,
        model=scope.model,
        project=scope.project,
        session_ids=session_ids,
        since=span.start,
    )


def spent_of(unit: LimitUnit, found: SpentInLedger) -> Spent:
    """What the ledger found, in the unit of a limit."""
    used, reserved = (_amount(unit, amounts) for amounts in (found.used, found.reserved))
    uncounted = {
        LimitUnit.USD: found.used.uncosted,
        LimitUnit.TOKENS: found.used.untold,
        LimitUnit.REQUESTS: 0,
    }[unit]
    return Spent(max(0, used), max(0, reserved), uncounted)


def _amount(unit: LimitUnit, amounts: Amounts) -> int:
    match unit:
        case LimitUnit.USD:
            return amounts.cost_micros
        case LimitUnit.TOKENS:
            return amounts.tokens
        case LimitUnit.REQUESTS:
            return amounts.requests
