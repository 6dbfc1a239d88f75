"""The registry of runs: one private directory a run below ``STATE_DIR/runs``.

A run's directory holds its status document and, while it lives, what the launch gate needs. Whether
a run is alive is told by an advisory lock that the kernel drops when its last holder ends, so a
``kill -9`` or a reused process id cannot make a dead run look alive.
"""

import contextlib
import fcntl
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from acp_bridge.errors import ConfigurationError

KEEP_ENDED = timedelta(days=30)
"""How long an ended run stays in the registry."""

_STATUS = "status.json"
_LOCK = "alive"
_RUN_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{6}")


def new_run_id(now: datetime) -> str:
    """An id that sorts by start: ``20260131-235959-a1b2c3`` (UTC)."""
    return f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


class RunDirectory:
    """A run's private directory (0700), locked for as long as the run lives."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def create(cls, state_dir: Path, run_id: str) -> "RunDirectory":
        """Make and lock the directory of a new run.

        Raises:
            ConfigurationError: the state directory cannot be written.
        """
        path = state_dir / "runs" / run_id
        try:
            state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.parent.mkdir(exist_ok=True, mode=0o700)
            path.mkdir(mode=0o700)
            lock = os.open(path / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise ConfigurationError(
                f"cannot create the run's directory {path}: {exc.strerror}",
                hint="name a directory that you can write in ACP_BRIDGE_STATE_DIR",
            ) from exc
        fcntl.flock(lock, fcntl.LOCK_EX)
        return cls(path, lock)

    def outlive_exec(self) -> None:
        """Let the lock pass to the program that replaces this process."""
        os.set_inheritable(self._lock, True)

    def write_status(self, document: dict[str, Any]) -> None:
        """Replace the status document at once: a reader sees the old one or the new one."""
        temporary = self.path / (_STATUS + ".new")
        with open(temporary, "w", encoding="utf-8", opener=_private) as file:
            json.dump(document, file)
        temporary.replace(self.path / _STATUS)

    def close(self) -> None:
        """End the run: drop everything but its status document, and the lock; may be repeated."""
        if self._lock < 0:
            return
        lock, self._lock = self._lock, -1
        # Somebody may have cleared the state directory meanwhile.
        with contextlib.suppress(OSError):
            _strip(self.path)
        os.close(lock)


def read_runs(state_dir: Path) -> list[dict[str, Any]]:
    """Status documents of all recorded runs, oldest first; ``alive`` is as of now."""
    documents = []
    for path in _run_directories(state_dir):
        document = _read_status(path)
        if document is None:
            continue
        alive = _is_alive(path)
        document["alive"] = alive
        if not alive and document.get("ended_at") is None:
            document["ended_at"] = _modified(path / _STATUS)
        documents.append(document)
    return documents


def is_alive(state_dir: Path, run_id: str) -> bool:
    """Whether a run lives; one that is not recorded does not."""
    return bool(_RUN_ID.fullmatch(run_id)) and _is_alive(state_dir / "runs" / run_id)


def sweep(state_dir: Path, now: datetime) -> None:
    """Take launchers and credentials of dead runs off the disk, and runs of `KEEP_ENDED` ago."""
    for path in _run_directories(state_dir):
        with contextlib.suppress(OSError), _held_if_dead(path) as is_dead:
            if not is_dead:
                continue
            if now - datetime.fromtimestamp(path.stat().st_mtime, UTC) > KEEP_ENDED:
                shutil.rmtree(path)
            else:
                _strip(path)


def _run_directories(state_dir: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        for path in sorted((state_dir / "runs").iterdir()):
            if _RUN_ID.fullmatch(path.name) and path.is_dir():
                yield path


def _read_status(path: Path) -> dict[str, Any] | None:
    try:
        document = json.loads((path / _STATUS).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None


def _is_alive(path: Path) -> bool:
    try:
        lock = os.open(path / _LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


@contextlib.contextmanager
def _held_if_dead(path: Path) -> Iterator[bool]:
    """Whether a run is dead; if so its lock is held, so that one that starts just now waits."""
    lock = os.open(path / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            is_dead = False
        else:
            is_dead = True
        yield is_dead
    finally:
        os.close(lock)


def _strip(path: Path) -> None:
    for entry in path.iterdir():
        if entry.name in (_STATUS, _LOCK):
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)


def _modified(path: Path) -> str | None:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat()
    except OSError:
        return None


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
