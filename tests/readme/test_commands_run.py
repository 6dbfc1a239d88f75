"""Every command of the README and of the help pages runs, as it stands there."""

import os
import shutil
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest

from acp_bridge.cli.arguments import COMMANDS
from tests.readme.commands import ROOT, in_blocks, in_help, in_sentences, name_of, of_command
from tests.readme.reader import Reader, reader
from tests.readme.test_from_an_empty_home import FROM_REGISTRIES, PATH
from tests.support.real import NODE
from tests.terminal.tmux import terminal

THIS_RUN = {"scripts/test", "scripts/test --full", "scripts/install", "scripts/lint"}
"""What runs this test, and what that runs before."""
ELSEWHERE = {
    "scripts/bench guard": "tests/loopback/test_guard_benchmark.py",
    "scripts/bench ledger": "tests/ledger/test_benchmark.py",
}
"""Commands that another test runs, which names them."""
INSTALLS = {line for line in PATH if name_of(line) in FROM_REGISTRIES}
LONG = {"acp-bridge prove", "acp-bridge prove --full"}
SHORTENED = {
    "scripts/bench relay": "scripts/bench relay --rounds 1",
    "scripts/bench statusline": "scripts/bench statusline --rounds 1",
}
AT_A_TERMINAL = {
    "acp-bridge exec -- claude": "shift+tab to cycle",
    "acp-bridge status --watch": "no bridge is running",
}
"""What is to be seen of a command that goes on until Ctrl-C."""
SAYS_WHAT_IT_FOUND = {"acp-bridge doctor", "acp-bridge doctor --json"}
"""Their exit status is 1 here: the reader has a proxy."""
SECONDS = 90.0
HOURS = 3 * 3600.0
LOCKS = (
    "scripts/requirements-runtime.txt",
    "scripts/requirements.txt",
    "config/agent/requirements-node.txt",
    "config/agent/package-lock.json",
)

README = [*dict.fromkeys(chain(in_blocks(), in_sentences()))]
OF_COMMANDS = [*dict.fromkeys(chain(README, in_help()))]
SCRIPTS = ["scripts/quickstart", *SHORTENED, "scripts/prices", "scripts/lock"]


def holds(user: Reader, folder: Path, line: str) -> None:
    """Run a line as the reader would, and see it succeed."""
    if line in AT_A_TERMINAL:
        with terminal(folder, ["bash", "-c", line], user.env, user.here) as tty:
            tty.wait_for(AT_A_TERMINAL[line])
            tty.interrupt_until_it_ends()
        return
    done = user.runs(line, seconds=SECONDS)
    assert done.returncode == (line in SAYS_WHAT_IT_FOUND), (line, done.stderr)
    assert "Traceback" not in done.stderr
    assert "FAKE" not in done.stdout + done.stderr


def test_each_command_of_the_readme_is_run_by_a_test() -> None:
    known = {*THIS_RUN, *ELSEWHERE, *SHORTENED, *SCRIPTS, *INSTALLS}
    others = [line for line in README if name_of(line) not in ("", *COMMANDS)]
    assert {*others} | INSTALLS == known
    assert {*AT_A_TERMINAL, *LONG, *SAYS_WHAT_IT_FOUND} <= {*OF_COMMANDS}
    for line, file in ELSEWHERE.items():
        assert "[" + ", ".join(f'"{word}"' for word in line.split()) in (ROOT / file).read_text()


@pytest.mark.parametrize("command", [name for name in ("", *COMMANDS) if name != "run"])
def test_the_commands_and_examples_run(tmp_path: Path, command: str) -> None:
    lines = [line for line in of_command(OF_COMMANDS, command) if line not in LONG | INSTALLS]
    assert lines
    with reader(tmp_path) as user:
        user.runs('acp-bridge ask "hello"')
        for line in lines:
            holds(user, tmp_path, line)


@pytest.mark.parametrize("script", ["scripts/quickstart", *SHORTENED])
def test_the_scripts_run(script: str) -> None:
    line = SHORTENED.get(script, script)
    done = subprocess.run(line.split(), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    if script == "scripts/quickstart":
        assert done.stdout.count("nobody was billed") == len(("A", "B", "C"))


def test_the_price_list_is_what_its_script_makes(tmp_path: Path) -> None:
    copy = checkout(tmp_path)
    subprocess.run([copy / "scripts" / "prices"], check=True, capture_output=True)
    prices = Path("config", "model-prices.json")
    assert (copy / prices).read_bytes() == (ROOT / prices).read_bytes()


@pytest.mark.full
def test_the_locks_are_what_their_script_makes(tmp_path: Path) -> None:
    copy = checkout(tmp_path)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "env"], check=True)
    programs = tmp_path / "env" / "bin"
    subprocess.run([programs / "pip", "install", "--quiet", "uv"], check=True)
    npm = NODE.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    (programs / "npm").write_text(f'#!/bin/sh\nexec "{NODE}" "{npm}" "$@"\n')
    (programs / "npm").chmod(0o700)
    env = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run([copy / "scripts" / "lock"], check=True, env=env)
    for lock in LOCKS:
        assert (copy / lock).read_bytes() == (ROOT / lock).read_bytes(), lock


@pytest.mark.full
@pytest.mark.timeout(HOURS)
@pytest.mark.parametrize("line", sorted(LONG))
def test_the_proof_in_all_its_length(tmp_path: Path, line: str) -> None:
    with reader(tmp_path) as user:
        done = user.runs(line, seconds=HOURS)
    assert done.returncode == 0, done.stdout


def checkout(folder: Path) -> Path:
    """A copy in which scripts may write."""
    copy = folder / "checkout"
    for name in ("scripts", "config", "acp_bridge"):
        shutil.copytree(ROOT / name, copy / name)
    shutil.copy(ROOT / "pyproject.toml", copy)
    (copy / ".venv").symlink_to(ROOT / ".venv")
    return copy
