"""The one thread of a process that writes to the ledger.

Whoever records something hands it over and goes on: no caller waits for a disk, a lock or an
import. What waits is bounded; what is given up is counted, never dropped in silence.
"""

import threading
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from acp_bridge.ledger.records import Row

if TYPE_CHECKING:
    from acp_bridge.ledger.storing import Store

MOST_WAITING = 100_000
"""Rows that may wait for a disk; about 100 MB of them."""

BATCH = 1000
"""Rows of one transaction; the other threads of the process get their turn in between."""

FIRST_RETRY_SECONDS = 0.2
LONGEST_RETRY_SECONDS = 30.0
_GROWTH = 2


@dataclass(frozen=True, slots=True)
class LedgerHealth:
    """How the ledger's writer is doing.

    Attributes:
        ok: nothing hinders it and nothing was lost.
        reason: what is wrong, in one sentence; empty if nothing is.
        hint: what to do about it.
        waiting: rows that are not yet committed.
        lost: rows that were given up: too many waited, or no ledger could take them, or the
            writer was closed before the obstacle was gone.
        added: new usage entries that this writer committed.
    """

    ok: bool = True
    reason: str = ""
    hint: str = ""
    waiting: int = 0
    lost: int = 0
    added: int = 0


@dataclass(slots=True)
class _Trouble:
    reason: str
    hint: str


@dataclass(slots=True)
class _Retry:
    """Growing intervals between attempts."""

    first: float
    longest: float
    next: float = field(init=False)

    def __post_init__(self) -> None:
        self.next = self.first

    def reset(self) -> None:
        self.next = self.first

    def take(self) -> float:
        now, self.next = self.next, min(self.longest, self.next * _GROWTH)
        return now


class LedgerWriter:
    """Writes rows to a ledger from a thread of its own, which starts with the first of them.

    Nothing here raises once it is made. An obstacle (a full disk, a lock, a damaged file) is shown
    by `health`, and tried again at growing intervals for as long as the writer is open.

    Args:
        path: the ledger's file; it and its directory are made when they are needed.
        most_waiting: how many rows may wait; beyond it the oldest are given up and counted.
        first_retry: seconds until a failed write is tried again.
        longest_retry: what the interval grows to.
    """

    def __init__(
        self,
        path: Path,
        *,
        most_waiting: int = MOST_WAITING,
        first_retry: float = FIRST_RETRY_SECONDS,
        longest_retry: float = LONGEST_RETRY_SECONDS,
    ) -> None:
        self._path = path
        self._most_waiting = most_waiting
        self._retry = _Retry(first_retry, longest_retry)
        self._changed = threading.Condition()
        self._waiting: deque[Row] = deque()
        self._batch: list[Row] = []
        self._thread: threading.Thread | None = None
        self._closing = False
        self._hurry = False
        self._lost = 0
        self._added = 0
        self._trouble: _Trouble | None = None
        self._loss: str = ""
        self._store: Store | None = None
        self._inode: tuple[int, int] | None = None

    def record(self, row: Row) -> None:
        """Hand over a row, from any thread; returns at once. After `close` it counts as lost."""
        with self._changed:
            if self._closing:
                self._lose(1, "rows came after the ledger was closed")
                return
            self._waiting.append(row)
            if len(self._waiting) + len(self._batch) > self._most_waiting:
                self._waiting.popleft()
                self._lose(1, "more rows waited for the ledger than may wait")
            self._start()
            self._changed.notify_all()

    @property
    def health(self) -> LedgerHealth:
        """How it is doing just now."""
        with self._changed:
            waiting = len(self._waiting) + len(self._batch)
            reason, hint = self._loss, "the sums of this run are too small by what was lost"
            if self._trouble is not None:
                reason, hint = self._trouble.reason, self._trouble.hint
            return LedgerHealth(
                ok=not reason,
                reason=reason,
                hint=hint if reason else "",
                waiting=waiting,
                lost=self._lost,
                added=self._added,
            )

    def flush(self, timeout: float) -> bool:
        """Wait until nothing waits any more, trying at once; False if that took too long."""
        with self._changed:
            self._hurry = True
            self._changed.notify_all()
            return self._changed.wait_for(self._is_idle, timeout)

    def close(self, timeout: float) -> LedgerHealth:
        """Write what waits, try once more what failed, and end; may be repeated.

        What is not committed after that many seconds is counted as lost; the thread, should a disk
        hold it, does not keep the process from ending.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(timeout)
        with self._changed:
            left = len(self._waiting) + len(self._batch)
            if left:
                self._waiting.clear()
                self._batch = []
                self._lose(left, "the run ended before the ledger could be written")
        return self.health

    def _is_idle(self) -> bool:
        return not self._waiting and not self._batch

    def _lose(self, count: int, why: str) -> None:
        self._lost += count
        self._loss = f"{self._lost} rows are not in the ledger: {why}"

    def _start(self) -> None:
        if self._thread is not None:
            return
        thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return  # no thread to be had: the next row tries again
        self._thread = thread

    def _run(self) -> None:
        while self._next_batch():
            if self._attempt():
                self._retry.reset()
            elif not self._pause():
                break
        if self._store is not None:
            self._store.close()

    def _next_batch(self) -> bool:
        """Take what waits, keeping a batch that failed; False when all is done and over."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing or not self._is_idle())
            while self._waiting and len(self._batch) < BATCH:
                self._batch.append(self._waiting.popleft())
            return bool(self._batch)

    def _pause(self) -> bool:
        """Wait for the next attempt; False when the failed one was the last."""
        with self._changed:
            if self._closing:
                return False
            self._hurry = False
            self._changed.wait_for(lambda: self._closing or self._hurry, self._retry.take())
            return True

    def _attempt(self) -> bool:
        """Commit the batch; whatever hinders it is noted."""
        import sqlite3  # noqa: PLC0415 - not before there is something to write

        from acp_bridge.ledger.database import LedgerError, explained  # noqa: PLC0415
        from acp_bridge.ledger.storing import UNSTORABLE  # noqa: PLC0415

        try:
            store = self._opened()
            try:
                self._done(store.write(self._batch), len(self._batch))
            except UNSTORABLE:
                self._one_by_one(store, UNSTORABLE)
        except LedgerError as exc:
            self._failed(exc.message, exc.hint)
        except (sqlite3.Error, OSError) as exc:
            error = explained(exc, self._path)
            self._failed(error.message, error.hint)
        else:
            return True
        return False

    def _one_by_one(self, store: "Store", unstorable: tuple[type[Exception], ...]) -> None:
        """Give up the rows that no ledger could take, and no other."""
        for row in tuple(self._batch):
            try:
                self._done(store.write([row]), 1)
            except unstorable:
                with self._changed:
                    self._lose(1, "they hold what cannot be stored")
                self._done(0, 1)

    def _done(self, added: int, count: int) -> None:
        with self._changed:
            del self._batch[:count]
            self._added += added
            self._trouble = None
            self._changed.notify_all()

    def _failed(self, reason: str, hint: str) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None
        with self._changed:
            self._trouble = _Trouble(reason, hint)
            self._changed.notify_all()

    def _opened(self) -> "Store":
        """The store, opened anew if the file was moved away or replaced."""
        from acp_bridge.ledger.database import open_for_writing  # noqa: PLC0415 - as above
        from acp_bridge.ledger.storing import Store  # noqa: PLC0415

        if self._store is not None and _inode(self._path) != self._inode:
            self._store.close()
            self._store = None
        if self._store is None:
            self._store = Store(open_for_writing(self._path))
            self._inode = _inode(self._path)
        return self._store


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
