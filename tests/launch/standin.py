"""A launch gate that is really started, with a stand-in for Claude Code behind it.

The stand-in prints its environment, its arguments and the settings it was pointed at. Like Claude
Code it does not load settings in which `model` is no text, and shows so in `auth status`.
"""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acp_bridge.launch.channels import Channels, load_channels
from acp_bridge.launch.credentials import Credential, api_key, endpoint_credential
from acp_bridge.launch.launcher import Launcher, write_launcher
from acp_bridge.launch.plan import LaunchPlan, make_plan
from acp_bridge.launch.settings_files import Folders, survey
from acp_bridge.modes import BillingMode

FAKE_KEY = "sk-ant-api03-FAKE-of-the-mode"
FAKE_TOKEN = "FAKE-endpoint-token"
UPSTREAM = "http://127.0.0.1:9/FAKE"
CHANNELS = load_channels()

_STAND_IN = """
import json, os, sys
arguments = sys.argv[1:]
with open(arguments[1]) as file:
    settings = json.load(file)
if arguments[2:4] == ["auth", "status"]:
    with open(__file__ + ".trials", "a") as file:
        file.write(json.dumps(dict(os.environ)) + "\\n")
    loads = isinstance(settings.get("model", ""), str)
    provider = settings["env"].get("CLAUDE_CODE_USE_BEDROCK") and "bedrock"
    print(json.dumps({"apiProvider": provider if loads and provider else "firstParty"}))
else:
    print(json.dumps([dict(os.environ), arguments, settings]))
"""
_ADDED_BY_THE_SHELL = {"PWD", "OLDPWD", "SHLVL", "_", "LC_CTYPE"}


@dataclass(frozen=True, slots=True)
class Started:
    """What the stand-in was started with."""

    environment: dict[str, str]
    arguments: list[str]
    settings: dict[str, Any]

    @property
    def settings_file(self) -> Path:
        return Path(self.arguments[1])

    @property
    def rest(self) -> list[str]:
        """The arguments behind ``--settings FILE``."""
        return self.arguments[2:]


@dataclass(frozen=True, slots=True)
class Gate:
    """A written launch gate with the stand-in behind it."""

    plan: LaunchPlan
    launcher: Launcher
    stand_in: Path
    cwd: Path

    @property
    def nested(self) -> Path:
        return self.launcher.bin_dir / "claude"

    def run(
        self,
        *arguments: str,
        environ: Mapping[str, str] | None = None,
        program: Path | None = None,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Start the gate; the adapter's environment is what it gets unless another is given."""
        return subprocess.run(
            [program or self.launcher.executable, *arguments],
            env=dict(self.launcher.environment if environ is None else environ),
            cwd=cwd or self.cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def start(
        self,
        *arguments: str,
        environ: Mapping[str, str] | None = None,
        program: Path | None = None,
        cwd: Path | None = None,
    ) -> Started:
        """As `run`, for a start that has to succeed."""
        done = self.run(*arguments, environ=environ, program=program, cwd=cwd)
        assert done.returncode == 0, done.stderr
        environment, given, settings = json.loads(done.stdout)
        for name in _ADDED_BY_THE_SHELL:
            environment.pop(name, None)
        return Started(environment, given, settings)

    def trials(self) -> list[dict[str, str]]:
        """The environments in which settings were tried."""
        record = Path(f"{self.stand_in}.py.trials")
        if not record.exists():
            return []
        return [json.loads(line) for line in record.read_text().splitlines()]


def make_stand_in(path: Path) -> Path:
    """Write the stand-in as a program."""
    script = path.with_name(path.name + ".py")
    script.write_text(_STAND_IN)
    python, code = shlex.quote(sys.executable), shlex.quote(str(script))
    path.write_text(f'#!/bin/sh\nexec {python} -I -S {code} "$@"\n')
    path.chmod(0o700)
    return path


def fake_credential(mode: BillingMode) -> Credential | None:
    """What a mode is given when a test does not care."""
    match mode:
        case BillingMode.API_KEY:
            return api_key(FAKE_KEY, source="a test")
        case BillingMode.SUBSCRIPTION:
            return None
        case BillingMode.ENDPOINT:
            return endpoint_credential(token=FAKE_TOKEN)


def make_gate(  # noqa: PLR0913 — each is a part of the plan that some test varies
    folder: Path,
    mode: BillingMode = BillingMode.SUBSCRIPTION,
    *,
    inherited: Mapping[str, str] | None = None,
    credential: Credential | None = None,
    upstream: str | None = UPSTREAM,
    channels: Channels = CHANNELS,
    telemetry_url: str | None = None,
    adapter_cache: Path | None = None,
) -> Gate:
    """Lay out a home, a project and a run under a folder, and write the run's gate."""
    home = folder / "home"
    cwd = home / "project"
    (home / ".claude").mkdir(parents=True, exist_ok=True)
    (cwd / ".claude").mkdir(parents=True, exist_ok=True)
    environ = {"HOME": str(home), "PATH": os.defpath, **(inherited or {})}
    plan = make_plan(
        channels,
        mode=mode,
        inherited=environ,
        credential=credential or fake_credential(mode),
        upstream=upstream,
        files=survey(channels, Folders.of(channels, environ), cwd),
        telemetry_url=telemetry_url,
    )
    stand_in = make_stand_in(folder / "stand-in")
    launcher = write_launcher(plan, folder / "run", claude=stand_in, adapter_cache=adapter_cache)
    return Gate(plan, launcher, stand_in, cwd)


def write_settings(path: Path, content: object) -> None:
    """Write a settings file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
