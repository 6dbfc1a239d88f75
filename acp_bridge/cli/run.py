"""``acp-bridge`` or ``acp-bridge run``: the stdio bridge that an ACP client starts.

With ``--cli …`` it is the sign-in form of the same command: the rest goes to the agent, which gets
the terminal.
"""

import argparse
import contextlib
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
    from acp_bridge.early_signals import exit_on_signal  # noqa: PLC0415 - with its use
    from acp_bridge.settings import load_settings  # noqa: PLC0415 - heavy

    exit_on_signal()
    settings = load_settings(arguments.flags)
    agent = arguments.after_dashes or None
    if arguments.cli is not None:
        from acp_bridge.cli.signin import hand_terminal_over  # noqa: PLC0415 - with its form

        return hand_terminal_over(settings, agent, arguments.cli)
    # The agent boots while the event loop and what the relay needs are being imported.
    from acp_bridge.log import Log  # noqa: PLC0415 - heavy
    from acp_bridge.preparation import Surroundings, begin  # noqa: PLC0415 - heavy

    log = Log.of(settings)
    begun = begin(settings, Surroundings(), agent=agent)
    with contextlib.closing(begun.preparation.directory):
        from acp_bridge.cli.banner import show_banner  # noqa: PLC0415 - heavy
        from acp_bridge.supervisor import serve_stdio  # noqa: PLC0415 - heavy

        return serve_stdio(
            begun,
            log=log,
            command=own_command(),
            started=lambda run: show_banner(settings, run.plan, run.removed),
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
