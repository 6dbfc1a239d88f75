"""The bridge's side of a keeper: read what it reports, ask it to end its agent."""

import contextlib
import signal
import socket
import subprocess

import anyio
import anyio.to_thread

from acp_bridge.agent.spawn import REAP_SECONDS


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
