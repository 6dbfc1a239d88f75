"""What receipts ask of the ledger: which sessions there were, and what was used in one of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from acp_bridge.ledger.queries import Ledger
from acp_bridge.ledger.report import GroupKey, Report, RowSum
from acp_bridge.ledger.schema import QUARTER_SUMS, with_breakdown
from acp_bridge.ledger.storing import time_of
from acp_bridge.metering.usage import CostKind


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPart:
    """A session as one run had it.

    Attributes:
        session_id: the client's; of a session that no client opened, Claude Code's.
        opened_at: the first time in that run; aware UTC.
    """

    run_id: str
    session_id: str
    opened_at: datetime
    cwd: str | None
    model: str | None


class ReceiptLedger(Ledger):
    """The ledger, with what receipts look up.

    Claude Code's sessions that were one session of the client, before and after ``/clear``, are one
    here, under the client's id.
    """

    @contextmanager
    def at_one_moment(self) -> Iterator[None]:
        """Let all that is looked up inside see the same state; `report` cannot be called inside."""
        if self._connection is None:
            yield
        else:
            with self._snapshot(self._connection):
                yield

    def named(self, wanted: str) -> list[str]:
        """The sessions of that id, as the client's or else one of Claude Code's; sorted."""
        return self._owners(f"{_OWNER} = ?1", wanted) or self._owners("session_id = ?1", wanted)

    def beginning_with(self, wanted: str) -> list[str]:
        """The sessions with an id, of either kind, that begins so; sorted."""
        return self._owners(f"{_begins(_OWNER)} OR {_begins('session_id')}", wanted)

    def parts(self, session_id: str) -> list[SessionPart]:
        """What each run had of a session; the newest first."""
        return [
            SessionPart(
                run_id=run_id,
                session_id=owner,
                opened_at=time_of(opened_at),
                cwd=cwd,
                model=model,
            )
            for run_id, owner, opened_at, cwd, model in self._rows(_PARTS, [session_id])
        ]

    def newest(self, limit: int) -> list[tuple[datetime, str]]:
        """The sessions of clients that were opened last, each with that time; the newest first."""
        found = self._rows(_NEWEST, [limit])
        return [(time_of(opened_at), session_id) for opened_at, session_id in found]

    def used(self, by: GroupKey, run_id: str, session_id: str | None = None) -> Report:
        """What was used in a run, as `report` tells it.

        Args:
            by: model, state, bucket or source.
            run_id: the run.
            session_id: only this session of the client's.
        """
        of_session = "" if session_id is None else f"AND p.session_id IN ({_OF_SESSION})"
        sql = _USED.format(column=_COLUMNS[by], of_session=of_session)
        bound = [run_id] if session_id is None else [run_id, run_id, session_id]
        sums: dict[str | None, RowSum] = {}
        pending: set[str | None] = set()
        totals = RowSum()
        for value, cost_kind, is_pending, *added in self._rows(sql, bound):
            for total in (sums.setdefault(value, RowSum()), totals):
                total.add(CostKind(cost_kind), added)
            if is_pending:
                pending.add(value)
        rows = [sums[value].row((value,), pending=value in pending) for value in sums]
        return Report((by,), rows, totals.row((), pending=bool(pending)))

    def _owners(self, condition: str, wanted: str) -> list[str]:
        sql = f"SELECT DISTINCT {_OWNER} FROM sessions WHERE {condition} ORDER BY 1"  # noqa: S608 - own names
        return [owner for (owner,) in self._rows(sql, [wanted])]


def _begins(column: str) -> str:
    return f"substr({column}, 1, length(?1)) = ?1"


_OWNER = "ifnull(client_session_id, session_id)"
_OF_SESSION = f"SELECT session_id FROM sessions WHERE run_id = ? AND {_OWNER} = ?"  # noqa: S608 - own names
_PARTS = f"""
    SELECT run_id, {_OWNER} AS owner, min(opened_at) AS first,
        max(CASE WHEN session_id = {_OWNER} THEN cwd END),
        max(CASE WHEN session_id = {_OWNER} THEN model END)
    FROM sessions WHERE {_OWNER} = ? GROUP BY run_id, owner ORDER BY first DESC, run_id DESC
"""  # noqa: S608 - own names
_NEWEST = f"""
    SELECT max(opened_at) AS last, {_OWNER} AS owner FROM sessions LEFT JOIN runs USING (run_id)
    WHERE client_session_id IS NOT NULL OR bridge_version IS NULL
    GROUP BY owner ORDER BY last DESC, owner LIMIT ?
"""  # noqa: S608 - own names
"""A bridge that noted no version of its own did not note who opened a session either."""

_COLUMNS = {
    GroupKey.MODEL: "c.model",
    GroupKey.STATE: "k.state",
    GroupKey.BUCKET: "c.bucket",
    GroupKey.SOURCE: "k.source",
}
_USED = f"""
    SELECT {{column}}, c.cost_kind, max(s.run_id IS NOT NULL AND s.settled_at IS NULL),
        {with_breakdown(QUARTER_SUMS)}
    FROM places p JOIN place_quarters t ON t.place_id = p.id
    JOIN kinds k ON k.id = t.kind_id JOIN charges c ON c.id = k.charge_id
    LEFT JOIN sessions s ON s.run_id = p.run_id AND s.session_id = p.session_id
    WHERE p.run_id = ? {{of_session}} GROUP BY 1, 2 ORDER BY 1
"""  # noqa: S608 - own names
