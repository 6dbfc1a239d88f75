"""Why an agent could not be started, in the words that a user reads."""

import errno
import os
from typing import TYPE_CHECKING

from acp_bridge.errors import AgentError

if TYPE_CHECKING:
    from pathlib import Path

MACHINE = "check the limits and the memory of this machine"


def keeper_failure(number: int) -> AgentError:
    """Say why the keeper could not be started, from an error number of the operating system."""
    return AgentError(
        f"the process that watches over the agent could not be started: {os.strerror(number)}",
        hint=MACHINE,
    )


def keeper_ended() -> AgentError:
    """Say that the keeper ended before it reported anything."""
    return AgentError(
        "the process that watches over the agent ended at once",
        hint="check that this Python can start programs and has memory left",
    )


def too_slow(program: str, seconds: float) -> AgentError:
    """Say that the keeper or the agent did not get ready in time."""
    return AgentError(
        f"the agent {program} did not start within {seconds:g} s",
        hint="check the load of this machine and try again",
    )


def not_sayable(program: str) -> AgentError:
    """Say that no program can be started with what was asked for."""
    return AgentError(
        f"the agent {program!r} cannot be started: its command line, environment or working "
        "directory holds a character that none may hold",
        hint="look for NUL characters there, and for a = in the names of variables",
    )


def start_failure(number: int, program: str, *, path: str | None, cwd: "Path | None") -> AgentError:
    """Translate an error number of the operating system.

    Args:
        number: what ``chdir`` or ``execve`` failed with.
        program: the first word of the agent's command line.
        path: the ``PATH`` that it was looked up on.
        cwd: the agent's working directory, if it was to have one of its own.
    """
    import shutil  # noqa: PLC0415 - 2 ms before each start, for the few that fail

    if cwd is not None and not os.path.isdir(cwd):  # noqa: PTH112 - Path.is_dir may raise
        return AgentError(
            f"the working directory {cwd} does not exist", hint="name a directory that exists"
        )
    match number:
        case errno.ENOENT if shutil.which(program, path=path):
            problem = "names an interpreter in its first line that does not exist"
            hint = "install that interpreter or correct the line"
        case errno.ENOENT:
            problem = "was not found"
            hint = "set ACP_BRIDGE_AGENT to the command line of the agent"
        case errno.EACCES:
            problem = "is not executable"
            hint = f"check its permissions: chmod +x {program}"
        case errno.ENOEXEC:
            problem = "is not a program that this machine can run"
            hint = "check its first line (#!…), or whether it was built for this machine"
        case _:
            problem = f"could not be started: {os.strerror(number)}"
            hint = MACHINE
    return AgentError(f"the agent {program} {problem}", hint=hint)
