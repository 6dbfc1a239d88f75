"""``acp-bridge statusline``: what Claude Code shows below its prompt (``statusLine``).

It is to be there at once and never to be in the way, so `acp_bridge.cli.main` runs it before
anything else is imported, and it fails at nothing.
"""

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from acp_bridge.cli.arguments import Arguments


def add_arguments(parser: "argparse.ArgumentParser") -> None:
    """The command has no options of its own."""
    del parser


def run(arguments: "Arguments | None" = None) -> int:
    """Read what Claude Code gives on stdin and print one line."""
    del arguments
    from acp_bridge.inspect.statusline import own_line, statusline  # noqa: PLC0415 - with its use

    try:
        given = "" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.read()
    except (OSError, ValueError):
        given = ""
    sys.stdout.write(own_line(statusline(given, os.environ)))
    return 0
