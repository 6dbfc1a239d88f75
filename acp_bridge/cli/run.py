"""``acp-bridge`` or ``acp-bridge run``: the stdio bridge that an ACP client starts.

With ``--cli …`` it is the sign-in form of the same command: the rest goes to the agent, which gets
the terminal.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from acp_bridge.cli.arguments import Arguments

CLI = "--cli"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command has no options beside the settings."""
    del parser


def run(arguments: "Arguments") -> int:
    """Bridge stdin and stdout to the agent until one side ends."""
    from acp_bridge.settings import load_settings  # noqa: PLC0415 - heavy

    settings = load_settings(arguments.flags)
    agent = arguments.after_dashes or None
    if arguments.cli is not None:
        from acp_bridge.cli.signin import hand_terminal_over  # noqa: PLC0415 - with its form

        return hand_terminal_over(settings, agent, arguments.cli)
    from acp_bridge.cli.banner import show_banner  # noqa: PLC0415 - heavy
    from acp_bridge.supervisor import serve_stdio  # noqa: PLC0415 - heavy

    return serve_stdio(
        settings,
        agent=agent,
        command=own_command(),
        started=lambda preparation: show_banner(settings, preparation.plan, preparation.removed),
    )


def own_command() -> tuple[str, ...]:
    """The argv by which this bridge was started, without what an ACP client appended to it."""
    argv = list(sys.argv)
    if CLI in argv:
        argv = argv[: argv.index(CLI)]
    if Path(argv[0]).name == "__main__.py":
        # ``python -m acp_bridge``: the file by itself is not a program.
        return (sys.executable, "-m", "acp_bridge", *argv[1:])
    return tuple(argv)
