"""``acp-bridge exec -- CMD …``: any Claude Code command in the billing mode.

The bridge is replaced by the command, so signals, job control and exit status are the command's
own.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from acp_bridge.errors import ConfigurationError

if TYPE_CHECKING:
    from acp_bridge.cli.arguments import Arguments

CLAUDE = "claude"


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
    from acp_bridge.cli.become import become  # noqa: PLC0415 - heavy
    from acp_bridge.run.preparation import Surroundings, prepare_command  # noqa: PLC0415 - heavy
    from acp_bridge.settings import load_settings  # noqa: PLC0415 - heavy

    settings = load_settings(arguments.flags)
    command = list(arguments.after_dashes)
    by_path = _claude_by_path(command[0])
    if by_path is not None:
        settings = settings.model_copy(update={"claude": by_path})
    preparation = prepare_command(settings, Surroundings())
    if preparation.launcher is not None and by_path is not None:
        command[0] = str(preparation.launcher.executable)
    become(command, preparation)


def _claude_by_path(program: str) -> Path | None:
    """Claude Code named by its path, which would go round the launcher that its name leads to."""
    if "/" not in program or Path(program).name != CLAUDE:
        return None
    return Path(program).absolute()
