"""A run's wire guard: its judge, its upstream, its credential and who watches, put together."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from acp_bridge.errors import Reason
from acp_bridge.log import Log
from acp_bridge.loopback.bound import BoundAddress
from acp_bridge.metering.usage import UsageEntry
from acp_bridge.metering.wire_limits import RateLimits
from acp_bridge.metering.wire_request import ModelRequest
from acp_bridge.modes import BillingMode, Bucket, Guard
from acp_bridge.protocol.decisions import Contradiction
from acp_bridge.protocol.facts import EvidenceSeen
from acp_bridge.run.bucket import BucketInForce
from acp_bridge.run.metered import MeteredRun
from acp_bridge.run.preparation import Preparation
from acp_bridge.run.record import RunRecord

if TYPE_CHECKING:
    from acp_bridge.loopback.guard import TurnedAway, WireGuard


class GuardedRun:
    """One run's wire guard.

    Its port is open from before the agent's start, so nothing that the agent asks early is lost;
    what answers there is imported while the agent boots.

    Args:
        preparation: the prepared run.
        record: its status document.
        address: where the guard serves.
        metered: counts what was seen.
        found: given each contradiction.
        log: where requests are told that the guard turned away.
        admit: asked before a request is sent, with the id of its reservation; None admits all.
        in_force: what is charged, which the rate limits of answers can move; None for nobody asks.
    """

    def __init__(  # noqa: PLR0913 - what it is made of, and who is told
        self,
        preparation: Preparation,
        record: RunRecord,
        address: BoundAddress,
        *,
        metered: MeteredRun,
        found: Callable[[Contradiction], None],
        log: Log,
        in_force: BucketInForce | None = None,
        admit: Callable[[ModelRequest, str], Awaitable[None]] | None = None,
    ) -> None:
        self._preparation = preparation
        self._record = record
        self._address = address
        self._metered = metered
        self._found = found
        self._log = log
        self._in_force = in_force
        self._admit = admit
        self._over = anyio.Event()
        self._served = anyio.Event()
        self._bypassing: set[str | None] = set()

    @asynccontextmanager
    async def guarding(self, tasks: TaskGroup) -> AsyncIterator[None]:
        """Serve within the block, which is around the agent's whole life.

        Args:
            tasks: where the guard runs; it has ended when the block has been left.
        """
        tasks.start_soon(self._serve)
        try:
            yield
        finally:
            self._over.set()
            with anyio.CancelScope(shield=True):
                await self._served.wait()

    def bypassed(self, entry: UsageEntry) -> None:
        """Claude Code tells of a request that the guard did not see: once a session is enough."""
        if entry.session_id in self._bypassing:
            return
        self._bypassing.add(entry.session_id)
        self._found(
            Contradiction(
                Reason.GUARD_BYPASSED,
                "Claude Code used a model and the wire guard did not see the request: something"
                " routed it around the guard, so nobody can say who paid.",
                "Look for a base URL, proxy or provider that a settings file sets; `acp-bridge"
                " status` shows what was found. Then start the agent again.",
                "guard",
            )
        )

    async def _serve(self) -> None:
        """Guard until the run is over, whatever is cancelled around."""
        with anyio.CancelScope(shield=True):
            try:
                async with await anyio.to_thread.run_sync(self._make):
                    await self._over.wait()
            finally:
                self._served.set()

    def _make(self) -> "WireGuard":
        """Put the guard together. In a worker thread: what it imports takes a while."""
        from acp_bridge.launch.price_file import load_prices  # noqa: PLC0415 - with its use
        from acp_bridge.loopback.guard import WireGuard  # noqa: PLC0415 - heavy
        from acp_bridge.loopback.upstream import Upstream  # noqa: PLC0415 - heavy
        from acp_bridge.policy.judgement import Judge  # noqa: PLC0415 - with its use
        from acp_bridge.run.custody import Custody  # noqa: PLC0415 - with its use
        from acp_bridge.run.wire import Tell, WireWatch  # noqa: PLC0415 - heavy

        preparation, record = self._preparation, self._record
        plan, credential = preparation.plan, preparation.credential
        custody = Custody(credential.held)
        if plan.mode is not BillingMode.ENDPOINT:  # which has prices of its own, or none
            self._metered.price_by(load_prices())
        tell = Tell(
            count=record.count_request,
            evidence=lambda evidence: record.see(EvidenceSeen(evidence)),
            found=self._found,
            meter=self._metered.watch,
            limits=self._limits,
            admit=self._admit,
            release=self._metered.release,
        )
        return WireGuard(
            self._address.socket,
            self._address.token,
            judge=Judge(plan.mode, credential.placeholder),
            upstream=Upstream(preparation.destination),
            attach=custody.attach,
            observer=WireWatch(record.run_id, plan.mode, plan.credential_class, tell, _now),
            observing=preparation.guard is Guard.OBSERVE,
            renew=custody.renew,
            report=self._turned_away,
        )

    def _limits(self, limits: RateLimits, status: int, session_id: str | None) -> Bucket | None:
        if self._in_force is None:
            return None
        client = self._metered.client_of(session_id)
        return self._in_force.see_answer(limits, _now(), status=status, session_id=client)

    def _turned_away(self, why: "TurnedAway", times: int) -> None:
        self._log.warning("guard_turned_away", why=why.value, times=times)


def _now() -> datetime:
    return datetime.now(UTC)
