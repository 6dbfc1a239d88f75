"""The launch gate: the last program before Claude Code is executed.

It runs as a script of its own under ``python -I -S``, so it imports the standard library only, and
of this package nothing but its own parts; `acp_bridge.launch.gate_source` makes one file of them
with the sealed plan. The plan's values (the credential, the user's own proxy) come from a second
file, whose digest is in the sealed plan: nothing that the environment says can swap either.

Everything that can go wrong ends in one line on stderr and exit status 3, never in Claude Code.
"""
# The gate runs before every Claude Code: importing pathlib or typing would add half to its time.
# ruff: noqa: PTH105, PTH109, PTH110, PTH112, PTH118, PTH120, PTH123
# ruff: noqa: PTH208

from __future__ import annotations

import hashlib
import json
import os
import re
import sys

from acp_bridge.launch.gate_arguments import (
    MANAGED,
    SETTINGS,
    GateError,
    read_settings,
    setting_sources,
    split_arguments,
)
from acp_bridge.launch.gate_logins import ASKS_NO_MODEL, stored_payer
from acp_bridge.launch.gate_telemetry import tap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    Settings = dict[str, Any]
    Plan = Mapping[str, Any]

REFUSED = 3


# --- environment ------------------------------------------------------------------------------


def is_channel(plan: Plan, name: str) -> bool:
    """Whether a variable is the plan's business, by name or by pattern."""
    action = plan["actions"].get(name)
    if action is not None:
        return bool(action != "keep")
    return any(re.match(pattern, name) for pattern in plan["patterns"])


def scrub(plan: Plan, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment Claude Code gets: channels removed, the user's own and the plan's put back.

    What the bridge gave to the adapter alone goes too, unless somebody changed it.

    Args:
        plan: the sealed plan with its values.
        environment: the environment to start from; it is not changed.
    """
    for_adapter = plan["adapter_only"]
    scrubbed = {
        name: value
        for name, value in environment.items()
        if not is_channel(plan, name) and for_adapter.get(name) != value
    }
    scrubbed.update(plan["own"])
    scrubbed.update(plan["set"])
    search_path = plan["search_path"]
    scrubbed[search_path] = launcher_first(plan, environment.get(search_path, os.defpath))
    return scrubbed


def launcher_first(plan: Plan, search_path: str) -> str:
    """A search path with the launcher's folder first and nowhere else."""
    folders = [part for part in search_path.split(os.pathsep) if part != plan["bin_dir"]]
    return os.pathsep.join([plan["bin_dir"], *folders])


# --- settings ---------------------------------------------------------------------------------


def merge_settings(base: Mapping[str, Any], pins: Mapping[str, Any]) -> Settings:
    """Settings with the pins on top: objects are merged key by key, anything else is replaced."""
    merged = dict(base)
    for key, value in pins.items():
        under = merged.get(key)
        if isinstance(value, dict):
            merged[key] = merge_settings(under if isinstance(under, dict) else {}, value)
        else:
            merged[key] = value
    return merged


def variables_in_settings_files(plan: Plan, cwd: str) -> Settings:
    """Every variable that a settings file of the user or around the working folder sets.

    Folders above the working folder are included: reading one file too many only blanks a name
    that no one may set anyway.
    """
    folders = [cwd]
    while os.path.dirname(folders[-1]) != folders[-1]:
        folders.append(os.path.dirname(folders[-1]))
    paths = list(plan["user_settings"])
    for folder in reversed(folders):
        paths.extend(os.path.join(folder, name) for name in plan["project_settings"])
    variables: Settings = {}
    for path in paths:
        variables.update(_env_of(path))
    return variables


def _env_of(path: str) -> Settings:
    env = _read_object(path).get("env")
    return env if isinstance(env, dict) else {}


def _read_object(path: str) -> Settings:
    # Claude Code drops a settings file that is not valid JSON, so there is nothing to pin against.
    try:
        with open(path, encoding="utf-8-sig") as file:
            content = json.load(file)
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def pinned_settings(
    plan: Plan, variables: Mapping[str, Any], environment: Mapping[str, str]
) -> Settings:
    """The pins of this start: the plan's, and blanks for channels that only a file named.

    Args:
        plan: the sealed plan with its values.
        variables: what settings files and the caller's settings set.
        environment: the environment Claude Code gets.
    """
    env = {**plan["pins"]["env"], **plan["pinned_env"]}
    for name in variables:
        if name in plan["pins_if_named"]:
            env[name] = plan["own_pins"].get(name, "")
        elif name not in plan["actions"] and is_channel(plan, name):
            env[name] = ""
    search_path = plan["search_path"]
    chosen = variables.get(search_path)
    if not isinstance(chosen, str) or not chosen:
        chosen = environment[search_path]
    env[search_path] = launcher_first(plan, chosen)
    return merge_settings(plan["pins"], {"env": env})


def given_settings(plan: Plan, given: Sequence[str]) -> Settings:
    """What the caller's ``--settings`` say, without variables that no settings may set.

    They cannot be pinned: a blank ``CLAUDE_CONFIG_DIR`` would name the working folder.
    """
    merged: Settings = {}
    for value in given:
        merged = merge_settings(merged, read_settings(value))
    env = merged.get("env") or {}
    if env:
        merged["env"] = {
            name: value for name, value in env.items() if name not in plan["never_in_settings"]
        }
    return merged


def harmless_policy(plan: Plan, managed: Sequence[str]) -> Settings:
    """What ``--managed-settings`` may still say once the channels are out of it."""
    merged: Settings = {}
    for value in managed:
        merged = merge_settings(merged, read_settings(value, MANAGED))
    env = merged.pop("env", None) or {}
    kept = {name: value for name, value in env.items() if not is_channel(plan, name)}
    policy = {key: value for key, value in merged.items() if key not in plan["policy_keys"]}
    return {**policy, "env": kept} if kept else policy


def loadable(plan: Plan, target: str, base: Settings, pins: Settings) -> Settings:
    """The caller's settings, or none if Claude Code would not load them under the pins."""
    merged = merge_settings(base, pins)
    if merged == pins or _loads(plan, target, merged):
        return base
    _say("Claude Code does not load the settings it was given; they are left out, the pins hold")
    return {}


def _loads(plan: Plan, target: str, settings: Settings) -> bool:
    """Whether the real program takes the settings, seen by an effect they have when it does."""
    import subprocess  # noqa: PLC0415 — most starts do without it

    trial = plan["trial"]
    file = _write(plan, merge_settings(settings, {"env": trial["env"]}))
    verdict = f"{file}.{_digest(target)[:16]}"
    try:
        with open(verdict, encoding="ascii") as known:
            return known.read() == "loads"
    except FileNotFoundError:
        pass
    try:
        result = subprocess.run(
            [target, SETTINGS, file, *trial["arguments"]],
            env=trial["environment"],
            cwd=trial["folder"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=trial["timeout_seconds"],
            check=False,
        )
        loads = bool(json.loads(result.stdout)[trial["field"]] == trial["loaded"])
    except (OSError, ValueError, TypeError, LookupError, subprocess.TimeoutExpired):
        loads = False
    _write_private(verdict, "loads" if loads else "does not load")
    return loads


def _write(plan: Plan, settings: Settings) -> str:
    text = json.dumps(settings, sort_keys=True)
    path = os.path.join(plan["settings_dir"], _digest(text) + ".json")
    if not os.path.exists(path):
        _write_private(path, text)
    return path


def _write_private(path: str, text: str) -> None:
    temporary = f"{path}.{os.getpid()}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
    os.replace(temporary, path)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


# --- telemetry --------------------------------------------------------------------------------


def layers_of(
    plan: Plan, environment: Mapping[str, str], arguments: Sequence[str], cwd: str
) -> list[tuple[str, bool, Mapping[str, Any]]]:
    """What sets variables without the bridge, from weak to strong, but for ``--settings``.

    Args:
        plan: the sealed plan with its values.
        environment: the environment Claude Code gets.
        arguments: its command line.
        cwd: the session's working folder.
    """
    layers: list[tuple[str, bool, Mapping[str, Any]]] = [("environment", False, environment)]
    chosen = setting_sources(arguments)
    for source in plan["telemetry"]["sources"]:
        if chosen is None or source["option"] is None or source["option"] in chosen:
            path = os.path.join(cwd, source["path"])
            layers.append((source["name"], source["is_project"], _env_of(path)))
    return layers


def tapped(plan: Plan, layers: Sequence[tuple[str, bool, Mapping[str, Any]]]) -> Settings:
    """What brings Claude Code's own telemetry to the bridge; leaves a record for the bridge."""
    rules = plan["telemetry"]
    tapping = tap(rules, plan["telemetry_url"], layers, managed_names(rules["managed_files"]))
    if tapping.record is not None:
        path = os.path.join(rules["records"], tapping.name + ".json")
        _write_private(path, json.dumps(tapping.record))
    return {**tapping.keys, "env": tapping.env}


def managed_names(places: Sequence[str]) -> list[str]:
    """The keys and variables that an administrator's settings hold; a place may be a folder."""
    names: list[str] = []
    for place in places:
        paths = [place]
        if os.path.isdir(place):
            paths = [os.path.join(place, name) for name in os.listdir(place)]
        for path in paths:
            names += _read_object(path)
            names += _env_of(path)
    return names


# --- start ------------------------------------------------------------------------------------


def unseal(sealed_text: str) -> Plan:
    """The sealed plan with the values it was sealed with.

    Raises:
        GateError: the values are gone, or are others.
    """
    sealed = json.loads(sealed_text)
    try:
        with open(sealed["values"], encoding="ascii") as file:
            values = file.read()
    except (OSError, ValueError):
        raise GateError("the values of the launch plan cannot be read") from None
    if _digest(values) != sealed["values_sha256"]:
        raise GateError("the values of the launch plan were changed")
    return {**sealed, **json.loads(values)}


def command(
    plan: Plan, target: str, arguments: Sequence[str], environment: Mapping[str, str], cwd: str
) -> tuple[list[str], dict[str, str]]:
    """What to execute: the argument list and the environment.

    Raises:
        GateError: the arguments cannot be understood, or another sign-in would pay.
    """
    remaining, options, managed = split_arguments(arguments)
    signs = bool(remaining) and remaining[0] in ASKS_NO_MODEL
    other = None if signs else stored_payer(plan["stored"])
    if other is not None:
        raise GateError(other)
    base = given_settings(plan, options)
    scrubbed = scrub(plan, environment)
    variables = {**variables_in_settings_files(plan, cwd), **(base.get("env") or {})}
    pins = pinned_settings(plan, variables, scrubbed)
    given = loadable(plan, target, base, pins)
    settings = merge_settings(given, pins)
    if plan["telemetry"]:
        layers = layers_of(plan, scrubbed, remaining, cwd)
        layers += [(SETTINGS, False, given.get("env") or {}), ("", False, pins["env"])]
        settings = merge_settings(settings, tapped(plan, layers))
    line = [target, SETTINGS, _write(plan, settings)]
    policy = harmless_policy(plan, managed)
    if policy:
        line += [MANAGED, json.dumps(policy)]
    return line + remaining, scrubbed


def main(sealed_text: str, target_name: str, arguments: Sequence[str]) -> int:
    """Apply the sealed plan to this process and become Claude Code; returns only on refusal.

    Args:
        sealed_text: the plan as JSON.
        target_name: which Claude Code: ``agent`` or ``nested``.
        arguments: the command line meant for it.
    """
    try:
        plan = unseal(sealed_text)
        target = plan["targets"][target_name]
        line, environment = command(plan, target, arguments, os.environ, os.getcwd())
        os.execve(target, line, environment)  # noqa: S606 — becoming Claude Code is the point
    except GateError as error:
        _say(str(error))
    except OSError as error:
        _say(f"Claude Code cannot be started: {error.strerror}")
    return REFUSED


def _say(sentence: str) -> None:
    sys.stderr.write(f"acp-bridge launch gate: {sentence}\n")
