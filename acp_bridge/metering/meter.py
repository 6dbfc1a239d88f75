"""The live meter of a run: facts in, ledger entries out. It keeps no time of its own.

Telemetry counts a session as soon as it has told anything of it: one entry for each API request.
A session of which telemetry has told nothing by the end of a turn and a grace is counted by what
the agent says: the totals of its raw results, else the response to the prompt, else its cost.
`Meter.source_in_use` tells which. What either misses is settled afterwards
(`acp_bridge.metering.settlement`), from `Meter.books`. What a wire guard saw is counted beside all
of this (`Meter.exchange_seen`); `acp_bridge.metering.wire_books` says what of the rest it knows.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from acp_bridge.metering.aborted import aborted_suggestion, aborted_title
from acp_bridge.metering.agent_results import TurnUsage, read_cost, read_result, read_turn
from acp_bridge.metering.labels import asked_by
from acp_bridge.metering.prices import Prices
from acp_bridge.metering.readings import Reading
from acp_bridge.metering.session_account import LastAnswer, SessionAccount
from acp_bridge.metering.settlement import Books
from acp_bridge.metering.telemetry import ApiFailed, ApiRequest, PromptSeen, TelemetryEvent
from acp_bridge.metering.turns import Turns
from acp_bridge.metering.usage import AskedBy, Source, State, UsageEntry
from acp_bridge.metering.wire_exchange import WireExchange, entries_of

GRACE_SECONDS = 5.0
"""How long after a turn telemetry may stay silent; it is exported several times a second."""

_REMEMBERED = 20_000
_NOTHING = TurnUsage(None, {})


@dataclass(frozen=True, slots=True)
class _Pending:
    """A turn that has ended, and waits for telemetry to speak."""

    due: datetime
    ended_at: datetime
    session_id: str | None
    turn: int | None
    usage: TurnUsage


class Meter:
    """Counts one run. Times are aware UTC and come in as arguments.

    Args:
        run_id: of the entries.
        telemetry: whether telemetry is to be waited for; without it what the agent says counts
            at once.
        suggestions: whether Claude Code may ask for suggestions; if so, one that was aborted is
            noted as unknown where it may have been made.
        grace_seconds: how long telemetry may stay silent after a turn.
    """

    def __init__(
        self,
        run_id: str,
        *,
        telemetry: bool = True,
        suggestions: bool = True,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        self._run_id = run_id
        self._suggestions = suggestions
        self._grace = timedelta(seconds=grace_seconds if telemetry else 0)
        self._is_other = False
        self._turns = Turns()
        self._accounts: dict[str, SessionAccount] = {}
        self._current: dict[str | None, str] = {}  # the client's session to Claude Code's
        self._pending: list[_Pending] = []
        self._recorded: OrderedDict[str, None] = OrderedDict()

    def agent_is_other(self) -> None:
        """No Claude adapter: nothing but the ACP messages tells what a turn cost."""
        self._is_other = True
        self._grace = timedelta(0)

    # What happened on the ACP connection

    def session_opened(
        self,
        session_id: str,
        *,
        opened_with: Reading | None = None,
        continued: bool = False,
        titled: bool = False,
    ) -> None:
        """The agent opened a session; one that is open already goes on as it was.

        Args:
            session_id: the client's and, until ``/clear``, Claude Code's.
            opened_with: the last line ``cost-state`` of its transcript, without models if it has
                none; needed only of a continued session.
            continued: it was loaded or resumed. A fork begins from nothing, as a new session.
            titled: it has a title already.
        """
        known = self._accounts.get(session_id)
        is_open = known is not None and not known.closed
        if known is not None and is_open and known.client_session_id is not None:
            return
        base = opened_with or (None if continued else Reading(session_id))
        # Telemetry of its process may have come before.
        account = known if known is not None and is_open else SessionAccount(session_id, None, None)
        account.client_session_id = session_id
        account.base = base
        account.continued = continued
        account.titled = account.titled or titled
        if base is not None:
            costs = [spent.cost_micros for spent in base.models.values()]
            account.cost_before = sum(cost for cost in costs if cost is not None)
        self._accounts[session_id] = account
        self._current[session_id] = session_id

    def prompt_started(self, session_id: str | None, at: datetime) -> int:
        """A prompt went to the agent. Returns the number of its turn."""
        return self._turns.start(session_id, at).number

    def prompt_ended(
        self, session_id: str | None, at: datetime, result: bytes = b""
    ) -> list[UsageEntry]:
        """A prompt was answered; ``result`` is empty where it failed."""
        usage = read_turn(result) if result else _NOTHING
        turn = self._turns.end(session_id, at, usage.stop_reason)
        number = turn.number if turn else None
        self._pending.append(_Pending(at + self._grace, at, session_id, number, usage))
        return self.tick(at)

    def raw_message_seen(self, session_id: str | None, message: bytes) -> Books | None:
        """The adapter passed on a raw message of the Agent SDK.

        Returns:
            What is known of the session that it told totals of; None if it told none.
        """
        result = read_result(message)
        if result is None:
            return None
        raw = result.reading.session_id
        if raw not in self._accounts:  # after /clear
            self._accounts[raw] = SessionAccount(raw, session_id, Reading(raw))
        self._current[session_id] = raw
        self._accounts[raw].client_session_id = session_id
        self._accounts[raw].hear(result)
        return self.books(raw)

    def usage_updated(self, params: bytes) -> None:
        """The agent sent a session update that may tell a cost."""
        cost = read_cost(params)
        if cost is not None:
            self._account(
                self._current.get(cost.session_id, cost.session_id)
            ).cost_now = cost.micros

    # What telemetry tells

    def telemetry_seen(self, events: Iterable[TelemetryEvent], at: datetime) -> list[UsageEntry]:
        """Events in the order they came; ``at`` is now, for those that do not say when."""
        entries: list[UsageEntry] = []
        for event in events:
            if event.session_id is None:
                continue
            account = self._account(event.session_id)
            account.spoke = True
            match event:
                case ApiRequest():
                    entries += self._request(account, event, at)
                case PromptSeen():
                    entries += self._aborted_suggestion(account, event.at or at)
                    account.prompts += 1
                    account.prompted_at = account.prompted_at or event.at or at
                    if event.prompt_id is not None:
                        session_id = account.client_session_id
                        self._turns.bind(event.prompt_id, session_id, event.at or at)
                case ApiFailed(query_source=source, agent_id=agent):
                    if asked_by(source, agent_id=agent) is AskedBy.MAIN:
                        account.last_answer = None
                case _:
                    pass
        return entries

    # What the wire shows

    def exchange_seen(
        self, exchange: WireExchange, prices: Prices | None = None
    ) -> list[UsageEntry]:
        """An exchange with the provider has ended.

        Its entries are no part of what settlement knows as recorded: transcripts hold what Claude
        Code's telemetry tells, and the wire sees more.
        """
        request = exchange.request
        account = self._account(request.session_id) if request.session_id else None
        if account is not None:
            account.wired = True
        client_session_id = account.client_session_id if account else None
        turn = self._turns.of(request.prompt_id, client_session_id, exchange.began_at)
        number = turn.number if turn else None
        return entries_of(self._run_id, exchange, turn=number, prices=prices)

    # Time, and the end

    @property
    def next_deadline(self) -> datetime | None:
        """When `tick` is to be called; None if there is nothing to wait for."""
        return min((pending.due for pending in self._pending), default=None)

    def tick(self, at: datetime) -> list[UsageEntry]:
        """Count by what the agent says the turns for which telemetry stayed silent too long."""
        due = [pending for pending in self._pending if pending.due <= at]
        self._pending = [pending for pending in self._pending if pending.due > at]
        return [entry for pending in due for entry in self._fall_back(pending)]

    def session_closed(self, session_id: str, at: datetime) -> list[UsageEntry]:
        """A session's process is gone, and its last telemetry has been seen."""
        account = self._accounts.get(session_id)
        return [] if account is None or account.closed else self._cancelled(account, at)

    def agent_ended(self, at: datetime) -> list[UsageEntry]:
        """The agent's processes are gone, and their last telemetry has been seen."""
        entries = [entry for pending in self._pending for entry in self._fall_back(pending)]
        self._pending = []
        for account in list(self._accounts.values()):
            late = _Pending(at, at, account.client_session_id, None, _NOTHING)
            if not account.closed:
                entries += self._cancelled(account, at)
                entries += self._count_by_agent(account, late)
        return entries

    # What others ask

    @property
    def sessions(self) -> dict[str, str | None]:
        """Claude Code's session to the client's; None for one that no client opened."""
        return {raw: account.client_session_id for raw, account in self._accounts.items()}

    def current_session(self, client_session_id: str | None) -> str | None:
        """Which session of Claude Code a session of the client is now; None for an unknown one."""
        return self._current.get(client_session_id)

    def source_in_use(self, session_id: str) -> Source | None:
        """Who counts a session of Claude Code; None until somebody has told anything of it."""
        account = self._accounts.get(session_id)
        return account.source if account else None

    def books(self, session_id: str) -> Books:
        """What this run knows of a session of Claude Code, for settlement.

        What the ledger knows besides is to be added: the lines that are accounted for, and other
        runs that have the session.
        """
        account = self._account(session_id)
        return Books(
            run_id=self._run_id,
            session_id=session_id,
            opened_with=account.base,
            recorded=dict(account.recorded),
            last_result=account.result,
        )

    def settled(self, session_id: str) -> None:
        """A session's process has ended and it is settled: what telemetry tells later is known."""
        self._account(session_id).closed = True

    def _account(self, session_id: str) -> SessionAccount:
        if session_id not in self._accounts:
            # Telemetry of a process that no client opened: /clear before its raw result, or a
            # claude that a tool started. What it began with nobody looked at.
            self._accounts[session_id] = SessionAccount(session_id, None, None)
        return self._accounts[session_id]

    def _request(
        self, account: SessionAccount, event: ApiRequest, at: datetime
    ) -> list[UsageEntry]:
        ended = event.at or at
        label = asked_by(event.query_source, agent_id=event.agent_id)
        turn = self._turns.of(event.prompt_id, account.client_session_id, event.began_at)
        if label is AskedBy.MAIN:
            account.answers += 1
            account.last_answer = LastAnswer(ended, event.model, event.prompt_id, turn)
        elif label is AskedBy.SUGGESTION:
            account.last_answer = None
        elif label is AskedBy.TITLE:
            account.titled = True
        if account.closed or (account.counted_until and ended <= account.counted_until):
            return []
        # Without an id of the provider, the event's own place in its process.
        own = event.request_id or f"{event.sequence}@{ended.isoformat()}"
        entry = UsageEntry(
            key=f"request:{self._run_id}:{account.session_id}:{own}",
            run_id=self._run_id,
            session_id=account.session_id,
            at=event.began_at or at,
            source=Source.TELEMETRY,
            state=State.LIVE if event.tokens is not None else State.UNKNOWN,
            asked_by=label,
            model=event.model,
            tokens=event.tokens,
            cost_micros=event.cost_micros,
            turn=turn.number if turn else None,
            agent_id=event.agent_id,
            request_id=event.request_id,
            duration_ms=event.duration_ms,
            ttft_ms=event.ttft_ms,
        )
        return self._record(account, [entry])

    def _fall_back(self, pending: _Pending) -> list[UsageEntry]:
        raw = self._current.get(pending.session_id, pending.session_id)
        if raw is None:
            return []
        account = self._account(raw)
        counted = self._count_by_agent(account, pending)
        return counted or (self._told_nothing(account, pending) if self._is_other else [])

    def _told_nothing(self, account: SessionAccount, pending: _Pending) -> list[UsageEntry]:
        entry = UsageEntry(
            key=f"unknown:{self._run_id}:{account.session_id}:turn {pending.turn}",
            run_id=self._run_id,
            session_id=account.session_id,
            at=pending.ended_at,
            source=Source.ACP,
            state=State.UNKNOWN,
            requests=None,
            turn=pending.turn,
            detail="the agent told nothing of what this turn used",
        )
        return self._record(account, [entry])

    def _count_by_agent(self, account: SessionAccount, pending: _Pending) -> list[UsageEntry]:
        if account.spoke or account.closed:
            return []
        told = account.tell(pending.usage, pending.turn)
        if told:
            account.fallback = told[0].source
            account.counted_until = pending.ended_at
        name = f"{self._run_id}:{account.session_id}"
        return self._record(
            account,
            [
                UsageEntry(
                    key=f"{one.source}:{name}:{one.model}:{one.mark}",
                    run_id=self._run_id,
                    session_id=account.session_id,
                    at=pending.ended_at,
                    source=one.source,
                    state=State.LIVE,
                    model=one.model,
                    tokens=one.tokens,
                    cost_micros=one.cost_micros,
                    requests=None,
                    turn=pending.turn,
                    detail="as the agent says: telemetry is silent",
                )
                for one in told
            ],
        )

    def _cancelled(self, account: SessionAccount, at: datetime) -> list[UsageEntry]:
        """What may have been asked for when the process ended, and nobody told."""
        title = aborted_title(self._run_id, account, at)
        return [*self._aborted_suggestion(account, at), *self._record_one(account, title)]

    def _aborted_suggestion(self, account: SessionAccount, at: datetime) -> list[UsageEntry]:
        entry = aborted_suggestion(self._run_id, account, at)
        return self._record_one(account, entry if self._suggestions else None)

    def _record_one(self, account: SessionAccount, entry: UsageEntry | None) -> list[UsageEntry]:
        return [] if entry is None else self._record(account, [entry])

    def _record(self, account: SessionAccount, entries: list[UsageEntry]) -> list[UsageEntry]:
        """Those that were not recorded before."""
        new = [entry for entry in entries if entry.key not in self._recorded]
        for entry in new:
            self._recorded[entry.key] = None
        while len(self._recorded) > _REMEMBERED:
            self._recorded.popitem(last=False)
        account.record(new)
        return new
