"""``acp-bridge exec -- CMD …``: any Claude Code command in the billing mode.

The bridge's process is replaced by the command, so signals, job control and exit status are the
command's own; a companion process meters and guards it.
"""

import argparse
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from acp_bridge.errors import ConfigurationError
from acp_bridge.launch.gate_logins import ASKS_NO_MODEL

if TYPE_CHECKING:
    from acp_bridge.cli.arguments import Arguments
    from acp_bridge.policy.surface import Surface

CLAUDE = "claude"
_ASK_NO_MODEL = [[word] for word in ASKS_NO_MODEL]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command has no options beside the settings."""
    del parser


def run(arguments: "Arguments") -> int:
    """Replace this process by the command, in the mode."""
    if not arguments.after_dashes:
        raise ConfigurationError(
            "exec needs a command after --",
            hint='for example: acp-bridge exec -- claude -p "hello"',
        )
    from acp_bridge.own_process import forget_environment  # noqa: PLC0415 - with its use

    forget_environment()
    from acp_bridge.cli.become import become  # noqa: PLC0415 - heavy
    from acp_bridge.policy.surface import Surface  # noqa: PLC0415 - with its use
    from acp_bridge.run.preparation import Surroundings, prepare_command  # noqa: PLC0415 - heavy
    from acp_bridge.run.start import prepare_metered, refuse_another_payer  # noqa: PLC0415 - heavy
    from acp_bridge.settings import load_settings  # noqa: PLC0415 - heavy

    settings = load_settings(arguments.flags)
    command = list(arguments.after_dashes)
    by_path = _claude_by_path(command[0])
    if by_path is not None:
        settings = settings.model_copy(update={"claude": by_path})
    surface = surface_of_command(command, os.environ)
    # Claude Code asks nothing of a program that speaks to it, nor with `-p`.
    at_terminal = surface in (Surface.TERMINAL, Surface.UNKNOWN)
    surroundings = Surroundings(at_terminal=at_terminal)
    prepared = prepare_metered(settings, partial(prepare_command, settings, surroundings))
    if Path(command[0]).name == CLAUDE and command[1:2] not in _ASK_NO_MODEL:
        refuse_another_payer(prepared.preparation)
    launcher = prepared.preparation.launcher
    if launcher is not None and by_path is not None:
        command[0] = str(launcher.executable)
    become(command, prepared, surface)


def surface_of_command(command: Sequence[str], environ: Mapping[str, str]) -> "Surface":
    """What kind of program a command is, as Claude Code itself tells it on the wire.

    Args:
        command: its command line.
        environ: its environment, in which a program that embeds Claude Code names itself.
    """
    from acp_bridge.policy.surface import SURFACES, Surface  # noqa: PLC0415 - with its use

    named = environ.get("CLAUDE_CODE_ENTRYPOINT")
    if named is not None:
        return SURFACES.get(named, Surface.UNKNOWN)
    if Path(command[0]).name != CLAUDE:
        return Surface.UNKNOWN
    is_print = any(word in ("-p", "--print") for word in command[1:])
    return Surface.PRINT if is_print else Surface.TERMINAL


def _claude_by_path(program: str) -> Path | None:
    """Claude Code named by its path, which would go round the launcher that its name leads to."""
    if "/" not in program or Path(program).name != CLAUDE:
        return None
    return Path(program).absolute()
