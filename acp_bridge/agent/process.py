"""The running agent: start it under a keeper, talk to it, learn how it ended, end it.

    async with start_agent(argv, env=env, cwd=cwd) as agent:
        await agent.stdin.send(line)
        reply = await agent.stdout.receive()

Leaving the block ends the agent and everything below it, in bounded time, whatever the reason for
leaving. See `acp_bridge.agent.keeper` for how, and for what happens when the bridge is killed.
"""

import contextlib
import errno
import os
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
import anyio.abc

from acp_bridge.agent.link import KeeperLink
from acp_bridge.agent.pipes import agent_pipes
from acp_bridge.agent.stderr import StderrDrain
from acp_bridge.agent.streams import FdReceiveStream, FdSendStream
from acp_bridge.errors import AgentError

MARGIN_SECONDS = 2.0
"""What the keeper gets beyond its own limits before it is taken for stuck."""
STDERR_SECONDS = 1.0
"""How long the last of stderr is waited for when everything that could write has ended."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long each step of starting and ending an agent may take, in seconds.

    Attributes:
        start: from the start of the keeper to that of the agent.
        grace: for the agent to end by itself after its stdin ended. Claude Code needs up to 3 s to
            end the processes of its Bash tool.
        terminate: between SIGTERM and SIGKILL.
        kill: for the kernel to carry SIGKILL out on all descendants.
    """

    start: float = 15.0
    grace: float = 5.0
    terminate: float = 2.0
    kill: float = 5.0

    @property
    def stop(self) -> float:
        """The longest that a stop may take before the keeper is killed."""
        return self.grace + self.terminate + self.kill + MARGIN_SECONDS


@dataclass(frozen=True, slots=True)
class AgentExit:
    """How the agent ended.

    Attributes:
        returncode: its exit status; None if a signal ended it or it is not known.
        signal: the number of the signal that ended it, or None.
    """

    returncode: int | None = None
    signal: int | None = None

    @classmethod
    def from_code(cls, code: int) -> Self:
        """Read the keeper's report: an exit status, or minus a signal's number."""
        return cls(signal=-code) if code < 0 else cls(returncode=code)

    @property
    def text(self) -> str:
        """The half sentence for users: "exited with status 3", "was ended by SIGKILL"."""
        if self.signal is not None:
            return f"was ended by {signal_name(self.signal)}"
        if self.returncode is not None:
            return f"exited with status {self.returncode}"
        return "was ended together with the process that watched over it"


def signal_name(number: int) -> str:
    """Return ``SIGKILL`` for 9, ``signal 64`` for one without a name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def start_agent(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
    limits: Limits = Limits(),
    on_stderr_line: Callable[[str], None] | None = None,
) -> "Agent":
    """Describe an agent to start; ``async with`` starts it.

    Args:
        argv: the command line; a name without a slash is looked up on the ``PATH`` in `env`.
        env: the agent's whole environment.
        cwd: its working directory; default the bridge's own.
        limits: bounds of every wait.
        on_stderr_line: gets each line of the agent's stderr, in the event loop's thread.

    Raises:
        AgentError: on entering, if the agent cannot be started.
    """
    return Agent(tuple(argv), dict(env), cwd, limits, StderrDrain(on_stderr_line))


class Agent:
    """An agent between its start and its end; made by `start_agent`.

    Attributes:
        stdin: where ACP messages to the agent go. Closing it asks the agent to end.
        stdout: where the agent's ACP messages come from.
        pid: the agent's process id, which is also that of its process group and session.
    """

    stdin: FdSendStream
    stdout: FdReceiveStream
    pid: int

    def __init__(
        self,
        argv: tuple[str, ...],
        env: dict[str, str],
        cwd: Path | None,
        limits: Limits,
        stderr: StderrDrain,
    ) -> None:
        self._argv = argv
        self._env = env
        self._cwd = cwd
        self._limits = limits
        self._stderr = stderr
        self._exit: AgentExit | None = None
        self._exited = anyio.Event()
        self._all_gone = anyio.Event()

    @property
    def stderr_tail(self) -> str:
        """The last of what the agent wrote to stderr, at most 64 KiB."""
        return self._stderr.tail

    async def wait(self) -> AgentExit:
        """Wait until the agent has ended and return how.

        Its stdout may still hold bytes, or be held open by a process that the agent left behind;
        the keeper ends such processes within its limits.
        """
        await self._exited.wait()
        return self._exit or AgentExit()

    async def stop(self) -> AgentExit:
        """End the agent and everything below it, and return how it ended; may be repeated.

        Closes the agent's stdin, waits, then SIGTERM, then SIGKILL, as `Limits` says. Not cancelled
        from outside. Keep reading `stdout` meanwhile: an agent that cannot write cannot end well.
        """
        with anyio.CancelScope(shield=True):
            await self.stdin.aclose()
            self._link.request_end()
            with anyio.move_on_after(self._limits.stop):
                await self._all_gone.wait()
            if not self._all_gone.is_set():
                self._link.kill()
                await self._all_gone.wait()
        return await self.wait()

    async def __aenter__(self) -> Self:
        (stdin, stdout, stderr) = self._spawn()
        self.stdin = FdSendStream(stdin)
        self.stdout = FdReceiveStream(stdout)
        self._stderr_pipe = FdReceiveStream(stderr)
        try:
            self.pid = await self._started()
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._close()
            raise
        self._background = anyio.CancelScope(shield=True)
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._attend)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._discard_stdout)
                await self.stop()
                with anyio.move_on_after(STDERR_SECONDS):
                    await self._stderr.ended.wait()
                tasks.cancel_scope.cancel()
            await self._close()
        self._background.cancel()
        # An error of the block's own is not handed to the task group, which would wrap it in an
        # exception group; a cancellation must be, so that it reaches the scope that it is for.
        if isinstance(error, anyio.get_cancelled_exc_class()):
            await self._tasks.__aexit__(kind, error, trace)
        else:
            await self._tasks.__aexit__(None, None, None)

    def _spawn(self) -> tuple[int, int, int]:
        """Start the keeper; return the bridge's ends of the agent's pipes."""
        seconds = {
            "grace": self._limits.grace,
            "terminate": self._limits.terminate,
            "kill": self._limits.kill,
        }
        try:
            with agent_pipes() as (ours, theirs):
                self._link = KeeperLink.start(
                    self._argv, env=self._env, cwd=self._cwd, stdio=theirs, seconds=seconds
                )
        except OSError as failure:
            raise self._failure(failure.errno or 0) from failure
        return ours

    async def _started(self) -> int:
        """Return the agent's process id once it runs."""
        with anyio.move_on_after(self._limits.start):
            match await self._link.report():
                case ("started", pid):
                    return pid
                case ("failed", number):
                    raise self._failure(number)
                case _:
                    raise AgentError(
                        "the process that watches over the agent ended at once",
                        hint="check that this Python can start programs and has memory left",
                    )
        raise AgentError(
            f"the agent {self._argv[0]} did not start within {self._limits.start:g} s",
            hint="check the load of this machine and try again",
        )

    def _failure(self, number: int) -> AgentError:
        """Say why the agent could not be started."""
        program = self._argv[0]
        if self._cwd is not None and not self._cwd.is_dir():
            return AgentError(
                f"the working directory {self._cwd} does not exist",
                hint="name a directory that exists",
            )
        match number:
            case errno.ENOENT if shutil.which(program, path=self._env.get("PATH")):
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

    async def _attend(self) -> None:
        """Follow the keeper's reports and drain stderr, whatever is cancelled around."""
        with self._background:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._stderr.run, self._stderr_pipe)
                tasks.start_soon(self._follow)

    async def _follow(self) -> None:
        while report := await self._link.report():
            if report[0] == "exited":
                self._exit = AgentExit.from_code(report[1])
                self._exited.set()
        if self._exit is None:
            # The keeper was killed. Linux has killed the agent with it, other systems have not.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        self._exited.set()
        self._all_gone.set()

    async def _discard_stdout(self) -> None:
        """Keep an agent that is being ended from waiting for somebody to read."""
        with contextlib.suppress(
            anyio.EndOfStream,
            anyio.BrokenResourceError,
            anyio.ClosedResourceError,
            anyio.BusyResourceError,
        ):
            while True:
                await self.stdout.receive()

    async def _close(self) -> None:
        await self.stdin.aclose()
        await self.stdout.aclose()
        await self._stderr_pipe.aclose()
        await self._link.close()
