"""Totals of one session, in few words."""

from collections.abc import Sequence
from datetime import UTC, datetime

from acp_bridge.metering.readings import Reading, Spent
from acp_bridge.metering.settlement import Books
from acp_bridge.metering.usage import State, Tokens, UsageEntry

NOW = datetime(2026, 11, 24, tzinfo=UTC)
SESSION = "a-session"


def reading(**models: int) -> Reading:
    """Totals with that much input, and ten micro-dollars a token."""
    return Reading(SESSION, {m: Spent(Tokens(input=n), n * 10) for m, n in models.items()})


def books(opened_with: Reading | None, recorded: Reading | None = None, *known: Reading) -> Books:
    """What a run knows of the session."""
    return Books(
        run_id="run",
        session_id=SESSION,
        opened_with=opened_with,
        recorded=recorded.models if recorded else {},
        known=known,
    )


def inputs(entries: Sequence[UsageEntry], state: State) -> dict[str | None, int]:
    """The input of the entries in that state, by model."""
    return {e.model: e.tokens.input for e in entries if e.state is state and e.tokens}
