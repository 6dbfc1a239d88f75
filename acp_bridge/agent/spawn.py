"""Starting the agent's keeper: pipes, control socket, process. Needs no event loop.

    with start_keeper() as keeper:
        ...  # find out what to start, and where
        spawned = keeper.start(argv, env=env)

The stdio bridge starts the keeper before it imports its settings, so that the keeper boots
meanwhile, and the agent before it imports what the relay needs. So this module imports nothing that
costs much. `acp_bridge.agent.process` takes over from here.

Measured with an echo on the other end, medians of five on two cores, for a round trip of 248 B and
for 256 MiB in pieces of 64 KiB:

| | C echo | Node echo |
|---|---|---|
| pipes of 1 MiB | 9 µs, 2.0 GB/s | 26 µs, 0.9 GB/s |
| pipes of 64 KiB | 9 µs, 1.3 GB/s | 26 µs, 0.6 GB/s |
| socket pairs | 18 µs, 2.6 GB/s | 32 µs, 1.3 GB/s |
| `anyio.open_process` | 25 µs, 1.0 GB/s | 31 µs, 0.5 GB/s |

ACP is mostly small messages, so the agent gets pipes, and large ones where the system allows it.
"""

import contextlib
import fcntl
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from acp_bridge.agent.ending import DEFAULT_LIMITS, Limits
from acp_bridge.agent.failure import keeper_ended, keeper_failure, not_sayable, too_slow

if TYPE_CHECKING:
    from pathlib import Path

KEEPER = os.path.join(os.path.dirname(__file__), "keeper.py")  # noqa: PTH118, PTH120 - pathlib costs
PIPE_BYTES = 1024 * 1024
REAP_SECONDS = 5.0
"""How long a keeper that was told to end, or killed, may take to be gone."""
LIBRARY_PATHS = (
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "DYLD_FALLBACK_LIBRARY_PATH",
    "DYLD_FRAMEWORK_PATH",
    "DYLD_FALLBACK_FRAMEWORK_PATH",
)
"""Where the dynamic linkers of Linux and macOS look for what a program was linked to."""


def open_pipe() -> tuple[int, int]:
    """Return (read end, write end) of a pipe, as large as `enlarge_pipe` can make it."""
    read_end, write_end = os.pipe()
    enlarge_pipe(write_end)
    return read_end, write_end


def enlarge_pipe(fd: int) -> None:
    """Make a pipe 1 MiB large where the system allows it; it is the same pipe for both ends."""
    if sys.platform == "linux":
        # A user's pipes share a quota (pipe-user-pages-soft); beyond it they stay small.
        with contextlib.suppress(OSError):
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


Descriptors = tuple[int, int, int]
"""The numbers for stdin, stdout and stderr."""


@contextlib.contextmanager
def agent_pipes() -> Iterator[tuple[Descriptors, Descriptors]]:
    """Open an agent's three pipes: (the bridge's ends, the agent's ends).

    The agent's ends are closed on leaving the block, the bridge's only if it is left by an error.
    """
    with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
        ends = []
        for bridge_reads in (False, True, True):
            read_end, write_end = open_pipe()
            our_end, their_end = (read_end, write_end) if bridge_reads else (write_end, read_end)
            ours.callback(os.close, our_end)
            theirs.callback(os.close, their_end)
            os.set_blocking(our_end, False)
            ends.append((our_end, their_end))
        (stdin, their_stdin), (stdout, their_stdout), (stderr, their_stderr) = ends
        yield (stdin, stdout, stderr), (their_stdin, their_stdout, their_stderr)
        ours.pop_all()


@dataclass(frozen=True, slots=True)
class Spawned:
    """A keeper that has its order and is starting the agent; nobody looks after it yet.

    Attributes:
        argv: the agent's command line.
        env: its whole environment; may hold secrets.
        cwd: its working directory; None for the bridge's own.
        limits: bounds of every wait.
        keeper: the keeper's process.
        control: the bridge's end of the control socket, non-blocking.
        pipes: the bridge's ends of the agent's pipes, non-blocking.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    cwd: "Path | None"
    limits: Limits
    keeper: subprocess.Popen[bytes]
    control: socket.socket
    pipes: Descriptors


class WaitingKeeper:
    """A keeper that runs and waits to be told what to start; made by `start_keeper`.

    As a context manager it is closed on leaving the block, unless it was given an agent to start.
    A bridge that ends without that, even by ``kill -9``, is the keeper's end too.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], control: socket.socket, pipes: Descriptors
    ) -> None:
        self._process = process
        self._control = control
        self._pipes = pipes
        self._spent = False
        self._owned = contextlib.ExitStack()
        self._owned.callback(_reap, process)
        for pipe in pipes:
            self._owned.callback(os.close, pipe)
        self._owned.callback(control.close)

    def start(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: "Path | None" = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> Spawned:
        """Tell the keeper to start `argv`; to be called once. If it fails, the keeper is closed.

        Args:
            argv: the agent's command line; a name without a slash is looked up on ``PATH`` in
                `env`.
            env: the agent's whole environment.
            cwd: its working directory, from where the bridge was when it started the keeper;
                default just there.
            limits: bounds of every wait.

        Raises:
            AgentError: the keeper has ended or does not read within `limits.start`; or what it is
                told cannot be told to a program.
        """
        if self._spent:
            raise RuntimeError("this keeper was given an agent, or closed")
        with self:
            self._send(_order(argv, env, cwd, limits), argv[0], limits)
            self._owned.pop_all()
        return Spawned(
            tuple(argv), dict(env), cwd, limits, self._process, self._control, self._pipes
        )

    def close(self) -> None:
        """End the keeper, in bounded time, if it was not given an agent; may be repeated."""
        self._spent = True
        self._owned.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _send(self, order: bytes, program: str, limits: Limits) -> None:
        # An order may be larger than the socket's buffer, and the keeper may still be booting.
        self._control.settimeout(limits.start)
        try:
            self._control.sendall(order)
        except (TimeoutError, BlockingIOError) as error:
            raise too_slow(program, limits.start) from error
        except OSError as error:
            raise keeper_ended() from error
        self._control.setblocking(False)


def _order(
    argv: Sequence[str], env: Mapping[str, str], cwd: "Path | None", limits: Limits
) -> bytes:
    from acp_bridge.agent.keeper import Order  # noqa: PLC0415 - the keeper boots meanwhile

    try:
        return Order(
            argv=[os.fsencode(word) for word in argv],
            environment={os.fsencode(name): os.fsencode(value) for name, value in env.items()},
            directory=b"" if cwd is None else os.fsencode(cwd),
            waits=(limits.grace, limits.terminate, limits.kill),
        ).packed()
    except ValueError as error:
        raise not_sayable(argv[0]) from error


def _reap(process: subprocess.Popen[bytes]) -> None:
    """Collect the exit of a keeper whose control socket is closed."""
    try:
        process.wait(REAP_SECONDS)
    except subprocess.TimeoutExpired:
        # Nothing was started, so nothing is lost with it.
        process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(REAP_SECONDS)


def start_keeper() -> WaitingKeeper:
    """Start a keeper that waits to be told what to start.

    Raises:
        AgentError: the system is out of processes or descriptors.
    """
    try:
        with agent_pipes() as (ours, theirs):
            process, control = _start_process(theirs)
    except OSError as error:
        raise keeper_failure(error.errno or 0) from error
    return WaitingKeeper(process, control, ours)


def _start_process(stdio: Descriptors) -> tuple[subprocess.Popen[bytes], socket.socket]:
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", KEEPER, f"fd={theirs.fileno()}"],
                stdin=stdio[0],
                stdout=stdio[1],
                stderr=stdio[2],
                pass_fds=[theirs.fileno()],
                env=keeper_environment(os.environ),
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            raise
    return process, ours


def keeper_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the keeper's own environment: where libraries are, and where ``ps`` is.

    It runs as long as the agent and any program of the same user can read its environment, so it
    gets none of the user's. A Python that is linked dynamically to libraries outside of the usual
    folders, as some distributions build it, needs `LIBRARY_PATHS` to start at all. It needs no
    locale: it handles bytes only.
    """
    found = {name: environ[name] for name in LIBRARY_PATHS if name in environ}
    return {"PATH": os.defpath, **found}


def spawn_agent(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: "Path | None" = None,
    limits: Limits = DEFAULT_LIMITS,
    keeper: WaitingKeeper | None = None,
) -> Spawned:
    """Start a keeper that starts `argv`. If nobody takes it over, the bridge's end is its end.

    Args:
        argv: as all but the last, see `WaitingKeeper.start`.
        env: the agent's whole environment.
        cwd: its working directory; default the bridge's own.
        limits: bounds of every wait.
        keeper: one that waits already; closed if this fails.

    Raises:
        AgentError: the system is out of processes or descriptors; or as `WaitingKeeper.start`.
    """
    return (keeper or start_keeper()).start(argv, env=env, cwd=cwd, limits=limits)
