"""Settling what runs that are dead left behind."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial

import anyio
import anyio.lowlevel
import anyio.to_thread

from acp_bridge.ledger.records import RunRow
from acp_bridge.ledger.writer import LedgerWriter
from acp_bridge.policy.surface import Surface
from acp_bridge.protocol.initialize import GUARANTEES_ENFORCED
from acp_bridge.run.payer import Payer, in_its_money
from acp_bridge.run.settlement import LeftOver, Settler, later, rows_of

LEFT_OVER_SECONDS = 15.0
"""How long after a start what dead runs left is settled: their last processes may be ending."""
FLUSH_SECONDS = 2.0


class LeftOvers:
    """Settles sessions of dead runs.

    Args:
        run: the run that does so.
        writer: where rows go.
        settler: finds and settles them.
        clock: wall time, aware UTC.
    """

    def __init__(
        self, run: RunRow, writer: LedgerWriter, settler: Settler, clock: Callable[[], datetime]
    ) -> None:
        self._run = run
        self._writer = writer
        self._settler = settler
        self._clock = clock

    async def settle_later(self) -> None:
        """Settle all there are, some time after the start."""
        await anyio.sleep(LEFT_OVER_SECONDS)
        await self._settle(None)

    async def settle_session(self, session_id: str) -> None:
        """Settle a session that is about to go on, and let the ledger know."""
        await self._settle(session_id)
        await anyio.to_thread.run_sync(self._writer.flush, FLUSH_SECONDS)

    async def _settle(self, session_id: str | None) -> None:
        now = self._clock()
        find = partial(self._find, now, session_id)
        for left in await anyio.to_thread.run_sync(find):
            await anyio.lowlevel.checkpoint()
            self._keep(left, now)

    def _find(self, now: datetime, session_id: str | None) -> list[LeftOver]:
        return list(self._settler.left_over(now, session_id=session_id))

    def _keep(self, left: LeftOver, now: datetime) -> None:
        session = left.session
        guaranteed = left.run is not None and left.run.guarantees == GUARANTEES_ENFORCED
        payer = Payer.of(left.run or self._run, guaranteed=guaranteed)
        # What an endpoint asked at the time of that run nobody knows any more.
        for entry in in_its_money(payer.mode, left.settlement.entries, None):
            self._writer.record(payer.spent(entry, project=session.cwd, surface=Surface.AGENT_SDK))
        for place, reading in enumerate(left.settlement.accounted):
            for row in rows_of(reading, session.run_id, later(now, place)):
                self._writer.record(row)
        self._writer.record(replace(session, ended_at=session.ended_at or now, settled_at=now))
