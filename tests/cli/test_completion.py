"""The completion scripts, in a real bash."""

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from acp_bridge.cli.arguments import COMMANDS
from acp_bridge.cli.completion import known_words
from acp_bridge.modes import BillingMode
from tests.bridge.process import bridge_environment, run_bridge


def script(tmp_path: Path, shell: str) -> str:
    done = run_bridge("completion", shell, env=bridge_environment(tmp_path))
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def bash(tmp_path_factory: pytest.TempPathFactory) -> str:
    return script(tmp_path_factory.mktemp("completion"), "bash")


def completed(bash: str, *words: str) -> set[str]:
    """What Tab offers behind these words, the last of them begun."""
    line = (
        f"{bash}\nCOMP_WORDS=({shlex.join(words)}) COMP_CWORD={len(words) - 1}\n"
        '_acp_bridge; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    program = shutil.which("bash")
    assert program is not None
    done = subprocess.run(
        [program, "--norc", "-c", line], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return set(done.stdout.split())


def test_commands_and_their_beginnings(bash: str) -> None:
    assert set(COMMANDS) <= completed(bash, "acp-bridge", "")
    assert completed(bash, "acp-bridge", "st") == {"status", "statusline"}


def test_options_of_a_command_and_of_the_bare_bridge(bash: str) -> None:
    assert "--by" in completed(bash, "acp-bridge", "usage", "--")
    assert "--by" not in completed(bash, "acp-bridge", "--")
    assert completed(bash, "acp-bridge", "--guard", "enforce", "--mo") == {"--mode"}


def test_the_words_that_a_setting_takes(bash: str) -> None:
    assert completed(bash, "acp-bridge", "--mode", "") == set(BillingMode)
    assert completed(bash, "acp-bridge", "status", "--plan", "max") == {"max-5x", "max-20x"}


@pytest.mark.parametrize(
    ("begun", "offered"),
    [
        (("ledger", "ve"), {"verify"}),
        (("budget", "re"), {"remove", "release"}),
        (("clients", "zed"), {"zed"}),
        (("clients", "reg"), {"registry"}),
        (("completion", "f"), {"fish"}),
        (("demo", "sub"), {"subscription"}),
    ],
)
def test_the_words_behind_a_command(bash: str, begun: tuple[str, ...], offered: set[str]) -> None:
    assert completed(bash, "acp-bridge", *begun) == offered


def test_behind_two_dashes_programs_are_completed(bash: str) -> None:
    assert "env" in completed(bash, "acp-bridge", "exec", "--", "en")


def test_every_option_of_every_parser_is_there() -> None:
    words = known_words()
    assert words.options.keys() == {"", *COMMANDS}
    assert all({"--help", "--mode"} <= set(options) for options in words.options.values())


def test_zsh_gets_the_same_and_fish_its_own(tmp_path: Path, bash: str) -> None:
    assert script(tmp_path, "zsh").endswith(bash)
    fish = script(tmp_path, "fish")
    assert "-l mode -x -a 'api-key subscription endpoint'" in fish
    assert "-n '__fish_seen_subcommand_from ledger' -f -a 'export backup verify prune'" in fish
    assert "-f -a usage -d 'what was used:" in fish
