"""From settings to a run that can be started: agent found, plan sealed, launch gate written.

Everything that decides who pays happens here, once, before a program is started.
"""

import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from acp_bridge.agent.find import AgentCommand, find_agent, find_own_claude
from acp_bridge.errors import AgentError, RefusedError
from acp_bridge.launch.channels import Channels, load_channels
from acp_bridge.launch.launcher import Launcher, write_launcher
from acp_bridge.launch.managed import contradictions, resolve_managed_settings
from acp_bridge.launch.plan import LaunchPlan, make_plan
from acp_bridge.launch.settings_files import Folders, survey
from acp_bridge.ledger.runs import RunDirectory, new_run_id, sweep
from acp_bridge.modes import AgentKind, BillingMode, Guard
from acp_bridge.run.credential import RunCredential
from acp_bridge.run.ungated import ungated
from acp_bridge.settings import ANTHROPIC_API, PREFIX, Settings

if TYPE_CHECKING:
    from acp_bridge.policy.budgets import Budget

# The adapter's own limit (`stream-limits.js` of its ACP library): given a longer line, 0.100.0
# closes the connection and exits 0 without a word (ran). The bridge answers it and goes on.
ADAPTER_LINE_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Layers:
    """Which layers of enforcement are on. Only tests switch one off, to see the others alone."""

    gate: bool = True
    lock: bool = True
    evidence: bool = True


ALL_LAYERS = Layers()


@dataclass(frozen=True, slots=True)
class Preparation:
    """A run that can be started.

    Attributes:
        settings: what the user asked for.
        channels: the channels the plan was made from.
        plan: the sealed decision.
        directory: the run's private directory.
        started_at: when the run was decided, aware UTC.
        wall_time: the wall time of a moment on the relay's monotonic clock (seconds).
        agent: how to start the agent; None for `prepare_command`.
        launcher: the written launch gate; None where the agent is not a Claude adapter.
        environment: the whole environment of what is started; may hold secrets.
        folders: where Claude Code keeps settings and logins for this user.
        credential: what the agent is given, and what stays with the bridge.
        guard: what the wire guard does in this run.
        removed: what was taken away, as (channel, origin).
        claude: Claude Code behind the gate; None without a gate.
        own_claude: the user's own, which calls by name reach; None if there is none.
        budgets: those that the user set.
    """

    settings: Settings
    channels: Channels
    plan: LaunchPlan
    directory: RunDirectory
    started_at: datetime
    wall_time: Callable[[float], datetime] = field(repr=False)
    agent: AgentCommand | None
    launcher: Launcher | None
    environment: Mapping[str, str] = field(repr=False)
    folders: Folders
    credential: RunCredential
    guard: Guard
    claude: Path | None
    own_claude: Path | None
    budgets: "tuple[Budget, ...]" = ()

    @property
    def destination(self) -> str:
        """The base URL of the provider or endpoint that the mode is for."""
        return _destination(self.settings)

    @property
    def run_id(self) -> str:
        """The run's name in the registry."""
        return self.directory.path.name

    @property
    def telemetry_records(self) -> Path:
        """Where each start says what it does with Claude Code's telemetry."""
        launcher = self.launcher
        return self.directory.path if launcher is None else launcher.telemetry_records

    @property
    def longest_client_line(self) -> int:
        """Bytes: what the user allows, and no more than what the agent survives."""
        limit = self.settings.max_line_bytes
        is_adapter = self.agent is not None and self.agent.version is not None
        return min(limit, ADAPTER_LINE_BYTES) if is_adapter else limit

    @property
    def removed(self) -> list[tuple[str, str]]:
        """Channels that the plan took away, each with its origin."""
        return [(removal.channel, removal.origin) for removal in self.plan.removed]


def _wall_time() -> Callable[[float], datetime]:
    offset = datetime.now(UTC) - timedelta(seconds=time.monotonic())
    return lambda at: offset + timedelta(seconds=at)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the bridge listens in this run, each with its token in it.

    Attributes:
        telemetry: for Claude Code's own telemetry; None leaves it alone.
        guard: for model requests; None without a wire guard.
    """

    telemetry: str | None = field(default=None, repr=False)
    guard: str | None = field(default=None, repr=False)


NOWHERE = Addresses()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a run is started from, beside its settings.

    Attributes:
        environ: the environment that the bridge was started with; may hold secrets.
        own_cwd: where the agent starts; None for where the bridge was started.
        layers: which layers are on.
        wall_time: the wall time of a moment on the relay's monotonic clock (seconds).
        at_terminal: somebody sits at a terminal, whom Claude Code can ask something.
    """

    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)
    own_cwd: Path | None = None
    layers: Layers = ALL_LAYERS
    wall_time: Callable[[float], datetime] = field(default_factory=_wall_time)
    at_terminal: bool = False

    @property
    def cwd(self) -> Path:
        """Where the agent starts; the project settings there are looked at."""
        return self.own_cwd or Path.cwd()

    @property
    def search_path(self) -> str:
        """Where programs are looked up."""
        return self.environ.get("PATH", os.defpath)


def prepare(
    settings: Settings,
    surroundings: Surroundings,
    *,
    agent: Sequence[str] | None = None,
    addresses: Addresses = NOWHERE,
) -> Preparation:
    """Decide the run of an ACP agent and write its launch gate.

    Args:
        settings: what the user asked for.
        surroundings: what the run is started from.
        agent: the agent's command line, over the settings' own.
        addresses: where the bridge listens.

    Raises:
        AgentError: the agent or Claude Code is missing.
        ConfigurationError: the credential is missing or wrong, or the state cannot be written.
        RefusedError: the administrator's settings contradict the mode.
    """
    command = _find_agent(agent or settings.agent, surroundings.search_path)
    return _prepared(settings, surroundings, command, addresses)


def prepare_in_memory(settings: Settings, surroundings: Surroundings) -> Preparation:
    """Decide the run of an agent in this process, of which nothing is guaranteed.

    Nothing is started, so there is no launch gate; the agent's kind is `AgentKind.OTHER`, whatever
    the settings and the agent say.

    Raises:
        ConfigurationError: as `prepare`.
    """
    return _prepared(
        settings.model_copy(update={"agent_kind": AgentKind.OTHER}), surroundings, None
    )


def prepare_command(
    settings: Settings, surroundings: Surroundings, addresses: Addresses = NOWHERE
) -> Preparation:
    """Decide a run that has no ACP agent: Claude Code itself, for ``exec``.

    Args:
        settings: what the user asked for.
        surroundings: what the run is started from.
        addresses: where the bridge listens.

    Raises:
        BridgeError: as `prepare`.
    """
    try:
        return prepare(settings, surroundings, addresses=addresses)
    except AgentError:
        return _prepared(settings, surroundings, None, addresses)


def _find_agent(command: Sequence[str] | None, search_path: str) -> AgentCommand:
    return find_agent(
        command,
        prefix=Path(sys.prefix),
        data_dir=platformdirs.user_data_path("acp-bridge"),
        path=search_path,
    )


def _prepared(
    settings: Settings,
    surroundings: Surroundings,
    command: AgentCommand | None,
    addresses: Addresses = NOWHERE,
) -> Preparation:
    environ = surroundings.environ
    guarded = addresses.guard is not None
    channels = load_channels()
    folders = Folders.of(channels, environ)
    is_claude = settings.agent_kind is not AgentKind.OTHER
    inherited = environ.get(channels.roles["api_key"])
    credential = RunCredential.of(
        settings, inherited, guarded=guarded, at_terminal=surroundings.at_terminal
    )
    plan = make_plan(
        channels,
        mode=settings.mode,
        inherited=environ,
        credential=credential.given,
        upstream=_upstream(settings, addresses.guard),
        upstream_is_secret=guarded,
        stands_in=guarded and _is_anthropic(_destination(settings)),
        files=survey(channels, folders, surroundings.cwd),
        telemetry_url=addresses.telemetry,
        suggestions=settings.suggestions == "keep",
    )
    budgets = _budgets(settings)
    if is_claude:
        _heed_the_administrator(plan, folders)
    now = datetime.now(UTC)
    sweep(settings.state_dir, now)
    directory = RunDirectory.create(settings.state_dir, new_run_id(now))
    try:
        launcher = claude = own_claude = None
        environment: Mapping[str, str] = ungated(plan, environ, guarded=guarded)
        if is_claude and surroundings.layers.gate:
            claude = _claude(settings, command, surroundings.search_path)
            own_claude = find_own_claude(surroundings.search_path, [settings.state_dir])
            launcher = write_launcher(
                plan,
                directory.path,
                claude=claude,
                nested_claude=own_claude,
                adapter_cache=_adapter_cache(settings.state_dir),
            )
            environment = launcher.environment
    except BaseException:
        directory.close()
        raise
    return Preparation(
        settings=settings,
        channels=channels,
        plan=plan,
        directory=directory,
        started_at=now,
        wall_time=surroundings.wall_time,
        agent=command,
        launcher=launcher,
        environment=environment,
        folders=folders,
        credential=credential,
        guard=settings.wire_guard if guarded else Guard.OFF,
        claude=claude,
        own_claude=own_claude,
        budgets=budgets,
    )


def _adapter_cache(state_dir: Path) -> Path | None:
    """Where Node may keep what it compiled of the adapter; None where it cannot be made."""
    path = state_dir / "compiled"
    try:
        path.mkdir(mode=0o700, exist_ok=True)
    except OSError:
        return None
    return path


def _heed_the_administrator(plan: LaunchPlan, folders: Folders) -> None:
    """Managed settings are never fought: what contradicts the mode refuses the start."""
    cached = folders.config / "remote-settings.json"
    managed = resolve_managed_settings(plan.channels, cached=cached)
    found = contradictions(plan.channels, managed, plan.mode, planned=plan.sets)
    if found:
        raise RefusedError(
            f"managed settings contradict mode {plan.mode}: {found[0]}",
            hint="ask the administrator, or choose the mode that those settings ask for",
        )


def _destination(settings: Settings) -> str:
    """The base URL of the provider or endpoint that the mode is for."""
    if settings.mode is BillingMode.ENDPOINT:
        return settings.endpoint_url or ""
    return settings.upstream_url or ANTHROPIC_API


def _upstream(settings: Settings, guard_url: str | None) -> str | None:
    """Where the agent sends model requests; None for Anthropic's own address."""
    destination = guard_url or _destination(settings)
    return None if _is_anthropic(destination) else destination


def _is_anthropic(url: str) -> bool:
    return url.rstrip("/") == ANTHROPIC_API


def _claude(settings: Settings, command: AgentCommand | None, search_path: str) -> Path:
    """The Claude Code executable behind the gate."""
    if settings.claude is not None:
        named = shutil.which(settings.claude.expanduser(), path=search_path)
        if named is None:
            raise AgentError(
                f"{settings.claude} ({settings.origin('claude')}) is not a program",
                hint="name the Claude Code executable, or leave it out",
            )
        return Path(named)
    if command is not None and command.claude is not None:
        return command.claude
    own = find_own_claude(search_path, [settings.state_dir]) or _installed_claude(search_path)
    if own is None:
        raise AgentError(
            "no Claude Code was found beside the agent or on PATH",
            hint=f"name it in {PREFIX}CLAUDE, or set {PREFIX}AGENT_KIND=other for another agent",
        )
    return own


def _installed_claude(search_path: str) -> Path | None:
    """The Claude Code of the installed agent.

    An agent of unknown kind brings none that could be found. If it turns out to be a Claude
    adapter, it meets a gate all the same; if not, nobody starts the gate.
    """
    try:
        return _find_agent(None, search_path).claude
    except AgentError:
        return None


def _budgets(settings: Settings) -> "tuple[Budget, ...]":
    if "budget" not in settings.tables:
        return ()
    from acp_bridge.run.budget_file import users_budgets  # noqa: PLC0415 - not before the agent

    return users_budgets(settings)
