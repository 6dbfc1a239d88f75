"""A command that only the user may give is refused inside a bridged session."""

import os
from pathlib import Path

import pytest

from acp_bridge.errors import RefusedError
from acp_bridge.run.inside import is_inside_a_session, refuse_inside_a_session

RUN = "20261124-120000-abcdef"


@pytest.fixture
def launch(tmp_path: Path) -> Path:
    """A run's launch folder, as `acp_bridge.launch.launcher` lays it out."""
    folder = tmp_path / "a state" / "runs" / RUN / "launch"
    for name in ("agent", "bin"):
        (folder / name).mkdir(parents=True)
        (folder / name / "claude").write_text("#!/bin/sh\n")
    (folder / "gate.py").write_text("")
    return folder


def test_a_gate_that_is_first_on_the_path_is_a_session(launch: Path) -> None:
    assert is_inside_a_session({"PATH": f"{launch / 'bin'}:/usr/bin"})


def test_so_is_one_behind_what_the_shell_put_first(launch: Path) -> None:
    assert is_inside_a_session({"PATH": f"/venv/bin:{launch / 'bin'}:/usr/bin"})


def test_a_gate_in_place_of_claude_code_is_a_session(launch: Path) -> None:
    assert is_inside_a_session({"CLAUDE_CODE_EXECUTABLE": str(launch / "agent" / "claude")})


def test_an_ordinary_environment_is_none() -> None:
    assert not is_inside_a_session({"PATH": os.defpath, "CLAUDE_CODE_EXECUTABLE": "/bin/claude"})
    assert not is_inside_a_session({})


def test_a_gate_whose_run_has_ended_is_none(launch: Path) -> None:
    (launch / "bin" / "claude").unlink()
    assert not is_inside_a_session({"PATH": str(launch / "bin")})


def test_a_program_without_the_gates_script_is_none(launch: Path) -> None:
    (launch / "gate.py").unlink()
    assert not is_inside_a_session({"PATH": str(launch / "bin")})


@pytest.mark.parametrize("run_id", ["mine", f"{RUN}0", "20261124-120000-ABCDEF"])
def test_a_folder_that_is_no_run_is_none(launch: Path, run_id: str) -> None:
    other = launch.parent.with_name(run_id)
    launch.parent.rename(other)
    assert not is_inside_a_session({"PATH": str(other / "launch" / "bin")})


def test_the_refusal_says_what_is_refused_and_where_to_do_it(launch: Path) -> None:
    environ = {"PATH": str(launch / "bin")}
    with pytest.raises(RefusedError, match=r"^ledger prune does not run inside") as caught:
        refuse_inside_a_session(environ, "ledger prune")
    assert "outside the agent" in caught.value.hint
    assert caught.value.exit_status == 3


def test_outside_nothing_is_refused() -> None:
    refuse_inside_a_session({"PATH": os.defpath}, "ledger prune")
