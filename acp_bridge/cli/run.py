"""``acp-bridge`` or ``acp-bridge run``: the stdio bridge that an ACP client starts.

With ``--cli …`` it is the sign-in form of the same command: the rest goes to the agent, which gets
the terminal.
"""

import argparse
import contextlib
import os
import sys
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

    exit_on_signal()
    if arguments.cli is not None:
        return _hand_terminal_over(arguments, arguments.cli)
    from acp_bridge.agent.spawn import start_keeper  # noqa: PLC0415 - with its use
    from acp_bridge.importing import without_collections  # noqa: PLC0415 - with its use

    # The keeper boots while settings are imported and read, and the run is prepared.
    with start_keeper() as keeper, without_collections():
        from acp_bridge.own_process import (  # noqa: PLC0415 - with its use
            forget_environment,
            hide_from_others,
        )

        forget_environment()
        from acp_bridge.settings import load_settings  # noqa: PLC0415 - heavy

        settings = load_settings(arguments.flags)
        from acp_bridge.log import Log  # noqa: PLC0415 - heavy
        from acp_bridge.run.preparation import Surroundings  # noqa: PLC0415 - heavy
        from acp_bridge.run.start import begin  # noqa: PLC0415 - heavy

        log = Log.of(settings)
        agent = arguments.after_dashes or None
        begun = begin(settings, Surroundings(), agent=agent, keeper=keeper)
    # The agent boots while the event loop and what the relay needs are being imported.
    with contextlib.closing(begun.preparation.directory):
        hide_from_others()
        from acp_bridge.allocation import reuse_freed_blocks  # noqa: PLC0415 - with its use
        from acp_bridge.cli.banner import show_banner, show_bucket_change  # noqa: PLC0415 - heavy
        from acp_bridge.supervisor import serve_stdio  # noqa: PLC0415 - heavy

        reuse_freed_blocks()
        return serve_stdio(
            begun,
            log=log,
            command=own_command(),
            started=lambda bridge: show_banner(bridge.preparation, bridge.charged_to),
            on_bucket_change=show_bucket_change,
        )


def _hand_terminal_over(arguments: "Arguments", cli: tuple[str, ...]) -> int:
    from acp_bridge.settings import load_settings  # noqa: PLC0415 - heavy

    settings = load_settings(arguments.flags)
    from acp_bridge.cli.signin import hand_terminal_over  # noqa: PLC0415 - with its form

    return hand_terminal_over(settings, arguments.after_dashes or None, cli)


def own_command() -> tuple[str, ...]:
    """The argv by which this bridge was started, without what an ACP client appended to it."""
    argv = list(sys.argv)
    if CLI in argv:
        argv = argv[: argv.index(CLI)]
    if os.path.basename(argv[0]) == "__main__.py":  # noqa: PTH119 - pathlib would delay the keeper
        # ``python -m acp_bridge``: the file by itself is not a program.
        return (sys.executable, "-m", "acp_bridge", *argv[1:])
    return tuple(argv)
