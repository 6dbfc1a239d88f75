"""The meter of one run: facts and telemetry in, ledger rows out, sessions settled at their end.

Whoever tells something hands it over and goes on. One task takes what was told in its order; what
reads files does so in a worker thread, so a slow disk delays entries and never the stream.
"""

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

import anyio
import anyio.lowlevel
import anyio.to_thread

from acp_bridge.ledger.records import Reopened, RunRow, SessionRow, TurnRow
from acp_bridge.ledger.report import ReportRow
from acp_bridge.ledger.writer import LedgerWriter
from acp_bridge.metering.meter import Meter
from acp_bridge.metering.readings import Reading
from acp_bridge.metering.settlement import Settlement
from acp_bridge.metering.telemetry import UnreadableTelemetryError, read_events
from acp_bridge.metering.usage import Source, UsageEntry
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
from acp_bridge.protocol.initialize import GUARANTEES_ENFORCED
from acp_bridge.run.payer import Payer
from acp_bridge.run.settlement import LeftOver, Opening, Settler, rows_of
from acp_bridge.run.usage import RunUsage

MOST_WAITING = 20_000
"""What may be told and not yet counted; beyond it the oldest is given up, and counted as lost."""
_LOOKS, _LOOK_SECONDS = 30, 0.1
"""How often and when it is looked for the last totals of a session that was closed."""
_LAST_TELEMETRY_SECONDS = 0.5
LEFT_OVER_SECONDS = 15.0
"""How long after a start what dead runs left is settled: their last processes may be ending."""
FLUSH_SECONDS = 2.0
_REMEMBERED_IDS = 50_000


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
    what: Fact | bytes
    at: datetime


class RunMeter:
    """Counts one run.

    Args:
        run: the run, as the ledger stores it.
        meter: the pure meter.
        writer: where rows go.
        settler: sets sessions right.
        clock: wall time, aware UTC.
        changed: called when the sums have changed.
    """

    def __init__(  # noqa: PLR0913 - what counts, what keeps, what settles, and who is told
        self,
        run: RunRow,
        meter: Meter,
        writer: LedgerWriter,
        settler: Settler,
        *,
        clock: Callable[[], datetime],
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.usage = RunUsage(run.mode)
        self.lost = 0
        self._run = run
        self._payer = Payer.of(run)
        self._surface = Surface.AGENT_SDK
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
        self._request_ids: OrderedDict[str, None] = OrderedDict()

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
        self._payer = Payer.of(self._run, guaranteed=False)
        self._surface = Surface.UNKNOWN
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
            tasks.start_soon(self._settle_left_over_later)
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

    def _tell(self, what: Fact | bytes) -> None:
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

    async def _take(self, what: Fact | bytes, at: datetime) -> None:
        meter = self._meter
        match what:
            case bytes():
                self._hear(what, at)
            case PromptStarted(session_id):
                meter.prompt_started(session_id, at)
                self._note_turn(session_id, at)
            case PromptEnded(session_id, _, result):
                self._record(meter.prompt_ended(session_id, at, result))
                self._note_turn(session_id, None)
            case RawMessageSeen(session_id, message):
                meter.raw_message_seen(session_id, message)
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
            await self._settle_left_over(session_id)
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
            self._keep(opening.reading, at)
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
        """Take the telemetry of a session before anything else that waits.

        What came after the session was opened again is the next process's.
        """
        mark, reopened = session_id.encode(), False
        waiting, self._told = self._told, deque()
        for told in waiting:
            if isinstance(told.what, SessionOpened) and told.what.session_id == session_id:
                reopened = True
            if isinstance(told.what, bytes) and mark in told.what and not reopened:
                self._hear(told.what, told.at)
            else:
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
            known_ids=frozenset(self._request_ids),
        )
        self._keep_settlement(await anyio.to_thread.run_sync(ended))
        self._meter.settled(session_id)
        self._store_session(session_id, ended_at=at, settled_at=self._clock())
        self.usage.unsettled.discard(session_id)
        self._changed()

    async def _settle_left_over_later(self) -> None:
        await anyio.sleep(LEFT_OVER_SECONDS)
        await self._settle_left_over(None)

    async def _settle_left_over(self, session_id: str | None) -> None:
        now = self._clock()
        find = partial(self._find_left_over, now, session_id)
        for left in await anyio.to_thread.run_sync(find):
            await anyio.lowlevel.checkpoint()
            self._keep_left_over(left, now)
        if session_id is not None:
            await anyio.to_thread.run_sync(self._writer.flush, FLUSH_SECONDS)

    def _find_left_over(self, now: datetime, session_id: str | None) -> list[LeftOver]:
        return list(self._settler.left_over(now, session_id=session_id))

    def _keep_left_over(self, left: LeftOver, now: datetime) -> None:
        session = left.session
        guaranteed = left.run is not None and left.run.guarantees == GUARANTEES_ENFORCED
        payer = Payer.of(left.run or self._run, guaranteed=guaranteed)
        for entry in left.settlement.entries:
            self._writer.record(payer.spent(entry, project=session.cwd, surface=Surface.AGENT_SDK))
        for place, reading in enumerate(left.settlement.accounted):
            self._keep(reading, _later(now, place), run_id=session.run_id)
        self._writer.record(replace(session, ended_at=session.ended_at or now, settled_at=now))

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
        if not entries:
            return
        clients = self._meter.sessions
        for entry in entries:
            state = self._sessions.get(entry.session_id or "")
            of_client = clients.get(entry.session_id or "") is not None
            row = self._payer.spent(
                entry,
                project=state.cwd if state else None,
                surface=self._surface if of_client else Surface.UNKNOWN,
            )
            self.usage.add(row)
            self._writer.record(row)
            self._remember(entry.request_id)
        self._changed()

    def _remember(self, request_id: str | None) -> None:
        if request_id is not None:
            self._request_ids[request_id] = None
            if len(self._request_ids) > _REMEMBERED_IDS:
                self._request_ids.popitem(last=False)

    def _keep_settlement(self, settlement: Settlement) -> None:
        self._record(settlement.entries)
        now = self._clock()
        for place, reading in enumerate(settlement.accounted):
            self._keep(reading, _later(now, place))

    def _keep(self, reading: Reading, at: datetime, *, run_id: str | None = None) -> None:
        for row in rows_of(reading, run_id or self._run.run_id, at):
            self._writer.record(row)

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


def _later(at: datetime, place: int) -> datetime:
    """Moments that tell readings of one settlement apart."""
    return at.replace(microsecond=(at.microsecond + place) % 1_000_000)
