"""A companion process beside the program that replaces this one.

``exec`` becomes the command it is given, so that signals, job control, the terminal and the exit
status are the command's own. What meters and guards it has to be another process then:

* it is no child of the command, which would find a child that it does not know, and no member of
  its process group or session, so that Ctrl-C, a closed terminal, ``kill`` of the group and a walk
  over the command's descendants pass it by;
* it holds none of the descriptors that this process was handed: a pipe to an editor ends when the
  command ends;
* it lives until the command has ended, however that ends, and then as long as its work needs.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.to_thread

from acp_bridge.errors import BridgeError

_LOOK_SECONDS = 0.2
"""How often a program is looked for where the kernel does not tell of its end."""
_BACKGROUND_SECONDS = 1.0
"""How often it is looked whether Claude Code goes on in the background."""
_PROGRAM_WORDS = 3
"""So many words of a command line can name the program: an interpreter, its option, a file."""
_FIRST_OTHER = 3
_IGNORED = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM, signal.SIGTSTP)


class Program:
    """The program beside which a companion stands.

    Attributes:
        pid: of the process that becomes it.
    """

    def __init__(self, pid: int, answer: int) -> None:
        self.pid = pid
        self._answer = answer
        # While it waits here its number is certainly its own.
        self._watch = _watch(pid)

    def let_go(self) -> None:
        """The program may start: whoever waits for the companion goes on."""
        self._say({})

    def refuse(self, error: BridgeError) -> None:
        """The program must not start, and why; nothing if it has been let go."""
        self._say({"message": error.message, "hint": error.hint, "exit_status": error.exit_status})

    def _say(self, answer: object) -> None:
        if self._answer < 0:
            return
        descriptor, self._answer = self._answer, -1
        try:
            os.write(descriptor, json.dumps(answer).encode())
        except BrokenPipeError:
            pass  # it has ended meanwhile
        finally:
            os.close(descriptor)

    async def ended(self) -> None:
        """Wait until the program has ended."""
        if self._watch is None:
            while _lives(self.pid):  # noqa: ASYNC110 - what is waited for has no event
                await anyio.sleep(_LOOK_SECONDS)
        else:
            await anyio.wait_readable(self._watch)

    def end(self) -> None:
        """Ask the program to end."""
        try:
            if self._watch is None:
                os.kill(self.pid, signal.SIGTERM)
            else:
                signal.pidfd_send_signal(self._watch, signal.SIGTERM)
        except ProcessLookupError:
            pass  # it has


def stand_beside(work: Callable[[Program], None]) -> None:
    """Start a companion of this process, and wait until it lets this process go on.

    To be called while there is one thread and no event loop. Raises here what the companion refused
    with.

    Args:
        work: what the companion does; it ends when this returns.

    Raises:
        BridgeError: the companion does not let the program start.
    """
    program = os.getpid()
    answered, answer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(answered)
            os.setsid()
            if os.fork() == 0:
                _detach()
                work(Program(program, answer))
        finally:
            os._exit(0)
    os.close(answer)
    os.waitpid(child, 0)
    with open(answered, "rb") as said:  # noqa: PTH123 - a descriptor
        words = said.read()
    if not words:
        raise _RefusedError(
            "what meters and guards the command ended before it began",
            hint="set ACP_BRIDGE_LOG_FILE and try again to see why; please report it",
            exit_status=4,
        )
    refusal = json.loads(words)
    if refusal:
        raise _RefusedError(
            refusal["message"], hint=refusal["hint"], exit_status=refusal["exit_status"]
        )


class _RefusedError(BridgeError):
    """An error from the companion, as it was there."""

    def __init__(self, message: str, *, hint: str, exit_status: int) -> None:
        super().__init__(message, hint=hint)
        self.exit_status = exit_status


async def left_behind_ended(folder: Path) -> None:
    """Wait until no Claude Code runs any more that was started under a launch gate.

    Returns at once on systems that do not show the environment of processes.

    Args:
        folder: the run's directory, which the gate names in the environment of what it starts.
    """
    while await anyio.to_thread.run_sync(_claudes_of, os.fsencode(folder)):  # noqa: ASYNC110 - processes have no event here
        await anyio.sleep(_BACKGROUND_SECONDS)


def _claudes_of(folder: bytes) -> bool:
    """Whether a process of Claude Code, or a gate that becomes one, was given the folder."""
    if sys.platform != "linux":
        return False
    for name in os.listdir("/proc"):  # noqa: PTH208 - of a folder that changes meanwhile
        if name.isdigit() and int(name) != os.getpid():
            process = Path("/proc", name)
            try:
                command = (process / "cmdline").read_bytes().split(b"\0")[:_PROGRAM_WORDS]
                is_claude = any(word.rpartition(b"/")[2] == b"claude" for word in command)
                is_gate = any(word.startswith(folder) for word in command)
                if (is_claude or is_gate) and folder in (process / "environ").read_bytes():
                    return True
            except OSError:
                continue  # it has ended, or is another user's
    return False


def _detach() -> None:
    """Hold nothing of what this process was handed, and hear nothing of what the terminal says."""
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(_FIRST_OTHER):
        os.dup2(nothing, descriptor)
    os.close(nothing)
    for name in os.listdir("/dev/fd"):  # noqa: PTH208 - of a folder that changes meanwhile
        descriptor = int(name)
        if descriptor >= _FIRST_OTHER:
            try:
                if os.get_inheritable(descriptor):
                    os.close(descriptor)
            except OSError:
                continue  # what listed the folder


def _watch(pid: int) -> int | None:
    """A descriptor that stands for a process; None where the kernel has none."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
