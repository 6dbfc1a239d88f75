"""From ``sys.argv`` to a command and its settings.

Three shapes share one command line: ``acp-bridge COMMAND …``, the bare bridge with an agent's own
command line after ``--``, and the sign-in form, where an ACP client appends ``--cli …`` to whatever
command it was configured with. The last two are cut off before argparse looks at the rest.
"""

import argparse
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NoReturn

from acp_bridge import __version__
from acp_bridge.cli.examples import examples_text
from acp_bridge.errors import ConfigurationError

COMMANDS: Mapping[str, str] = {
    "run": "the stdio bridge for ACP clients (the default command)",
    "exec": "run any Claude Code command in the billing mode",
    "ask": "one prompt, the answer on stdout, mode and evidence on stderr",
    "demo": "a real turn on the embedded endpoint: no account, no internet",
    "prove": "plant every kind of leak, without and with the bridge, and see what holds",
    "usage": "what was used: tokens and money by mode, model, day and more",
    "budget": "how budgets stand; set one, remove one, free what dead runs hold",
    "ledger": "take entries out, back them up, check them, delete old ones",
    "status": "which runs there are, in which mode, with which evidence",
    "statusline": "one line for Claude Code's status line: mode, bucket, spend, window left",
    "completion": "a script with which bash, zsh or fish completes commands and options",
    "receipt": "a session's evidence, usage and decisions in one document",
    "doctor": "what could decide who pays here, and whether running bridges hold",
    "setup": "install or update the agent, and Node where the machine's is too old",
    "clients": "the editors that can start the bridge: what to put where, and put it there",
    "explain": "which bucket is charged, by which dated rule, and what would change that",
}

_ABOUT_SETTINGS = """\
Every setting is also an environment variable (ACP_BRIDGE_MODE) and a key of the configuration
file (mode = "api-key"). Credentials have no flag: ACP_BRIDGE_API_KEY, _API_KEY_FILE,
_API_KEY_COMMAND, _API_KEY_KEYRING; ACP_BRIDGE_ENDPOINT_TOKEN, _ENDPOINT_API_KEY, _ENDPOINT_HEADERS.
"""
_AFTER_DASHES = {
    "run": "[-- AGENT ARGV...]",
    "exec": "-- COMMAND ARGV...",
    "ask": "[-- AGENT ARGV...]",
}
"""What may follow the options of a command."""


@dataclass(frozen=True)
class Arguments:
    """A parsed command line.

    Attributes:
        command: the name in `COMMANDS`.
        flags: settings given as flags, by setting name.
        options: the command's own options.
        after_dashes: what stood after ``--``, or ``None`` without it.
        cli: what stood after ``--cli``, or ``None`` without it.
    """

    command: str
    flags: dict[str, str]
    options: argparse.Namespace
    after_dashes: tuple[str, ...] | None
    cli: tuple[str, ...] | None

    def run(self) -> int:
        """Run the command; returns the exit status."""
        module = import_module(f"acp_bridge.cli.{_module(self.command)}")
        run: Callable[[Arguments], int] = module.run
        return run(self)


def parse(argv: Sequence[str]) -> Arguments:
    """Read a command line.

    Raises:
        ConfigurationError: wrong usage.
    """
    own, after, cli = _cut(list(argv))
    namespace = _parser(with_commands=_may_name_a_command(own)).parse_args(own)
    values = vars(namespace)
    command = values.pop("command", None) or "run"
    flags = {
        name.removeprefix("setting_"): values.pop(name)
        for name in list(values)
        if name.startswith("setting_")
    }
    if command == "run":
        if after is not None and not after and cli is None:
            raise ConfigurationError(
                "no agent after --", hint="write the agent's command line there, or leave out --"
            )
    elif cli is not None:
        after, cli = (*(after or ()), "--cli", *cli), None
    return Arguments(command, flags, namespace, after, cli)


def _may_name_a_command(own: list[str]) -> bool:
    """Whether the commands' own parsers are needed; the bare bridge starts without them."""
    after_an_option = zip(["", *own], own, strict=False)
    words = (word for before, word in after_an_option if not before.startswith("--"))
    return any(not word.startswith("--") for word in words) or bool({*COMMANDS, "--help"} & {*own})


def _cut(
    argv: list[str],
) -> tuple[list[str], tuple[str, ...] | None, tuple[str, ...] | None]:
    cli: tuple[str, ...] | None = None
    after: tuple[str, ...] | None = None
    if "--cli" in argv:
        at = argv.index("--cli")
        argv, cli = argv[:at], tuple(argv[at + 1 :])
    if "--" in argv:
        at = argv.index("--")
        argv, after = argv[:at], tuple(argv[at + 1 :])
    return argv, after, cli


class _Parser(argparse.ArgumentParser):
    """argparse, but a mistake is a `ConfigurationError`: one line and a hint."""

    def error(self, message: str) -> NoReturn:
        raise ConfigurationError(message, hint=f"see {self.prog} --help")


def _parser(*, with_commands: bool) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="acp-bridge",
        description="Run Claude Code behind an ACP client in one billing mode, and see who pays.",
        usage="acp-bridge [options] [COMMAND] [options] [-- AGENT ARGV...]",
        epilog=f"{examples_text('')}\n{_ABOUT_SETTINGS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"acp-bridge {__version__}")
    add_settings(parser)
    if with_commands:
        _add_commands(parser)
    return parser


def command_parsers() -> dict[str, argparse.ArgumentParser]:
    """The parser of each command, and under ``""`` that of the bare bridge."""
    bare = _parser(with_commands=False)
    return {"": bare, **_add_commands(_parser(with_commands=False))}


def _add_commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    added: dict[str, argparse.ArgumentParser] = {}
    commands = parser.add_subparsers(
        dest="command",
        metavar="COMMAND",
        title="commands",
        prog="acp-bridge",
        parser_class=_Parser,
    )
    for name, summary in COMMANDS.items():
        command = commands.add_parser(
            name, help=summary, **_help_page(summary, examples_text(name))
        )
        module = import_module(f"acp_bridge.cli.{_module(name)}")
        module.add_arguments(command)
        _finish(command, _AFTER_DASHES.get(name, ""))
        added[name] = command
    return added


def add_actions(
    parser: argparse.ArgumentParser,
    command: str,
    actions: Mapping[str, tuple[str, Callable[[argparse.ArgumentParser], None]]],
    *,
    required: bool = False,
) -> None:
    """Declare a command's own actions, e.g. ``ledger verify``; the chosen one is ``action``.

    Args:
        parser: the command's.
        command: its name.
        actions: the summary of each, and what declares its options.
        required: whether one must be named.
    """
    parsers = parser.add_subparsers(
        dest="action", metavar="ACTION", title="actions", required=required
    )
    for name, (summary, declare) in actions.items():
        action = parsers.add_parser(
            name, help=summary, **_help_page(summary, examples_text(command, name))
        )
        declare(action)
        _finish(action, "")


def _help_page(summary: str, epilog: str) -> dict[str, Any]:
    return {
        "description": summary[0].upper() + summary[1:] + ".",
        "epilog": epilog,
        "formatter_class": argparse.RawDescriptionHelpFormatter,
        "allow_abbrev": False,
    }


def _finish(command: argparse.ArgumentParser, after: str) -> None:
    """Add what each command has: its settings, which its usage names by one word."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", command.format_usage())
    own = plain.removeprefix("usage: ").replace("[-h]", "[settings]")
    command.usage = " ".join([*own.split(), after]).rstrip()
    add_settings(command)


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Declare every setting that may be given as a flag."""
    from acp_bridge.settings import SECRETS, Settings  # noqa: PLC0415 - heavy

    group = parser.add_argument_group("settings")
    for name, field in Settings.model_fields.items():
        if name in SECRETS:
            continue
        options: dict[str, Any] = {"metavar": name.split("_")[-1].upper()}
        if field.annotation is bool:
            options = {"action": "store_const", "const": "1"}
        group.add_argument(
            "--" + name.replace("_", "-"),
            dest=f"setting_{name}",
            default=argparse.SUPPRESS,
            help=field.description,
            **options,
        )


def _module(command: str) -> str:
    return "execute" if command == "exec" else command
