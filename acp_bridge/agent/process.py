"""The running agent: start it under a keeper, talk to it, learn how it ended, end it.

    async with start_agent(argv, env=env, cwd=cwd) as agent:
        await agent.stdin.send(line)
        reply = await agent.stdout.receive()

Leaving the block ends the agent and everything below it, in bounded time, whatever the reason for
leaving. See `acp_bridge.agent.keeper` for how, and for what happens when the bridge is killed.
"""

import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
import anyio.abc

from acp_bridge.agent.ending import DEFAULT_LIMITS, MARGIN_SECONDS, AgentExit, Limits
from acp_bridge.agent.failure import keeper_ended, start_failure, too_slow
from acp_bridge.agent.link import KeeperLink
from acp_bridge.agent.spawn import Spawned, spawn_agent
from acp_bridge.agent.stderr import StderrDrain
from acp_bridge.agent.streams import FdReceiveStream, FdSendStream
from acp_bridge.errors import AgentError

__all__ = ["Agent", "AgentExit", "Limits", "adopt_agent", "start_agent"]

STDERR_SECONDS = 1.0
"""How long the last of stderr is waited for when everything that could write has ended."""


def start_agent(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
    limits: Limits = DEFAULT_LIMITS,
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
    return Agent(
        lambda: spawn_agent(argv, env=env, cwd=cwd, limits=limits), StderrDrain(on_stderr_line)
    )


def adopt_agent(
    spawned: Spawned, *, on_stderr_line: Callable[[str], None] | None = None
) -> "Agent":
    """Describe an agent that `spawn_agent` has begun to start; ``async with`` takes it over.

    Raises:
        AgentError: on entering, if the agent could not be started.
    """
    return Agent(lambda: spawned, StderrDrain(on_stderr_line))


class Agent:
    """An agent between its start and its end; made by `start_agent`.

    Attributes:
        stdin: where ACP messages to the agent go. Closing it asks the agent to end.
        stdout: where the agent's ACP messages come from.
        pid: the agent's process id, which is also that of its process group and session.
        survivors: how many processes could not be ended within the limits, which takes one that the
            kernel does not let die or that runs as another user.
    """

    stdin: FdSendStream
    stdout: FdReceiveStream
    pid: int
    survivors: int = 0

    def __init__(self, begin: Callable[[], Spawned], stderr: StderrDrain) -> None:
        self._begin = begin
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
            with anyio.move_on_after(self._spawned.limits.stop):
                await self._all_gone.wait()
            if not self._all_gone.is_set():
                self._link.kill()
                with anyio.move_on_after(MARGIN_SECONDS):
                    await self._all_gone.wait()
        return self._exit or AgentExit()

    def hurry(self) -> None:
        """Cut the waits of a `stop` short: what is left is killed at once."""
        self._link.hurry()

    async def __aenter__(self) -> Self:
        self._spawned = self._begin()
        self._link = KeeperLink(self._spawned.keeper, self._spawned.control)
        (stdin, stdout, stderr) = self._spawned.pipes
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

    async def _started(self) -> int:
        """Return the agent's process id once it runs."""
        spawned = self._spawned
        with anyio.move_on_after(spawned.limits.start):
            match await self._link.report():
                case ("started", pid):
                    return pid
                case ("failed", number):
                    raise self._failure(number)
                case _:
                    raise keeper_ended()
        raise too_slow(spawned.argv[0], spawned.limits.start)

    def _failure(self, number: int) -> AgentError:
        spawned = self._spawned
        path = spawned.env.get("PATH")
        return start_failure(number, spawned.argv[0], path=path, cwd=spawned.cwd)

    async def _attend(self) -> None:
        """Follow the keeper's reports and drain stderr, whatever is cancelled around."""
        with self._background:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._stderr.run, self._stderr_pipe)
                tasks.start_soon(self._follow)

    async def _follow(self) -> None:
        try:
            while report := await self._link.report():
                word, number = report
                if word == "exited":
                    self._exit = AgentExit.from_code(number)
                    self._exited.set()
                else:
                    self.survivors = number
        finally:
            if self._exit is None:
                # The keeper was killed. Linux has killed the agent with it, others have not.
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
