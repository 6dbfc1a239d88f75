"""The budgets of a run: who may go on, what is reserved meanwhile, and who is told."""

from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from acp_bridge.errors import Reason, RefusedError
from acp_bridge.launch.price_file import load_prices
from acp_bridge.ledger.records import Released, ReservationRow
from acp_bridge.ledger.spending import Spending
from acp_bridge.ledger.writer import LedgerWriter
from acp_bridge.metering.meter import Meter
from acp_bridge.metering.usage import AskedBy, CostKind
from acp_bridge.modes import BillingMode, Bucket, Metering
from acp_bridge.policy.budget_rows import read_budgets
from acp_bridge.protocol.decisions import Refuse
from acp_bridge.protocol.facts import PromptEnded, PromptStarted, SessionOpened, TurnEnd
from acp_bridge.run.budget_books import BudgetBooks
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
    """A run with budgets, its ledger and a clock."""

    def __init__(self, path: Path, *tables: dict[str, Any], **more: Any) -> None:
        self.path = path
        self.now = NOON
        self.told: list[Standing] = []
        self.stopped: list[tuple[Refuse, tuple[str, ...]]] = []
        self.writer = LedgerWriter(path)
        self.meter = Meter("run")
        self.row = run("run")
        if "mode" in more:
            self.row = replace(self.row, mode=more.pop("mode"))
        self.budgets = RunBudgets(
            lambda: read_budgets(list(tables), origin="test", default_zone="UTC"),
            BudgetBooks(path),
            Counted(
                run=self.row,
                sessions=RunSessions("run", self.meter, self.writer, set()),
                writer=self.writer,
                bucket=lambda: Bucket.PLAN_LIMITS,
                prices=load_prices,
                guarded=more.pop("guarded", True),
                clock=lambda: self.now,
                is_alive=lambda run_id: run_id == "run",
                **more,
            ),
            Stops(self.told.append, self._stop),
        )
        self.budgets.see(SessionOpened(SESSION, "/project", None))
        self.meter.session_opened(SESSION, opened_with=None, continued=False)

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
        self.budgets.see(PromptEnded(session_id, TurnEnd.ANSWERED))

    async def ask(self, name: str = "r1", **changes: Any) -> None:
        with anyio.fail_after(10):
            await self.budgets.before_request(replace(MAIN, **changes), name)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


async def test_without_a_budget_for_it_nothing_is_asked_and_no_ledger_is_made(path: Path) -> None:
    desk = Desk(path, {**MONTH, "scope": {"mode": "api-key"}})
    assert await desk.prompt() is None
    await desk.ask()
    assert not path.exists()  # noqa: ASYNC240 - nobody waits


async def test_a_prompt_with_room_goes_on_and_reserves_nothing_where_requests_are_guarded(
    path: Path,
) -> None:
    desk = Desk(path, MONTH)
    assert await desk.prompt() is None
    assert desk.reserved == []


async def test_a_prompt_without_room_is_refused_with_all_that_helps(path: Path) -> None:
    desk = Desk(path, MONTH)
    desk.spend("a", "b", "c")
    refused = await desk.prompt()
    assert refused is not None
    assert (refused.code, refused.reason) == (-32011, Reason.BUDGET_EXHAUSTED)
    assert refused.channel == "budget:month"
    for part in ("3 of 3 requests", "2026-11-01", "2026-12-01"):
        assert part in refused.sentence
    assert "acp-bridge budget set month --limit-requests" in refused.hint
    assert refused.sentence[0] == "B"
    assert refused.sentence.endswith(".")


async def test_there_is_room_again_when_the_window_has_passed(path: Path) -> None:
    desk = Desk(path, MONTH)
    desk.spend("a", "b", "c")
    assert await desk.prompt() is not None
    desk.now += timedelta(days=7)
    assert await desk.prompt() is None


async def test_a_rolling_window_says_when_its_oldest_spending_goes_out(path: Path) -> None:
    desk = Desk(path, {"name": "five", "window": "5h", "limit_requests": 1})
    desk.spend("a")
    desk.now += timedelta(hours=2)
    refused = await desk.prompt()
    assert refused is not None
    assert "2026-11-24 17:00" in refused.sentence
    with pytest.raises(RefusedError, match="2026-11-24 17:00"):
        await desk.ask()
    desk.now += timedelta(hours=3, seconds=1)
    assert await desk.prompt() is None


async def test_a_request_is_reserved_by_what_it_can_cost_at_most(path: Path) -> None:
    desk = Desk(path, MONTH)
    await desk.ask("r1")
    with Spending(path) as spending:
        (row,) = spending.reservations()
    assert (row.reservation_id, row.run_id, row.session_id) == ("r1", "run", SESSION)
    assert (row.requests, row.tokens, row.cost_micros) == (1, 2000, 8000 + 20_000)
    assert (row.model, row.project, row.at) == ("claude-opus-5-5", "/project", NOON)
    assert row.cost_kind is CostKind.LIST_PRICE_EQUIVALENT


async def test_a_request_waits_while_only_reservations_are_in_the_way(path: Path) -> None:
    desk = Desk(path, MONTH)
    for name in ("r1", "r2", "r3"):
        await desk.ask(name)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(desk.ask, "r4")
        await anyio.sleep(0.3)
        assert desk.reserved == ["r1", "r2", "r3"]
        desk.release("r2")
    assert desk.reserved == ["r1", "r3", "r4"]


async def test_a_request_that_waited_is_refused_when_the_others_have_spent_the_rest(
    path: Path,
) -> None:
    desk = Desk(path, MONTH)
    for name in ("r1", "r2", "r3"):
        await desk.ask(name)
    async with anyio.create_task_group() as tasks:

        async def refused() -> None:
            with pytest.raises(RefusedError, match="3 of 3 requests"):
                await desk.ask("r4")

        tasks.start_soon(refused)
        await anyio.sleep(0.1)
        desk.spend("a", "b", "c")
        desk.release("r1", "r2", "r3")
    assert desk.reserved == []


async def test_a_request_that_waits_too_long_is_refused_with_the_reason(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acp_bridge.run.budgets.LONGEST_WAIT_SECONDS", 0.1)
    desk = Desk(path, {**MONTH, "limit_requests": 1})
    await desk.ask("r1")
    with pytest.raises(RefusedError, match="reserved by requests under way"):
        await desk.ask("r2")


@pytest.mark.parametrize("guarded", [True, False])
async def test_what_a_killed_run_reserved_is_not_waited_for_and_can_be_released(
    path: Path,
    guarded: bool,  # noqa: FBT001 - both ways to ask
) -> None:
    desk = Desk(path, {**MONTH, "limit_requests": 1}, guarded=guarded)
    with Spending(path) as spending:
        assert spending.reserve([], replace(HELD, run_id="killed"), lambda _: True)
    if guarded:
        with pytest.raises(RefusedError) as caught:
            await desk.ask()
        hint = caught.value.hint
    else:
        refused = await desk.prompt()
        assert refused is not None
        hint = refused.hint
    assert "acp-bridge budget release" in hint


async def test_the_turn_that_a_refused_request_ends_is_told_why_once(path: Path) -> None:
    desk = Desk(path, {**MONTH, "limit_requests": 1})
    assert await desk.prompt() is None
    desk.spend("a")
    with pytest.raises(RefusedError):
        await desk.ask()
    why = desk.budgets.stopped(SESSION)
    assert why is not None
    assert why.code == -32011
    assert desk.budgets.stopped(SESSION) is None


@pytest.mark.parametrize("asked_by", [AskedBy.TITLE, AskedBy.SUGGESTION, AskedBy.SUBAGENT])
async def test_what_ends_no_turn_explains_none(path: Path, asked_by: AskedBy) -> None:
    desk = Desk(path, {**MONTH, "limit_requests": 1})
    assert await desk.prompt() is None
    desk.spend("a")
    with pytest.raises(RefusedError):
        await desk.ask(asked_by=asked_by)
    assert desk.budgets.stopped(SESSION) is None


async def test_what_is_refused_outside_of_a_turn_explains_no_later_one(path: Path) -> None:
    desk = Desk(path, {**MONTH, "limit_requests": 1})
    desk.spend("a")
    with pytest.raises(RefusedError):
        await desk.ask()
    desk.budgets.see(PromptStarted(SESSION))
    assert desk.budgets.stopped(SESSION) is None


# A budget in dollars.

USD = {"name": "usd", "window": "day", "limit_usd": "0.01", "money": "list_price_equivalent"}


async def test_a_model_without_a_price_is_refused_by_a_budget_in_dollars(path: Path) -> None:
    desk = Desk(path, USD)
    with pytest.raises(RefusedError, match="no price is known of 'nobody-knows'"):
        await desk.ask(model="nobody-knows")
    desk = Desk(path, {**USD, "action": "warn"})
    await desk.ask(model="nobody-knows")


async def test_a_prompt_is_not_priced_before_its_requests_are(path: Path) -> None:
    desk = Desk(path, USD)
    assert await desk.prompt() is None


async def test_the_last_request_may_pass_the_limit_and_the_next_is_refused(path: Path) -> None:
    desk = Desk(path, USD)
    await desk.ask("r1")
    desk.spend("a", cost_micros=12_000)
    desk.release("r1")
    with pytest.raises(RefusedError, match=r"0\.012 of 0\.01 USD"):
        await desk.ask("r2")


# Scopes.


async def test_a_session_has_a_budget_of_its_own(path: Path) -> None:
    desk = Desk(path, {"name": "each", "window": "session", "limit_requests": 1})
    desk.budgets.see(SessionOpened("other", "/project", None))
    desk.meter.session_opened("other", opened_with=None, continued=False)
    desk.spend("a")
    assert await desk.prompt() is not None
    assert await desk.prompt("other") is None


async def test_a_guarded_prompt_is_not_refused_for_a_model_that_it_may_not_ask(
    path: Path,
) -> None:
    desk = Desk(path, {**MONTH, "scope": {"model": "claude-haiku*"}, "limit_requests": 1})
    desk.spend("a", model="claude-haiku-5-5")
    assert await desk.prompt() is None
    await desk.ask("r1")
    with pytest.raises(RefusedError):
        await desk.ask("r2", model="claude-haiku-5-5")


@pytest.mark.parametrize(("project", "refused"), [("/project", True), ("/elsewhere", False)])
async def test_a_project_is_known_from_when_its_session_is_opened(
    path: Path,
    project: str,
    refused: bool,  # noqa: FBT001 - a table
) -> None:
    desk = Desk(path, {**MONTH, "scope": {"project": project}, "limit_requests": 1})
    desk.spend("a", project=project)
    assert (await desk.prompt() is not None) is refused


# Without a guard.


async def test_a_turn_is_reserved_as_a_whole_until_it_has_ended(path: Path) -> None:
    desk = Desk(path, {**MONTH, "limit_requests": 2}, guarded=False)
    assert await desk.prompt() is None
    assert len(desk.reserved) == 1
    desk.end_turn()
    assert desk.reserved == []


async def test_ten_sessions_cannot_each_take_the_last_turn(path: Path) -> None:
    desk = Desk(path, {**MONTH, "limit_requests": 1}, guarded=False)
    answers = [await desk.prompt(f"s{number}") for number in range(10)]
    refused = [one for one in answers if one is not None]
    assert len(refused) == 9
    assert all("reserved by requests under way" in one.sentence for one in refused)
    desk.end_turn("s0")
    assert desk.reserved == []
    assert await desk.prompt("s5") is None


async def test_a_turn_is_taken_to_use_what_the_dearest_one_did(path: Path) -> None:
    desk = Desk(path, {**MONTH, "limit_requests": 100}, guarded=False)
    assert await desk.prompt() is None
    desk.spend("a", "b", "c", cost_micros=400_000)
    desk.end_turn()
    assert desk.reserved == []
    assert await desk.prompt() is None
    with Spending(path) as spending:
        (row,) = spending.reservations()
    assert (row.requests, row.cost_micros) == (3, 1_200_000)


async def test_what_steers_a_running_turn_reserves_no_second_one(path: Path) -> None:
    desk = Desk(path, {**MONTH, "limit_requests": 100}, guarded=False)
    assert await desk.prompt() is None
    assert await desk.budgets.before_prompt(SESSION) is None
    assert len(desk.reserved) == 1


# Who is told, and whose turn is ended.


@asynccontextmanager
async def watched(desk: Desk) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(desk.budgets.watch)
        yield
        tasks.cancel_scope.cancel()


async def until(condition: Callable[[], object]) -> None:
    """Wait for what has no event."""
    for _ in range(500):
        if condition():
            return
        await anyio.sleep(0.02)
    pytest.fail("it did not happen")


async def test_each_level_is_told_once(path: Path) -> None:
    desk = Desk(path, {**MONTH, "limit_requests": 10, "warn_at": 0.5})
    async with watched(desk):
        desk.spend(*"abcde")
        await until(lambda: desk.told)
        desk.spend("f")
        await anyio.sleep(0.3)
        assert [str(one.level) for one in desk.told] == ["warned"]
        desk.spend(*"ghij")
        await until(lambda: len(desk.told) == 2)
    assert [str(one.level) for one in desk.told] == ["warned", "reached"]
    assert desk.stopped == []


async def test_a_budget_that_cancels_ends_the_turn_that_reached_it(path: Path) -> None:
    desk = Desk(path, {**MONTH, "action": "cancel"})
    async with watched(desk):
        assert await desk.prompt() is None
        desk.spend("a", "b", "c")
        await until(lambda: desk.stopped)
    ((refused, sessions), *_) = desk.stopped
    assert (refused.code, sessions) == (-32011, (SESSION,))
    assert "3 of 3 requests" in refused.sentence


async def test_a_budget_that_cancels_ends_no_turn_of_another_scope(path: Path) -> None:
    desk = Desk(path, {**MONTH, "action": "cancel", "scope": {"project": "/elsewhere"}})
    async with watched(desk):
        assert await desk.prompt() is None
        desk.spend("a", "b", "c", project="/elsewhere")
        await anyio.sleep(0.4)
    assert desk.stopped == []


# Where nothing can be counted.


@pytest.fixture
def broken(path: Path) -> Iterator[Path]:
    path.write_bytes(b"no database" * 100)
    yield path
    assert path.read_bytes() == b"no database" * 100


@pytest.mark.parametrize(
    ("metering", "action", "goes_on"),
    [
        (Metering.BUDGETED, "block", False),
        (Metering.BUDGETED, "warn", True),
        (Metering.BEST_EFFORT, "block", True),
        (Metering.REQUIRED, "block", False),
    ],
)
async def test_what_cannot_be_counted_is_refused_where_a_budget_may_stop_it(
    broken: Path,
    metering: Metering,
    action: str,
    goes_on: bool,  # noqa: FBT001 - a table
) -> None:
    desk = Desk(broken, {**MONTH, "action": action}, metering=metering)
    refused = await desk.prompt()
    assert (refused is None) is goes_on
    if refused is None:
        await desk.ask()
        return
    assert (refused.code, refused.reason) == (-32011, Reason.METERING_FAILED)
    assert "is no database" in refused.sentence
    assert "move the file away" in refused.hint.lower()
    with pytest.raises(RefusedError, match="is no database"):
        await desk.ask()


async def test_where_metering_is_required_a_prompt_needs_no_budget_to_be_refused(
    broken: Path,
) -> None:
    desk = Desk(broken, metering=Metering.REQUIRED)
    assert await desk.prompt() is None
    desk.writer.record(spent("a"))
    await until(lambda: not desk.writer.health.ok)
    refused = await desk.prompt()
    assert refused is not None
    assert refused.reason is Reason.METERING_FAILED
    desk.writer.close(0.1)


async def test_when_the_ledger_can_be_used_again_so_can_the_session(path: Path) -> None:
    path.write_bytes(b"no database" * 100)  # noqa: ASYNC240 - nobody waits
    desk = Desk(path, MONTH)
    assert await desk.prompt() is not None
    path.unlink()  # noqa: ASYNC240 - as above
    assert await desk.prompt() is None


async def test_a_mode_with_other_money_does_not_count_against_a_budget_in_dollars(
    path: Path,
) -> None:
    desk = Desk(path, {**USD, "money": "billed_estimate"}, mode=BillingMode.SUBSCRIPTION)
    desk.spend("a", cost_micros=10**9)
    assert await desk.prompt() is None
