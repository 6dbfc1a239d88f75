"""What one entry adds to the sums, wherever they are kept: on disk by quarter, in memory by run."""

from collections.abc import Sequence

from acp_bridge.ledger.schema import SUM_COLUMNS, TOKEN_COLUMNS
from acp_bridge.metering.usage import AskedBy, Source, State, UsageEntry

_KINDS_OF_TOKENS = 5
_SOURCES, _STATES = tuple(Source), tuple(State)
_NOTHING = [0] * len(SUM_COLUMNS)
_REQUESTS = SUM_COLUMNS.index("requests")
_TOKENS = slice(SUM_COLUMNS.index(TOKEN_COLUMNS[0]), SUM_COLUMNS.index(TOKEN_COLUMNS[-1]) + 1)


def sums_of(entry: UsageEntry) -> list[int]:
    """`SUM_COLUMNS` in their order; what is unknown adds nothing and is counted beside it."""
    told = entry.tokens is not None
    requests = entry.requests or 0
    return [
        1,
        int(entry.requests is None),
        requests,
        0 if told else 1 if entry.requests is None else requests,
        *(entry.tokens.counts if entry.tokens is not None else (0,) * _KINDS_OF_TOKENS),
        entry.cost_micros or 0,
        int(entry.cost_micros is None),
    ]


def breakdown_of(entry: UsageEntry, sums: list[int]) -> list[int]:
    """`acp_bridge.ledger.schema.BREAKDOWN_COLUMNS` in their order.

    Args:
        entry: the entry.
        sums: its `sums_of`.
    """
    return breakdown_of_kind(entry.source, entry.state, entry.asked_by, sums)


def breakdown_of_kind(
    source: Source, state: State, asked_by: AskedBy, sums: Sequence[int]
) -> list[int]:
    """The same of sums of entries that have these three in common."""
    requests = sums[_REQUESTS]
    tokens = sum(sums[_TOKENS])
    return [
        *(requests if one is source else 0 for one in _SOURCES),
        *(requests if one is state else 0 for one in _STATES),
        *(tokens if one is state else 0 for one in _STATES),
        *(sums if asked_by.unasked else _NOTHING),
    ]
