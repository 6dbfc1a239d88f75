"""From settings to an agent that is being started. Needs no event loop, and imports none."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from acp_bridge.agent.find import AgentCommand
from acp_bridge.agent.spawn import Spawned, WaitingKeeper, spawn_agent
from acp_bridge.errors import AgentError, ConfigurationError
from acp_bridge.loopback.bound import BoundAddress
from acp_bridge.modes import AgentKind, Guard
from acp_bridge.run.preparation import Addresses, Preparation, Surroundings, prepare
from acp_bridge.settings import Settings


@dataclass(frozen=True, slots=True)
class Begun:
    """A run whose agent is being started; `acp_bridge.bridge.Bridge` takes it over.

    Attributes:
        telemetry: where Claude Code's telemetry goes; None if nobody is to receive it.
        guard: where model requests go; None without a wire guard.
    """

    preparation: Preparation
    spawned: Spawned
    telemetry: BoundAddress | None = None
    guard: BoundAddress | None = None


def begin(
    settings: Settings,
    surroundings: Surroundings,
    *,
    agent: Sequence[str] | None = None,
    keeper: WaitingKeeper | None = None,
) -> Begun:
    """Prepare the run and begin to start its agent. Needs no event loop, and imports none.

    Args:
        settings: what the user asked for.
        surroundings: what the run is started from.
        agent: the agent's command line, over the settings' own.
        keeper: one that waits already; default a new one.

    Raises:
        BridgeError: as `prepare`; or the agent cannot be started.
    """
    with ExitStack() as reserved:
        telemetry = _receiver_address(settings)
        if telemetry is not None:
            reserved.callback(telemetry.close)
        guard = _guard_address(settings)
        if guard is not None:
            reserved.callback(guard.close)
        addresses = Addresses(
            None if telemetry is None else telemetry.url, None if guard is None else guard.url
        )
        preparation = prepare(settings, surroundings, agent=agent, addresses=addresses)
        begun = Begun(preparation, _spawned(preparation, surroundings, keeper), telemetry, guard)
        reserved.pop_all()
        return begun


def _receiver_address(settings: Settings) -> BoundAddress | None:
    """Where telemetry is to go; without a free port the meter does without it."""
    if settings.agent_kind is AgentKind.OTHER:
        return None
    try:
        return BoundAddress.reserve()
    except OSError:
        return None


def _guard_address(settings: Settings) -> BoundAddress | None:
    """Where model requests are to go; without a free port there is no run, as nobody would look."""
    if settings.agent_kind is AgentKind.OTHER or settings.wire_guard is Guard.OFF:
        return None
    try:
        return BoundAddress.reserve()
    except OSError as exc:
        raise ConfigurationError(
            f"there is no free port on 127.0.0.1 for the wire guard: {exc.strerror}",
            hint="free one, or set ACP_BRIDGE_GUARD=off to go without",
        ) from exc


def _spawned(
    preparation: Preparation, surroundings: Surroundings, keeper: WaitingKeeper | None
) -> Spawned:
    try:
        return spawn_agent(
            _agent_of(preparation).argv,
            env=preparation.environment,
            cwd=surroundings.own_cwd,
            keeper=keeper,
        )
    except BaseException:
        preparation.directory.close()
        raise


def _agent_of(preparation: Preparation) -> AgentCommand:
    if preparation.agent is None:
        raise AgentError("no agent was prepared", hint="this is a defect; please report it")
    return preparation.agent
