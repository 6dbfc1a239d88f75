"""Writing the launch gate of one run into the run's private directory.

    run directory/launch/
        agent/claude   what the adapter executes in place of Claude Code
        bin/claude     what a nested call by name finds first
        gate.py        the gate's source with the sealed plan
        values.json    the credential and the user's own values (0600)
        env.sh         what every command of the Bash tool runs first
        settings/      the settings files of each start (0600)
        telemetry/     what each start does with Claude Code's own telemetry (0600)
        empty/ trial/  folders that stay empty

Files are 0600, the two programs and the folders 0700.
"""

import hashlib
import json
import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acp_bridge.errors import AgentError
from acp_bridge.launch import gate
from acp_bridge.launch.channels import Action, Channels, SettingsPin, Variable
from acp_bridge.launch.gate_source import gate_source
from acp_bridge.launch.plan import LaunchPlan
from acp_bridge.launch.settings_files import Folders, settings_paths
from acp_bridge.launch.stored_sign_ins import sign_ins_to_look_for
from acp_bridge.launch.telemetry_rules import telemetry_rules
from acp_bridge.modes import BillingMode

TRIAL_TIMEOUT_SECONDS = 20.0
PROGRAM = "claude"
_HOLD = "__acp_bridge_hold"


@dataclass(frozen=True, slots=True)
class Launcher:
    """A written launch gate.

    Args:
        executable: what ``CLAUDE_CODE_EXECUTABLE`` names.
        bin_dir: the folder that is first on the agent's search path.
        environment: the adapter's whole environment; may hold secrets.
        sha256: the digest of everything that was written.
        files: what the digest is of.
        telemetry_records: the folder in which each start says what it does with Claude Code's own
            telemetry, for `acp_bridge.launch.telemetry_records`; empty without a receiver.
    """

    executable: Path
    bin_dir: Path
    environment: Mapping[str, str] = field(repr=False)
    sha256: str
    files: tuple[Path, ...] = field(repr=False)
    telemetry_records: Path

    def intact(self) -> bool:
        """Whether every file is still what was written."""
        try:
            return _digest(self.files) == self.sha256
        except OSError:
            return False


@dataclass(frozen=True, slots=True)
class _Folder:
    """The paths of one run."""

    root: Path

    @property
    def executable(self) -> Path:
        return self.root / "agent" / PROGRAM

    @property
    def bin_dir(self) -> Path:
        return self.root / "bin"

    @property
    def gate(self) -> Path:
        return self.root / "gate.py"

    @property
    def values(self) -> Path:
        return self.root / "values.json"

    @property
    def shell_file(self) -> Path:
        return self.root / "env.sh"

    @property
    def settings(self) -> Path:
        return self.root / "settings"

    @property
    def telemetry(self) -> Path:
        return self.root / "telemetry"

    @property
    def empty(self) -> Path:
        return self.root / "empty"

    @property
    def trial(self) -> Path:
        return self.root / "trial"


def write_launcher(
    plan: LaunchPlan,
    run_dir: Path,
    *,
    claude: Path,
    nested_claude: Path | None = None,
    adapter_cache: Path | None = None,
) -> Launcher:
    """Write the gate of a run.

    Args:
        plan: the launch plan.
        run_dir: the run's private directory; made 0700 if it is not there.
        claude: the Claude Code executable for the adapter's sessions.
        nested_claude: the user's own, for calls from the agent's shell; default ``claude``.
        adapter_cache: where Node may keep what it compiled of the adapter.

    Raises:
        AgentError: the executable is missing, or the directory cannot be written.
    """
    for program in (claude, nested_claude):
        if program is not None and not os.access(program, os.X_OK):
            raise AgentError(
                f"{program} is not a program that can be started",
                hint="Install the agent again, or name Claude Code in ACP_BRIDGE_CLAUDE.",
            )
    folder = _Folder(run_dir.absolute() / "launch")
    try:
        targets = {"agent": str(claude.absolute())}
        targets["nested"] = str((nested_claude or claude).absolute())
        return _write_all(plan, folder, targets, _adapter_only(plan, adapter_cache))
    except OSError as exc:
        raise AgentError(
            f"the run directory {run_dir} cannot be written: {exc.strerror}",
            hint="Check ACP_BRIDGE_STATE_DIR and the space on its disk.",
        ) from exc


def _adapter_only(plan: LaunchPlan, adapter_cache: Path | None) -> dict[str, str]:
    name = plan.channels.roles["adapter_cache"]
    if adapter_cache is None or name in plan.inherited:
        return {}
    return {name: str(adapter_cache)}


def _write_all(
    plan: LaunchPlan,
    folder: _Folder,
    targets: Mapping[str, str],
    adapter_only: Mapping[str, str],
) -> Launcher:
    for path in (folder.root, folder.bin_dir, folder.executable.parent, folder.settings):
        _make_folder(path)
    for path in (folder.telemetry, folder.empty, folder.trial):
        _make_folder(path)
    values = _values(plan, folder)
    values_text = json.dumps(values, sort_keys=True)
    sealed = _sealed(plan, folder, targets)
    sealed["adapter_only"] = dict(adapter_only)
    sealed["values_sha256"] = hashlib.sha256(values_text.encode()).hexdigest()
    nested_program = folder.bin_dir / PROGRAM
    _write(folder.values, values_text, 0o600)
    _write(folder.gate, gate_source(sealed), 0o600)
    _write(folder.shell_file, _shell_file(plan, folder), 0o600)
    _write(folder.executable, _program(folder.gate, "agent"), 0o700)
    _write(nested_program, _program(folder.gate, "nested"), 0o700)
    files = (folder.values, folder.gate, folder.shell_file, folder.executable, nested_program)
    environment = gate.scrub({**sealed, **values}, plan.inherited)
    environment.update(plan.channels.adapter_sets)
    environment.update(adapter_only)
    return Launcher(
        executable=folder.executable,
        bin_dir=folder.bin_dir,
        environment=environment,
        sha256=_digest(files),
        files=files,
        telemetry_records=folder.telemetry,
    )


def _make_folder(path: Path) -> None:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)


def _write(path: Path, text: str, mode: int) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def _digest(files: tuple[Path, ...]) -> str:
    digest = hashlib.sha256()
    for path in files:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _run_values(plan: LaunchPlan, folder: _Folder) -> dict[str, str]:
    slots = {
        "$empty_folder": str(folder.empty),
        "$launcher": str(folder.executable),
        "$shell_file": str(folder.shell_file),
    }
    return {name: slots[slot] for name, slot in plan.run_sets.items() if slot in slots}


def _values(plan: LaunchPlan, folder: _Folder) -> dict[str, Any]:
    sets = {**plan.sets, **_run_values(plan, folder)}
    pins: dict[str, str] = {}
    for row in plan.channels.variables:
        if row.is_pattern:
            continue
        if row.settings is SettingsPin.SET and row.name in sets:
            pins[row.name] = sets[row.name]
        if row.settings is SettingsPin.OWN:
            pins[row.name] = plan.own_pins.get(row.name, "")
    return {
        "own": dict(plan.own),
        "set": sets,
        "pinned_env": pins,
        "own_pins": dict(plan.own_pins),
        "telemetry_url": plan.telemetry_url,
    }


def _sealed(plan: LaunchPlan, folder: _Folder, targets: Mapping[str, str]) -> dict[str, Any]:
    channels = plan.channels
    rows = [row for row in channels.variables if not row.is_pattern]
    folders = Folders.of(channels, plan.inherited)
    user, project = settings_paths(channels, folders)
    forbidden = [rule.key for rule in channels.managed_rules if rule.forbid]
    return {
        "targets": dict(targets),
        "actions": {row.name: row.environment[plan.mode].value for row in rows},
        "patterns": [
            row.name
            for row in channels.variables
            if row.is_pattern and row.environment[plan.mode] is Action.REMOVE
        ],
        "search_path": channels.roles["search_path"],
        "bin_dir": str(folder.bin_dir),
        "pins": dict(plan.pins),
        "pins_if_named": [row.name for row in rows if row.settings is SettingsPin.OWN_IF_NAMED],
        "never_in_settings": [
            row.name
            for row in rows
            if row.settings is SettingsPin.NONE and row.removed_from_messages
        ],
        "stored": sign_ins_to_look_for(plan),
        "user_settings": user,
        "project_settings": project,
        "policy_keys": [key.key for key in channels.settings_keys] + forbidden,
        "values": str(folder.values),
        "settings_dir": str(folder.settings),
        "trial": _trial(channels, folder),
        "telemetry": None
        if plan.telemetry_url is None
        else telemetry_rules(channels, folders, folder.telemetry),
    }


def _trial(channels: Channels, folder: _Folder) -> dict[str, Any]:
    trial = channels.trial
    scratch = str(folder.trial)
    roles = channels.roles
    return {
        "arguments": list(trial.arguments),
        "environment": {
            **trial.environment,
            roles["home"]: scratch,
            roles["config_folder"]: scratch,
            roles["search_path"]: os.defpath,
        },
        "env": dict(trial.env),
        "field": trial.field,
        "loaded": trial.loaded,
        "folder": scratch,
        "timeout_seconds": TRIAL_TIMEOUT_SECONDS,
    }


def _program(gate_file: Path, target: str) -> str:
    python = shlex.quote(sys.executable)
    return f'#!/bin/sh\nexec {python} -I -S {shlex.quote(str(gate_file))} {target} "$@"\n'


def _is_taken_away(row: Variable, mode: BillingMode, given: Mapping[str, str]) -> bool:
    action = row.environment[mode]
    unset = action is Action.SET and row.settings is SettingsPin.SET and row.name not in given
    return action is Action.REMOVE or unset


def _shell_file(plan: LaunchPlan, folder: _Folder) -> str:
    channels = plan.channels
    rows = [row for row in channels.variables if not row.is_pattern]
    given = {**plan.sets, **plan.run_sets}
    removed = [row.name for row in rows if _is_taken_away(row, plan.mode, given)]
    blanked = [
        row.name
        for row in rows
        if row.name not in removed and row.settings not in (SettingsPin.NONE, SettingsPin.BLANK)
    ]
    own = plan.own_pins.get(channels.roles["shell_file"])
    bin_dir = shlex.quote(str(folder.bin_dir))
    search_path = channels.roles["search_path"]
    lines = [
        "# Written by acp-bridge for this run: the user's own file first, then what keeps shell",
        "# start-up files from replacing the nested program or bringing another payer.",
        f"if [ -r {shlex.quote(own)} ]; then . {shlex.quote(own)}; fi" if own else ":",
        f"{_HOLD}() {{",
        f"  \\unalias {PROGRAM} 2>/dev/null || :",
        f"  \\unset -f {PROGRAM} 2>/dev/null || :",
        f'  case "${search_path}" in {bin_dir}|{bin_dir}:*) ;;',
        f'    *) {search_path}={bin_dir}:"${search_path}"; export {search_path} ;;',
        "  esac",
        "}",
        _HOLD,
        f"\\unset {' '.join(removed)}",
        *(f'[ -n "${{{name}-}}" ] || \\unset {name}' for name in blanked),
        "\\hash -r 2>/dev/null || :",
        # What SessionStart hooks left for the shell is run after this file (2.1.316).
        f'if [ -n "${{BASH_VERSION-}}" ]; then trap {_HOLD} DEBUG; fi',
    ]
    return "\n".join(lines) + "\n"
