"""How the launch gate reads a command line, and what it refuses."""

import os
from pathlib import Path

import pytest

from acp_bridge.launch.gate_arguments import GateError, read_settings, split_arguments
from tests.launch.standin import make_gate

REFUSED = 3


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["-p", "hi"],
        ["-p", "a  b", "", "'\"$HOME`x`\\", "line\nbreak", "*"],
        ["--resume", "x", "--model=opus", "-p", "--", "--settings", "not ours"],
        ["--setting-sources", "user", "--settingsx", "--settings-y=1"],
        ["-p", "--", "--managed-settings={"],
        ["--", "a", "--", "--settings"],
    ],
)
def test_other_arguments_pass_as_they_are(tmp_path: Path, arguments: list[str]) -> None:
    gate = make_gate(tmp_path)

    assert gate.start(*arguments).rest == arguments
    assert gate.start(*arguments, program=gate.nested).rest == arguments


def test_settings_before_the_first_separator_are_taken_out() -> None:
    line = [
        "--settings",
        "a",
        "-p",
        "--settings=b",
        "--managed-settings",
        "c",
        "--",
        "--settings=d",
    ]

    assert split_arguments(line) == (["-p", "--", "--settings=d"], ["a", "b"], ["c"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-p", "hi", "--settings"], "--settings has no value"),
        (["--settings", "absent.json"], "the file that --settings names cannot be read"),
        (["--settings", "."], "the file that --settings names cannot be read"),
        (["--settings", "{"], "--settings is not valid JSON"),
        (["--settings", "list.json"], "--settings is not a JSON object"),
        (["--settings", '{"env": ["A=1"]}'], "env in --settings is not a JSON object"),
        (["--managed-settings", "{"], "--managed-settings is not valid JSON"),
        (["--settings", '{"a": ' * 20_000], "--settings is not valid JSON"),
        (
            ["--append-system-prompt", "--", "--settings", "{}"],
            "--settings behind `--append-system-prompt --` cannot be told from a prompt",
        ),
        (
            ["--append-system-prompt", "--settings", "{}", "--", "--settings={}"],
            "--settings behind `--append-system-prompt --` cannot be told from a prompt",
        ),
    ],
)
def test_what_cannot_be_understood_is_refused_in_one_line(
    tmp_path: Path, arguments: list[str], says: str
) -> None:
    gate = make_gate(tmp_path)
    (gate.cwd / "list.json").write_text("[]")

    done = gate.run(*arguments)

    assert (done.returncode, done.stdout) == (REFUSED, "")
    assert done.stderr == f"acp-bridge launch gate: {says}\n"


def test_an_error_never_repeats_what_it_could_not_read() -> None:
    secret = "sk-ant-api03-FAKE-in-settings"
    with pytest.raises(GateError) as caught:
        read_settings(f'{{"env": "{secret}"')
    assert secret not in str(caught.value)


@pytest.mark.parametrize("value", ["", "  ", "{}", ' {"env": null}'])
def test_empty_settings_are_no_settings(tmp_path: Path, value: str) -> None:
    gate = make_gate(tmp_path)

    seen = gate.start("--settings", value, "-p", "hi")

    assert seen.settings == gate.start("-p", "hi").settings


def test_a_settings_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    gate = make_gate(tmp_path)
    (gate.cwd / "mine.json").write_text('{"model": "opus"}', encoding="utf-8-sig")

    assert gate.start("--settings", "mine.json").settings["model"] == "opus"


def test_a_claude_code_that_is_gone_is_said(tmp_path: Path) -> None:
    gate = make_gate(tmp_path)
    gate.stand_in.unlink()

    done = gate.run("-p", "hi")

    assert done.returncode == REFUSED
    assert done.stderr == (
        f"acp-bridge launch gate: Claude Code cannot be started: {os.strerror(2)}\n"
    )
