"""Read-only looks at the files that hold settings, profiles and logins.

They serve reports (what the gate neutralises) and the user's own proxy and TLS values. A value is
never kept unless the user's own settings hold it and the plan has to pin it.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acp_bridge.launch.channels import Channels, SettingsPin, Variable

USER = "user"
PROJECT = "project"
_PROFILE = "profile"


@dataclass(frozen=True, slots=True)
class Folders:
    """Where Claude Code keeps things for one user.

    Args:
        home: the user's home.
        config: the folder of its state: ``~/.claude`` or what the user's variable says.
        state: the file ``.claude.json``.
        logins: the folder of the stored logins, where no keychain holds them.
    """

    home: Path
    config: Path
    state: Path
    logins: Path

    @classmethod
    def of(cls, channels: Channels, environment: Mapping[str, str]) -> "Folders":
        """The folders that Claude Code would use in an environment."""
        home = Path(environment.get(channels.roles["home"]) or Path.home())
        chosen = environment.get(channels.roles["config_folder"])
        config = Path(chosen) if chosen else home / ".claude"
        return cls(
            home=home,
            config=config,
            state=(config if chosen else home) / ".claude.json",
            logins=Path(environment.get(channels.roles["login_folder"]) or config),
        )


@dataclass(frozen=True, slots=True)
class Finding:
    """A channel that a file holds: its name and where, never its value."""

    channel: str
    origin: str


@dataclass(frozen=True, slots=True)
class Survey:
    """What the files say.

    Args:
        findings: channels in files, in the order of precedence from weak to strong.
        own: values of the user's own settings for variables that the plan pins; may hold secrets.
    """

    findings: tuple[Finding, ...] = ()
    own: Mapping[str, str] = field(default_factory=dict, repr=False)


def survey(channels: Channels, folders: Folders, cwd: Path | None = None) -> Survey:
    """Look at every source of the channels file that is there.

    Args:
        channels: the channels.
        folders: the user's folders.
        cwd: the session's working directory; without it, project files are left out.
    """
    findings: list[Finding] = []
    own: dict[str, str] = {}
    for source in sorted(channels.sources, key=lambda item: item.name == "user settings"):
        for path in source_paths(source.path, folders, cwd):
            content = read_object(path)
            if source.scope == _PROFILE:
                findings.extend(_profile(content, f"{source.name} ({path.name})"))
            if source.scope in (USER, PROJECT):
                origin = _origin(source.name, source.scope, path)
                findings.extend(_channels_in(channels, content, origin))
            if source.scope == USER:
                own.update(_own_values(channels, content))
    return Survey(findings=tuple(findings), own=own)


def settings_paths(channels: Channels, folders: Folders) -> tuple[list[str], list[str]]:
    """The user's settings files, and the project's relative to a folder; for the gate."""
    user = [
        str(path)
        for source in channels.sources
        if source.scope == USER
        for path in source_paths(source.path, folders, None)
    ]
    prefix = "{cwd}/"
    project = [
        source.path.removeprefix(prefix) for source in channels.sources if source.scope == PROJECT
    ]
    return user, project


def login_stored(folders: Folders) -> bool | None:
    """Whether a claude.ai login is stored; None where only the keychain knows (macOS).

    Looks for the key's presence; the token is not kept.
    """
    stored = read_object(folders.logins / ".credentials.json").get("claudeAiOauth")
    if isinstance(stored, dict) and bool(stored.get("accessToken")):
        return True
    return None if sys.platform == "darwin" else False


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object, or an empty one where the file is absent or Claude Code would not load it."""
    try:
        if not path.is_file():  # a pipe would be waited for
            return {}
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def source_paths(template: str, folders: Folders, cwd: Path | None) -> Sequence[Path]:
    """The files that a source's path stands for; none if it is a project's and ``cwd`` is None."""
    if "{cwd}" in template and cwd is None:
        return []
    head, _, tail = template.partition("/")
    heads = {
        "{home}": folders.home,
        "{config}": folders.config,
        "{state}": folders.state,
        "{logins}": folders.logins,
        "{cwd}": cwd,
    }
    base = heads[head]
    if base is None or not tail:
        return [] if base is None else [base]
    return sorted(base.glob(tail)) if "*" in tail else [base / tail]


def _origin(name: str, scope: str, path: Path) -> str:
    return f"{name} (.claude/{path.name})" if scope == PROJECT else name


def _env(content: Mapping[str, Any]) -> dict[str, Any]:
    env = content.get("env")
    return env if isinstance(env, dict) else {}


def _channels_in(channels: Channels, content: Mapping[str, Any], origin: str) -> list[Finding]:
    names = [name for name, value in _env(content).items() if value not in ("", None)]
    found = [name for name in names if _is_pinned(channels.variable(name))]
    found += [item.key for item in channels.settings_keys if content.get(item.key)]
    return [Finding(channel, origin) for channel in found]


def _is_pinned(row: Variable | None) -> bool:
    return (
        row is not None
        and row.kind.moves_the_payer
        and row.settings in (SettingsPin.BLANK, SettingsPin.SET)
    )


def _own_values(channels: Channels, content: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: value
        for name, value in _env(content).items()
        if isinstance(value, str) and channels.is_users_to_choose(name)
    }


def _profile(content: Mapping[str, Any], origin: str) -> list[Finding]:
    kind = "oidc_federation"
    return [Finding(kind, origin)] if kind in json.dumps(content) else []
