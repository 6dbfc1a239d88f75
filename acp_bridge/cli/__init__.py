"""The command ``acp-bridge``: reads the arguments, runs one command, reports its errors.

One module a command; each is imported with its command and imports what is heavy when it runs.
"""

import contextlib
import os
import sys
from collections.abc import Sequence

from acp_bridge.cli.arguments import parse
from acp_bridge.errors import BridgeError

INTERRUPTED = 130
"""The shell's status for a program that ended on Ctrl-C."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the entry point of the installed command.

    Returns:
        The exit status: 0 good, 2 wrong usage or configuration, 3 refused by the billing mode or a
        budget, 4 agent missing or not startable; otherwise the agent's own.
    """
    try:
        arguments = parse(sys.argv[1:] if argv is None else argv)
        return arguments.run()
    except BridgeError as error:
        say_error(error)
        return error.exit_status
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def say_error(error: BridgeError) -> None:
    """One line that says what is wrong, one that says what to do next."""
    message = " ".join(error.message.split())
    hint = " ".join(error.hint.split())
    sys.stderr.write(f"error: {message}\nhint: {hint}\n")
