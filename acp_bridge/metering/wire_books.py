"""What the wire saw of a run, against which every other witness is held.

Where the wire guard looks on, its count is the count. What telemetry, raw results or transcripts
tell of a request that the wire saw is known already; of one that it did not see, something routed
around the guard: it is counted, and it is a violation.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Collection, Iterable
from enum import StrEnum

from acp_bridge.metering.usage import Source, State, Tokens, UsageEntry

_REMEMBERED = 50_000


class Weight(StrEnum):
    """What another witness's entry is beside the wire.

    ``known``: the wire has counted it. ``apart``: it is none of the wire's business. ``bypassed``:
    something routed around the guard.
    """

    KNOWN = "known"
    APART = "apart"
    BYPASSED = "bypassed"


class WireBooks:
    """The wire's sums of one run, and the other witnesses'."""

    def __init__(self) -> None:
        self._ids: OrderedDict[str, None] = OrderedDict()
        self._wire: defaultdict[str | None, int] = defaultdict(int)
        self._told: defaultdict[str | None, int] = defaultdict(int)

    def answered(self, request_id: str | None) -> None:
        """The head of an answer with that id passed."""
        if request_id is not None:
            self._ids[request_id] = None
            if len(self._ids) > _REMEMBERED:
                self._ids.popitem(last=False)

    def saw(self, entries: Iterable[UsageEntry]) -> None:
        """The wire counted these."""
        for entry in entries:
            self._wire[entry.session_id] += _input(entry.tokens)

    def weigh(self, entry: UsageEntry, sessions: Collection[str | None]) -> Weight:
        """Hold an entry of another witness against the wire.

        A request id decides. Without one, the input of all that was told of the sessions decides:
        the output of a stream that was broken off is an estimate of Claude Code's.

        Args:
            entry: of another witness, told for the first time.
            sessions: its session, and those that were the same one for the client (``/clear``).
        """
        if entry.source is Source.WIRE or entry.state is State.OUTSIDE:
            return Weight.APART
        self._told[entry.session_id] += _input(entry.tokens)
        if entry.tokens is None:
            return self._weigh_unknown(entry)
        if entry.request_id is not None:
            return Weight.KNOWN if entry.request_id in self._ids else Weight.BYPASSED
        told = sum(self._told[one] for one in sessions)
        return Weight.BYPASSED if told > sum(self._wire[one] for one in sessions) else Weight.KNOWN

    def _weigh_unknown(self, entry: UsageEntry) -> Weight:
        """A request of which nobody told the tokens proves nothing.

        A transcript that names its id may be shared with another process.
        """
        seen = entry.request_id is None or entry.request_id in self._ids
        return Weight.KNOWN if seen else Weight.APART


def _input(tokens: Tokens | None) -> int:
    return 0 if tokens is None else tokens.total - tokens.output
