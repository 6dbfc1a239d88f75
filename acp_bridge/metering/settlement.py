"""What a session spent and nobody saw live, from the totals in its transcript.

The rule that keeps everything counted once: a process's own line ``cost-state`` less the line that
was last when it began is what that process spent (see `acp_bridge.metering.transcript`). So

* settled = own line - line at the opening - what this run has recorded of the session;
* outside = a line that no run has accounted for - the line it went on from.

Totals of a ledger are never subtracted from totals of a file: a killed process leaves entries in
the ledger that no later line holds, and two processes on one session leave lines of which neither
holds the other's.

A line does not say who wrote it. The own line is the one that holds all that this run recorded, and
least beyond it; lines that call the models as this run does come first. Where a run saw nothing
live and something else wrote at the same time, the two may be taken for one another: the sum stays
right as far as the lines allow, and nothing counts twice.

A model that answers under another name than it was asked for by is recorded under the one and is in
the line under the other: see `acp_bridge.metering.readings`. Lines all use the name asked for.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from acp_bridge.metering.labels import asked_by
from acp_bridge.metering.readings import (
    Reading,
    Spent,
    Totals,
    add,
    missing,
    missing_by_model,
)
from acp_bridge.metering.untold import Untold
from acp_bridge.metering.usage import Source, State, Tokens, UsageEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What is known of one session in one run, between its opening and the end of its process.

    A session that is closed and opened again in the same run has two of these, one after the other.

    Attributes:
        opened_with: the last line of the transcript when the session was opened, without models
            if it had none, as for a new session; None if nobody looked.
        recorded: what this run has recorded since, live and settled, by model.
        last_result: the agent's own totals at the end of its last turn, for a process that was
            killed and wrote no line.
        known: lines that any run has accounted for.
        others_open: another run's process has the session open, and has not written its line.
        others_ended: of each other run that is not settled though its process has ended, the totals
            with which it began, and what its line must hold: its `needed`. Its line is not to be
            taken for anybody else's.
    """

    run_id: str
    session_id: str
    opened_with: Reading | None = None
    recorded: Totals = field(default_factory=dict)
    last_result: Reading | None = None
    known: Sequence[Reading] = ()
    others_open: bool = False
    others_ended: Sequence[tuple[Totals, Totals]] = ()

    @property
    def needed(self) -> Totals:
        """What a line must hold that this run's process wrote; of its base by the same names."""
        needed: Totals = add(self.base, self.recorded)
        if self.last_result is not None and self.last_result.holds(needed):
            needed = self.last_result.models
        return needed

    @property
    def base(self) -> Totals:
        """The totals with which its process began, as far as anybody looked."""
        return self.opened_with.models if self.opened_with else {}


@dataclass(frozen=True, slots=True)
class Settlement:
    """The entries that set a session right, and the lines that are accounted for by them.

    Attributes:
        entries: to record.
        accounted: lines to remember as known, in the order of the file.
        own: the line that this run's process wrote; None if it wrote none.
    """

    entries: list[UsageEntry]
    accounted: list[Reading]
    own: Reading | None = None


def lines_since(newest_first: Iterable[Reading], opened_with: Reading | None) -> list[Reading]:
    """The lines after the one a session was opened with, in the order of the file.

    Args:
        newest_first: as `acp_bridge.metering.transcript.readings_from_end` gives them; no more are
            taken than needed.
        opened_with: None for all of them.
    """
    found: list[Reading] = []
    for line in newest_first:
        if opened_with is not None and line.same_tokens(opened_with):
            break
        found.append(line)
    return found[::-1]


def settle_opening(
    books: Books, written: Sequence[Reading], *, at: datetime, ever_known: bool
) -> Settlement:
    """What something else spent in the session since a run last had it.

    Args:
        books: of the session that is being opened; what it recorded is not looked at.
        written: every line in the file, in its order.
        at: now; the lines do not say when it was spent.
        ever_known: some run has had this session. If none has, what it spent before belongs to
            nobody's ledger.
    """
    unknown = _without(written, books.known)
    if books.others_open or books.others_ended:
        return Settlement([], [])
    if not ever_known:
        return Settlement([], unknown)
    known = books.known or [Reading(books.session_id)]
    return Settlement(_outside(books, unknown, known, at), unknown)


def settle_end(
    books: Books, written: Sequence[Reading], *, at: datetime, before: Sequence[Reading] = ()
) -> Settlement:
    """What was spent since the opening and is not recorded. Doing it again adds nothing.

    Args:
        books: what is known. If nobody looked what the session was opened with, it can be settled
            only if its one process wrote the one line there is.
        written: the lines since the opening, in the order of the file.
        at: now.
        before: the lines that were there at the opening. Of lines that say the same, the earlier
            ones are those that are accounted for.
    """
    candidates = _without([*before, *written], books.known, first=len(before))
    base = books.opened_with
    if base is None:
        if len(written) != 1 or not books.recorded:
            return Settlement([], [])
        base = Reading(books.session_id)
    claim = _Claim(books.base, books.needed)
    fitting = _fitting(books, claim, candidates)
    own = claim.likeliest(fitting)
    witness = own or books.last_result
    source = Source.TRANSCRIPT if own else Source.AGENT_RESULT
    entries = [] if witness is None else _settled(books, base, witness, source, at)
    if books.others_open or books.others_ended:
        return Settlement(entries, [own] if own else [], own)
    # Where several lines fit, another may be the own one: none of them is taken for outside.
    rest = _without(candidates, fitting)
    known = [*books.known, base, *([own] if own else [])]
    return Settlement([*entries, *_outside(books, rest, known, at)], candidates, own)


def unknown_entries(
    run_id: str,
    session_id: str,
    untold: Iterable[Untold],
    *,
    at: datetime,
    known_ids: frozenset[str],
) -> list[UsageEntry]:
    """Entries for requests that were made and whose tokens nobody told.

    Args:
        run_id: the run that made them.
        session_id: Claude Code's session.
        untold: from `acp_bridge.metering.untold.untold_requests`.
        at: now, for those that do not say when they were sent.
        known_ids: request ids that are recorded already.
    """
    return [
        UsageEntry(
            key=f"unknown:{session_id}:{one.ref}",
            run_id=run_id,
            session_id=session_id,
            at=one.at or at,
            source=Source.TRANSCRIPT,
            state=State.UNKNOWN,
            asked_by=asked_by(one.query_source, agent_id=one.agent_id),
            model=one.model,
            agent_id=one.agent_id,
            request_id=one.request_id,
            detail=one.detail,
        )
        for one in untold
        if one.request_id is None or one.request_id not in known_ids
    ]


@dataclass(frozen=True, slots=True)
class _Claim:
    """What a run knows of the line that its process wrote, or would have written.

    Attributes:
        began_with: the totals of the line from which it went on.
        needed: what it must hold.
    """

    began_with: Totals
    needed: Totals

    @property
    def size(self) -> int:
        """All tokens it must hold."""
        return Reading("", self.needed).size

    def fits(self, line: Reading) -> bool:
        """Whether it may be the line.

        The line from which it went on was written by the same witness: its names are the same.
        """
        return line.covers(self.began_with) and line.holds(self.needed)

    def likeliest(self, lines: Sequence[Reading]) -> Reading | None:
        """Of lines that fit the smallest, those first that call the models as it does.

        What goes on from a line that fits is larger, and has more models to share a name with.
        """
        alike = min((line for line in lines if line.covers(self.needed)), key=_size, default=None)
        least = min(lines, key=_size, default=None)
        if alike is None or (least is not None and alike.covers(least.models)):
            return least
        return alike


def _size(line: Reading) -> int:
    return line.size


def _fitting(books: Books, claim: _Claim, candidates: Sequence[Reading]) -> list[Reading]:
    """The lines that this run's process may have written."""
    others = [_Claim(*other) for other in books.others_ended]
    return [
        line
        for line in candidates
        if claim.fits(line) and not any(_is_rather(line, other, claim) for other in others)
    ]


def _is_rather(line: Reading, other: _Claim, claim: _Claim) -> bool:
    """Whether a line is more likely another run's than the one of this claim.

    The line with which the other began was there before it.
    """
    if line.same_tokens(Reading(line.session_id, other.began_with)):
        return False
    return other.size > claim.size and other.fits(line)


def settled_in(books: Books, line: Reading, *, at: datetime) -> list[UsageEntry]:
    """What a process's own line holds beyond its base and what is recorded.

    Args:
        books: what is known; here `Books.recorded` need not be what the line was found by.
        line: the line that the process wrote.
        at: now.
    """
    base = books.opened_with or Reading(books.session_id)
    return _settled(books, base, line, Source.TRANSCRIPT, at)


def _settled(
    books: Books, base: Reading, witness: Reading, source: Source, at: datetime
) -> list[UsageEntry]:
    before = add(base.models, books.recorded)
    found = _Found(books, "settled", source, State.SETTLED, "spent in this run and not seen live")
    # Of all models: what is missing of one depends on what is known of the others.
    mark = _mark(witness.tokens)
    return [
        found.entry(model, rest, mark, at)
        for model, rest in missing_by_model(witness.models, before).items()
    ]


def _outside(
    books: Books, lines: Sequence[Reading], known: Sequence[Reading], at: datetime
) -> list[UsageEntry]:
    detail = "spent in this session by something else"
    found = _Found(books, "outside", Source.TRANSCRIPT, State.OUTSIDE, detail)
    entries = []
    before = list(known)
    for line in lines:
        # The largest, so that nothing counts twice; of two that are as large the later one.
        parents = [one for one in reversed(before) if line.covers(one.models)]
        before.append(line)
        if parents:
            parent = max(parents, key=lambda one: one.size)
            entries += [
                found.entry(
                    model, rest, f"{_mark(parent.of(model).tokens)}:{_mark(spent.tokens)}", at
                )
                for model, spent in sorted(line.models.items())
                if (rest := missing(spent, parent.of(model)))
            ]
    return entries


@dataclass(frozen=True, slots=True)
class _Found:
    """What entries of one kind have in common."""

    books: Books
    name: str
    source: Source
    state: State
    detail: str

    def entry(self, model: str, spent: Spent, mark: str, at: datetime) -> UsageEntry:
        # Whichever run finds outside spending, it is the same entry.
        run = f"{self.books.run_id}:" if self.state is State.SETTLED else ""
        return UsageEntry(
            key=f"{self.name}:{run}{self.books.session_id}:{model}:{mark}",
            run_id=self.books.run_id,
            session_id=self.books.session_id,
            at=at,
            source=self.source,
            state=self.state,
            model=model or None,
            tokens=spent.tokens,
            cost_micros=spent.cost_micros,
            requests=None,
            detail=self.detail,
        )


def _without(
    lines: Sequence[Reading], known: Sequence[Reading], *, first: int = 0
) -> list[Reading]:
    """The lines from the first one on that are not known.

    Two lines that say the same need to be known twice.
    """
    left = list(known)
    found = []
    for place, line in enumerate(lines):
        same = next((one for one in left if one.same_tokens(line)), None)
        if same is not None:
            left.remove(same)
        elif place >= first:
            found.append(line)
    return found


def _mark(tokens: Tokens) -> str:
    return ".".join(map(str, tokens.counts))
