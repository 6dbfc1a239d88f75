"""The command line: three shapes, one parser, cut before it is read."""

import pytest

from acp_bridge.cli.arguments import COMMANDS, Arguments, parse
from acp_bridge.errors import ConfigurationError


def shape(arguments: Arguments) -> tuple[object, ...]:
    return arguments.command, arguments.flags, arguments.after_dashes, arguments.cli


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", ("run", {}, None, None)),
        ("--mode A", ("run", {"mode": "A"}, None, None)),
        ("run --mode=A", ("run", {"mode": "A"}, None, None)),
        ("--mode A run", ("run", {"mode": "A"}, None, None)),
        ("--endpoint-no-auth status", ("status", {"endpoint_no_auth": "1"}, None, None)),
        ("--mode A status --mode B", ("status", {"mode": "B"}, None, None)),
        ("--mode A -- agent --flag", ("run", {"mode": "A"}, ("agent", "--flag"), None)),
        ("--cli auth status", ("run", {}, None, ("auth", "status"))),
        ("--mode A -- agent x --cli auth", ("run", {"mode": "A"}, ("agent", "x"), ("auth",))),
        ("exec -- claude --cli x", ("exec", {}, ("claude", "--cli", "x"), None)),
    ],
)
def test_a_command_line_is_a_command_its_settings_and_the_rest(
    line: str, expected: tuple[object, ...]
) -> None:
    assert shape(parse(line.split())) == expected


@pytest.mark.parametrize("line", ["bogus", "--mode A bogus", "--endpoint-no-auth bogus", "--bogus"])
def test_what_is_not_known_is_refused(line: str) -> None:
    with pytest.raises(ConfigurationError):
        parse(line.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse([command, "--help"])
    assert "--mode" in capsys.readouterr().out


def test_the_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    for line in (["--help"], ["-h"]):
        with pytest.raises(SystemExit):
            parse(line)
        shown = capsys.readouterr().out
        assert all(command in shown for command in COMMANDS)
