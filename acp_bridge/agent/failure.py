"""Why an agent could not be started, in the words that a user reads."""

import errno
import os
import shutil
from pathlib import Path

from acp_bridge.errors import AgentError


def start_failure(number: int, program: str, *, path: str | None, cwd: Path | None) -> AgentError:
    """Translate an error number of the operating system.

    Args:
        number: what ``execve`` or the start of the keeper failed with.
        program: the first word of the agent's command line.
        path: the ``PATH`` that it was looked up on.
        cwd: the agent's working directory, if it was to have one of its own.
    """
    if cwd is not None and not cwd.is_dir():
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
            hint = "check the limits and the memory of this machine"
    return AgentError(f"the agent {program} {problem}", hint=hint)
