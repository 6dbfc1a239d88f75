"""Starting the agent's keeper: pipes, control socket, process. Needs no event loop.

The stdio bridge calls this before it imports what the relay needs, so that the agent boots
meanwhile; `acp_bridge.agent.process` takes over from there.

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
from pathlib import Path

from acp_bridge.agent.ending import DEFAULT_LIMITS, Limits
from acp_bridge.agent.failure import start_failure

KEEPER = Path(__file__).with_name("keeper.py")
PIPE_BYTES = 1024 * 1024


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
    """A keeper that has been started and is starting the agent; nobody looks after it yet.

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
    cwd: Path | None
    limits: Limits
    keeper: subprocess.Popen[bytes]
    control: socket.socket
    pipes: Descriptors


def spawn_agent(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Spawned:
    """Start a keeper that starts `argv`. If nobody takes it over, the bridge's end is its end.

    Args:
        argv: the agent's command line; a name without a slash is looked up on ``PATH`` in `env`.
        env: the agent's whole environment.
        cwd: its working directory; default the bridge's own.
        limits: bounds of every wait.

    Raises:
        AgentError: the directory is missing, or the system is out of processes or descriptors.
    """
    try:
        with agent_pipes() as (ours, theirs):
            keeper, control = _start_keeper(argv, env, cwd, limits, theirs)
    except OSError as failure:
        path = env.get("PATH")
        raise start_failure(failure.errno or 0, argv[0], path=path, cwd=cwd) from failure
    return Spawned(tuple(argv), dict(env), cwd, limits, keeper, control, ours)


def _start_keeper(
    argv: Sequence[str],
    env: Mapping[str, str],
    cwd: Path | None,
    limits: Limits,
    stdio: Descriptors,
) -> tuple[subprocess.Popen[bytes], socket.socket]:
    ours, theirs = socket.socketpair()
    with theirs:
        options = [
            f"grace={limits.grace}",
            f"terminate={limits.terminate}",
            f"kill={limits.kill}",
            f"fd={theirs.fileno()}",
            f"lc_ctype={'present' if 'LC_CTYPE' in env else 'absent'}",
        ]
        try:
            keeper = subprocess.Popen(
                [sys.executable, "-I", "-S", str(KEEPER), *options, "--", *argv],
                stdin=stdio[0],
                stdout=stdio[1],
                stderr=stdio[2],
                pass_fds=[theirs.fileno()],
                env=env,
                cwd=cwd,
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            raise
    ours.setblocking(False)
    return keeper, ours
