"""What counts and guards a run, put together: meter, budgets and wire guard.

The same for an agent behind the relay (`acp_bridge.bridge`) and for a program that has the terminal
to itself (`acp_bridge.companion`); what differs is who is told, and what can be stopped.
"""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from anyio.abc import TaskGroup

from acp_bridge.log import Log
from acp_bridge.loopback.bound import BoundAddress
from acp_bridge.metering.usage import UsageEntry
from acp_bridge.metering.wire_request import ModelRequest
from acp_bridge.modes import Metering
from acp_bridge.policy.surface import Surface
from acp_bridge.protocol.decisions import Contradiction
from acp_bridge.run.bucket import BucketInForce
from acp_bridge.run.guarded import GuardedRun
from acp_bridge.run.metered import MeteredRun
from acp_bridge.run.preparation import Preparation
from acp_bridge.run.record import RunRecord

if TYPE_CHECKING:
    from acp_bridge.policy.budgets import Budget
    from acp_bridge.run.budgeted import BudgetedRun, ToRelay

Admit = Callable[[ModelRequest, str], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedBy:
    """What a run is counted and guarded with.

    Attributes:
        preparation: the prepared run.
        record: its status document.
        in_force: what is charged.
        telemetry: where Claude Code's telemetry goes; None if nobody is to receive it.
        guard: where model requests go; None without a wire guard.
        pools: budgets that the user's plan brings along.
        surface: what kind of program asks, in the sessions that a client or the user opened.
    """

    preparation: Preparation
    record: RunRecord
    in_force: BucketInForce
    telemetry: BoundAddress | None
    guard: BoundAddress | None
    pools: "tuple[Budget, ...]" = ()
    surface: Surface = Surface.AGENT_SDK


@dataclass(frozen=True, slots=True)
class Counted:
    """What counts a run. All of it begins before the agent, and ends after it.

    Attributes:
        metered: the meter.
        budgeted: the budgets; None for a run without any.
    """

    metered: MeteredRun
    budgeted: "BudgetedRun | None"


async def count(  # noqa: PLR0913 - with what, where, and who is told
    by: CountedBy,
    stack: AsyncExitStack,
    tasks: TaskGroup,
    log: Log,
    *,
    relay: "Callable[[], ToRelay]",
    found: Callable[[Contradiction], None],
    admit: Callable[[Admit | None], Admit | None] = lambda budgets: budgets,
) -> Counted:
    """Begin to meter, to ask the budgets and to guard.

    Args:
        by: with what.
        stack: what is entered here is left with it: the guard first, the meter last.
        tasks: where all of it runs.
        log: where trouble is told.
        relay: what budgets have the stream do; called only where there are budgets.
        found: given each contradiction that is not in the ACP stream.
        admit: what the guard asks before each request, given what the budgets would be asked.
    """
    guarded: GuardedRun | None = None

    def bypassed(entry: UsageEntry) -> None:
        if guarded is not None:
            guarded.bypassed(entry)

    metered = MeteredRun(
        by.preparation,
        by.record,
        by.telemetry,
        log,
        bypassed=bypassed,
        in_force=by.in_force,
        surface=by.surface,
    )
    await stack.enter_async_context(metered.metering(tasks))
    budgeted = None
    if has_budgets(by):
        from acp_bridge.run.budgeted import BudgetedRun  # noqa: PLC0415 - with its use

        budgeted = BudgetedRun(by.preparation, by.record, metered, relay(), log, pools=by.pools)
        await stack.enter_async_context(budgeted.budgeting())
    if by.guard is not None:
        guarded = GuardedRun(
            by.preparation,
            by.record,
            by.guard,
            metered=metered,
            found=found,
            log=log,
            in_force=by.in_force,
            admit=admit(None if budgeted is None else budgeted.admit),
        )
        await stack.enter_async_context(guarded.guarding(tasks))
    return Counted(metered, budgeted)


def has_budgets(by: CountedBy) -> bool:
    """Whether somebody is to be asked before something is spent."""
    preparation = by.preparation
    is_required = preparation.settings.metering is Metering.REQUIRED
    return bool(preparation.budgets or by.pools or is_required)
