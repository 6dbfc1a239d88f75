"""Where a plant is put: the process environment, a settings file, a field of an ACP message."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from acp_bridge.loopback.scratch import ScratchHome
from acp_bridge.proving.kinds import Plant


class Scope(StrEnum):
    """The places, by the name that the table shows."""

    ENVIRONMENT = "environment"
    USER = "user settings"
    GLOBAL = "~/.claude.json"
    PROJECT = "project settings"
    LOCAL = "local settings"
    MANAGED = "managed settings"
    META_ENV = "_meta env"
    META_SETTINGS = "_meta settings object"
    META_SETTINGS_PATH = "_meta settings path"
    META_MANAGED = "_meta managedSettings"
    META_FLAG = "_meta extraArgs.settings"
    META_MANAGED_FLAG = "_meta extraArgs.managed-settings"
    META_SOURCES = "_meta settingSources"
    META_PROGRAM = "_meta executable"
    STORED = "stored sign-ins"

    @property
    def is_of_a_session(self) -> bool:
        """Whether sessions of one process can differ in it."""
        return self not in _OF_A_PROCESS


_OF_A_PROCESS = frozenset(
    {Scope.ENVIRONMENT, Scope.USER, Scope.GLOBAL, Scope.MANAGED, Scope.STORED}
)


@dataclass(frozen=True, slots=True)
class Placed:
    """A plant that was put somewhere.

    Attributes:
        env: variables for the process environment.
        options: ``_meta.claudeCode.options`` for the message that opens the session.
    """

    env: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


def place(scope: Scope, plant: Plant, *, home: ScratchHome, project: Path) -> Placed:
    """Put a plant where a scope says; files are written at once.

    Args:
        scope: where.
        plant: what.
        home: the home of the run.
        project: the session's working directory.
    """
    settings = plant.settings
    _put_beside(plant, home, project)
    match scope:
        case Scope.ENVIRONMENT:
            return Placed(env=plant.env)
        case Scope.USER:
            _write(home.config / "settings.json", settings)
        case Scope.GLOBAL:
            _add(home.config / ".claude.json", settings)
        case Scope.PROJECT:
            _write(project / ".claude" / "settings.json", settings)
        case Scope.LOCAL:
            _write(project / ".claude" / "settings.local.json", settings)
        case Scope.META_SETTINGS_PATH:
            _write(project / "editor.json", settings)
            return Placed(options={"settings": "editor.json"})
        case Scope.META_SOURCES:
            _write(project / ".claude" / "settings.json", settings)
            return Placed(options={"settingSources": ["project"]})
        case Scope.META_PROGRAM:
            return Placed(options=_program(plant))
        case _:
            return Placed(options=_options(scope, plant))
    return Placed()


def _options(scope: Scope, plant: Plant) -> Mapping[str, Any]:
    match scope:
        case Scope.META_ENV:
            return {"env": dict(plant.env)}
        case Scope.META_SETTINGS:
            return {"settings": plant.settings}
        case Scope.META_MANAGED:
            return {"managedSettings": plant.settings}
        case Scope.META_FLAG:
            return {"extraArgs": {"settings": json.dumps(plant.settings)}}
        case Scope.META_MANAGED_FLAG:
            return {"extraArgs": {"managed-settings": json.dumps(plant.settings)}}
        case Scope.STORED:
            return {}
        case _:
            raise AssertionError(f"{scope} is no option of a session")


def _program(plant: Plant) -> Mapping[str, Any]:
    (program,) = plant.env.values()
    return {"pathToClaudeCodeExecutable": program, "executable": program}


def _put_beside(plant: Plant, home: ScratchHome, project: Path) -> None:
    """Put what has one place of its own, whatever the scope."""
    if plant.in_project:
        _write(project / ".claude" / "settings.json", plant.in_project)
    if plant.signed_out:
        home.credentials.unlink()
    if plant.signed_in:
        _add(home.credentials, plant.signed_in)
    if plant.in_state:
        _add(home.config / ".claude.json", plant.in_state)


def _add(path: Path, content: Mapping[str, Any]) -> None:
    _write(path, {**json.loads(path.read_text()), **content})


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
