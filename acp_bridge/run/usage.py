"""What a run has used so far, summed in memory: what its status shows while it lives.

The ledger on disk holds the same entries; a disk that cannot be written changes nothing here.
"""

from collections.abc import Collection, Sequence

from acp_bridge.ledger.records import SpentRow
from acp_bridge.ledger.report import GroupKey, Report, ReportRow, RowSum
from acp_bridge.ledger.sums import breakdown_of, sums_of
from acp_bridge.metering.usage import CostKind, Source, State
from acp_bridge.modes import BillingMode, Bucket

DEFAULT_GROUPS = (GroupKey.MODE, GroupKey.MODEL)

_Cell = tuple[str | None, str | None, State, Source, Bucket]


class RunUsage:
    """Sums by session, model, state, source and bucket, however many requests there are.

    Attributes:
        unsettled: sessions of Claude Code that are not settled yet, whose figures may grow.
    """

    def __init__(self, mode: BillingMode) -> None:
        self.unsettled: set[str] = set()
        self._mode = mode
        self._cells: dict[_Cell, dict[CostKind, list[int]]] = {}

    @property
    def pending(self) -> bool:
        """Whether a session is not settled yet."""
        return bool(self.unsettled)

    def add(self, row: SpentRow) -> None:
        """Add one entry, that was not added before."""
        entry = row.entry
        cell = (entry.session_id, entry.model, entry.state, entry.source, row.bucket)
        by_kind = self._cells.setdefault(cell, {})
        own = sums_of(entry)
        sums = [*own, *breakdown_of(entry, own)]
        present = by_kind.get(row.cost_kind)
        by_kind[row.cost_kind] = (
            sums if present is None else [a + b for a, b in zip(present, sums, strict=True)]
        )

    def report(
        self,
        by: Sequence[GroupKey] = DEFAULT_GROUPS,
        *,
        session_ids: Collection[str] | None = None,
    ) -> Report:
        """The run, as the ledger reports it.

        Args:
            by: mode, session, model, state, source and bucket can be grouped by.
            session_ids: only these sessions of Claude Code.
        """
        groups: dict[tuple[str | None, ...], RowSum] = {}
        totals = RowSum()
        pending: set[tuple[str | None, ...]] = set()
        for cell, by_kind in self._cells.items():
            if session_ids is not None and cell[0] not in session_ids:
                continue
            said = self._words(cell)
            values = tuple(said[key] for key in by)
            group = groups.setdefault(values, RowSum())
            if cell[0] in self.unsettled:
                pending.add(values)
            for kind, sums in by_kind.items():
                group.add(kind, sums)
                totals.add(kind, sums)
        rows = [
            groups[values].row(values, pending=values in pending)
            for values in sorted(groups, key=_none_first)
        ]
        return Report(tuple(by), rows, totals.row((), pending=bool(pending)))

    def of_sessions(self, session_ids: Sequence[str]) -> ReportRow | None:
        """The sum of these sessions of Claude Code; None if nothing was counted in them."""
        found = RowSum()
        cells = [cell for cell in self._cells if cell[0] in session_ids]
        for cell in cells:
            for kind, sums in self._cells[cell].items():
                found.add(kind, sums)
        pending = any(cell[0] in self.unsettled for cell in cells)
        return found.row((), pending=pending) if cells else None

    def _words(self, cell: _Cell) -> dict[GroupKey, str | None]:
        session_id, model, state, source, bucket = cell
        return {
            GroupKey.MODE: self._mode.value,
            GroupKey.SESSION: session_id,
            GroupKey.MODEL: model,
            GroupKey.STATE: state.value,
            GroupKey.SOURCE: source.value,
            GroupKey.BUCKET: bucket.value,
        }


def _none_first(values: tuple[str | None, ...]) -> list[tuple[bool, str]]:
    return [(value is not None, value or "") for value in values]
