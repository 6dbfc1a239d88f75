"""What is put to the proof: the agent and Claude Code that a run would start, and a bridge.

Of the user's settings only those count that say which programs are meant and how hard the bridge
holds. Mode, credentials and endpoints are the proof's own.
"""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import platformdirs

from acp_bridge.agent.find import AgentCommand, find_agent, find_own_claude
from acp_bridge.agent.versions import claude_version
from acp_bridge.errors import AgentError
from acp_bridge.modes import BillingMode, Guard
from acp_bridge.proving.payers import Payer
from acp_bridge.proving.sightings import Outcome
from acp_bridge.proving.stage import Program, Running, Stage
from acp_bridge.settings import PREFIX, Settings

APPLIED = ("agent_kind", "guard", "on_violation", "status_wait_seconds")
"""Settings of the user that the bridge under proof gets as well."""
_VERSION_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Subject:
    """Two programs that differ by the bridge, and what is behind both.

    Attributes:
        plain: the agent alone.
        bridge: the same agent behind the bridge.
        claude: the Claude Code that both start.
        agent_version: the adapter's version; None if it does not tell.
        claude_version: Claude Code's version; None if it does not tell.
        guards: what the bridge's wire guard is told to do, by mode.
    """

    plain: Program
    bridge: Program
    claude: Path
    agent_version: str | None
    claude_version: str | None
    guards: Mapping[BillingMode, Guard]


BRIDGE = Program((sys.executable, "-m", "acp_bridge"), is_bridge=True)
"""This bridge, as a program of its own."""


def find_subject(
    settings: Settings,
    folder: Path,
    *,
    agent: Sequence[str] | None = None,
    bridge: Program = BRIDGE,
) -> Subject:
    """Find the programs that a run with these settings would start.

    Args:
        settings: the user's.
        folder: an empty folder, the home of a Claude Code that is asked for its version.
        agent: the agent's command line, over the settings' own.
        bridge: the bridge to prove; tests take one that lacks a protection.

    Raises:
        AgentError: the agent or Claude Code is missing.
    """
    path = os.environ.get("PATH", os.defpath)
    command = find_agent(
        agent or settings.agent,
        prefix=Path(sys.prefix),
        data_dir=platformdirs.user_data_path("acp-bridge"),
        path=path,
    )
    claude = _claude(settings, command, path)
    named = () if settings.claude is None else (("CLAUDE_CODE_EXECUTABLE", str(claude)),)
    return Subject(
        plain=Program(command.argv, env=named),
        bridge=replace(bridge, env=_bridge_settings(settings, command, claude)),
        claude=claude,
        agent_version=command.version,
        claude_version=claude_version(claude) or _asked_version(claude, folder),
        guards=guards_of(settings),
    )


def guards_of(settings: Settings) -> Mapping[BillingMode, Guard]:
    """What the wire guard of a run with these settings does in each mode."""
    return {mode: settings.model_copy(update={"mode": mode}).wire_guard for mode in BillingMode}


def _claude(settings: Settings, command: AgentCommand, path: str) -> Path:
    if settings.claude is not None:
        found = shutil.which(settings.claude.expanduser(), path=path)
        if found is None:
            raise AgentError(
                f"{settings.claude} ({settings.origin('claude')}) is not a program",
                hint="name the Claude Code executable, or leave it out",
            )
        return Path(found).absolute()
    claude = command.claude or find_own_claude(path, [settings.state_dir])
    if claude is None:
        raise AgentError(
            "no Claude Code was found beside the agent or on PATH",
            hint=f"name it in {PREFIX}CLAUDE; only Claude Code can be proven",
        )
    return claude


def _bridge_settings(
    settings: Settings, command: AgentCommand, claude: Path
) -> tuple[tuple[str, str], ...]:
    """The same agent and Claude Code by name, so that the scratch home cannot change them."""
    chosen = {"agent": shlex.join(command.argv)}
    if settings.claude is not None:
        chosen["claude"] = str(claude)
    for name in APPLIED:
        if not settings.is_default(name):
            chosen[name] = str(getattr(settings, name))
    return tuple((PREFIX + name.upper(), value) for name, value in chosen.items())


def _asked_version(claude: Path, folder: Path) -> str | None:
    """What ``claude --version`` says, in a home of its own."""
    home = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(folder)}
    try:
        said = subprocess.run(
            [claude, "--version"],
            env={**home, "CLAUDE_CONFIG_DIR": str(folder)},
            capture_output=True,
            text=True,
            timeout=_VERSION_SECONDS,
            check=False,
        ).stdout.split()
    except (OSError, subprocess.TimeoutExpired):
        return None
    return said[0] if said else None


async def checked(subject: Subject, root: Path, payer: Payer) -> Subject:
    """Hold one session without bridge and plant: if that does not work, nothing can be proven.

    Args:
        subject: what is put to the proof.
        root: an empty folder.
        payer: who is meant to pay.

    Returns:
        The subject, with the version that the agent tells itself if it was not known.

    Raises:
        AgentError: the agent cannot be started, or does not answer on the embedded endpoint.
    """
    hint = "correct ACP_BRIDGE_AGENT or ACP_BRIDGE_CLAUDE, or unset them to use what is installed"
    try:
        async with Stage(root, payer) as stage, stage.run(subject.plain) as running:
            sighting = await running.turn(stage.home.project)
            told = _told_version(running)
    except (TimeoutError, OSError) as error:
        raise AgentError(f"the agent cannot be started: {error}", hint=hint) from error
    if sighting.outcome is not Outcome.HELD:
        raise AgentError(
            f"without the bridge and with nothing planted the agent does not work: {sighting}",
            hint=hint,
        )
    return replace(subject, agent_version=subject.agent_version or told)


def _told_version(running: Running) -> str | None:
    info = running.initialized.get("agentInfo")
    version = info.get("version") if isinstance(info, dict) else None
    return version if isinstance(version, str) and version.isprintable() else None
