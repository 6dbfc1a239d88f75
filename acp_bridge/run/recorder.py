"""Entries of a run on their way to the ledger: weighed, given a payer, summed."""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from datetime import datetime

from acp_bridge.ledger.records import RunRow, SpentRow
from acp_bridge.ledger.writer import LedgerWriter
from acp_bridge.metering.readings import Reading
from acp_bridge.metering.usage import Source, UsageEntry
from acp_bridge.metering.wire_books import Weight, WireBooks
from acp_bridge.modes import Bucket
from acp_bridge.policy.surface import Surface
from acp_bridge.run.payer import Payer
from acp_bridge.run.settlement import rows_of
from acp_bridge.run.usage import RunUsage
from acp_bridge.run.witnesses import Witnesses

_REMEMBERED_IDS = 50_000


class Recorder:
    """Records what a run has used.

    Args:
        run: the run, as the ledger stores it.
        writer: where rows go.
        wire: what the wire guard saw; None where nobody looks at the wire.
        changed: called when the sums have changed.
        bypassed: called with an entry of which the wire guard saw nothing.
        charged: what an entry was seen to be charged to; None for what the run began with.
        surface: what kind of program asks, in the sessions that a client or the user opened.

    Attributes:
        spent: called with each row that was handed to the ledger.
    """

    def __init__(  # noqa: PLR0913 - where rows go, what weighs them, and who is told
        self,
        run: RunRow,
        writer: LedgerWriter,
        *,
        wire: WireBooks | None,
        changed: Callable[[], None],
        bypassed: Callable[[UsageEntry], None],
        charged: Callable[[UsageEntry], Bucket | None],
        surface: Surface = Surface.AGENT_SDK,
    ) -> None:
        self.spent: Callable[[SpentRow], None] = lambda _: None
        self.usage = RunUsage(run.mode)
        self.witnesses = Witnesses(run.run_id, writer)
        self._wire = wire
        self._run = run
        self._payer = Payer.of(run)
        self._surface = surface
        self._writer = writer
        self._changed = changed
        self._bypassed = bypassed
        self._charged = charged
        self._request_ids: OrderedDict[str, None] = OrderedDict()

    @property
    def request_ids(self) -> frozenset[str]:
        """Of the requests that were recorded, the latest."""
        return frozenset(self._request_ids)

    def disclaim(self) -> None:
        """Nobody knows who pays, nor by which program."""
        self._payer = Payer.of(self._run, guaranteed=False)
        self._surface = Surface.UNKNOWN
        # Of an agent of another kind nobody knows that its requests should pass the guard.
        self._bypassed = lambda _: None

    def answered(self, request_id: str | None) -> None:
        """The wire guard saw the head of an answer."""
        if self._wire is not None:
            self._wire.answered(request_id)

    def record(
        self,
        entries: Iterable[UsageEntry],
        *,
        sessions: Callable[[str | None], Collection[str | None]],
        project: Callable[[str | None], str | None],
        is_clients: Callable[[str | None], bool],
    ) -> None:
        """Record entries that are told for the first time.

        Args:
            entries: of any witness; what the wire knows already is passed over.
            sessions: those that are the same session for the client.
            project: a session's working directory.
            is_clients: whether the client opened it.
        """
        entries = list(entries)
        self.witnesses.requests(entries)
        if self._wire is not None:
            self._wire.saw(one for one in entries if one.source is Source.WIRE)
        for entry in entries:
            payer = self._payer
            if self._wire is not None:
                weight = self._wire.weigh(entry, sessions(entry.session_id))
                if weight is Weight.KNOWN:
                    continue
                if weight is Weight.BYPASSED:
                    payer = Payer.of(self._run, guaranteed=False)
                    self._bypassed(entry)
            row = payer.spent(
                entry,
                project=project(entry.session_id),
                surface=self._surface if is_clients(entry.session_id) else Surface.UNKNOWN,
                bucket=self._charged(entry),
            )
            self.usage.add(row)
            self._writer.record(row)
            self.spent(row)
            self._remember(entry.request_id)
        if entries:
            self._changed()

    def keep(self, reading: Reading, at: datetime, *, run_id: str | None = None) -> None:
        """Store totals that are accounted for."""
        for row in rows_of(reading, run_id or self._run.run_id, at):
            self._writer.record(row)

    def _remember(self, request_id: str | None) -> None:
        if request_id is not None:
            self._request_ids[request_id] = None
            if len(self._request_ids) > _REMEMBERED_IDS:
                self._request_ids.popitem(last=False)
