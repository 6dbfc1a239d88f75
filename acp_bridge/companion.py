"""Meters and guards a program that has replaced the bridge's own process, from a process beside it.

The second composition root beside `acp_bridge.bridge`: the same meter, budgets and wire guard, with
no ACP stream that could be held or cancelled. What is to be stopped is stopped at the wire guard,
before the request is sent; without a guard the budgets are asked once, before the program starts.
"""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from acp_bridge.agent.beside import Program, left_behind_ended
from acp_bridge.errors import BridgeError, Reason, RefusedError
from acp_bridge.log import Log
from acp_bridge.metering.wire_request import ModelRequest
from acp_bridge.modes import Guard, OnViolation
from acp_bridge.protocol.decisions import Contradiction, Refuse
from acp_bridge.protocol.evidence import Source
from acp_bridge.protocol.facts import Contradicted, SessionOpened
from acp_bridge.run.counted import Admit, Counted, CountedBy, count
from acp_bridge.run.overage import Overage, Tell
from acp_bridge.run.registrar import Registrar

if TYPE_CHECKING:
    from acp_bridge.run.budgeted import ToRelay


@dataclass(frozen=True, slots=True)
class Companion:
    """One run of a program that has the terminal to itself.

    Args:
        by: what the run is counted and guarded with.
        cwd: where the program starts, which is where its sessions work.
        log: where events go.
    """

    by: CountedBy
    cwd: str
    log: Log

    def accompany(self, program: Program) -> None:
        """Stand beside the program until it has ended, and all that it left behind with it."""
        try:
            anyio.run(_Accompanied(self, program).until_its_end)
        except BridgeError as error:
            program.refuse(error)
            self.log.warning("companion", reason=error.message, hint=error.hint)
        except Exception as error:  # noqa: BLE001 - nobody else would ever hear of it
            self.log.warning("companion", reason=repr(error))


class _Accompanied:
    def __init__(self, companion: Companion, program: Program) -> None:
        self._by = companion.by
        self._cwd = companion.cwd
        self._log = companion.log
        self._program = program
        self._blocked: Contradiction | None = None
        self._opened: set[str] = set()
        self._overage: Overage
        self._counted: Counted

    async def until_its_end(self) -> None:
        stack = AsyncExitStack()
        try:
            await self._begin(stack)
            refused = await self._ask_budgets()
            if refused is not None:
                self._program.refuse(_error(refused))
            else:
                self._program.let_go()
                await self._program.ended()
                await left_behind_ended(self._by.preparation.directory.path)
        finally:
            # Not by an error, which the task group would wrap.
            await stack.aclose()

    async def _begin(self, stack: AsyncExitStack) -> None:
        preparation, record = self._by.preparation, self._by.record
        stack.callback(preparation.directory.close)
        tasks = await stack.enter_async_context(anyio.create_task_group())
        record.pid = self._program.pid
        self._overage = Overage(
            self._by.in_force,
            record,
            preparation.settings.on_overage,
            tell=Tell(client=_nobody, stop_turns=_nobody, user=_nobody),
            log=self._log,
        )
        registrar = Registrar(preparation.directory, record)
        stack.push_async_callback(registrar.finish)
        self._counted = await count(
            self._by,
            stack,
            tasks,
            self._log,
            relay=_no_relay,
            found=self._found,
            admit=self._admission,
        )
        self._counted.metered.open_by(self._open)
        await tasks.start(registrar.run)

    async def _ask_budgets(self) -> Refuse | None:
        """How a budget refuses the start, where none is asked before each request."""
        budgets = self._counted.budgeted
        return None if budgets is None or self._by.guard is not None else await budgets.before_run()

    def _admission(self, budgets: Admit | None) -> Admit:
        async def admit(request: ModelRequest, reservation: str) -> None:
            if request.session_id is not None:
                self._counted.metered.see(self._open(request.session_id))
            if self._blocked is not None:
                raise RefusedError(self._blocked.sentence.rstrip("."), hint=self._blocked.hint)
            refused = self._overage.refusal()
            if refused is not None:
                raise _error(refused)
            if budgets is not None:
                await budgets(request, reservation)

        return admit

    def _open(self, session_id: str) -> SessionOpened:
        """How the user opened a session: nobody says whether it is a new one."""
        fact = SessionOpened(session_id, self._cwd, None, continued=True)
        if session_id not in self._opened:
            self._opened.add(session_id)
            self._by.record.see(fact)
            if self._counted.budgeted is not None:
                self._counted.budgeted.see(fact)
        return fact

    def _found(self, found: Contradiction) -> None:
        """Something contradicts the mode.

        A request with another credential was answered by the guard and went nowhere. After anything
        else no request passes any more, and what goes round the guard ends with the program.
        """
        settings = self._by.preparation.settings
        observes = self._by.preparation.guard is Guard.OBSERVE
        blocks = settings.on_violation is OnViolation.BLOCK and not observes
        self._by.record.see(
            Contradicted(found.reason, found.sentence, blocked=blocks, cancelled=())
        )
        self._log.warning("violation", reason=str(found.reason), detail=found.sentence)
        went_nowhere = (found.channel or "").startswith(f"{Source.WIRE}:")
        if blocks and not went_nowhere:
            self._blocked = found
            if found.reason is Reason.GUARD_BYPASSED:
                self._program.end()


def _error(refused: Refuse) -> RefusedError:
    return RefusedError(refused.sentence.rstrip("."), hint=refused.hint)


def _nobody(*_: object) -> None:
    """There is no client, and the terminal is the program's."""


def _no_relay() -> "ToRelay":
    from acp_bridge.run.budgeted import ToRelay  # noqa: PLC0415 - with its use

    return ToRelay(resume=_nobody, stop=_nobody, notify=_nobody)
