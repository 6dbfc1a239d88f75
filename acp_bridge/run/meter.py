"""The meter of one run: facts and telemetry in, ledger rows out, sessions settled at their end.

Whoever tells something hands it over and goes on. One task takes what was told in its order; what
reads files does so in a worker thread, so a slow disk delays entries and never the stream.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import anyio.to_thread

from acp_bridge.ledger.records import Reopened, RunRow, SessionRow, TurnRow
from acp_bridge.ledger.report import ReportRow
from acp_bridge.ledger.writer import LedgerWriter
from acp_bridge.metering.meter import Meter
from acp_bridge.metering.readings import Reading
from acp_bridge.metering.settlement import Books, Settlement
from acp_bridge.metering.telemetry import UnreadableTelemetryError, read_events
from acp_bridge.metering.usage import Source, UsageEntry
from acp_bridge.metering.wire_books import WireBooks
from acp_bridge.metering.wire_exchange import AnswerBegan, WireExchange
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
from acp_bridge.run.recorder import Recorder
from acp_bridge.run.settlement import Opening, Settler, later
from acp_bridge.run.usage import RunUsage

if TYPE_CHECKING:
    from acp_bridge.metering.prices import PriceTable

MOST_WAITING = 20_000
"""What may be told and not yet counted; beyond it the oldest is given up, and counted as lost."""
_LOOKS, _LOOK_SECONDS = 30, 0.1
"""How often and when it is looked for the last totals of a session that was closed."""
_LAST_TELEMETRY_SECONDS = 0.5


@dataclass(slots=True)
class _Session:
    """A session of Claude Code in this run; by a client, once it is known to have opened it."""

    opened_at: datetime
    offset: int = 0
    cwd: str | None = None
    model: str | None = None
    settled: bool = False
    by_client: bool = False


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

    Attributes:
        lost: what was told and given up.
        prices: of what the wire shows; None leaves its costs unknown.
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
    ) -> None:
        self.lost = 0
        self.prices: PriceTable | None = None
        self._run = run
        self._recorder = Recorder(run, writer, wire=wire, changed=changed, bypassed=bypassed)
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
        self._sessions: dict[str, _Session] = {}

    @property
    def usage(self) -> RunUsage:
        """What was recorded so far."""
        return self._recorder.usage

    def see(self, fact: Fact) -> None:
        """Take a fact of the relay core; returns at once."""
        self._tell(fact)

    def hear(self, body: bytes) -> None:
        """Take a body of telemetry; returns at once."""
        self._tell(body)

    def source_of(self, session_id: str) -> Source | None:
        """Who counts a session of the client; None until somebody has."""
        sources = filter(None, map(self._meter.source_in_use, self.raw_sessions(session_id)))
        return max(sources, key=list(Source).index, default=None)

    def disclaim(self) -> None:
        """The agent is no Claude adapter: nobody knows who pays, nor by which program."""
        self._recorder.disclaim()
        self._meter.agent_is_other()

    def of_session(self, session_id: str) -> ReportRow | None:
        """The sum of a session of the client; None if nothing was counted in it."""
        return self.usage.of_sessions(self.raw_sessions(session_id))

    def raw_sessions(self, session_id: str) -> list[str]:
        """Claude Code's sessions that were one of the client's, before and after ``/clear``."""
        return [one for one, client in self._meter.sessions.items() if client == session_id]

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
        for session_id in [one for one, state in self._open().items() if not state.settled]:
            await self._settle(session_id)
        self._changed()

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
                self._hear(what, at)
            case AnswerBegan(request_id):
                self._recorder.answered(request_id)
            case WireExchange():
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
                self._note_sessions(at)
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
        self._note_sessions(at)
        self._record(entries)

    def _hear(self, body: bytes, at: datetime) -> None:
        try:
            events = read_events(body)
        except UnreadableTelemetryError:
            return
        entries = self._meter.telemetry_seen(events, at)
        self._note_sessions(at)
        self._record(entries)

    async def _opened(self, fact: SessionOpened, at: datetime) -> None:
        session_id = fact.session_id
        known = self._sessions.get(session_id)
        opening = Opening(Reading(session_id))
        # Telemetry of its process may have come before the answer that opens it.
        begins = known is None or known.settled or not known.by_client
        if fact.continued and begins:
            await self._left_overs.settle_session(session_id)
            opened = partial(self._settler.opened, self._run.run_id, session_id, at)
            opening = await anyio.to_thread.run_sync(opened)
        if begins:
            self._sessions[session_id] = _Session(
                at, opening.offset, fact.cwd, fact.model, by_client=True
            )
            self._meter.session_opened(
                session_id,
                opened_with=opening.reading,
                continued=fact.continued,
                titled=opening.titled,
            )
            self._recorder.keep(opening.reading, at)
            self._keep_settlement(opening.settlement)
        self._store_session(session_id)
        if known is not None and known.settled:
            self._writer.record(Reopened(run_id=self._run.run_id, session_id=session_id))
        self.usage.unsettled.add(session_id)
        self._changed()

    async def _closed(self, client_session_id: str) -> None:
        """Settle what ran for a session that was closed, once its last totals are written."""
        now = [raw for raw, of in self._meter.sessions.items() if of == client_session_id]
        for session_id in now:
            state = self._sessions.get(session_id)
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
        state = self._sessions[session_id]
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
        self._store_session(session_id, ended_at=at, settled_at=self._clock())
        self.usage.unsettled.discard(session_id)
        self._changed()

    def _open(self) -> dict[str, _Session]:
        self._note_sessions(self._clock())
        return self._sessions

    def _note_sessions(self, at: datetime) -> None:
        """Know the sessions that no client opened: ``/clear``, a ``claude -p`` of a tool."""
        for raw, client in self._meter.sessions.items():
            if raw not in self._sessions:
                parent = self._sessions.get(client or "")
                cwd, model = (parent.cwd, parent.model) if parent else (None, None)
                self._sessions[raw] = _Session(at, 0, cwd, model)
                self._store_session(raw)
                self.usage.unsettled.add(raw)

    def _record(self, entries: list[UsageEntry]) -> None:
        self._recorder.record(
            entries, sessions=self._same, project=self._project, is_clients=self._is_clients
        )

    def _same(self, session_id: str | None) -> list[str | None]:
        """The sessions of Claude Code that are one session for the client."""
        client = self._meter.sessions.get(session_id or "")
        return [session_id] if client is None else list(self.raw_sessions(client))

    def _project(self, session_id: str | None) -> str | None:
        state = self._sessions.get(session_id or "")
        return state.cwd if state else None

    def _is_clients(self, session_id: str | None) -> bool:
        return self._meter.sessions.get(session_id or "") is not None

    def _keep_settlement(self, settlement: Settlement) -> None:
        self._record(settlement.entries)
        now = self._clock()
        for place, reading in enumerate(settlement.accounted):
            self._recorder.keep(reading, later(now, place))

    def _store_session(
        self,
        session_id: str,
        *,
        ended_at: datetime | None = None,
        settled_at: datetime | None = None,
    ) -> None:
        state = self._sessions[session_id]
        self._writer.record(
            SessionRow(
                run_id=self._run.run_id,
                session_id=session_id,
                opened_at=state.opened_at,
                ended_at=ended_at,
                settled_at=settled_at,
                cwd=state.cwd,
                model=state.model,
            )
        )
