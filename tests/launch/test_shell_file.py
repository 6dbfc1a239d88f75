"""What a shell start-up file cannot undo, seen in a real shell."""

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from acp_bridge.modes import BillingMode
from tests.launch.standin import Gate, make_gate

BASH = shutil.which("bash")
pytestmark = pytest.mark.skipif(BASH is None, reason="the Bash tool needs bash")

START_UP = """
export ANTHROPIC_API_KEY=sk-ant-api03-FAKE-start-up
export CLAUDE_CODE_USE_BEDROCK=1
export HTTPS_PROXY=http://start-up
export PATH=/start-up:$PATH
shopt -s expand_aliases
claude() { echo function; }
alias claude='echo alias'
"""


def in_shell(gate: Gate, command: str, *, start_up: str = START_UP) -> str:
    """Run a command as the Bash tool does: start-up first, then the run's file."""
    shell_file = shlex.quote(gate.launcher.environment["CLAUDE_ENV_FILE"])
    script = f"{start_up}\nset -eu\n. {shell_file}\neval {shlex.quote(command)}"
    assert BASH is not None
    done = subprocess.run(
        [BASH, "--norc", "-c", script],
        env=dict(gate.launcher.environment),
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout


def test_an_alias_a_function_and_a_search_path_do_not_hide_the_launcher(tmp_path: Path) -> None:
    gate = make_gate(tmp_path)

    assert in_shell(gate, "type -p claude") == f"{gate.nested}\n"
    assert in_shell(gate, 'echo "$PATH"').startswith(f"{gate.launcher.bin_dir}:/start-up:")


@pytest.mark.parametrize("mode", BillingMode)
def test_a_key_that_start_up_exports_is_gone_unless_the_plan_set_it(
    tmp_path: Path, mode: BillingMode
) -> None:
    gate = make_gate(tmp_path, mode)

    seen = in_shell(gate, "env")

    assert ("ANTHROPIC_API_KEY=" in seen) is (mode is BillingMode.API_KEY)
    assert "CLAUDE_CODE_USE_BEDROCK" not in seen
    assert "HTTPS_PROXY=http://start-up" in seen


def test_pinned_blanks_do_not_reach_the_commands(tmp_path: Path) -> None:
    gate = make_gate(tmp_path)
    blanks = "export HTTPS_PROXY= SSL_CERT_FILE= ANTHROPIC_UNIX_SOCKET= NODE_EXTRA_CA_CERTS="

    seen = in_shell(gate, "env", start_up=blanks)

    assert [line for line in seen.splitlines() if line.endswith("=")] == []


def test_the_users_own_file_is_sourced_first(tmp_path: Path) -> None:
    own = tmp_path / "the user's own.sh"
    own.write_text("export MINE=1\nexport ANTHROPIC_API_KEY=sk-ant-api03-FAKE-own\n")
    gate = make_gate(tmp_path, inherited={"CLAUDE_ENV_FILE": str(own)})

    seen = in_shell(gate, "env")

    assert "MINE=1" in seen
    assert "ANTHROPIC_API_KEY" not in seen


def test_a_file_of_the_user_that_is_gone_is_no_obstacle(tmp_path: Path) -> None:
    gate = make_gate(tmp_path, inherited={"CLAUDE_ENV_FILE": str(tmp_path / "absent.sh")})

    assert in_shell(gate, "echo on") == "on\n"


def test_sourcing_twice_changes_nothing(tmp_path: Path) -> None:
    gate = make_gate(tmp_path)
    again = f'. {shlex.quote(gate.launcher.environment["CLAUDE_ENV_FILE"])}; echo "$PATH"'

    assert in_shell(gate, again) == in_shell(gate, 'echo "$PATH"')
