"""The bridge as what counts: the command, a real ledger file, read as anybody may read it."""

import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import anyio
import anyio.to_thread
import psutil

from acp_bridge.ledger import ledger_path
from acp_bridge.ledger.queries import Ledger
from acp_bridge.ledger.records import ViolationRow
from acp_bridge.metering.usage import State, UsageEntry
from tests.bridge.process import BRIDGE
from tests.metering.stage import SECONDS
from tests.support.acp import AcpClient, acp_client
from tests.support.offline import Offline

_ADAPTER = "claude-agent-acp"


@dataclass(slots=True)
class Bridged:
    """A `tests.metering.stage.Counting` made of ``acp-bridge`` itself, in mode B.

    Attributes:
        world: where it runs.
        more: further variables that it is started with.
        live: the entries that were there, live, when the last agent was about to end.
    """

    world: Offline
    more: Mapping[str, str]
    live: list[UsageEntry] = field(default_factory=list)

    @property
    def env(self) -> dict[str, str]:
        """The environment of a bridge."""
        return {
            **self.world.env,
            **self.more,
            "ACP_BRIDGE_UPSTREAM_URL": self.world.endpoint.url,
            "ACP_BRIDGE_STATE_DIR": str(self.world.home.path / "state"),
            "ACP_BRIDGE_CONFIG": os.devnull,
        }

    @asynccontextmanager
    async def agent(self) -> AsyncIterator[AcpClient]:
        async with acp_client(BRIDGE, env=self.env, cwd=self.world.home.project) as client:
            yield client
            self.live = [one for one in self.entries() if one.state is State.LIVE]

    async def kill_agent(self, client: AcpClient) -> None:
        family = psutil.Process(client.process.pid).children(recursive=True)
        adapter = next(one for one in family if _ADAPTER in " ".join(one.cmdline()))
        adapter.kill()
        await client.process.wait()

    async def kill(self, client: AcpClient) -> None:
        family = psutil.Process(client.process.pid).children(recursive=True)
        with suppress(ProcessLookupError):
            client.process.send_signal(signal.SIGKILL)
        await client.process.wait()
        _, alive = await anyio.to_thread.run_sync(lambda: psutil.wait_procs(family, SECONDS))
        assert not alive

    async def settle_left_over(self) -> None:
        """A bridge that only starts settles what a dead one left, some time later."""
        async with acp_client(BRIDGE, env=self.env, cwd=self.world.home.project) as client:
            await client.initialize()
            with anyio.fail_after(SECONDS):
                while self._unsettled():  # noqa: ASYNC110 - a ledger has no event
                    await anyio.sleep(0.1)

    def entries(self) -> list[UsageEntry]:
        with self._ledger() as ledger:
            return [row.entry for row in ledger.entries()]

    def violations(self) -> list[ViolationRow]:
        """Of every run that spent something."""
        runs = {entry.run_id for entry in self.entries()}
        with self._ledger() as ledger:
            return [row for run_id in sorted(runs) for row in ledger.violations(run_id)]

    def _unsettled(self) -> bool:
        with self._ledger() as ledger:
            return bool(ledger.unsettled_sessions())

    def _ledger(self) -> Ledger:
        return Ledger(ledger_path(self.world.home.path / "state"))
