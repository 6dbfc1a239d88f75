"""Becoming another program, for the commands that hand the terminal over (``exec``, ``--cli``).

The bridge's process is replaced by such a program: signals, job control, the terminal's state and
the exit status are then exactly the program's own, and the process id stays. What meters and guards
the program is a companion (`acp_bridge.agent.beside`).
"""

import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

from acp_bridge.errors import AgentError


def find_program(argv: Sequence[str], env: Mapping[str, str]) -> str:
    """The path of a command line's program.

    Raises:
        AgentError: there is no such program.
    """
    program = shutil.which(argv[0], path=env.get("PATH", os.defpath))
    if program is None:
        raise AgentError(
            f"{argv[0]} was not found or is not executable",
            hint="check the name and the PATH",
        )
    return program


def replace_process(argv: Sequence[str], env: Mapping[str, str]) -> NoReturn:
    """Replace this process by a program; the standard streams stay as they are.

    Args:
        argv: the command line; a name without a slash is looked up on the ``PATH`` in `env`.
        env: the program's whole environment.

    Raises:
        AgentError: there is no such program, or the system does not run it.
    """
    program = find_program(argv, env)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not stream.closed:
            stream.flush()
    former = {number: signal.getsignal(number) for number in (signal.SIGPIPE, signal.SIGXFSZ)}
    try:
        # Python ignores these two, and what is ignored stays so in the next program.
        for number in former:
            signal.signal(number, signal.SIG_DFL)
        os.execve(program, list(argv), dict(env))  # noqa: S606 - no shell is what is wanted
    except OSError as error:
        for number, handler in former.items():
            signal.signal(number, handler)
        raise AgentError(
            f"{program} could not be started: {error.strerror}",
            hint="check its first line (#!…), or whether it was built for this machine",
        ) from error
