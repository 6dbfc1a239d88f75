"""Managed settings: the administrator's word is heeded, so a contradiction refuses the start.

The settings are real files at the place where Claude Code looks for them, in a mount namespace of
the program's own: as root by ``unshare -m``, else by ``unshare -rm``. Where the system allows
neither, these tests are not collected.
"""

import json
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from acp_bridge.proving.cases import MODES
from acp_bridge.proving.kinds import PLANTED_KEY, PLANTED_TOKEN
from acp_bridge.proving.payers import Payer
from acp_bridge.proving.sightings import Outcome
from acp_bridge.proving.stage import Program, Stage
from tests.matrix.extent import FULL_PROFILE
from tests.matrix.programs import ALONE, THROUGH_THE_BRIDGE
from tests.support.leak_table import Held, Note
from tests.support.real import run_claude

pytestmark = pytest.mark.agent

REFUSED = 3
MAIN, DROP_IN = "managed-settings.json", "managed-settings.d/20-payer.json"


@dataclass(frozen=True, slots=True)
class Managed:
    """What an administrator set.

    Attributes:
        key: the key that the refusal has to name.
        file: the file below the administrator's folder.
        settings: its content; ``{url}`` is the attacker's endpoint, ``{file}`` a program's path.
        leaks: in which modes another payer is seen without the bridge.
    """

    key: str
    file: str
    settings: Mapping[str, Any]
    leaks: Sequence[Payer] = field(default=MODES)

    def __str__(self) -> str:
        return f"{self.key} in {self.file}"


ADMINISTRATOR = (
    Managed("env.ANTHROPIC_API_KEY", MAIN, {"env": {"ANTHROPIC_API_KEY": PLANTED_KEY}}),
    Managed("apiKeyHelper", DROP_IN, {"apiKeyHelper": f"echo {PLANTED_KEY}"}),
    Managed("policyHelper", MAIN, {"policyHelper": {"path": "{file}"}}),
    Managed("env.ANTHROPIC_BASE_URL", MAIN, {"env": {"ANTHROPIC_BASE_URL": "{url}"}}),
    Managed("env.ANTHROPIC_AUTH_TOKEN", DROP_IN, {"env": {"ANTHROPIC_AUTH_TOKEN": PLANTED_TOKEN}}),
)


@cache
def _unshare() -> tuple[str, ...] | None:
    """The command that gives a program mounts of its own; None where the system has none."""
    program = shutil.which("unshare")
    for options in ("-m", "-rm"):
        command = (program or "unshare", options)
        if program and subprocess.run([*command, "true"], check=False).returncode == 0:
            return command
    return None


EVERY = [(managed, payer) for managed in ADMINISTRATOR for payer in MODES if _unshare()]
CASES = [
    (managed, payer)
    for managed, payer in EVERY
    if FULL_PROFILE or managed in ADMINISTRATOR[: 3 if payer is Payer.LOGIN else 1]
]


@pytest.mark.parametrize(("managed", "payer"), CASES, ids=str)
async def test_the_bridge_does_not_start_against_the_administrator_and_names_file_and_key(
    tmp_path: Path, managed: Managed, payer: Payer, note: Note
) -> None:
    async with Stage(tmp_path, payer) as stage:
        program = _under(stage, managed, THROUGH_THE_BRIDGE)
        ended = await run_claude(
            argv=tuple(program.argv),
            env=stage.environment(program, {}),
            cwd=stage.home.project,
        )
        seen = [*stage.endpoint.seen, *stage.attacker.seen, *stage.sink.refused]
    note(f"managed {managed}", payer.value, Held.BY_THE_BRIDGE, not seen)

    assert ended.status == REFUSED, ended
    assert managed.key in ended.stderr
    assert f"/etc/claude-code/{managed.file}" in ended.stderr
    assert seen == []


@pytest.mark.parametrize(("managed", "payer"), CASES if FULL_PROFILE else CASES[::3], ids=str)
async def test_the_plain_adapter_lets_the_administrator_choose_the_payer(
    tmp_path: Path, managed: Managed, payer: Payer, note: Note
) -> None:
    world = Stage(tmp_path, payer)
    async with world as stage, stage.run(_under(stage, managed, ALONE)) as running:
        sighting = await running.turn(stage.home.project)
    held = sighting.outcome is not Outcome.LEAKED
    for by in (Held.BY_NOTHING, Held.BY_STRIPPING)[: 1 if payer is Payer.KEY else 2]:
        note(f"managed {managed}", payer.value, by, held)

    assert held is (payer not in managed.leaks), str(sighting)


def _under(stage: Stage, managed: Managed, program: Program) -> Program:
    """The program with the administrator's folder in its own view of /etc.

    The view is a folder of links to the real one, which is mounted aside.
    """
    view, aside = stage.root / "etc", stage.root / "etc-aside"
    aside.mkdir()
    view.mkdir()
    for entry in Path("/etc").iterdir():
        (view / entry.name).symlink_to(aside / entry.name)
    path = view / "claude-code" / managed.file
    path.parent.mkdir(parents=True)
    path.write_text(_filled(managed.settings, stage))
    mounts = (
        f"mount --rbind /etc {shlex.quote(str(aside))}"
        f" && mount --bind {shlex.quote(str(view))} /etc"
        f" && exec {shlex.join(program.argv)}"
    )
    return replace(program, argv=(*(_unshare() or ()), "--", "/bin/sh", "-c", mounts))


def _filled(settings: Mapping[str, Any], stage: Stage) -> str:
    helper = stage.home.path / "policy-helper"
    policy = json.dumps({"managedSettings": {"env": {"ANTHROPIC_API_KEY": PLANTED_KEY}}})
    helper.write_text(f"#!/bin/sh\ncat <<'POLICY'\n{policy}\nPOLICY\n")
    helper.chmod(0o755)
    text = json.dumps(settings).replace("{url}", stage.attacker.url)
    return text.replace("{file}", str(helper))
