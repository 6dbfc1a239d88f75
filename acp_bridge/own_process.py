"""What other programs can read of this process: its first environment, and its memory.

Credentials come to the bridge in environment variables. Linux shows the block in which a program
was handed its environment to root and to every program of the same user, the agent's own shell
among them, as ``/proc/PID/environ``, for as long as the program runs and whatever it does to its
variables. Both functions here are for a process that is a bridge and nothing else: a program that
embeds one decides for itself. On systems other than Linux they do nothing.

The whole block is overwritten and not the values of some names: which variable holds a secret
nobody can know. Beside keys and tokens there are passwords in the URLs of proxies and databases,
and names that come with a next release; and nobody has to read a bridge's variables from outside.
"""

import contextlib
import os
import sys

ENV_START, ENV_END = 50 - 3, 51 - 3
"""The fields of ``/proc/PID/stat`` (numbered from 1 in proc(5)) with the block's addresses, counted
from the third: the second, the program's name in brackets, may itself hold blanks and brackets."""


def forget_environment() -> bool:
    """Overwrite the environment that this process was started with; may be repeated.

    Every variable stays what it is for this process, its libraries and the programs that it starts:
    `os.environ` has copies of its own, and the C library gets new ones first. Takes half a
    millisecond. To be called while there is no second thread that reads a variable.

    Returns:
        Whether the block is empty now. False on other systems, and where it is not certain which
        memory it is, or the kernel does not let it be written.
    """
    if sys.platform != "linux":
        return False
    for name, value in os.environb.items():
        if name:  # a nameless one cannot be set
            os.putenv(name, value)
    with contextlib.suppress(OSError, ValueError, IndexError):
        return _overwrite(*_first_environment())
    return False


def hide_from_others() -> bool:
    """Keep other programs of the same user from reading this process.

    Its memory, environment and open files can then be read by root alone, it cannot be traced, and
    leaves no core dump. Command line, state and parent stay readable; signals reach it as before.
    Programs that it starts are not hidden.

    Returns:
        Whether it is hidden; False on systems that cannot.
    """
    from acp_bridge.agent.keeper import (  # noqa: PLC0415 - imports ctypes, which costs
        PR_SET_DUMPABLE,
        find_prctl,
    )

    return find_prctl()(PR_SET_DUMPABLE, 0) == 0


def _first_environment() -> tuple[int, int]:
    """Where in this process's memory the block begins, and where it ends."""
    with open("/proc/self/stat", "rb") as file:  # noqa: PTH123 - pathlib would delay the agent
        fields = file.read().rpartition(b")")[2].split()
    return int(fields[ENV_START]), int(fields[ENV_END])


def _overwrite(start: int, end: int) -> bool:
    """Fill that piece of memory with NULs, if it is what the kernel shows as the environment.

    Through the kernel: an address that is none is an error there, and a crash with ctypes.
    """
    shown, size = _shown(), end - start
    if not size or size != len(shown):
        return False
    memory = os.open("/proc/self/mem", os.O_RDWR | os.O_CLOEXEC)
    try:
        if os.pread(memory, size, start) != shown:
            return False
        os.pwrite(memory, bytes(size), start)
    finally:
        os.close(memory)
    return not _shown().strip(b"\0")


def _shown() -> bytes:
    with open("/proc/self/environ", "rb") as file:  # noqa: PTH123 - as above
        return file.read()
