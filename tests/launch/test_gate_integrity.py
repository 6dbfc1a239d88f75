"""The launch gate cannot be swapped, misread or looked into."""

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from acp_bridge.errors import AgentError
from acp_bridge.launch.launcher import write_launcher
from acp_bridge.modes import BillingMode
from tests.launch.facts import DEMANDS
from tests.launch.standin import FAKE_KEY, Gate, make_gate, write_settings


@pytest.mark.parametrize(
    "name",
    ["with blank", "it's", 'a "quote"', "dollar $HOME `x`", "back\\slash", "semi;colon&", "é ü"],
)
def test_any_path_will_do(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    gate = make_gate(folder, BillingMode.API_KEY)

    for program in (gate.launcher.executable, gate.nested):
        seen = gate.start("-p", "hi", program=program)
        assert seen.environment["ANTHROPIC_API_KEY"] == FAKE_KEY
        assert seen.settings_file.is_relative_to(folder)


def test_folders_and_programs_are_private_and_files_are_0600(tmp_path: Path) -> None:
    gate = make_gate(tmp_path, BillingMode.API_KEY)
    gate.start("-p", "hi", "--settings", '{"model": "opus"}')

    programs = {gate.launcher.executable, gate.nested}
    for path in (tmp_path / "run" / "launch").rglob("*"):
        expected = 0o700 if path.is_dir() or path in programs else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == expected, path


def test_a_wide_umask_or_an_old_folder_does_not_open_it(tmp_path: Path) -> None:
    launch = tmp_path / "run" / "launch"
    launch.mkdir(parents=True)
    launch.chmod(0o777)

    make_gate(tmp_path)

    assert stat.S_IMODE(launch.stat().st_mode) == 0o700


def test_the_credential_is_in_one_private_file_and_nowhere_else(tmp_path: Path) -> None:
    gate = make_gate(tmp_path, BillingMode.API_KEY)

    holders = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert [path.name for path in holders if FAKE_KEY in path.read_text()] == ["values.json"]
    assert FAKE_KEY not in repr((gate.plan, gate.launcher))


@pytest.mark.parametrize("mode", BillingMode)
def test_a_credential_that_the_mode_does_not_use_is_never_written(
    tmp_path: Path, mode: BillingMode
) -> None:
    left = {name: f"FAKE-{name}" for name in DEMANDS if DEMANDS[name].settings in ("blank", "set")}
    left.pop("CLAUDE_CODE_OAUTH_TOKEN")
    chosen = {"PATH", "NO_PROXY", "no_proxy", "CLAUDE_ENV_FILE", "CLAUDE_CODE_EXECUTABLE"}
    chosen |= {"ANTHROPIC_CONFIG_DIR", "CLAUDE_CODE_DISABLE_AGENT_VIEW"}
    secrets = {left[name] for name in left.keys() - chosen}
    write_settings(tmp_path / "home" / ".claude" / "settings.json", {"env": left})
    make_gate(tmp_path, mode, inherited={name: left[name] for name in left.keys() - {"PATH"}})

    written = "".join(path.read_text() for path in (tmp_path / "run").rglob("*") if path.is_file())

    assert not [secret for secret in secrets if secret in written]


def test_a_swapped_environment_does_not_swap_the_plan(tmp_path: Path) -> None:
    gate = make_gate(tmp_path, BillingMode.API_KEY)
    evil = tmp_path / "evil"
    evil.mkdir()
    raising = 'raise SystemExit("swapped")'
    for module in ("json", "re", "os", "hashlib", "sitecustomize", "usercustomize"):
        (evil / f"{module}.py").write_text(raising)
    (evil / "start.sh").write_text("echo swapped; exit 1\n")
    for program in ("python", "python3", "exec", "sh", "env"):
        (evil / program).write_text("#!/bin/sh\necho swapped\n")
        (evil / program).chmod(0o700)
    environ = {
        **gate.launcher.environment,
        "PATH": f"{evil}:/usr/bin:/bin",
        "PYTHONPATH": str(evil),
        "PYTHONHOME": str(evil),
        "PYTHONSTARTUP": str(evil / "json.py"),
        "PYTHONINSPECT": "1",
        "PYTHONWARNINGS": "error",
        "ENV": str(evil / "start.sh"),
        "BASH_ENV": str(evil / "start.sh"),
        "BASH_FUNC_exec%%": "() { echo swapped; }",
        "IFS": "/",
        "ANTHROPIC_API_KEY": "sk-ant-api03-FAKE-swapped",
    }

    seen = gate.start("-p", "hi", environ=environ, cwd=evil)

    assert seen.environment["ANTHROPIC_API_KEY"] == FAKE_KEY
    assert seen.arguments[2:] == ["-p", "hi"]


def _append(path: Path) -> None:
    path.write_text(path.read_text() + "\n# changed\n")


@pytest.mark.parametrize("change", [_append, Path.unlink])
@pytest.mark.parametrize("place", range(5))
def test_a_changed_file_is_noticed(
    tmp_path: Path, change: Callable[[Path], None], place: int
) -> None:
    gate = make_gate(tmp_path)
    assert gate.launcher.intact()

    change(gate.launcher.files[place])

    assert not gate.launcher.intact()


def test_everything_that_decides_is_under_the_digest(tmp_path: Path) -> None:
    gate = make_gate(tmp_path)
    written = {path for path in (tmp_path / "run").rglob("*") if path.is_file()}

    assert set(gate.launcher.files) == written


@pytest.mark.parametrize("change", [_append, Path.unlink])
def test_other_values_than_the_sealed_ones_are_refused(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    gate = make_gate(tmp_path, BillingMode.API_KEY)
    change(tmp_path / "run" / "launch" / "values.json")

    done = gate.run("-p", "hi")

    assert done.returncode == 3
    assert done.stderr.startswith("acp-bridge launch gate: the values of the launch plan")


def test_a_run_folder_can_be_written_again(tmp_path: Path) -> None:
    first = make_gate(tmp_path)
    second = make_gate(tmp_path, BillingMode.API_KEY)

    assert not first.launcher.intact()
    assert second.launcher.intact()
    assert second.start("-p", "hi").environment["ANTHROPIC_API_KEY"] == FAKE_KEY


def test_nested_calls_run_the_users_own_claude(tmp_path: Path) -> None:
    gate = make_gate(tmp_path)
    own = tmp_path / "own-claude"
    own.write_text("#!/bin/sh\necho own\n")
    own.chmod(0o700)

    launcher = write_launcher(gate.plan, tmp_path / "run", claude=gate.stand_in, nested_claude=own)
    both = Gate(gate.plan, launcher, gate.stand_in, gate.cwd)

    assert both.run("-p", program=both.nested).stdout == "own\n"
    assert both.start("-p", "hi").rest == ["-p", "hi"]


def test_a_claude_code_that_cannot_be_started_is_an_error_beforehand(tmp_path: Path) -> None:
    gate = make_gate(tmp_path)
    with pytest.raises(AgentError, match="absent is not a program that can be started"):
        write_launcher(gate.plan, tmp_path / "run", claude=tmp_path / "absent")


def test_a_run_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    gate = make_gate(tmp_path)
    (tmp_path / "a file").write_text("")
    with pytest.raises(AgentError, match="cannot be written"):
        write_launcher(gate.plan, tmp_path / "a file", claude=gate.stand_in)


def test_a_plan_is_not_moved_by_settings_that_change_later(tmp_path: Path) -> None:
    gate = make_gate(tmp_path, inherited={"HTTPS_PROXY": "http://own"})
    write_settings(
        tmp_path / "home" / ".claude" / "settings.json", {"env": {"HTTPS_PROXY": "http://late"}}
    )

    assert gate.start("-p", "hi").settings["env"]["HTTPS_PROXY"] == "http://own"
