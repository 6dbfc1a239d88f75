"""A ledger with something of everything, small enough to be read."""

from datetime import timedelta
from typing import Any

from acp_bridge.ledger.records import Row
from acp_bridge.metering.usage import AskedBy, CostKind, Source, State, Tokens
from acp_bridge.modes import BillingMode
from tests.ledger.rows import NOON, run, session, spent

LONG = "claude-opus-5-5[1m]-of-a-very-long-name"
RUN, OTHER_RUN = "20261124-120000-aaaaaa", "20261124-120000-bbbbbb"
API: dict[str, Any] = {
    "mode": BillingMode.API_KEY,
    "cost_kind": CostKind.BILLED_ESTIMATE,
    "run_id": OTHER_RUN,
    "session_id": None,
}
DIFFERENCE: dict[str, Any] = {"source": Source.TRANSCRIPT, "requests": None, "model": "haiku"}


def small_ledger() -> list[Row]:
    """A session of a subscription with something of everything, and one request of a key."""
    return [
        run(RUN),
        run(OTHER_RUN),
        session(run_id=RUN),
        spent("1", run_id=RUN, model=LONG),
        spent("2", run_id=RUN, model=LONG, at=NOON + timedelta(hours=1), agent_id="subagent-1"),
        spent(
            "3",
            run_id=RUN,
            model="haiku",
            asked_by=AskedBy.TITLE,
            tokens=Tokens(input=100, output=20),
            cost_micros=70,
        ),
        spent(
            "4",
            run_id=RUN,
            model=LONG,
            asked_by=AskedBy.SUGGESTION,
            tokens=Tokens(input=3, output=4, cache_read=1_000_000),
            cost_micros=2_000_000,
        ),
        spent(
            "5", run_id=RUN, state=State.SETTLED, tokens=Tokens(5, 5), cost_micros=100, **DIFFERENCE
        ),
        spent(
            "6",
            run_id=RUN,
            state=State.OUTSIDE,
            tokens=Tokens(9),
            cost_micros=900,
            cost_kind=CostKind.UNKNOWN,
            **DIFFERENCE,
        ),
        spent("7", run_id=RUN, state=State.UNKNOWN, model=LONG, tokens=None, cost_micros=None),
        spent("8", model="opus", cost_micros=1_234_567, **API),
    ]
