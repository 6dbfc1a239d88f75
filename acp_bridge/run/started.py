"""A run whose agent is being started: begun here, or before, and its bucket decided."""

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio.to_thread

from acp_bridge.agent.in_memory import InMemoryAgent, ServeClient
from acp_bridge.agent.process import adopt_agent
from acp_bridge.agent.running import RunningAgent
from acp_bridge.log import Log
from acp_bridge.loopback.bound import BoundAddress
from acp_bridge.run.bucket import BucketInForce, bucket_in_force
from acp_bridge.run.preparation import (
    ALL_LAYERS,
    Layers,
    Preparation,
    Surroundings,
    prepare_in_memory,
)
from acp_bridge.run.start import Begun, begin
from acp_bridge.settings import Settings, config_path

if TYPE_CHECKING:
    from acp_bridge.policy.budgets import Budget


@dataclass(frozen=True, slots=True, kw_only=True)
class From:
    """What a run is started from, beside its settings.

    Attributes:
        agent: the agent's command line, over the settings' own; or an agent in this process.
        environ: the environment; None for ``os.environ``.
        cwd: the agent's working directory; None for where the bridge was started.
        layers: which layers are on.
        begun: a run that was begun before; its surroundings and agent count then.
    """

    agent: Sequence[str] | ServeClient | None = None
    environ: Mapping[str, str] | None = None
    cwd: Path | None = None
    layers: Layers = ALL_LAYERS
    begun: Begun | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """What a run begins with.

    Attributes:
        preparation: the prepared run.
        agent: entered, it is the running agent; left, it has ended.
        in_force: what is charged.
        telemetry: where Claude Code's telemetry goes; None if nobody is to receive it.
        guard: where model requests go; None without a wire guard.
        pools: budgets that the user's plan brings along.
    """

    preparation: Preparation
    agent: AbstractAsyncContextManager[RunningAgent]
    in_force: BucketInForce
    telemetry: BoundAddress | None = None
    guard: BoundAddress | None = None
    pools: "tuple[Budget, ...]" = ()


async def start(settings: Settings, origin: From, log: Log) -> Started:
    """Decide the bucket, and begin the run unless that was done before.

    Args:
        settings: what the user asked for.
        origin: what the run is started from.
        log: where the agent's stderr goes.

    Raises:
        BridgeError: the run cannot be begun, or a billing policy is wrong.
    """
    environ = os.environ if origin.environ is None else origin.environ
    # Before an agent is started that nobody would look after, or while one boots.
    decide = partial(bucket_in_force, settings, config_path(environ), datetime.now(UTC))
    in_force = await anyio.to_thread.run_sync(decide)
    pools = pools_of(settings, in_force)
    begun = origin.begun
    if begun is None:
        surroundings = Surroundings(environ=dict(environ), own_cwd=origin.cwd, layers=origin.layers)
        if callable(origin.agent):
            prepare = partial(prepare_in_memory, settings, surroundings)
            prepared = await anyio.to_thread.run_sync(prepare)
            return Started(prepared, InMemoryAgent(origin.agent), in_force, pools=pools)
        begun = await anyio.to_thread.run_sync(
            partial(begin, settings, surroundings, agent=origin.agent)
        )
    agent = adopt_agent(begun.spawned, on_stderr_line=lambda line: log.info("agent", stderr=line))
    return Started(begun.preparation, agent, in_force, begun.telemetry, begun.guard, pools)


def pools_of(settings: Settings, in_force: BucketInForce) -> "tuple[Budget, ...]":
    """Budgets that the user's plan brings along.

    Raises:
        BridgeError: a policy's pool is wrong.
    """
    if settings.plan is None:
        return ()
    from acp_bridge.run.budget_file import plan_pools  # noqa: PLC0415 - for those who name a plan

    return plan_pools(settings, in_force.policy, datetime.now(UTC).date())
