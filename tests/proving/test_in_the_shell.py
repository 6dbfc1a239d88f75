"""What the agent's shell runs in a proof: it finds a secret where it is, and only there."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from acp_bridge.proving import in_the_shell
from acp_bridge.proving.payers import KNOWN, Payer
from acp_bridge.proving.shell import NOT_TRIED, Deed, FromTheShell, try_in_the_shell
from acp_bridge.proving.sightings import Outcome
from acp_bridge.proving.stage import Stage
from tests.matrix.programs import ALONE


def found(tmp_path: Path, secret: str, *, env: Mapping[str, str] | None = None) -> list[str]:
    """Where a program with that environment finds a secret, in a folder or anywhere else."""
    report = tmp_path / "report"
    halves = (secret[:-9], secret[-9:])
    subprocess.run(
        [sys.executable, in_the_shell.__file__, "search", report, *halves, tmp_path / "folder"],
        env=dict(env or {}),
        check=True,
        timeout=60,
    )
    return list(json.loads(report.read_text()))


@pytest.fixture
def secret() -> str:
    """One that no other process has."""
    return f"FAKE-{uuid4().hex}"


def test_what_is_nowhere_is_not_found_and_the_search_does_not_find_itself(
    tmp_path: Path, secret: str
) -> None:
    assert found(tmp_path, secret) == []


def test_a_variable_is_found_and_so_is_the_environment_of_a_process(
    tmp_path: Path, secret: str
) -> None:
    own, *processes = found(tmp_path, secret, env={"SOME_KEY": f"Bearer {secret}"})
    assert own == "its variable SOME_KEY"
    if sys.platform == "linux":
        assert processes
        assert all(place.startswith("the environment of ") for place in processes)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")
def test_the_arguments_of_another_process_are_found(tmp_path: Path, secret: str) -> None:
    other = [sys.executable, "-c", "import sys; sys.stdin.read()", secret]
    with subprocess.Popen(other, stdin=subprocess.PIPE):
        (place,) = found(tmp_path, secret)
    assert place.startswith("the arguments of python")


def test_a_file_is_found_however_deep(tmp_path: Path, secret: str) -> None:
    path = tmp_path / "folder" / "deep" / "settings.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"env": {"KEY": secret}}))
    assert found(tmp_path, secret) == ["a file settings.json"]


@pytest.mark.parametrize("payer", [Payer.KEY, Payer.ENDPOINT])
async def test_a_stage_may_have_a_secret_of_its_own_for_the_payers_credential(
    tmp_path: Path, secret: str, payer: Payer
) -> None:
    async with Stage(tmp_path, payer, secret=secret) as stage:
        for program in (ALONE, replace(ALONE, is_bridge=True)):
            values = stage.environment(program, {}).values()
            assert secret in values
            assert KNOWN[payer.terms.credential[1]] not in values


@pytest.mark.agent
@pytest.mark.parametrize("deed", Deed)
async def test_a_shell_that_cannot_run_it_has_tried_nothing_and_nothing_is_held(
    tmp_path: Path, deed: Deed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    sighting = await try_in_the_shell(tmp_path, FromTheShell(deed, Payer.KEY), ALONE)

    assert sighting.outcome is Outcome.NO_ANSWER
    assert sighting.said == NOT_TRIED
