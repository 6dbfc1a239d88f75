"""The budgets of a run with a guard: who may go on, what is reserved meanwhile, who is told."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from acp_bridge.errors import Reason, RefusedError
from acp_bridge.ledger.shares import Share
from acp_bridge.ledger.spending import Spending
from acp_bridge.metering.usage import AskedBy, CostKind
from acp_bridge.modes import BillingMode, Bucket
from acp_bridge.policy.budgets import Stop
from acp_bridge.protocol.facts import PromptStarted, SessionOpened
from acp_bridge.run.budget_books import BudgetBooks
from tests.ledger.rows import NOON
from tests.run.budget_desk import HELD, MONTH, SESSION, Desk
from tests.support.waiting import until


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


async def test_room_that_comes_back_while_it_is_looked_for_is_taken(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No run was killed, though nothing is reserved any more when it is looked who holds it."""
    desk = Desk(path, {**MONTH, "limit_requests": 1})
    await desk.ask("r1")
    admit = BudgetBooks.admit

    def admit_then_release(*args: Any, **more: Any) -> Any:
        verdict = admit(*args, **more)
        if isinstance(verdict, Stop):
            desk.release("r1")
        return verdict

    monkeypatch.setattr(BudgetBooks, "admit", admit_then_release)
    await desk.ask("r2")
    assert desk.reserved == ["r2"]


async def test_a_request_waits_for_a_ledger_that_another_program_holds(path: Path) -> None:
    desk = Desk(path, MONTH)
    await desk.ask("r1")
    lock = sqlite3.connect(path, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(desk.ask, "r2")
        await anyio.sleep(1.5)
        # A prompt only reads, and does not queue behind the requests that write.
        with anyio.fail_after(0.9):
            assert await desk.prompt() is None
        lock.execute("ROLLBACK")
        lock.close()
    assert desk.reserved == ["r1", "r2"]


async def test_tokens_are_reserved_where_no_price_is_known(path: Path) -> None:
    budget = {**MONTH, "limit_requests": None, "limit_tokens": 1500}
    tables = {key: value for key, value in budget.items() if value is not None}
    desk = Desk(path, tables, mode=BillingMode.ENDPOINT, prices=lambda: None)
    await desk.ask("r1")
    with Spending(path) as spending:
        (row,) = spending.reservations()
    assert (row.tokens, row.cost_micros) == (2000, None)


async def test_a_bucket_that_is_not_known_may_be_any(path: Path) -> None:
    desk = Desk(path, {**MONTH, "limit_requests": 1, "scope": {"bucket": "plan_limits"}})
    desk.bucket = Bucket.UNKNOWN
    await desk.ask("r1")
    with Spending(path) as spending:
        (found,) = spending.spent([Share("x", bucket=Bucket.PLAN_LIMITS)])
    assert found.reserved.requests == 1


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


# Who is told, and whose turn is ended.


@asynccontextmanager
async def watched(desk: Desk) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(desk.budgets.watch)
        yield
        tasks.cancel_scope.cancel()


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


async def test_a_budget_that_cancels_ends_also_a_turn_that_follows_another(path: Path) -> None:
    desk = Desk(path, {**MONTH, "action": "cancel"})
    async with watched(desk):
        assert await desk.prompt() is None
        assert await desk.prompt() is None
        desk.end_turn()
        desk.spend("a", "b", "c")
        await until(lambda: desk.stopped)


async def test_a_budget_that_cancels_ends_no_turn_of_another_scope(path: Path) -> None:
    desk = Desk(path, {**MONTH, "action": "cancel", "scope": {"project": "/elsewhere"}})
    async with watched(desk):
        assert await desk.prompt() is None
        desk.spend("a", "b", "c", project="/elsewhere")
        await anyio.sleep(0.4)
    assert desk.stopped == []
