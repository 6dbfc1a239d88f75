"""What the README says is what there is."""

import re
from pathlib import Path

import pytest

from acp_bridge.cli import main
from acp_bridge.cli.arguments import COMMANDS, parse
from acp_bridge.modes import BillingMode, Plan
from acp_bridge.proving.report import HEAD, where
from acp_bridge.proving.selection import Profile, select
from acp_bridge.settings import SECRETS, Settings

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def table_rows(first_cell: str) -> list[str]:
    return re.findall(rf"^\| {first_cell} \|.*$", README, flags=re.MULTILINE)


def test_every_setting_has_its_row_and_secrets_are_marked() -> None:
    for name in Settings.model_fields:
        (row,) = table_rows(f"`{name.upper()}`")
        assert ("*no flag*" in row) == (name in SECRETS)


def test_no_row_names_a_setting_that_is_not_there() -> None:
    named = re.findall(r"^\| `([A-Z_]+)` \|", README, flags=re.MULTILINE)
    assert [name.lower() for name in named] == list(Settings.model_fields)


def test_the_two_commands_are_on_the_first_screen_and_exist() -> None:
    first_screen = "\n".join(README.splitlines()[:40])
    for command in ("scripts/quickstart", "scripts/test"):
        assert command in first_screen
        assert (ROOT / command).stat().st_mode & 0o111


@pytest.mark.parametrize("command", sorted(set(re.findall(r"`(scripts/[\w-]+)", README))))
def test_every_script_that_is_named_exists(command: str) -> None:
    assert (ROOT / command).is_file()


def test_every_command_is_in_the_table_and_nothing_else_is() -> None:
    named = set(re.findall(r"^\| `acp-bridge (\w+)", README, flags=re.MULTILINE))
    assert named | {"run"} == set(COMMANDS)


@pytest.mark.parametrize(
    "line", [line for line in README.splitlines() if line.startswith('      "args":')]
)
def test_the_arguments_in_the_editors_snippet_are_understood(line: str) -> None:
    parse(re.findall(r'"([^"]+)"', line.partition(":")[2]))


def test_the_table_of_the_proof_is_of_what_a_quick_proof_tries() -> None:
    (block,) = re.findall(r"```text\n(channel +planted in .*?)```", README, flags=re.DOTALL)
    head, *rows = (re.split(r" {2,}", line) for line in block.splitlines())
    assert tuple(head) == HEAD
    assert [row[:3] for row in rows] == [
        [trial.channel, where(trial), trial.payer.terms.mode.value]
        for trial in select(Profile.QUICK, BillingMode)
    ]
    leak = sum(row[3] == "leaked" for row in rows)
    held = sum(row[4:] in (["held", "yes"], ["refused", "yes"]) for row in rows)
    planted = f"{len(rows)} channels planted, {leak} leak without the bridge"
    assert f"**{planted}, {held} of {len(rows)} held**" in README


@pytest.mark.parametrize("plan", Plan)
def test_what_is_explained_of_each_plan_is_what_the_command_says(
    plan: Plan, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACP_BRIDGE_CONFIG", "/dev/null")
    argv = ["explain", "--plan", plan.value, "--date", "2026-11-26"]
    assert main(argv) == 0
    block = f"```text\n$ acp-bridge {' '.join(argv)}\n{capsys.readouterr().out}```\n"
    assert block in README
