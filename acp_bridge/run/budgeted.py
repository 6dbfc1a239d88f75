"""A run's budgets, put together: who is asked, who is told, and what looks on while turns run."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import anyio
import msgspec

from acp_bridge.errors import ConfigurationError
from acp_bridge.ledger import ledger_path
from acp_bridge.ledger.runs import is_alive
from acp_bridge.log import Log
from acp_bridge.metering.wire_request import ModelRequest
from acp_bridge.modes import Guard
from acp_bridge.policy.budgets import Budget, Standing
from acp_bridge.protocol import names
from acp_bridge.protocol.budget_gate import Answered, BudgetGate
from acp_bridge.protocol.decisions import Refuse
from acp_bridge.protocol.facts import Fact
from acp_bridge.run.budget_books import BudgetBooks
from acp_bridge.run.budget_file import BudgetFile
from acp_bridge.run.budgets import Counted, RunBudgets, Stops
from acp_bridge.run.metered import MeteredRun
from acp_bridge.run.preparation import Preparation
from acp_bridge.run.record import RunRecord

if TYPE_CHECKING:
    from anyio.abc import TaskGroup


@dataclass(frozen=True, slots=True)
class ToRelay:
    """What a budget has the relay do; these return at once.

    Attributes:
        resume: judge again what is held.
        stop: end turns of these sessions with a refusal.
        notify: send the client a notification.
    """

    resume: Callable[[], None]
    stop: Callable[[Refuse, Collection[str]], None]
    notify: Callable[[str, bytes], None]


class BudgetedRun:
    """One run's budgets.

    Args:
        preparation: the prepared run, with its budgets.
        record: its status document, which knows the bucket in force.
        metered: counts the run.
        relay: what is to be done with the stream.
        log: where it is told what was crossed.
        pools: budgets that the user's plan brings along.
    """

    def __init__(  # noqa: PLR0913 - what it is made of, and who is told
        self,
        preparation: Preparation,
        record: RunRecord,
        metered: MeteredRun,
        relay: ToRelay,
        log: Log,
        *,
        pools: Sequence[Budget] = (),
    ) -> None:
        self._relay = relay
        self._log = log
        file = BudgetFile(preparation.settings, preparation.budgets, self._unreadable)
        self._run_id = preparation.run_id
        self._mode = preparation.plan.mode
        self._budgets = RunBudgets(
            lambda: (*file.current(), *pools),
            BudgetBooks(ledger_path(preparation.settings.state_dir)),
            BudgetBooks(ledger_path(preparation.settings.state_dir)),
            Counted(
                run=record.row(),
                sessions=metered.sessions,
                writer=metered.writer,
                bucket=lambda: record.bucket,
                prices=lambda: metered.prices,
                guarded=preparation.guard is not Guard.OFF,
                clock=lambda: datetime.now(UTC),
                is_alive=lambda run_id: is_alive(preparation.settings.state_dir, run_id),
                metering=preparation.settings.metering,
            ),
            Stops(self._told, relay.stop),
        )
        metered.spent_to(self._budgets.spent)
        self._tasks: TaskGroup

    @property
    def gate(self) -> BudgetGate:
        """What holds prompts until they were asked for."""
        return BudgetGate(self._mode, self._ask, self._budgets.stopped)

    @property
    def admit(self) -> Callable[[ModelRequest, str], Awaitable[None]]:
        """Asked before each request that the wire guard would send."""
        return self._budgets.before_request

    async def before_run(self) -> Refuse | None:
        """Whether a program that nobody can stop later may begin; if not, why."""
        return await self._budgets.before_prompt(None, begins_turn=False)

    def see(self, fact: Fact) -> None:
        """Take a fact of the relay core; returns at once."""
        self._budgets.see(fact)

    @asynccontextmanager
    async def budgeting(self) -> AsyncIterator[None]:
        """Look on within the block, which is around the agent's whole life."""
        async with anyio.create_task_group() as self._tasks:
            self._tasks.start_soon(self._budgets.watch)
            try:
                yield
            finally:
                self._tasks.cancel_scope.cancel()
                with anyio.CancelScope(shield=True):
                    await self._budgets.close()

    def _ask(self, session_id: str | None, method: str, answered: Answered) -> None:
        self._tasks.start_soon(self._answer, session_id, method, answered)

    async def _answer(self, session_id: str | None, method: str, answered: Answered) -> None:
        answered(
            await self._budgets.before_prompt(
                session_id, begins_turn=method == names.SESSION_PROMPT
            )
        )
        self._relay.resume()

    def _unreadable(self, error: ConfigurationError) -> None:
        self._log.warning("budgets_unreadable", reason=error.message, hint=error.hint)

    def _told(self, standing: Standing) -> None:
        name, level = standing.budget.name, standing.level.value
        sentence = standing.sentence
        self._log.warning(f"budget_{level}", budget=name, detail=sentence)
        params = {
            "run_id": self._run_id,
            "budget": name,
            "level": level,
            "sentence": sentence,
            "resets_at": None if standing.resets_at is None else standing.resets_at.isoformat(),
        }
        self._relay.notify(names.BUDGET_CROSSED, msgspec.json.encode(params))
