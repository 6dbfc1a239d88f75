"""Meters a run: telemetry receiver, meter, settler and ledger, put together."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup, TaskStatus

from acp_bridge.launch.telemetry_records import Fallback, fallbacks
from acp_bridge.ledger import ledger_path
from acp_bridge.ledger.records import Released, SpentRow
from acp_bridge.ledger.report import GroupKey
from acp_bridge.ledger.runs import is_alive
from acp_bridge.ledger.writer import LedgerWriter
from acp_bridge.log import Log
from acp_bridge.loopback.bound import BoundAddress
from acp_bridge.loopback.telemetry import TelemetryReceiver
from acp_bridge.metering.endpoint_prices import endpoint_prices
from acp_bridge.metering.meter import Meter
from acp_bridge.metering.prices import Prices
from acp_bridge.metering.usage import UsageEntry
from acp_bridge.metering.wire_books import WireBooks
from acp_bridge.metering.wire_exchange import AnswerBegan, WireExchange
from acp_bridge.modes import AgentKind, BillingMode, Guard
from acp_bridge.policy.surface import Surface
from acp_bridge.protocol.facts import AgentIdentified, Fact, SessionOpened
from acp_bridge.run.bucket import BucketInForce
from acp_bridge.run.meter import RunMeter
from acp_bridge.run.preparation import Preparation
from acp_bridge.run.record import RunRecord
from acp_bridge.run.sessions import RunSessions
from acp_bridge.run.settlement import Settler
from acp_bridge.run.usage_document import figures, usage_document

_START_SECONDS = 1.0
"""How long after a session was opened its Claude Code has begun, at the latest by and large."""
_LEDGER_SECONDS = 1.0
"""How often it is looked whether something hinders the ledger."""
LAST_SECONDS = 10.0
"""How long the end of a run waits for its sessions to be settled."""
CLOSING_SECONDS = 5.0
"""How long it waits for the ledger."""


class MeteredRun:
    """One run's metering.

    When the block of `metering` is left, the agent and all below it have ended: then the sessions
    are settled.

    Args:
        preparation: the prepared run.
        record: its status document, which shows usage and how the meter does from then on.
        telemetry: where Claude Code's telemetry goes; None if nobody receives it.
        log: where trouble is told, once.
        bypassed: called with an entry of which the wire guard, if there is one, saw nothing.
        in_force: what is charged; None for what the record says, whatever is seen.
        surface: what kind of program asks, in the sessions that a client or the user opened.
    """

    def __init__(  # noqa: PLR0913 - what is metered, where it goes, and who is told
        self,
        preparation: Preparation,
        record: RunRecord,
        telemetry: BoundAddress | None,
        log: Log,
        *,
        bypassed: Callable[[UsageEntry], None] = lambda _: None,
        in_force: BucketInForce | None = None,
        surface: Surface = Surface.AGENT_SDK,
    ) -> None:
        settings = preparation.settings
        path = ledger_path(settings.state_dir)
        self._preparation = preparation
        self._record = record
        self._telemetry = telemetry
        self._log = log
        self._told: set[str] = set()
        self._fallbacks: list[Fallback] = []
        self._writer = LedgerWriter(path)
        self._meter = RunMeter(
            record.row(),
            Meter(
                preparation.run_id,
                telemetry=telemetry is not None,
                suggestions=settings.suggestions == "keep",
            ),
            self._writer,
            Settler(
                preparation.folders.config, path, lambda run: is_alive(settings.state_dir, run)
            ),
            clock=_now,
            wire=None if preparation.guard is Guard.OFF else WireBooks(),
            changed=self._changed,
            bypassed=bypassed,
            charged=(lambda _: None) if in_force is None else in_force.charged,
            surface=surface,
        )
        if record.mode is BillingMode.ENDPOINT:
            self._meter.prices = endpoint_prices(settings.tables)
        self._opened = anyio.Event()
        self._over = anyio.Event()
        self._counted = anyio.Event()
        record.usage_of = self._usage_of
        record.metering = self._health
        record.noted = self._writer.record

    def usage(self, by: Sequence[GroupKey], session_id: str | None = None) -> dict[str, Any]:
        """What the run has used, as ``usage --json --run`` prints it.

        Args:
            by: mode, session, model, state, source and bucket can be grouped by.
            session_id: only this session of the client.
        """
        only = None if session_id is None else self._meter.sessions.of_client(session_id)
        return usage_document(self._meter.usage.report(by, session_ids=only))

    @property
    def sessions(self) -> RunSessions:
        """The sessions of Claude Code that the run has seen."""
        return self._meter.sessions

    @property
    def writer(self) -> LedgerWriter:
        """Where rows for the ledger go."""
        return self._writer

    @property
    def prices(self) -> Prices | None:
        """What prices requests; None while that is not known."""
        return self._meter.prices

    def spent_to(self, told: Callable[[SpentRow], None]) -> None:
        """Tell each entry on its way to the ledger."""
        self._meter.spent_to(told)

    def release(self, reservation_id: str) -> None:
        """A reservation is over; returns at once."""
        self._meter.release(reservation_id)

    def see(self, fact: Fact) -> None:
        """Take a fact of the relay core; returns at once."""
        match fact:
            case AgentIdentified(kind=kind):
                if kind is AgentKind.OTHER:
                    self._meter.disclaim()
                self._writer.record(self._record.row())
            case _:
                if isinstance(fact, SessionOpened):
                    self._opened.set()
                self._meter.see(fact)

    def open_by(self, own_session: Callable[[str], SessionOpened | None]) -> None:
        """Ask of each session that nobody opened whether, and how, the user did."""
        self._meter.own_session = own_session

    def client_of(self, session_id: str | None) -> str | None:
        """The client's session that one of Claude Code's is part of; None if no client's is."""
        return self._meter.sessions.client_of(session_id)

    def watch(self, seen: AnswerBegan | WireExchange) -> None:
        """Take what the wire guard saw; returns at once."""
        self._meter.watch(seen)

    def price_by(self, prices: Prices) -> None:
        """Price what the wire guard sees by this list from now on, in modes A and B."""
        self._meter.prices = prices

    @asynccontextmanager
    async def metering(self, tasks: TaskGroup) -> AsyncIterator[None]:
        """Meter within the block, which is around the agent's whole life.

        Args:
            tasks: where the meter's tasks run; they have ended when the block has been left.
        """
        self._writer.record(self._record.row())
        await tasks.start(self._run)
        try:
            yield
        finally:
            with anyio.CancelScope(shield=True):
                self._over.set()
                await self._counted.wait()
                await self._finish()

    async def _run(self, *, task_status: TaskStatus[None]) -> None:
        """Receive and count until the run is over, whatever is cancelled around."""
        with anyio.CancelScope(shield=True):
            try:
                async with self._receiver(), anyio.create_task_group() as tasks:
                    tasks.start_soon(self._meter.run)
                    tasks.start_soon(self._watch_starts)
                    tasks.start_soon(self._watch_ledger)
                    task_status.started()
                    await self._over.wait()
                    tasks.cancel_scope.cancel()
            finally:
                self._counted.set()

    def _receiver(self) -> AbstractAsyncContextManager[object]:
        if self._telemetry is None:
            return nullcontext()
        if self._preparation.plan.telemetry_url is None:
            self._telemetry.close()
            return nullcontext()
        return TelemetryReceiver(
            self._telemetry.socket,
            self._telemetry.token,
            lambda told: self._meter.hear(told.body),
            records=self._preparation.telemetry_records,
        )

    async def _finish(self) -> None:
        with anyio.move_on_after(LAST_SECONDS):
            await self._meter.finish()
        self._writer.record(Released(run_id=self._preparation.run_id))
        self._writer.record(replace(self._record.row(), ended_at=_now()))
        health = await anyio.to_thread.run_sync(self._writer.close, CLOSING_SECONDS)
        if health.lost:
            self._log.warning("rows_lost", lost=health.lost, reason=health.reason, hint=health.hint)
        await self._look_at_starts()
        self._changed()

    def _changed(self) -> None:
        health = self._writer.health
        self._tell_once("ledger", health.reason, health.hint)
        self._record.changed()

    async def _watch_starts(self) -> None:
        """Learn, some time after each session was opened, why its telemetry does not come here."""
        while True:
            await self._opened.wait()
            self._opened = anyio.Event()
            await anyio.sleep(_START_SECONDS)
            await self._look_at_starts()

    async def _watch_ledger(self) -> None:
        """Tell an obstacle, and that it is gone, also while nobody prompts."""
        shown = ""
        while True:
            await anyio.sleep(_LEDGER_SECONDS)
            if (reason := self._writer.health.reason) != shown:
                shown = reason
                self._changed()

    async def _look_at_starts(self) -> None:
        if self._preparation.launcher is None:
            return
        records = self._preparation.telemetry_records
        self._fallbacks = await anyio.to_thread.run_sync(fallbacks, records)
        for sentence in map(str, self._fallbacks):
            self._tell_once("meter_falls_back", sentence, "what it cannot see is settled later")
        self._record.changed()

    def _tell_once(self, event: str, reason: str, hint: str) -> None:
        if reason and reason not in self._told:
            self._told.add(reason)
            self._log.warning(event, reason=reason, hint=hint)

    def _usage_of(self, session_id: str) -> dict[str, Any] | None:
        row = self._meter.of_session(session_id)
        return None if row is None else figures(row)

    def _health(self) -> dict[str, Any]:
        health = asdict(self._writer.health)
        health["lost"] += self._meter.lost
        sources = [
            {"session_id": session_id, "source": source.value}
            for session_id in self._record.sessions
            if (source := self._meter.source_of(session_id)) is not None
        ]
        return {
            "telemetry": self._telemetry is not None,
            "sources": sources,
            "falls_back": [str(one) for one in self._fallbacks],
            "pending": self._meter.usage.pending,
            "ledger": {name: health[name] for name in ("ok", "reason", "hint", "lost")},
        }


def _now() -> datetime:
    return datetime.now(UTC)
