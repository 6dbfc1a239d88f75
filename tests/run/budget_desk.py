"""A run with budgets, its ledger and a clock."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import anyio

from acp_bridge.launch.price_file import load_prices
from acp_bridge.ledger.records import Released, ReservationRow
from acp_bridge.ledger.spending import Spending
from acp_bridge.ledger.writer import LedgerWriter
from acp_bridge.metering.meter import Meter
from acp_bridge.metering.usage import AskedBy, CostKind
from acp_bridge.modes import BillingMode, Bucket
from acp_bridge.policy.budget_rows import read_budgets
from acp_bridge.protocol.decisions import Refuse
from acp_bridge.protocol.facts import PromptEnded, PromptStarted, SessionOpened, TurnEnd
from acp_bridge.run.budget_books import BudgetBooks
from acp_bridge.run.budget_turns import LATE
from acp_bridge.run.budgets import Counted, RunBudgets, Stops
from acp_bridge.run.sessions import RunSessions
from tests.ledger.children import SECONDS
from tests.ledger.rows import NOON, run, spent
from tests.metering.test_wire_exchanges import REQUEST

if TYPE_CHECKING:
    from acp_bridge.policy.budgets import Standing

SESSION = "session"
MAIN = replace(
    REQUEST,
    session_id=SESSION,
    agent_id=None,
    asked_by=AskedBy.MAIN,
    model="claude-opus-5-5",
    size=1000,
    max_tokens=1000,
)
HELD = ReservationRow(
    reservation_id="held",
    run_id="run",
    session_id=None,
    at=NOON,
    mode=BillingMode.SUBSCRIPTION,
    bucket=Bucket.PLAN_LIMITS,
    cost_kind=CostKind.LIST_PRICE_EQUIVALENT,
)
MONTH = {"name": "month", "window": "month", "limit_requests": 3, "time_zone": "UTC"}


class Desk:
    """A run with budgets, its ledger and a clock.

    Attributes:
        opened: every desk, to be closed at the end of the test.
    """

    opened: ClassVar[list["Desk"]] = []

    def __init__(self, path: Path, *tables: dict[str, Any], **more: Any) -> None:
        self.path = path
        self.books = (BudgetBooks(path), BudgetBooks(path))
        self.opened.append(self)
        self.now = NOON
        self.bucket = Bucket.PLAN_LIMITS
        self.told: list[Standing] = []
        self.stopped: list[tuple[Refuse, tuple[str, ...]]] = []
        self.writer = LedgerWriter(path)
        self.meter = Meter("run")
        self.row = run("run")
        if "mode" in more:
            self.row = replace(self.row, mode=more.pop("mode"))
        self.budgets = RunBudgets(
            lambda: read_budgets(list(tables), origin="test", default_zone="UTC"),
            *self.books,
            Counted(
                run=self.row,
                sessions=RunSessions("run", self.meter, self.writer, set()),
                writer=self.writer,
                bucket=lambda: self.bucket,
                prices=more.pop("prices", load_prices),
                guarded=more.pop("guarded", True),
                clock=lambda: self.now,
                is_alive=lambda run_id: run_id == "run",
                **more,
            ),
            Stops(self.told.append, self._stop),
        )
        self.budgets.see(SessionOpened(SESSION, "/project", None))
        self.meter.session_opened(SESSION, opened_with=None, continued=False)

    @classmethod
    def close_all(cls) -> None:
        """Close the books of every desk."""
        while cls.opened:
            for books in cls.opened.pop().books:
                books.close()

    def _stop(self, refused: Refuse, session_ids: Collection[str]) -> None:
        self.stopped.append((refused, tuple(session_ids)))

    def spend(self, *keys: str, **changes: Any) -> None:
        """Entries of the run, in the ledger when this returns."""
        for key in keys:
            row = spent(key, at=self.now, **changes)
            self.writer.record(row)
            self.budgets.spent(row)
        assert self.writer.flush(SECONDS)

    def release(self, *names: str) -> None:
        for name in names:
            self.writer.record(Released(run_id="run", reservation_id=name))
        assert self.writer.flush(SECONDS)

    @property
    def reserved(self) -> list[str]:
        assert self.writer.flush(SECONDS)
        with Spending(self.path) as spending:
            return [one.reservation_id for one in spending.reservations()]

    async def prompt(self, session_id: str = SESSION) -> Refuse | None:
        refused = await self.budgets.before_prompt(session_id)
        if refused is None:
            self.budgets.see(PromptStarted(session_id))
        return refused

    def end_turn(self, session_id: str = SESSION) -> None:
        """A turn ends, and its last entries have had the time to come."""
        self.budgets.see(PromptEnded(session_id, TurnEnd.ANSWERED))
        self.now += 2 * LATE
        self.budgets.tick()

    async def ask(self, name: str = "r1", **changes: Any) -> None:
        with anyio.fail_after(10):
            await self.budgets.before_request(replace(MAIN, **changes), name)
