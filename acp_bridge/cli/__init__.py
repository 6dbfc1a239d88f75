"""The command ``acp-bridge``: reads the arguments, runs one command, reports its errors.

One module a command; each is imported with its command and imports what is heavy when it runs.
"""

import contextlib
import errno
import os
import pwd
import sys
from collections.abc import Sequence
from typing import TextIO

from acp_bridge.errors import BridgeError, ConfigurationError
from acp_bridge.standard_error import write_stderr

STATUSLINE = "statusline"
"""The command that Claude Code waits for after each answer."""
INTERRUPTED = 130
"""The shell's status for a program that ended on Ctrl-C."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the entry point of the installed command.

    Returns:
        The exit status: 0 good, 2 wrong usage or configuration, 3 refused by the billing mode or a
        budget, 4 agent missing or not startable; otherwise the agent's own.
    """
    closed = _fill_closed_descriptors()
    argv = sys.argv[1:] if argv is None else argv
    try:
        if [*argv] == [STATUSLINE]:
            from acp_bridge.cli.statusline import run  # noqa: PLC0415 - before what takes longer

            return run()
        _require_a_home()
        from acp_bridge.cli.arguments import parse  # noqa: PLC0415 - after what must be quick

        arguments = parse(argv)
        if closed and arguments.command == "run" and arguments.cli is None:
            raise ConfigurationError(
                f"{closed[0]} is closed",
                hint="start the bridge with its stdin and stdout connected",
            )
        status = arguments.run()
        if sys.stdout is not None:
            sys.stdout.flush()
    except BridgeError as error:
        say_error(error)
        return error.exit_status
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        return 1
    except OSError as error:
        if error.errno not in _FULL or error.filename is not None:
            raise
        _drop_output()
        say_error(
            ConfigurationError(
                f"the output cannot be written: {error.strerror}",
                hint="make room, or write it elsewhere; what was written is not all of it",
            )
        )
        return 1
    return status


def _require_a_home() -> None:
    """Settings, state and logins are below it: better one line here than an error anywhere."""
    if os.environ.get("HOME"):
        return
    os.environ.pop("HOME", None)
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        raise ConfigurationError(
            "this user has no home directory", hint="set HOME to a directory of yours"
        ) from None


def _drop_output() -> None:
    """What is left in the buffer would be written, and complained about, at the end."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say_error(error: BridgeError) -> None:
    """One line that says what is wrong, one that says what to do next."""
    message = " ".join(error.message.split())
    hint = " ".join(error.hint.split())
    write_stderr(f"error: {message}\nhint: {hint}\n")


def _fill_closed_descriptors() -> list[str]:
    """Open ``/dev/null`` for standard streams that were closed, and name stdin and stdout if so.

    The next file that this process opens would else get that number, and be read or written as a
    standard stream. Characters that stdout cannot write are escaped rather than fatal.
    """
    closed = []
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
            if name != "stderr":
                closed.append(name)
    if sys.stdout is None:
        sys.stdout = _nothing()
    with contextlib.suppress(AttributeError):
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    return closed


def _nothing() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123 - kept as stdout
