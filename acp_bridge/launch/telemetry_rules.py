"""The telemetry part of the sealed plan: what `acp_bridge.launch.gate_telemetry` decides by."""

from pathlib import Path
from typing import Any

from acp_bridge.launch.channel_rows import Pinned, SettingsSource
from acp_bridge.launch.channels import Channels
from acp_bridge.launch.managed import managed_places
from acp_bridge.launch.settings_files import PROJECT, USER, Folders, source_paths


def telemetry_rules(channels: Channels, folders: Folders, records: Path) -> dict[str, Any]:
    """What the gate has to know, as JSON; no value of the user's is in it.

    Args:
        channels: the channels.
        folders: the user's folders.
        records: where the gate leaves a record of each start.
    """
    telemetry = channels.telemetry
    parts: dict[str, list[str]] = {}
    for row in telemetry.variables:
        parts.setdefault(row.part, []).append(row.name)
    pins = {
        case.value: {row.name: row.pins[case] for row in telemetry.variables if case in row.pins}
        for case in Pinned
    }
    return {
        **pins,
        "parts": parts,
        "names": [row.name for row in telemetry.variables],
        "project": {row.name: row.project for row in telemetry.variables if row.project},
        "switched_on": list(telemetry.switched_on),
        "exporters": list(telemetry.exporters),
        "protocols": list(telemetry.protocols),
        "default": telemetry.default,
        "path": telemetry.path,
        "helper": telemetry.helper,
        "managed": telemetry.managed,
        "managed_files": [str(path) for path in managed_places(channels, folders)],
        "sources": [_sealed_source(source, folders) for source in _weak_to_strong(channels)],
        "records": str(records),
    }


def _weak_to_strong(channels: Channels) -> list[SettingsSource]:
    users = [source for source in channels.sources if source.scope == USER]
    projects = [source for source in channels.sources if source.scope == PROJECT]
    return [*reversed(users), *projects]


def _sealed_source(source: SettingsSource, folders: Folders) -> dict[str, Any]:
    (path,) = source_paths(source.path, folders, Path())
    return {
        "name": source.name,
        "option": source.option,
        "is_project": source.scope == PROJECT,
        "path": str(path),
    }
