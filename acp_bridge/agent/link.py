"""The bridge's side of the keeper: start it, read what it reports, ask it to end its agent."""

import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import anyio
import anyio.to_thread

KEEPER = Path(__file__).with_name("keeper.py")
REAP_SECONDS = 5.0
"""How long a killed keeper may take to be gone."""


class KeeperLink:
    """One running keeper.

    Args:
        process: the keeper; its exit is collected by `close`.
        control: the bridge's end of the control socket.
    """

    def __init__(self, process: subprocess.Popen[bytes], control: socket.socket) -> None:
        self._process = process
        self._control = control
        self._received = b""

    @classmethod
    def start(
        cls,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path | None,
        stdio: tuple[int, int, int],
        seconds: Mapping[str, float],
    ) -> Self:
        """Start a keeper that starts `argv`.

        Args:
            argv: the agent's command line.
            env: the agent's environment.
            cwd: the agent's working directory.
            stdio: the agent's stdin, stdout and stderr; still the caller's to close.
            seconds: ``grace``, ``terminate`` and ``kill``, see `acp_bridge.agent.keeper`.

        Raises:
            OSError: the directory is missing, or the system is out of processes or descriptors.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            options = [f"{name}={value}" for name, value in seconds.items()]
            options.append(f"fd={theirs.fileno()}")
            options.append(f"lc_ctype={'present' if 'LC_CTYPE' in env else 'absent'}")
            try:
                process = subprocess.Popen(
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
        return cls(process, ours)

    async def report(self) -> tuple[str, int] | None:
        """Return the keeper's next report as (word, number), or None when the keeper has ended."""
        while b"\n" not in self._received:
            await anyio.wait_readable(self._control)
            try:
                chunk = self._control.recv(4096)
            except ConnectionResetError:
                chunk = b""  # killed before it read what was sent
            if not chunk:
                return None
            self._received += chunk
        line, _, self._received = self._received.partition(b"\n")
        word, number = line.decode().split()
        return word, int(number)

    def request_end(self) -> None:
        """Ask the keeper to end the agent and all below it; may be repeated."""
        # It fails when the keeper has ended: then what is asked for has happened.
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_WR)

    def hurry(self) -> None:
        """Ask the keeper not to wait any longer for anything to end by itself."""
        self._process.send_signal(signal.SIGUSR1)

    def kill(self) -> None:
        """Kill the keeper, and by that the agent (Linux)."""
        self._process.kill()

    async def close(self) -> None:
        """Collect the keeper's exit, killing it if it still runs, and close the socket."""
        self._control.close()
        self._process.kill()
        with anyio.CancelScope(shield=True), contextlib.suppress(subprocess.TimeoutExpired):
            await anyio.to_thread.run_sync(self._process.wait, REAP_SECONDS)
