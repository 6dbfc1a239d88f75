"""What one entry adds to the sums, wherever they are kept: on disk by quarter, in memory by run."""

from acp_bridge.ledger.schema import SUM_COLUMNS
from acp_bridge.metering.usage import Source, State, UsageEntry

_KINDS_OF_TOKENS = 5
_SOURCES, _STATES = tuple(Source), tuple(State)
_NOTHING = [0] * len(SUM_COLUMNS)


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
    requests = entry.requests or 0
    tokens = 0 if entry.tokens is None else entry.tokens.total
    return [
        *(requests if source is entry.source else 0 for source in _SOURCES),
        *(requests if state is entry.state else 0 for state in _STATES),
        *(tokens if state is entry.state else 0 for state in _STATES),
        *(sums if entry.asked_by.unasked else _NOTHING),
    ]
