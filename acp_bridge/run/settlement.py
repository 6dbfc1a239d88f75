"""Sets sessions right from their transcripts and from what the ledger knows of them.

Everything here reads files and blocks: it is for a worker thread. The arithmetic is
`acp_bridge.metering.settlement`; what it needs to be told is gathered here.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import groupby
from pathlib import Path

from acp_bridge.agent.transcripts import Transcript, find_transcript, lines_of
from acp_bridge.errors import BridgeError
from acp_bridge.ledger import records
from acp_bridge.ledger.queries import Ledger
from acp_bridge.ledger.records import RunRow, SessionRow
from acp_bridge.metering.readings import Reading, Spent, Totals, totals_of
from acp_bridge.metering.settlement import (
    Books,
    Settlement,
    lines_since,
    settle_end,
    settle_opening,
    settled_in,
    unknown_entries,
)
from acp_bridge.metering.transcript import is_titled, readings_from_end, up_to_totals
from acp_bridge.metering.untold import Untold, untold_requests
from acp_bridge.metering.usage import AskedBy, Source, State, UsageEntry

_NO_MODEL = ""


@dataclass(frozen=True, slots=True)
class Opening:
    """A session as it was when this run got it.

    Attributes:
        reading: the last totals in its transcript; without models if there are none.
        offset: bytes of the transcript by then.
        settlement: what something else spent in it since a run last had it.
        titled: it has a title, so none will be asked for.
    """

    reading: Reading
    offset: int = 0
    settlement: Settlement = field(default_factory=lambda: Settlement([], []))
    titled: bool = False


@dataclass(frozen=True, slots=True)
class _Past:
    """What the ledger knows of a session.

    Attributes:
        known: totals that some run has accounted for.
        openings: totals with which runs began, by run.
        others: the session as other runs had it.
        others_open: another run that lives has it open, or has not settled it yet.
        others_ended: with what runs began that are dead and not settled, and what their lines
            must hold.
    """

    known: tuple[Reading, ...] = ()
    openings: dict[str, Reading] = field(default_factory=dict)
    others: tuple[SessionRow, ...] = ()
    others_open: bool = False
    others_ended: tuple[tuple[Totals, Totals], ...] = ()

    def filled(self, books: Books) -> Books:
        """Books with what the ledger knows besides."""
        return replace(
            books,
            known=self.known,
            others_open=self.others_open,
            others_ended=self.others_ended,
        )


@dataclass(frozen=True, slots=True)
class _Held:
    """What the ledger holds of a session in one run.

    Attributes:
        by_telling: what Claude Code itself had told, by model: what its lines can be held against.
        request_ids: of the requests in it.
        by_wire: what the run's wire guard had counted, by model; None where there was none. It may
            be more than what Claude Code tells, and less where the bridge was killed.
    """

    by_telling: Totals = field(default_factory=dict)
    request_ids: frozenset[str] = frozenset()
    by_wire: Totals | None = None


@dataclass(frozen=True, slots=True)
class LeftOver:
    """A session that its own run did not settle; `run` is None if the ledger does not know it."""

    session: SessionRow
    run: RunRow | None
    settlement: Settlement


class Settler:
    """Settles the sessions of one state directory.

    Args:
        config: where Claude Code keeps its transcripts.
        ledger: the ledger's file. One that cannot be read knows nothing.
        is_alive: whether a run, by its id, still lives.
    """

    def __init__(self, config: Path, ledger: Path, is_alive: Callable[[str], bool]) -> None:
        self._config = config
        self._ledger = ledger
        self._is_alive = is_alive

    def opened(self, run_id: str, session_id: str, at: datetime) -> Opening:
        """Look at a session that was loaded or resumed."""
        transcript = find_transcript(self._config, session_id)
        if transcript is None:
            return Opening(Reading(session_id))
        offset = transcript.size
        lines = _readings(transcript)
        last = lines[-1] if lines else Reading(session_id)
        past = self._past(session_id, run_id)
        books = past.filled(Books(run_id=run_id, session_id=session_id, opened_with=last))
        ever_known = bool(past.others or past.known)
        found = settle_opening(books, lines, at=at, ever_known=ever_known)
        return Opening(last, offset, found, is_titled(transcript.lines_since(0)))

    def ended(
        self,
        books: Books,
        offset: int,
        *,
        opened_at: datetime,
        at: datetime,
        known_ids: frozenset[str],
    ) -> Settlement:
        """Settle a session whose process has ended.

        Args:
            books: from the meter; what other runs know is added here.
            offset: where in the transcript this run began.
            opened_at: when this run got it.
            at: now.
            known_ids: request ids that are recorded already.
        """
        books = self._past(books.session_id, books.run_id).filled(books)
        transcript = find_transcript(self._config, books.session_id)
        if transcript is None:
            return settle_end(books, [], at=at)
        start = offset if offset <= transcript.size else 0
        lines, written = _readings(transcript), len(list(_since(transcript, start)))
        split = max(0, len(lines) - written)
        found = settle_end(books, lines[split:], at=at, before=lines[:split])
        unknown = unknown_entries(
            books.run_id,
            books.session_id,
            _untold(transcript, start, opened_at, ended=found.own is not None),
            at=at,
            known_ids=known_ids,
        )
        return Settlement([*found.entries, *unknown], found.accounted, found.own)

    def has_new_totals(self, session_id: str, offset: int) -> bool:
        """Whether a process has written its totals since."""
        transcript = find_transcript(self._config, session_id)
        return transcript is not None and any(_since(transcript, offset))

    def left_over(self, now: datetime, *, session_id: str | None = None) -> Iterator[LeftOver]:
        """Settle sessions, or this one, of runs that ended without doing so."""
        for session in self._unsettled():
            if session_id in (None, session.session_id):
                yield LeftOver(session, self._run(session.run_id), self._late(session, now))

    def _unsettled(self) -> list[SessionRow]:
        try:
            with Ledger(self._ledger) as ledger:
                found = ledger.unsettled_sessions()
        except BridgeError:
            return []
        return [one for one in found if not self._is_alive(one.run_id)]

    def _run(self, run_id: str) -> RunRow | None:
        try:
            with Ledger(self._ledger) as ledger:
                return ledger.run(run_id)
        except BridgeError:
            return None

    def _late(self, session: SessionRow, now: datetime) -> Settlement:
        run_id, session_id = session.run_id, session.session_id
        past = self._past(session_id, run_id)
        opening = past.openings.get(run_id)
        transcript = find_transcript(self._config, session_id)
        held = self._held(run_id, session_id)
        books = past.filled(
            Books(
                run_id=run_id, session_id=session_id, opened_with=opening, recorded=held.by_telling
            )
        )
        lines = [] if transcript is None else _readings(transcript)
        written = lines_since(reversed(lines), opening)
        before = lines[: len(lines) - len(written)]
        found = settle_end(books, written, at=now, before=before)
        untold: list[Untold] = []
        if transcript is not None and held.by_wire is None:
            untold = _untold(transcript, 0, session.opened_at)
        began = session.turn_began_at
        if began is not None and not any(one.at is None or one.at >= began for one in untold):
            untold.append(_cut_off(began))
        unknown = unknown_entries(run_id, session_id, untold, at=now, known_ids=held.request_ids)
        if began is not None:
            unknown.append(_last_suggestion(run_id, session_id, began))
        entries = found.entries
        if held.by_wire is not None:
            seen = replace(books, recorded=held.by_wire)
            entries = [one for one in entries if one.state is not State.SETTLED]
            entries += settled_in(seen, found.own, at=now) if found.own else []
        return Settlement([*entries, *unknown], found.accounted, found.own)

    def _held(self, run_id: str, session_id: str) -> "_Held":
        try:
            with Ledger(self._ledger) as ledger:
                entries = [
                    row.entry for row in ledger.entries(run_id=run_id, session_id=session_id)
                ]
                told = ledger.witnesses(run_id=run_id, session_id=session_id)
        except BridgeError:
            return _Held()
        own = [one for one in entries if one.state in (State.LIVE, State.SETTLED)]
        ids = frozenset(filter(None, (one.request_id for one in entries)))
        if not any(one.source is Source.WIRE for one in own):
            return _Held(totals_of(own), ids)
        telemetry = {
            row.model: Spent(row.tokens, row.cost_micros)
            for row in told
            if row.source is Source.TELEMETRY
        }
        return _Held(telemetry, ids, totals_of(own))

    def _past(self, session_id: str, run_id: str) -> _Past:
        try:
            with Ledger(self._ledger) as ledger:
                rows = ledger.readings(session_id)
                sessions = ledger.sessions(session_id=session_id)
        except BridgeError:
            return _Past()
        began = {(one.run_id, one.opened_at) for one in sessions}
        known, openings = [], {}
        for (of, at), models in groupby(rows, key=lambda row: (row.run_id, row.at)):
            reading = _joined(session_id, models)
            if (of, at) in began:
                openings[of] = reading
            else:
                known.append(reading)
        others = [one for one in sessions if one.run_id != run_id]
        unsettled = [one.run_id for one in others if one.settled_at is None]
        alive = {of for of in unsettled if self._is_alive(of)}
        return _Past(
            known=tuple(known),
            openings=openings,
            others=tuple(others),
            others_open=bool(alive),
            others_ended=tuple(
                self._needed(of, session_id, openings.get(of))
                for of in unsettled
                if of not in alive
            ),
        )

    def _needed(
        self, run_id: str, session_id: str, opening: Reading | None
    ) -> tuple[Totals, Totals]:
        told = self._held(run_id, session_id).by_telling
        books = Books(run_id=run_id, session_id=session_id, opened_with=opening, recorded=told)
        return opening.models if opening else {}, books.needed


def rows_of(reading: Reading, run_id: str, at: datetime) -> list[records.Reading]:
    """A reading as the ledger stores it: one row a model, and one without a model for nothing."""
    return [
        records.Reading(
            run_id=run_id,
            session_id=reading.session_id,
            at=at,
            model=model,
            tokens=spent.tokens,
            cost_micros=spent.cost_micros,
        )
        for model, spent in sorted(reading.models.items()) or [(_NO_MODEL, Spent())]
    ]


def later(at: datetime, place: int) -> datetime:
    """Moments that tell readings of one settlement apart."""
    return at.replace(microsecond=(at.microsecond + place) % 1_000_000)


def _joined(session_id: str, rows: Iterable[records.Reading]) -> Reading:
    spent = {row.model: Spent(row.tokens, row.cost_micros) for row in rows}
    return Reading(session_id, {model: of for model, of in spent.items() if model != _NO_MODEL})


def _readings(transcript: Transcript) -> list[Reading]:
    """All totals in a transcript, in its order."""
    return list(readings_from_end(transcript.lines_from_end()))[::-1]


def _since(transcript: Transcript, offset: int) -> Iterator[Reading]:
    """The totals that were written since the file was so long, in its order."""
    return readings_from_end(transcript.lines_since(offset))


def _cut_off(began_at: datetime) -> Untold:
    """What a turn may have asked for that was under way when the bridge was killed."""
    return Untold(
        ref=f"turn of {began_at.isoformat()}",
        at=began_at,
        query_source="sdk",
        model=None,
        agent_id=None,
        request_id=None,
        detail="a turn was under way when the bridge was killed",
    )


def _last_suggestion(run_id: str, session_id: str, began_at: datetime) -> UsageEntry:
    """A process whose turn was cut off may ask for a suggestion before it ends (2.1.316)."""
    return UsageEntry(
        key=f"unknown:{session_id}:suggestion after the turn of {began_at.isoformat()}",
        run_id=run_id,
        session_id=session_id,
        at=began_at,
        source=Source.TRANSCRIPT,
        state=State.UNKNOWN,
        asked_by=AskedBy.SUGGESTION,
        requests=None,
        detail="a suggestion may have been asked for when the bridge was killed",
    )


def _untold(
    transcript: Transcript, start: int, since: datetime, *, ended: bool = False
) -> list[Untold]:
    lines = transcript.lines_since(start)
    found = untold_requests(up_to_totals(lines) if ended else lines)
    for path in transcript.subagents():
        found += untold_requests(lines_of(path))
    return [one for one in found if one.at is None or one.at >= since]
