"""Keeps the registry's file of a run up to date, without ever making the stream wait.

Changes are written by a worker thread, the newest state at a time: a slow disk delays the file, not
the session. A disk that cannot be written is no reason to end a session either.
"""

import contextlib

import anyio
import anyio.lowlevel
import anyio.to_thread
from anyio.abc import TaskStatus

from acp_bridge.ledger.runs import RunDirectory
from acp_bridge.run.record import RunRecord

LAST_WRITE_SECONDS = 5.0
"""How long the end of a run waits for its last status to reach the disk."""


class Registrar:
    """Writes one run's status document whenever it has changed, one write after the other."""

    def __init__(self, directory: RunDirectory, record: RunRecord) -> None:
        self._directory = directory
        self._record = record
        self._changed = anyio.Event()
        self._runs = False
        self._finished = anyio.Event()
        # A cancelled run, too, has an end that is worth recording.
        self._scope = anyio.CancelScope(shield=True)
        record.changed = self._note

    def _note(self) -> None:
        self._changed.set()

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Write until `finish`; the first document is on disk when this has started."""
        await self._write()
        self._runs = True
        task_status.started()
        try:
            await anyio.lowlevel.checkpoint()
            with self._scope:
                ended = False
                while not ended:
                    await self._changed.wait()
                    self._changed = anyio.Event()
                    # The end may come during a write, and wants one of its own.
                    ended = self._record.ended_at is not None
                    await self._write()
        finally:
            self._finished.set()

    async def finish(self) -> None:
        """Write the end of the run and stop."""
        self._record.end()
        with anyio.CancelScope(shield=True), anyio.move_on_after(LAST_WRITE_SECONDS):
            # A run that could not be started is recorded, too.
            await (self._finished.wait() if self._runs else self._write())
        self._scope.cancel()

    async def _write(self) -> None:
        document = self._record.document()
        # Abandoned only by `finish`, and only when a disk does not answer.
        with contextlib.suppress(OSError):
            await anyio.to_thread.run_sync(
                self._directory.write_status, document, abandon_on_cancel=True
            )
