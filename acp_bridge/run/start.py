"""From settings to an agent that is being started. Needs no event loop, and imports none."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from acp_bridge.agent.find import AgentCommand
from acp_bridge.agent.spawn import Spawned, WaitingKeeper, spawn_agent
from acp_bridge.errors import AgentError, ConfigurationError, RefusedError
from acp_bridge.launch.gate_logins import stored_payer
from acp_bridge.launch.stored_sign_ins import sign_ins_to_look_for
from acp_bridge.loopback.bound import BoundAddress
from acp_bridge.modes import AgentKind, Guard
from acp_bridge.run.preparation import (
    Addresses,
    Preparation,
    Surroundings,
    prepare,
)
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
    with _reserved(settings) as (telemetry, guard, addresses):
        preparation = prepare(settings, surroundings, agent=agent, addresses=addresses)
        return Begun(preparation, _spawned(preparation, surroundings, keeper), telemetry, guard)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run of a command that is not started yet; `acp_bridge.companion` stands beside it.

    Attributes:
        telemetry: where Claude Code's telemetry goes; None if nobody is to receive it.
        guard: where model requests go; None without a wire guard.
    """

    preparation: Preparation
    telemetry: BoundAddress | None = None
    guard: BoundAddress | None = None


def prepare_metered(settings: Settings, decide: Callable[[Addresses], Preparation]) -> Prepared:
    """Prepare the run of a command that has the terminal, with somebody to meter and guard it.

    Args:
        settings: what the user asked for.
        decide: prepares the run, given where the bridge listens.

    Raises:
        BridgeError: as `decide`.
    """
    with _reserved(settings) as (telemetry, guard, addresses):
        return Prepared(decide(addresses), telemetry, guard)


@contextmanager
def _reserved(
    settings: Settings,
) -> Iterator[tuple[BoundAddress | None, BoundAddress | None, Addresses]]:
    """Addresses for telemetry and guard, given back if the block is left by an error."""
    with ExitStack() as reserved:
        telemetry = _receiver_address(settings)
        if telemetry is not None:
            reserved.callback(telemetry.close)
        guard = _guard_address(settings)
        if guard is not None:
            reserved.callback(guard.close)
        yield (
            telemetry,
            guard,
            Addresses(
                None if telemetry is None else telemetry.url,
                None if guard is None else guard.url,
            ),
        )
        reserved.pop_all()


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
        agent = _agent_of(preparation)
        if agent.version is not None:  # other agents may never start Claude Code
            refuse_another_payer(preparation)
        return spawn_agent(
            agent.argv,
            env=preparation.environment,
            cwd=surroundings.own_cwd,
            keeper=keeper,
        )
    except BaseException:
        preparation.directory.close()
        raise


def refuse_another_payer(preparation: Preparation) -> None:
    """What the launch gate would say at each start of Claude Code, said at once.

    Raises:
        RefusedError: Claude Code would pay with a sign-in that it has stored; the run is over.
    """
    if preparation.launcher is None:
        return
    other = stored_payer(sign_ins_to_look_for(preparation.plan))
    if other is not None:
        preparation.directory.close()
        what, _, fix = other.partition("; ")
        raise RefusedError(what, hint=fix)


def _agent_of(preparation: Preparation) -> AgentCommand:
    if preparation.agent is None:
        raise AgentError("no agent was prepared", hint="this is a defect; please report it")
    return preparation.agent
