"""``acp-bridge demo``: a real Claude Code turn through the bridge, without account or internet.

The model is the embedded endpoint on loopback, the credentials are fake, home and settings are
scratch folders, and a proxy sink stands where the internet would be: what it saw is part of the
result.
"""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from acp_bridge.cli.arguments import Arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's own options."""
    parser.add_argument(
        "modes", nargs="*", metavar="MODE", help="the modes to show, each a run; default: all three"
    )


def run(arguments: "Arguments") -> int:
    """Show the modes one after the other; 0 if each run was paid by its mode alone."""
    from acp_bridge.cli.demonstration import demonstrate  # noqa: PLC0415 - heavy
    from acp_bridge.errors import ConfigurationError  # noqa: PLC0415 - with its use
    from acp_bridge.modes import BillingMode  # noqa: PLC0415 - with its use
    from acp_bridge.own_process import (  # noqa: PLC0415 - with its use
        forget_environment,
        hide_from_others,
    )

    flags = dict(arguments.flags)
    names = arguments.options.modes or [mode.value for mode in BillingMode]
    if "mode" in flags:
        names = [flags.pop("mode")]
    try:
        modes = [BillingMode.parse(name) for name in names]
    except ValueError as error:
        raise ConfigurationError(
            str(error), hint="for example: acp-bridge demo subscription"
        ) from error
    forget_environment()
    hide_from_others()
    return demonstrate(modes, flags, arguments.after_dashes)
