"""Managed settings: what the administrator says, and whether it contradicts the mode.

Resolved as Claude Code does: ``managed-settings.json``, then ``managed-settings.d/*.json`` merged
over it in the order of their names. They are never fought: where they contradict the mode, or
cannot be known beforehand, the bridge does not start in that mode.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acp_bridge.errors import RefusedError
from acp_bridge.launch.channels import Channels, ManagedRule, SettingsPin
from acp_bridge.launch.settings_files import Folders, source_paths
from acp_bridge.modes import BillingMode

_FILE = "managed-settings.json"
_DROP_INS = "managed-settings.d"
_MANAGED = "managed"


@dataclass(frozen=True, slots=True)
class ManagedSetting:
    """One key that an administrator set: where, and its value (not for logs)."""

    file: Path
    key: str
    value: object


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A managed key that contradicts the mode."""

    file: Path
    key: str
    reason: str

    def __str__(self) -> str:
        return f"{self.key} in {self.file} {self.reason}"


@dataclass(frozen=True, slots=True)
class ManagedSettings:
    """What is in force: top-level keys, and the variables of ``env`` one by one."""

    keys: Mapping[str, ManagedSetting]
    env: Mapping[str, ManagedSetting]


def managed_folder(channels: Channels) -> Path | None:
    """The administrator's folder on this platform; None where the channels know of none."""
    path = channels.managed_folders.get(sys.platform)
    return None if path is None else Path(path)


def managed_places(channels: Channels, folders: Folders) -> list[Path]:
    """The files that hold managed settings, and the folder of further ones, there or not."""
    place = managed_folder(channels)
    cached = [
        path
        for source in channels.sources
        if source.scope == _MANAGED
        for path in source_paths(source.path, folders, None)
    ]
    return [*cached, *([] if place is None else [place / _FILE, place / _DROP_INS])]


def resolve_managed_settings(
    channels: Channels, *, folder: Path | None = None, cached: Path | None = None
) -> ManagedSettings:
    """What the administrator set.

    Args:
        channels: the channels.
        folder: the folder of managed settings; default this platform's.
        cached: the cached copy of settings that an organisation's server sends; it counts as well.

    Raises:
        RefusedError: a file is there and cannot be read or is not a JSON object.
    """
    place = managed_folder(channels) if folder is None else folder
    paths = [] if place is None else _files(place)
    if cached is not None:
        paths.append(cached)
    keys: dict[str, ManagedSetting] = {}
    env: dict[str, ManagedSetting] = {}
    for path in paths:
        content = _read(path)
        if content is None:
            continue
        for key, value in content.items():
            if key == "env" and isinstance(value, dict):
                env.update({name: ManagedSetting(path, name, text) for name, text in value.items()})
            else:
                keys[key] = ManagedSetting(path, key, value)
    return ManagedSettings(keys=keys, env=env)


def contradictions(
    channels: Channels,
    managed: ManagedSettings,
    mode: BillingMode,
    *,
    planned: Mapping[str, str] | None = None,
) -> list[Contradiction]:
    """What the administrator set against the mode.

    Args:
        channels: the channels.
        managed: what `resolve_managed_settings` found.
        mode: the billing mode.
        planned: what the plan sets; a variable with the same value agrees with it.
    """
    agreed = planned or {}
    found = [
        Contradiction(setting.file, f"env.{name}", "moves the payer")
        for name, setting in managed.env.items()
        if _is_payer_variable(channels, name)
        and setting.value not in ("", None)
        and setting.value != agreed.get(name)
    ]
    found += [
        Contradiction(managed.keys[item.key].file, item.key, "brings another credential")
        for item in channels.settings_keys
        if mode in item.contradicts and item.key in managed.keys and managed.keys[item.key].value
    ]
    for rule in channels.managed_rules:
        setting = managed.keys.get(rule.key)
        reason = None if setting is None else _broken(rule, mode, setting.value)
        if setting is not None and reason is not None:
            found.append(Contradiction(setting.file, rule.key, reason))
    return found


def _files(folder: Path) -> list[Path]:
    drop_ins = folder / _DROP_INS
    try:
        names = sorted(entry.name for entry in drop_ins.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        names = []
    except OSError as exc:
        raise _unresolved(drop_ins, "cannot be listed") from exc
    return [folder / _FILE, *(drop_ins / name for name in names if _is_drop_in(name))]


def _is_drop_in(name: str) -> bool:
    return name.endswith(".json") and not name.startswith(".")


def _read(path: Path) -> dict[str, Any] | None:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as exc:
        raise _unresolved(path, "cannot be read") from exc
    if not text.strip():
        return None
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise _unresolved(path, "is not valid JSON") from exc
    if not isinstance(content, dict):
        raise _unresolved(path, "is not a JSON object")
    return content


def _unresolved(path: Path, problem: str) -> RefusedError:
    return RefusedError(
        f"managed settings cannot be resolved: {path} {problem}",
        hint="Who pays cannot be known; have the file mended by whoever manages this machine.",
    )


def _is_payer_variable(channels: Channels, name: str) -> bool:
    row = channels.variable(name)
    return (
        row is not None
        and row.kind.moves_the_payer
        and row.settings in (SettingsPin.BLANK, SettingsPin.SET)
    )


def _broken(rule: ManagedRule, mode: BillingMode, value: object) -> str | None:
    if rule.refuse:
        return "decides at start, so who pays cannot be known beforehand"
    forbidden = rule.forbid.get(mode, ())
    if value in forbidden:
        return "asks for another payer"
    required = rule.require.get(mode)
    if required is not None and isinstance(value, list) and required not in value:
        return "does not allow the payer of this mode"
    return None
