"""What a ledger must hold, judged from what the endpoint has seen."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from acp_bridge.loopback.asked import RequestKind
from acp_bridge.loopback.seen import Outcome, SeenRequest
from acp_bridge.metering.usage import AskedBy, State, Tokens, UsageEntry, total
from tests.metering.numbered import tokens_of

_UNTYPED = (RequestKind.SUGGESTION, RequestKind.TITLE)
_COMPACTION = "CRITICAL: Respond with TEXT ONLY"


@dataclass(frozen=True, slots=True)
class Truth:
    """A request that an answer was begun for.

    Attributes:
        model: as answered.
        asked_model: as asked for, which is the name in Claude Code's own totals (2.1.316).
        whole: the agent has read the answer to its end.
    """

    session_id: str | None
    agent_id: str | None
    model: str | None
    asked_model: str | None
    asked_by: AskedBy
    tokens: Tokens
    whole: bool
    outside: bool


def truths(seen: Sequence[SeenRequest], outside: set[int]) -> list[Truth]:
    """The requests that cost something."""
    return [
        Truth(
            one.session_id,
            one.agent_id,
            one.answered,
            one.model,
            _label(one),
            tokens_of(one.usage),
            # An agent that is ended has perhaps not read what it was sent.
            one.outcome is Outcome.COMPLETE and one.kind not in _UNTYPED,
            place in outside,
        )
        for place, one in enumerate(seen)
        if one.usage is not None
    ]


def missed_live(truth: Sequence[Truth], entries: Sequence[UsageEntry]) -> list[Truth]:
    """The requests of the agent that have no live entry.

    Raises:
        AssertionError: a live entry is of no request, or a second of one.
    """
    left = list(truth)
    for entry in entries:
        if entry.state is State.LIVE:
            match = [one for one in left if one.tokens == entry.tokens]
            assert match, f"counted twice, or never asked: {entry}"
            one = match[0]
            assert _who(entry) == _who(one)
            left.remove(one)
    return [one for one in left if not one.outside]


def check(truth: Sequence[Truth], entries: Sequence[UsageEntry]) -> None:
    """The ledger after settlement.

    Every request that was answered to its end is in it once; what was cancelled or cut is shown as
    unknown; what something else spent is outside.

    Raises:
        AssertionError: anything else.
    """
    missed = missed_live(truth, entries)
    whole, broken = [t for t in missed if t.whole], [t for t in missed if not t.whole]
    models = {one.asked_model for one in truth} | {e.model for e in entries if e.tokens is not None}
    for model in models:
        outside = [one for one in truth if one.outside and one.asked_model == model]
        more = _sum(entries, State.OUTSIDE, model) - total(t.tokens for t in outside if t.whole)
        assert _is_part(more, [one.tokens for one in outside if not one.whole])
        settled = _sum(entries, State.SETTLED, model)
        rest = settled - total(one.tokens for one in whole if one.asked_model == model)
        assert _is_part(rest, [one.tokens for one in broken if one.asked_model == model])
    unknown = Counter(entry.asked_by for entry in entries if entry.state is State.UNKNOWN)
    needed = Counter(one.asked_by for one in broken)
    assert needed <= unknown
    for untyped in (AskedBy.SUGGESTION, AskedBy.TITLE):
        # Of these nobody can tell whether they were made.
        unknown.pop(untyped, None)
        needed.pop(untyped, None)
    assert unknown == needed


def _who(told: UsageEntry | Truth) -> tuple[str | None, ...]:
    # A title that is told after /clear names the new session, and was asked for in the old one.
    session_id = None if told.asked_by is AskedBy.TITLE else told.session_id
    return session_id, told.agent_id, told.model, told.asked_by


def _label(seen: SeenRequest) -> AskedBy:
    if seen.agent_id:
        return AskedBy.SUBAGENT
    if seen.kind is RequestKind.TITLE:
        return AskedBy.TITLE
    if seen.kind is RequestKind.SUGGESTION:
        return AskedBy.SUGGESTION
    return AskedBy.COMPACTION if (seen.prompt or "").startswith(_COMPACTION) else AskedBy.MAIN


def _sum(entries: Sequence[UsageEntry], state: State, model: str | None) -> Tokens:
    return total(e.tokens for e in entries if e.tokens and e.state is state and e.model == model)


def _is_part(rest: Tokens, broken: Sequence[Tokens]) -> bool:
    """Whether these are the tokens of some of the broken answers, their output told in part."""
    for size in range(len(broken) + 1):
        for some in combinations(broken, size):
            over = total(some) - rest
            if over == Tokens(output=over.output) and over.output >= 0:
                return True
    return False
