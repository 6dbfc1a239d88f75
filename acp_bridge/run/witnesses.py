"""Keeps what each witness tells of a run, side by side, for `acp-bridge usage --reconcile`.

Nothing here decides what counts (`acp_bridge.metering.wire_books` and the meter do).
"""

from collections.abc import Iterable
from datetime import datetime

from acp_bridge.ledger.records import WitnessRow
from acp_bridge.ledger.writer import LedgerWriter
from acp_bridge.metering.agent_results import read_turn
from acp_bridge.metering.readings import NOTHING, Reading, missing
from acp_bridge.metering.reconciling import WitnessBook
from acp_bridge.metering.usage import Source, State, UsageEntry

_BY_REQUEST = frozenset({Source.WIRE, Source.TELEMETRY})


class Witnesses:
    """What was told of one run.

    Args:
        run_id: the run.
        writer: where the figures go.
    """

    def __init__(self, run_id: str, writer: LedgerWriter) -> None:
        self._run_id = run_id
        self._writer = writer
        self._book = WitnessBook()

    def requests(self, entries: Iterable[UsageEntry]) -> None:
        """Requests that the wire or telemetry told of, each for the first time."""
        for entry in entries:
            live = entry.state is State.LIVE and entry.source in _BY_REQUEST
            if live and entry.tokens is not None:
                self._book.tell(
                    entry.source,
                    entry.session_id,
                    entry.model,
                    entry.tokens,
                    requests=entry.requests,
                    cost_micros=entry.cost_micros,
                )

    def turn(self, session_id: str | None, result: bytes) -> None:
        """The response to a prompt in a session of Claude Code."""
        for model, tokens in read_turn(result).by_model.items() if result else ():
            self._book.tell(Source.ACP, session_id, model, tokens, requests=None)

    def totals(self, source: Source, reading: Reading, opened_with: Reading | None) -> None:
        """All that a process has spent by now, as the agent or its transcript tells.

        Args:
            source: who tells.
            reading: the session's totals.
            opened_with: those it was opened with; where nobody knows them, nothing was told.
        """
        if opened_with is None:
            return
        for model, spent in reading.models.items():
            own = missing(spent, opened_with.models.get(model, NOTHING))
            if own is not None:
                self._book.total(
                    source,
                    reading.session_id,
                    model,
                    own.tokens,
                    cost_micros=own.cost_micros,
                )

    def store(self, at: datetime) -> None:
        """Store what is new."""
        for source, session_id, model, figures in self._book.changed():
            self._writer.record(
                WitnessRow(
                    run_id=self._run_id,
                    session_id=session_id,
                    source=source,
                    model=model,
                    tokens=figures.tokens,
                    requests=figures.requests,
                    cost_micros=figures.cost_micros,
                    at=at,
                )
            )
