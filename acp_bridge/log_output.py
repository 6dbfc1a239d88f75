"""Where log lines go: a thread writes them, so that whoever logs never waits.

A client that starts the bridge and does not read its stderr would otherwise stop the ACP stream as
soon as the pipe is full, and a full disk or a slow one would do the same.
"""

import atexit
import contextlib
import queue
import threading
from collections.abc import Callable

KEPT_LINES = 1000
"""How many lines may wait to be written; what comes then is left out and counted."""
LAST_SECONDS = 1.0
"""How long the end of the process waits for the last lines."""


class LogOutput:
    """A text file as structlog wants it, for any number of threads.

    Args:
        write: writes some text; may block, and its `OSError` is ignored.
    """

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._lines: queue.Queue[str] = queue.Queue(KEPT_LINES)
        self._left_out = 0
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def write(self, text: str) -> None:
        """Take a line; returns at once."""
        with self._lock:
            self._start()
            notice = f"({self._left_out} log lines were left out)\n" if self._left_out else ""
            try:
                self._lines.put_nowait(notice + text)
            except queue.Full:
                self._left_out += 1
            else:
                self._left_out = 0

    def flush(self) -> None:
        """Do nothing: lines are on their way."""

    def drain(self, seconds: float = LAST_SECONDS) -> None:
        """Wait until everything is written, at most so many seconds."""
        with self._lines.all_tasks_done:
            self._lines.all_tasks_done.wait_for(
                lambda: self._lines.unfinished_tasks == 0, timeout=seconds
            )

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="acp-bridge log", daemon=True)
            self._thread.start()
            atexit.register(self.drain)

    def _run(self) -> None:
        while True:
            line = self._lines.get()
            with contextlib.suppress(OSError, ValueError):
                self._write(line)
            self._lines.task_done()
