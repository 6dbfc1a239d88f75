"""Tokens, and the entry that the ledger keeps for each API request.

What could not be known is None, never 0; adding something unknown to a sum leaves the sum as it is
and is counted beside it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Self

from acp_bridge.modes import Bucket


class Source(StrEnum):
    """Who counted: from the best to the weakest witness."""

    WIRE = "wire"
    TELEMETRY = "telemetry"
    TRANSCRIPT = "transcript"
    AGENT_RESULT = "agent_result"
    ACP = "acp"


class State(StrEnum):
    """How an entry came about.

    ``live`` was seen while it happened. ``settled`` was missed and found in the totals afterwards.
    ``outside`` was spent in the session by something else, whose payer nobody saw. ``unknown`` is a
    request that was made and whose tokens nobody told.
    """

    LIVE = "live"
    SETTLED = "settled"
    OUTSIDE = "outside"
    UNKNOWN = "unknown"


class AskedBy(StrEnum):
    """What made the request."""

    MAIN = "main"
    SUBAGENT = "subagent"
    TITLE = "title"
    SUGGESTION = "suggestion"
    COMPACTION = "compaction"
    RETRY = "retry"
    COUNT = "count"
    OTHER = "other"

    @property
    def unasked(self) -> bool:
        """Whether nobody typed anything that led to it."""
        return self in (AskedBy.TITLE, AskedBy.SUGGESTION)


class CostKind(StrEnum):
    """Which money a cost is; kinds are never added together."""

    BILLED_ESTIMATE = "billed_estimate"
    LIST_PRICE_EQUIVALENT = "list_price_equivalent"
    ENDPOINT_PRICE = "endpoint_price"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Tokens:
    """The five kinds of tokens. Input excludes what was read from or written to the cache."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0

    def __add__(self, other: Self) -> "Tokens":
        return Tokens(*(a + b for a, b in zip(self.counts, other.counts, strict=True)))

    def __sub__(self, other: Self) -> "Tokens":
        """The difference, kind by kind; kinds may be negative."""
        return Tokens(*(a - b for a, b in zip(self.counts, other.counts, strict=True)))

    def __bool__(self) -> bool:
        return any(self.counts)

    @property
    def counts(self) -> tuple[int, ...]:
        """The five counts, in the order of the attributes."""
        return (
            self.input,
            self.output,
            self.cache_read,
            self.cache_write_5m,
            self.cache_write_1h,
        )

    @property
    def positive(self) -> "Tokens":
        """The same without kinds that are negative."""
        return Tokens(*(max(0, count) for count in self.counts))

    @property
    def total(self) -> int:
        """All kinds together."""
        return sum(self.counts)


def total(tokens: Iterable[Tokens]) -> Tokens:
    """The sum, kind by kind."""
    found = Tokens()
    for one in tokens:
        found += one
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageEntry:
    """What the ledger keeps of one API request, or of a difference that no request explains.

    Attributes:
        key: what makes it the same entry when it is told twice; unique in the ledger.
        run_id: the run of the bridge that it belongs to.
        session_id: Claude Code's session; None if nobody said.
        at: when it was asked or, for a difference, found. Aware UTC.
        source: who counted.
        state: how it came about.
        asked_by: what made the request.
        model: as answered; None if nobody said.
        tokens: None if nobody knows.
        cost_micros: millionths of a US dollar; None if unknown. By the list, as Claude Code or this
            package has it, or in mode C by the endpoint's own table.
        requests: API requests in it; None if unknown.
        turn: the prompt turn of the run that it belongs to, from 1; None outside any turn.
        agent_id: the subagent; None for the main loop.
        request_id: the provider's id of the request.
        duration_ms: from sending to the end of the answer.
        ttft_ms: from sending to the first token.
        detail: in words, why it is unknown or what it corrects.
        bucket: what its own answer says was charged; None if nobody looked at the answer.
    """

    key: str
    run_id: str
    session_id: str | None
    at: datetime
    source: Source
    state: State
    asked_by: AskedBy = AskedBy.OTHER
    model: str | None = None
    tokens: Tokens | None = None
    cost_micros: int | None = None
    requests: int | None = 1
    turn: int | None = None
    agent_id: str | None = None
    request_id: str | None = None
    duration_ms: int | None = None
    ttft_ms: int | None = None
    detail: str | None = None
    bucket: Bucket | None = None
