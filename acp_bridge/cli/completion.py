"""``acp-bridge completion``: a script for the shell that completes commands, options and words.

It is made from the parsers, so it cannot know less than they do, and holds everything: no Python is
started while somebody presses Tab. zsh runs the script of bash.
"""

import argparse
import os
import sys
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from acp_bridge.cli.arguments import Arguments

SHELLS = ("bash", "zsh", "fish")
_BASH = """\
# bash completion for acp-bridge, made by `acp-bridge completion bash`
_acp_bridge() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} word command= n=1
    while (( n < COMP_CWORD )); do
        word=${{COMP_WORDS[n]}}
        [[ $word == -- ]] && {{ COMPREPLY=($(compgen -c -f -- "$current")); return; }}
        case $word in {commands}) : "${{command:=$word}}";; esac
        (( ++n ))
    done
    case $before in
{values}
    esac
    case $command in
{options}
    esac
}}
complete -o default -F _acp_bridge acp-bridge
"""
_ZSH = "autoload -U +X bashcompinit && bashcompinit\n"


@dataclass(frozen=True, slots=True)
class Words:
    """What can be completed.

    Attributes:
        commands: each with its summary.
        arguments: the words that stand behind each command: its actions, or names it knows.
        options: of each command, and under ``""`` of the bare bridge.
        values: the words that an option takes, by option.
    """

    commands: Mapping[str, str]
    arguments: Mapping[str, tuple[str, ...]]
    options: Mapping[str, tuple[str, ...]]
    values: Mapping[str, tuple[str, ...]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's own argument."""
    parser.add_argument("shell", choices=SHELLS, help="whose script is printed")


def run(arguments: "Arguments") -> int:
    """Print the script."""
    from acp_bridge.settings import load_settings  # noqa: PLC0415 - heavy

    load_settings(arguments.flags)
    words = known_words()
    shell = arguments.options.shell
    sys.stdout.write(_fish(words) if shell == "fish" else _bash(words, zsh=shell == "zsh"))
    return 0


def known_words() -> Words:
    """The commands and options of the parsers, and the words that settings take."""
    from acp_bridge.cli.arguments import COMMANDS, command_parsers  # noqa: PLC0415
    from acp_bridge.modes import BillingMode  # noqa: PLC0415 - with its use

    parsers = command_parsers()
    options = {name: tuple(_options(parser)) for name, parser in parsers.items()}
    arguments = {name: tuple(_arguments(parser)) for name, parser in parsers.items()}
    named = {"clients": _clients(), "demo": tuple(BillingMode)}
    return Words(COMMANDS, {**arguments, **named}, options, dict(_values()))


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:  # noqa: SLF001 - argparse has no other way to ask
        yield from (option for option in action.option_strings if option.startswith("--"))


def _arguments(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:  # noqa: SLF001 - argparse has no other way to ask
        if not action.option_strings:
            yield from map(str, action.choices or ())


def _clients() -> tuple[str, ...]:
    from acp_bridge.cli.clients import REGISTRY  # noqa: PLC0415 - with its use
    from acp_bridge.clients.known import known_clients  # noqa: PLC0415 - with its use

    return (*(client.name for client in known_clients(os.environ, sys.platform)), REGISTRY)


def _values() -> Iterator[tuple[str, tuple[str, ...]]]:
    from acp_bridge.settings import SECRETS, Settings  # noqa: PLC0415 - heavy

    for name, field in Settings.model_fields.items():
        words = tuple(_words_of(field.annotation))
        if words and name not in SECRETS:
            yield f"--{name.replace('_', '-')}", words


def _words_of(annotation: object) -> Iterator[str]:
    """The words of an enumeration or a literal type, alone or with None."""
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        yield from (word.value for word in annotation)
    elif typing.get_origin(annotation) is typing.Literal:
        yield from map(str, typing.get_args(annotation))
    elif isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        for part in typing.get_args(annotation):
            yield from _words_of(part)


def _bash(words: Words, *, zsh: bool) -> str:
    values = [
        f'        {option}) COMPREPLY=($(compgen -W "{" ".join(of)}" -- "$current")); return;;'
        for option, of in words.values.items()
    ]
    options = [
        f'        "{name}") COMPREPLY=($(compgen -W "{" ".join(given)}" -- "$current"));;'
        for name, given in (
            ("", (*words.commands, *words.options[""])),
            *((name, (*words.arguments[name], *of)) for name, of in words.options.items() if name),
        )
    ]
    script = _BASH.format(
        commands="|".join(words.commands), values="\n".join(values), options="\n".join(options)
    )
    return f"{_ZSH}{script}" if zsh else script


def _fish(words: Words) -> str:
    lines = [
        "# fish completion for acp-bridge, made by `acp-bridge completion fish`",
        f"set -l commands {' '.join(words.commands)}",
    ]
    lines += [
        f"complete -c acp-bridge -n 'not __fish_seen_subcommand_from $commands' -f -a {name}"
        f" -d {_fish_quoted(summary)}"
        for name, summary in words.commands.items()
    ]
    lines += [
        f"complete -c acp-bridge -n '__fish_seen_subcommand_from {name}' -f -a '{' '.join(of)}'"
        for name, of in words.arguments.items()
        if name and of
    ]
    for name, options in words.options.items():
        where = (
            f"__fish_seen_subcommand_from {name}"
            if name
            else "not __fish_seen_subcommand_from $commands"
        )
        for option in options:
            takes = f" -x -a '{' '.join(words.values[option])}'" if option in words.values else ""
            lines.append(f"complete -c acp-bridge -n '{where}' -l {option[2:]}{takes}")
    return "\n".join(lines) + "\n"


def _fish_quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
