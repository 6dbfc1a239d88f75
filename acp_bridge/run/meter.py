"""The meter of one run: facts and telemetry in, ledger rows out, sessions settled at their end.

Whoever tells something hands it over and goes on. One task takes what was told in its order; what
reads files does so in a worker thread, so a slow disk delays entries and never the stream.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import anyio.to_thread

from acp_bridge.ledger.records import Released, Reopened, RunRow, SpentRow, TurnRow
from acp_bridge.ledger.report import ReportRow
from acp_bridge.ledger.writer import LedgerWriter
from acp_bridge.metering.meter import Meter
from acp_bridge.metering.readings import Reading
from acp_bridge.metering.settlement import Books, Settlement
from acp_bridge.metering.telemetry import TelemetryEvent, UnreadableTelemetryError, read_events
from acp_bridge.metering.usage import Source, UsageEntry
from acp_bridge.metering.wire_books import WireBooks
from acp_bridge.metering.wire_exchange import AnswerBegan, WireExchange
from acp_bridge.modes import Bucket
from acp_bridge.policy.surface import Surface
from acp_bridge.protocol.facts import (
    Fact,
    PromptEnded,
    PromptStarted,
    RawMessageSeen,
    SessionClosed,
    SessionOpened,
    UsageUpdated,
)
from acp_bridge.run.left_over import LeftOvers
from acp_bridge.run.payer import in_its_money
from acp_bridge.run.recorder import Recorder
from acp_bridge.run.sessions import RunSession, RunSessions
from acp_bridge.run.settlement import Opening, Settler, later
from acp_bridge.run.usage import RunUsage

if TYPE_CHECKING:
    from acp_bridge.metering.prices import Prices

MOST_WAITING = 20_000
"""What may be told and not yet counted; beyond it the oldest is given up, and counted as lost."""
_LOOKS, _LOOK_SECONDS = 30, 0.1
"""How often and when it is looked for the last totals of a session that was closed."""
_LAST_TELEMETRY_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class _Told:
    what: Fact | bytes | AnswerBegan | WireExchange
    at: datetime


class RunMeter:
    """Counts one run.

    Args:
        run: the run, as the ledger stores it.
        meter: the pure meter.
        writer: where rows go.
        settler: sets sessions right.
        clock: wall time, aware UTC.
        wire: what the wire guard saw; None where nobody looks at the wire.
        changed: called when the sums have changed.
        bypassed: called with an entry of which the wire guard saw nothing.
        charged: what an entry was seen to be charged to; None for what the run began with.
        surface: what kind of program asks, in the sessions that a client or the user opened.

    Attributes:
        lost: what was told and given up.
        sessions: the sessions of Claude Code that were seen.
        prices: of what the wire shows, and in mode C of all else; None leaves costs unknown.
        own_session: asked of each session that shows up before anybody opened it: how the user
            opened it, or None for one that is nobody's, as a ``claude -p`` of a tool.
    """

    def __init__(  # noqa: PLR0913 - what counts, what keeps, what settles, and who is told
        self,
        run: RunRow,
        meter: Meter,
        writer: LedgerWriter,
        settler: Settler,
        *,
        clock: Callable[[], datetime],
        wire: WireBooks | None = None,
        changed: Callable[[], None] = lambda: None,
        bypassed: Callable[[UsageEntry], None] = lambda _: None,
        charged: Callable[[UsageEntry], Bucket | None] = lambda _: None,
        surface: Surface = Surface.AGENT_SDK,
    ) -> None:
        self.lost = 0
        self.prices: Prices | None = None
        self.own_session: Callable[[str], SessionOpened | None] = lambda _: None
        self._run = run
        # `claude -p` asks for no title, so none can have been cut off.
        self._titled = surface is Surface.PRINT
        self._recorder = Recorder(
            run,
            writer,
            wire=wire,
            changed=changed,
            bypassed=bypassed,
            charged=charged,
            surface=surface,
        )
        self._left_overs = LeftOvers(run, writer, settler, clock)
        self._meter = meter
        self._writer = writer
        self._settler = settler
        self._clock = clock
        self._changed = changed
        self._told: deque[_Told] = deque()
        self._news = anyio.Event()
        self._ending = False
        self._started = False
        self._finished = anyio.Event()
        self.sessions = RunSessions(run.run_id, meter, writer, self.usage.unsettled)

    @property
    def usage(self) -> RunUsage:
        """What was recorded so far."""
        return self._recorder.usage

    def spent_to(self, told: Callable[[SpentRow], None]) -> None:
        """Tell each entry on its way to the ledger."""
        self._recorder.spent = told

    def see(self, fact: Fact) -> None:
        """Take a fact of the relay core; returns at once."""
        self._tell(fact)

    def hear(self, body: bytes) -> None:
        """Take a body of telemetry; returns at once."""
        self._tell(body)

    def source_of(self, session_id: str) -> Source | None:
        """Who counts a session of the client; None until somebody has."""
        sources = filter(None, map(self._meter.source_in_use, self.sessions.of_client(session_id)))
        return max(sources, key=list(Source).index, default=None)

    def disclaim(self) -> None:
        """The agent is no Claude adapter: nobody knows who pays, nor by which program."""
        self._recorder.disclaim()
        self._meter.agent_is_other()

    def of_session(self, session_id: str) -> ReportRow | None:
        """The sum of a session of the client; None if nothing was counted in it."""
        return self.usage.of_sessions(self.sessions.of_client(session_id))

    async def run(self) -> None:
        """Count what is told until `finish`."""
        self._started = True
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._left_overs.settle_later)
            try:
                while not (self._ending and not self._told):
                    await self._next()
                tasks.cancel_scope.cancel()
            finally:
                self._finished.set()

    async def finish(self) -> None:
        """Count the rest and settle every session; the agent has ended, and telemetry too."""
        self._ending = True
        self._news.set()
        if self._started:
            await self._finished.wait()
        while self._told:
            await self._next()
        self._record(self._meter.agent_ended(self._clock()))
        self.sessions.note(self._clock())
        for session_id in self.sessions.to_settle():
            await self._settle(session_id)
        self._changed()

    def release(self, reservation_id: str) -> None:
        """A reservation is over; returns at once."""
        self._writer.record(Released(run_id=self._run.run_id, reservation_id=reservation_id))

    def watch(self, seen: AnswerBegan | WireExchange) -> None:
        """Take what the wire guard saw; returns at once."""
        self._tell(seen)

    def _tell(self, what: Fact | bytes | AnswerBegan | WireExchange) -> None:
        if len(self._told) >= MOST_WAITING:
            self._told.popleft()
            self.lost += 1
        self._told.append(_Told(what, self._clock()))
        self._news.set()

    async def _next(self) -> None:
        due = self._meter.next_deadline
        if not self._told and not self._ending:
            wait = None if due is None else max(0.0, (due - self._clock()).total_seconds())
            with anyio.move_on_after(wait):
                await self._news.wait()
            self._news = anyio.Event()
        while self._told:
            told = self._told.popleft()
            await self._take(told.what, told.at)
        self._record(self._meter.tick(self._clock()))
        self._recorder.witnesses.store(self._clock())

    async def _take(self, what: Fact | bytes | AnswerBegan | WireExchange, at: datetime) -> None:
        meter = self._meter
        match what:
            case bytes():
                await self._open_own({event.session_id for event in _events(what)}, at)
                self._hear(what, at)
            case AnswerBegan(request_id):
                self._recorder.answered(request_id)
            case WireExchange():
                await self._open_own({what.request.session_id}, at)
                self._watch(what, at)
            case PromptStarted(session_id):
                meter.prompt_started(session_id, at)
                self._note_turn(session_id, at)
            case PromptEnded(session_id, _, result):
                self._recorder.witnesses.turn(meter.current_session(session_id), result)
                self._record(meter.prompt_ended(session_id, at, result))
                self._note_turn(session_id, None)
            case RawMessageSeen(session_id, message):
                self._hear_result(meter.raw_message_seen(session_id, message))
                self.sessions.note(at)
            case UsageUpdated(params):
                meter.usage_updated(params)
            case SessionOpened():
                await self._opened(what, at)
            case SessionClosed(session_id):
                await self._closed(session_id)
            case _:
                pass

    def _note_turn(self, client_session_id: str | None, began_at: datetime | None) -> None:
        """Let the ledger know of a turn under way: a killed bridge can tell nobody."""
        session_id = self._meter.current_session(client_session_id)
        if session_id is not None:
            self._writer.record(
                TurnRow(run_id=self._run.run_id, session_id=session_id, began_at=began_at)
            )

    def _hear_result(self, books: Books | None) -> None:
        if books is not None and books.last_result is not None:
            self._recorder.witnesses.totals(
                Source.AGENT_RESULT, books.last_result, books.opened_with
            )

    def _watch(self, exchange: WireExchange, at: datetime) -> None:
        entries = self._meter.exchange_seen(exchange, self.prices)
        self.sessions.note(at)
        self._record(entries)
        if exchange.reservation is not None:
            self.release(exchange.reservation)

    def _hear(self, body: bytes, at: datetime) -> None:
        entries = self._meter.telemetry_seen(_events(body), at)
        self.sessions.note(at)
        self._record(entries)

    async def _open_own(self, session_ids: Iterable[str | None], at: datetime) -> None:
        """Open what shows up and was opened by the user, where no client says so."""
        for session_id in session_ids:
            if session_id is not None and self.sessions.get(session_id) is None:
                fact = self.own_session(session_id)
                if fact is not None:
                    await self._opened(fact, at)

    async def _opened(self, fact: SessionOpened, at: datetime) -> None:
        session_id = fact.session_id
        known = self.sessions.get(session_id)
        opening = Opening(Reading(session_id))
        # Telemetry of its process may have come before the answer that opens it.
        begins = known is None or known.settled or not known.by_client
        if fact.continued and begins:
            await self._left_overs.settle_session(session_id)
            opened = partial(self._settler.opened, self._run.run_id, session_id, at)
            opening = await anyio.to_thread.run_sync(opened)
        if begins:
            self.sessions[session_id] = RunSession(
                at, opening.offset, fact.cwd, fact.model, by_client=True
            )
            self._meter.session_opened(
                session_id,
                opened_with=opening.reading,
                continued=fact.continued,
                titled=opening.titled or self._titled,
            )
            self._recorder.keep(opening.reading, at)
            self._keep_settlement(opening.settlement)
        self.sessions.store(session_id)
        if known is not None and known.settled:
            self._writer.record(Reopened(run_id=self._run.run_id, session_id=session_id))
        self.usage.unsettled.add(session_id)
        self._changed()

    async def _closed(self, client_session_id: str) -> None:
        """Settle what ran for a session that was closed, once its last totals are written."""
        for session_id in self.sessions.of_client(client_session_id):
            state = self.sessions.get(session_id)
            if state is not None and not state.settled:
                await self._wait_for_totals(session_id, state.offset)
                self._record(self._meter.session_closed(session_id, self._clock()))
                await self._settle(session_id)

    async def _wait_for_totals(self, session_id: str, offset: int) -> None:
        written = partial(self._settler.has_new_totals, session_id, offset)
        for _ in range(_LOOKS):
            if await anyio.to_thread.run_sync(written):
                break
            await anyio.sleep(_LOOK_SECONDS)
        # The process sends its last telemetry while it writes them.
        await anyio.sleep(_LAST_TELEMETRY_SECONDS)
        self._hear_ahead(session_id)

    def _hear_ahead(self, session_id: str) -> None:
        """Take what telemetry and the wire tell of a session before anything else that waits.

        What came after the session was opened again is the next process's.
        """
        reopened = False
        waiting, self._told = self._told, deque()
        for told in waiting:
            if isinstance(told.what, SessionOpened) and told.what.session_id == session_id:
                reopened = True
            match told.what:
                case bytes() if session_id.encode() in told.what and not reopened:
                    self._hear(told.what, told.at)
                case WireExchange() if told.what.request.session_id == session_id:
                    self._watch(told.what, told.at)
                case AnswerBegan(request_id):
                    self._recorder.answered(request_id)
                case _:
                    self._told.append(told)

    async def _settle(self, session_id: str) -> None:
        state = self.sessions[session_id]
        state.settled = True
        at = self._clock()
        ended = partial(
            self._settler.ended,
            self._meter.books(session_id),
            state.offset,
            opened_at=state.opened_at,
            at=at,
            known_ids=self._recorder.request_ids,
        )
        settlement = await anyio.to_thread.run_sync(ended)
        if settlement.own is not None:
            opened_with = self._meter.books(session_id).opened_with
            self._recorder.witnesses.totals(Source.TRANSCRIPT, settlement.own, opened_with)
            self._recorder.witnesses.store(at)
        self._keep_settlement(settlement)
        self._meter.settled(session_id)
        self.sessions.store(session_id, ended_at=at, settled_at=self._clock())
        self.usage.unsettled.discard(session_id)
        self._changed()

    def _record(self, entries: list[UsageEntry]) -> None:
        priced = in_its_money(self._run.mode, entries, self.prices)
        self._recorder.record(
            priced,
            sessions=self.sessions.same,
            project=self.sessions.project,
            is_clients=self.sessions.is_clients,
        )

    def _keep_settlement(self, settlement: Settlement) -> None:
        self._record(settlement.entries)
        now = self._clock()
        for place, reading in enumerate(settlement.accounted):
            self._recorder.keep(reading, later(now, place))


def _events(body: bytes) -> list[TelemetryEvent]:
    """What a body of telemetry tells; nothing if it cannot be read."""
    try:
        return read_events(body)
    except UnreadableTelemetryError:
        return []
