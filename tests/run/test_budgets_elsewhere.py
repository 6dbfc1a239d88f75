"""The budgets of a run without a guard, or without a ledger that can be used."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from acp_bridge.errors import Reason, RefusedError
from acp_bridge.ledger.spending import Spending
from acp_bridge.modes import BillingMode, Metering
from acp_bridge.protocol.facts import PromptEnded, Refused, TurnEnd
from acp_bridge.protocol.names import Code
from acp_bridge.run.budget_turns import LATE
from tests.ledger.rows import spent
from tests.run.budget_desk import MONTH, SESSION, Desk
from tests.support.waiting import until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


# Without a guard.


async def test_a_turn_is_reserved_as_a_whole_until_it_has_ended(path: Path) -> None:
    desk = Desk(path, {**MONTH, "limit_requests": 2}, guarded=False)
    assert await desk.prompt() is None
    assert len(desk.reserved) == 1
    desk.end_turn()
    assert desk.reserved == []


async def test_what_a_turn_reserved_is_held_until_its_last_entries_have_come(path: Path) -> None:
    desk = Desk(path, {**MONTH, "limit_requests": 100}, guarded=False)
    assert await desk.prompt() is None
    desk.budgets.see(PromptEnded(SESSION, TurnEnd.ANSWERED))
    desk.budgets.tick()
    assert len(desk.reserved) == 1
    desk.spend("late", cost_micros=900_000)
    desk.now += LATE
    desk.budgets.tick()
    assert desk.reserved == []
    assert await desk.prompt() is None
    with Spending(path) as spending:
        (row,) = spending.reservations()
    assert row.cost_micros == 900_000


async def test_a_turn_that_follows_another_in_its_session_is_reserved_too(path: Path) -> None:
    desk = Desk(path, {**MONTH, "limit_requests": 5}, guarded=False)
    assert await desk.prompt() is None
    assert await desk.prompt() is None
    assert len(desk.reserved) == 2
    desk.end_turn()
    assert len(desk.reserved) == 1


async def test_a_prompt_that_was_refused_after_all_holds_nothing(path: Path) -> None:
    desk = Desk(path, {**MONTH, "limit_requests": 5}, guarded=False)
    assert await desk.budgets.before_prompt(SESSION) is None
    assert len(desk.reserved) == 1
    refused = Refused("session/prompt", Code.CREDENTIAL_CONTRADICTION, Reason.GUARD_BYPASSED, "")
    desk.budgets.see(refused)
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


@pytest.mark.parametrize("running", [True, False])
async def test_what_begins_no_turn_reserves_none(
    path: Path,
    running: bool,  # noqa: FBT001 - whether it steers a turn
) -> None:
    desk = Desk(path, {**MONTH, "limit_requests": 100}, guarded=False)
    if running:
        assert await desk.prompt() is None
    assert await desk.budgets.before_prompt(SESSION, begins_turn=False) is None
    assert len(desk.reserved) == int(running)


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
    usd = {"name": "usd", "window": "day", "limit_usd": "0.01"}
    desk = Desk(path, {**usd, "money": "billed_estimate"}, mode=BillingMode.SUBSCRIPTION)
    desk.spend("a", cost_micros=10**9)
    assert await desk.prompt() is None
