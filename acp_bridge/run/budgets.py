"""The budgets of a run: asked before each prompt and each request, told what was counted.

Nothing here blocks the stream: the ledger is asked in a worker thread, one question at a time.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import count
from typing import TypeVar

import anyio
import anyio.to_thread

from acp_bridge.errors import RefusedError
from acp_bridge.ledger.database import LedgerError
from acp_bridge.ledger.records import Released, ReservationRow, RunRow, SpentRow
from acp_bridge.ledger.writer import LedgerWriter
from acp_bridge.metering.at_most import at_most
from acp_bridge.metering.prices import Prices
from acp_bridge.metering.usage import AskedBy
from acp_bridge.metering.wire_request import ModelRequest
from acp_bridge.modes import Bucket, Metering
from acp_bridge.policy.budgets import (
    MONEY_OF_MODE,
    Action,
    Allow,
    Budget,
    Crossing,
    Level,
    Spender,
    Standing,
    Stop,
    Verdict,
)
from acp_bridge.protocol.decisions import Refuse
from acp_bridge.protocol.facts import Fact, PromptEnded, PromptStarted, Refused, SessionOpened
from acp_bridge.protocol.names import SPENDING
from acp_bridge.run.budget_books import BudgetBooks
from acp_bridge.run.budget_refusals import ending, held_by_the_dead, refusal, uncountable
from acp_bridge.run.budget_turns import LATE, BudgetTurns
from acp_bridge.run.sessions import RunSessions
from acp_bridge.run.spenders import Spenders

LONGEST_WAIT_SECONDS = 240.0
"""How long a request waits for room that others have reserved: Claude Code gives up after 300 s."""
LONGEST_BUSY_SECONDS = 10.0
"""How long it waits for a ledger that another program holds."""
_FIRST_LOOK_SECONDS = 0.05
_LONGEST_LOOK_SECONDS = 1.0
_SETTLING_SECONDS = 0.1
"""How long after something was counted it is in the ledger, by and large."""

_NO_TURN_ENDS = frozenset({AskedBy.TITLE, AskedBy.SUGGESTION, AskedBy.SUBAGENT, AskedBy.COUNT})

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Stops:
    """To whom it is told what the budgets found; none of these may wait or raise.

    Attributes:
        told: a budget came near its limit, or reached it; once a window.
        stop: turns of these sessions of the client are to end.
    """

    told: Callable[[Standing], None]
    stop: Callable[[Refuse, Collection[str]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What the run counts with.

    Attributes:
        run: the run, as the ledger stores it.
        sessions: the sessions of Claude Code that it has seen.
        writer: where rows go.
        bucket: what is charged now.
        prices: what prices requests; None while that is not known.
        guarded: each request is asked for, not only each prompt.
        clock: wall time, aware UTC.
        is_alive: whether a run lives, by its id.
        metering: what happens where nothing can be counted.
    """

    run: RunRow
    sessions: RunSessions
    writer: LedgerWriter
    bucket: Callable[[], Bucket]
    prices: Callable[[], Prices | None]
    guarded: bool
    clock: Callable[[], datetime]
    is_alive: Callable[[str], bool]
    metering: Metering = Metering.BUDGETED


class RunBudgets:
    """The budgets of one run.

    Args:
        budgets: gives those that may concern it, as of now; asked in a worker thread.
        books: asks the ledger before requests.
        prompts_books: the same before prompts, which hold the client's stream and cannot queue.
        counted: what the run counts with.
        stops: who is told.
    """

    def __init__(
        self,
        budgets: Callable[[], Sequence[Budget]],
        books: BudgetBooks,
        prompts_books: BudgetBooks,
        counted: Counted,
        stops: Stops,
    ) -> None:
        self._budgets = budgets
        self._latest: Sequence[Budget] = ()
        self._books = books
        self._run = counted.run
        self._counted = counted
        self._stops = stops
        self._one_at_a_time = {one: anyio.Lock() for one in (books, prompts_books)}
        self._prompts_books = prompts_books
        self._numbers = count(1)
        self._spenders = Spenders(counted.run.mode, counted.bucket, counted.sessions)
        self._turns = BudgetTurns(self._release)
        self._stopped: dict[str | None, Refuse] = {}
        self._told: frozenset[Crossing] = frozenset()
        self._news = anyio.Event()

    async def before_prompt(
        self, client_session_id: str | None, *, begins_turn: bool = True
    ) -> Refuse | None:
        """Whether a session of the client may begin a turn; if not, why.

        Without a guard the turn is reserved as a whole, by what the dearest so far has used.
        """
        if self._counted.metering is Metering.REQUIRED:
            health = self._counted.writer.health
            if not health.ok:
                return uncountable(health.reason, health.hint)
        spender = self._spenders.of_client(client_session_id)
        self.tick()
        self._turns.drop_admitted()  # it was refused after all, or did not begin a turn
        reservation = None
        if begins_turn and not self._counted.guarded:
            reservation = self._turn_reservation(client_session_id, spender)
        try:
            verdict = await self._admit(
                spender,
                reservation=reservation,
                # Which models it will ask is not known yet; each of its requests is asked for.
                of_models=not self._counted.guarded,
                # The client's stream stands still meanwhile: not behind requests that queue.
                books=self._prompts_books,
            )
        except LedgerError as error:
            return self._failed(error, spender)
        if isinstance(verdict, Stop) and not (verdict.waits and self._counted.guarded):
            return refusal(verdict)
        self._tell(verdict)
        if reservation is not None:
            self._turns.admit(client_session_id, reservation.reservation_id)
        return None

    async def before_request(self, request: ModelRequest, reservation_id: str) -> None:
        """Wait until a request may be sent, and reserve what it can cost at most.

        Raises:
            RefusedError: it may not be sent.
        """
        began, look = anyio.current_time(), _FIRST_LOOK_SECONDS
        while True:
            verdict = await self._ask_for(request, reservation_id, began + LONGEST_BUSY_SECONDS)
            if isinstance(verdict, Allow):
                self._tell(verdict)
                return
            is_late = anyio.current_time() >= began + LONGEST_WAIT_SECONDS
            if verdict is not None and (is_late or not verdict.waits):
                self._refuse(request, refusal(verdict))
            await anyio.sleep(look)
            look = min(2 * look, _LONGEST_LOOK_SECONDS)

    def stopped(self, client_session_id: str | None) -> Refuse | None:
        """Why the running turn of a session was not let go on, once; None if it was."""
        return self._stopped.pop(client_session_id, None)

    def see(self, fact: Fact) -> None:
        """Take a fact of the relay core; returns at once."""
        match fact:
            case SessionOpened():
                self._spenders.opened(fact)
            case PromptStarted(session_id):
                self._turns.begin(session_id)
                self._stopped.pop(session_id, None)
            case PromptEnded(session_id):
                self._turns.end(session_id, self._counted.clock())
                self._news.set()
            case Refused(method) if method in SPENDING:
                self._turns.drop_admitted()
            case _:
                pass

    def spent(self, row: SpentRow) -> None:
        """Take an entry on its way to the ledger; returns at once."""
        client = self._counted.sessions.client_of(row.entry.session_id)
        self._turns.count(client, row.entry)
        self._spenders.spent(row)
        self._news.set()

    def tick(self) -> None:
        """Let time pass: turns that ended a while ago hold nothing any more."""
        self._turns.release_ended(self._counted.clock())

    async def watch(self) -> None:
        """Tell what is crossed while turns run, and end the turns that a budget is to end."""
        while True:
            wait = LATE.total_seconds() / 4 if self._turns.are_ending else None
            with anyio.move_on_after(wait):
                await self._news.wait()
            self.tick()
            if self._news.is_set():
                self._news = anyio.Event()
                await anyio.sleep(_SETTLING_SECONDS)
                for client_session_id in self._turns.sessions or [None]:
                    await self._look_at(client_session_id)
                if self._counted.writer.health.waiting:
                    self._news.set()

    async def close(self) -> None:
        """Close the books; what is still reserved is released by whoever settles the run."""
        for books in self._one_at_a_time:
            await self._in_thread(books, books.close)

    def _explained(self, verdict: Verdict, holders: Collection[str]) -> Verdict:
        """Whether it is worth waiting for what is reserved: a run that was killed gives no news.

        In the worker thread, by what the same transaction saw: what was released since is no sign.
        """
        if not isinstance(verdict, Stop) or not verdict.waits:
            return verdict
        if any(map(self._counted.is_alive, holders)):
            return verdict
        return held_by_the_dead(verdict)

    async def _look_at(self, client_session_id: str | None) -> None:
        spender = self._spenders.of_client(client_session_id)

        def look() -> list[Standing]:
            self._latest = self._budgets()
            concerned = [one for one in self._latest if one.is_for(spender, unknown_matches=False)]
            at = self._counted.clock()
            return self._books.standings(concerned, spender, at) if concerned else []

        try:
            standings = await self._in_thread(self._books, look)
        except LedgerError:
            return  # the next prompt or request says so
        crossed = [one for one in standings if one.level is not Level.OK]
        new = tuple(one for one in crossed if one.crossing not in self._told)
        self._tell(Allow(new, frozenset(one.crossing for one in crossed)))
        for one in crossed:
            ends = one.level is Level.REACHED and one.budget.action is Action.CANCEL
            if ends and client_session_id is not None and self._turns.runs_in(client_session_id):
                self._stops.stop(ending(one), (client_session_id,))

    async def _ask_for(
        self, request: ModelRequest, reservation_id: str, busy_until: float
    ) -> Verdict | None:
        """The verdict on a request; None while another program holds the ledger, up to a time."""
        counted, at = self._counted, self._counted.clock()
        spender = self._spenders.of_request(request)
        prices = counted.prices()
        bound = at_most(request, prices, at)
        reservation = ReservationRow(
            reservation_id=reservation_id,
            run_id=self._run.run_id,
            session_id=request.session_id,
            at=at,
            mode=spender.mode,
            bucket=spender.bucket,
            cost_kind=MONEY_OF_MODE[spender.mode],
            project=spender.project,
            model=request.model,
            tokens=bound.tokens,
            cost_micros=bound.cost.micros,
        )
        try:
            return await self._admit(spender, unpriced=bound.cost.why, reservation=reservation)
        except LedgerError as error:
            if error.is_busy and anyio.current_time() < busy_until:
                return None
            refused = self._failed(error, spender)
            if refused is not None:
                self._refuse(request, refused)
            return Allow()

    async def _admit(
        self,
        spender: Spender,
        *,
        unpriced: str | None = None,
        reservation: ReservationRow | None = None,
        of_models: bool = True,
        books: BudgetBooks | None = None,
    ) -> Verdict:
        books = books or self._books

        def ask() -> Verdict:
            self._latest = self._budgets()
            at = self._counted.clock()
            verdict = books.admit(
                [one for one in self._latest if of_models or one.scope.model is None],
                spender,
                at,
                unpriced=unpriced,
                reservation=None if reservation is None else replace(reservation, at=at),
                told=self._told,
            )
            return self._explained(verdict, books.holders)

        return await self._in_thread(books, ask)

    async def _in_thread(self, books: BudgetBooks, work: Callable[[], _T]) -> _T:
        async with self._one_at_a_time[books]:
            return await anyio.to_thread.run_sync(work)

    def _tell(self, verdict: Verdict) -> None:
        if isinstance(verdict, Allow):
            self._told |= verdict.crossed
            for one in verdict.warnings:
                self._stops.told(one)

    def _refuse(self, request: ModelRequest, refused: Refuse) -> None:
        if request.asked_by not in _NO_TURN_ENDS:
            client = self._counted.sessions.client_of(request.session_id)
            if self._turns.runs_in(client):
                self._stopped[client] = refused
        raise RefusedError(refused.sentence.rstrip("."), hint=refused.hint)

    def _failed(self, error: LedgerError, spender: Spender) -> Refuse | None:
        """What an obstacle of the ledger means for a spender."""
        if self._counted.metering is Metering.BEST_EFFORT:
            return None
        stops = (one for one in self._latest if one.action is not Action.WARN)
        if not any(one.is_for(spender, unknown_matches=True) for one in stops):
            return None
        return uncountable(error.message, error.hint)

    def _turn_reservation(self, client_session_id: str | None, spender: Spender) -> ReservationRow:
        dearest = self._turns.dearest
        return ReservationRow(
            reservation_id=f"{self._run.run_id}:turn:{next(self._numbers)}",
            run_id=self._run.run_id,
            session_id=client_session_id,
            at=self._counted.clock(),
            mode=spender.mode,
            bucket=spender.bucket,
            cost_kind=MONEY_OF_MODE[spender.mode],
            project=spender.project,
            model=spender.model,
            requests=dearest.requests,
            tokens=dearest.tokens,
            cost_micros=dearest.cost_micros,
        )

    def _release(self, reservation_id: str) -> None:
        self._counted.writer.record(
            Released(run_id=self._run.run_id, reservation_id=reservation_id)
        )
