"""Opening the ledger's file, and its errors in words.

The database is in WAL mode with ``synchronous = NORMAL``: what was committed has been handed to the
kernel, so a ``kill -9`` of any process loses nothing. A crash of the whole machine may take the
last commits with it, and never the file's consistency; that is the price of a commit that waits for
no disk.
"""

import contextlib
import os
import shutil
import sqlite3
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

from acp_bridge.errors import ConfigurationError
from acp_bridge.ledger.schema import MIGRATIONS, migrate, version_of

BUSY_SECONDS = 1.0
"""How long one attempt waits for a lock that another process holds."""

_AGAIN_SECONDS = 0.02
_WAL_KEPT_BYTES = 16 * 1024 * 1024
_PRIMARY_CODE = 0xFF  # the rest of an extended SQLite result code is detail
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_UNWRITABLE = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
_STATE_DIR_HINT = "make it writable, or name another directory in ACP_BRIDGE_STATE_DIR"
_MOVE_HINT = "move the file away; a new one is begun at once"
_WORDS = {
    sqlite3.SQLITE_BUSY: ("is locked by another program", "end the program that holds it"),
    sqlite3.SQLITE_LOCKED: ("is locked by another program", "end the program that holds it"),
    sqlite3.SQLITE_FULL: ("cannot grow: the disk is full", "free some space on that disk"),
    sqlite3.SQLITE_READONLY: ("cannot be written", _STATE_DIR_HINT),
    sqlite3.SQLITE_CANTOPEN: ("cannot be opened", _STATE_DIR_HINT),
    sqlite3.SQLITE_PERM: ("may not be opened", _STATE_DIR_HINT),
    # Among them a quota that is used up and a file that may not grow.
    sqlite3.SQLITE_IOERR: (
        "cannot be read or written: the disk fails or a quota is used up",
        "check that disk and your quota on it",
    ),
    sqlite3.SQLITE_CORRUPT: ("is damaged", _MOVE_HINT),
    sqlite3.SQLITE_NOTADB: ("is no database", _MOVE_HINT),
}


class LedgerError(ConfigurationError):
    """The ledger cannot be read or written.

    Attributes:
        is_busy: another process holds it just now; nothing is wrong with it.
    """

    def __init__(self, message: str, *, hint: str, is_busy: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.is_busy = is_busy


def explained(exc: sqlite3.Error | OSError, path: Path) -> LedgerError:
    """The same in a user's words."""
    if isinstance(exc, OSError):
        return LedgerError(
            f"the ledger {path} cannot be opened: {exc.strerror}", hint=_STATE_DIR_HINT
        )
    if path.is_dir():
        return LedgerError(
            f"the ledger {path} is a folder", hint="move the folder away; a ledger is begun at once"
        )
    code = getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & _PRIMARY_CODE
    what, hint = _WORDS.get(code, (f"cannot be used: {exc}", "move the file away and try again"))
    return LedgerError(f"the ledger {path} {what}", hint=hint, is_busy=code in _BUSY)


def open_for_writing(path: Path, *, busy_seconds: float = BUSY_SECONDS) -> sqlite3.Connection:
    """Open the ledger, and create or upgrade it where need be: 0600, its directory 0700.

    The connection is in autocommit mode, for one thread at a time.

    Raises:
        LedgerError: it cannot be opened, or a newer version wrote it.
    """
    give_up = time.monotonic() + busy_seconds
    while True:
        try:
            return _open_writer(path, busy_seconds)
        except LedgerError as error:
            # Of several that begin a ledger at the same time, SQLite tells some so at once.
            if not error.is_busy or time.monotonic() >= give_up:
                raise
        time.sleep(_AGAIN_SECONDS)


def _open_writer(path: Path, busy_seconds: float) -> sqlite3.Connection:
    try:
        _create_private(path)
        _refuse_read_only(path)
        connection = sqlite3.connect(
            path, timeout=busy_seconds, isolation_level=None, check_same_thread=False
        )
    except (sqlite3.Error, OSError) as exc:
        raise explained(exc, path) from exc
    try:
        _refuse_newer(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_KEPT_BYTES}")
        migrate(connection)
    except sqlite3.Error as exc:
        connection.close()
        raise explained(exc, path) from exc
    except BaseException:
        connection.close()
        raise
    return connection


def open_for_reading(
    path: Path, *, busy_seconds: float = BUSY_SECONDS
) -> sqlite3.Connection | None:
    """Open the ledger for queries; None if there is none.

    Also where its directory cannot be written: SQLite wants to put its shared memory there. One of
    an older version is upgraded first.

    Raises:
        LedgerError: it cannot be read or upgraded, or a newer version wrote it.
    """
    try:
        if not path.exists() or path.stat().st_size == 0:
            return None
        connection = _open_reader(path, busy_seconds)
        found = _version_or_close(connection)
        if 0 < found < len(MIGRATIONS):
            connection.close()
            open_for_writing(path, busy_seconds=busy_seconds).close()
            connection = _open_reader(path, busy_seconds)
    except (sqlite3.Error, OSError) as exc:
        raise explained(exc, path) from exc
    if found == 0:
        connection.close()
        return None
    try:
        _refuse_newer(connection, path)
    except LedgerError:
        connection.close()
        raise
    return connection


def _version_or_close(connection: sqlite3.Connection) -> int:
    try:
        return version_of(connection)
    except BaseException:
        connection.close()
        raise


def _create_private(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Closing any descriptor of an open database drops this process's locks on it (POSIX): only a
    # file that nobody can have opened yet is touched here.
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))


def _refuse_read_only(path: Path) -> None:
    """SQLite would open it for reading, and leave files beside it with the same permissions.

    These would keep everybody from writing when the ledger may be written again.
    """
    for file in (path, *_beside(path)):
        if file.exists() and not os.access(file, os.W_OK):
            raise LedgerError(f"the ledger {file} cannot be written", hint=_STATE_DIR_HINT)


def _beside(path: Path) -> tuple[Path, Path]:
    """SQLite's log of a ledger, and the memory that the processes share that have it open."""
    return path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")


def _open_reader(path: Path, busy_seconds: float) -> sqlite3.Connection:
    _, shared = _beside(path)
    if not os.access(path, os.W_OK) and not shared.exists():
        return _open_unwritable(path, busy_seconds)
    try:
        return _connect_reader(path, "mode=ro", busy_seconds)
    except sqlite3.OperationalError as exc:
        if exc.sqlite_errorcode & _PRIMARY_CODE not in _UNWRITABLE:
            raise
        return _open_unwritable(path, busy_seconds)


def _connect_reader(path: Path, options: str, busy_seconds: float) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?{options}",
        uri=True,
        timeout=busy_seconds,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        connection.execute("SELECT count(*) FROM sqlite_master")
        connection.execute("PRAGMA temp_store = MEMORY")
    except BaseException:
        connection.close()
        raise
    return connection


def _open_unwritable(path: Path, busy_seconds: float) -> sqlite3.Connection:
    """Open a ledger that cannot be written, or not its directory: nobody changes it meanwhile."""
    wal, _ = _beside(path)
    if not wal.exists() or wal.stat().st_size == 0:
        return _connect_reader(path, "immutable=1", busy_seconds)
    # What was committed last is in the log, which SQLite merges only where it can write.
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        for file in (path, wal):
            shutil.copyfile(file, Path(folder) / file.name)
        # The connection holds the files open when their names are gone.
        return _connect_reader(copy, "mode=rw", busy_seconds)


def _refuse_newer(connection: sqlite3.Connection, path: Path) -> None:
    found = version_of(connection)
    if found > len(MIGRATIONS):
        raise LedgerError(
            f"the ledger {path} was written by a newer acp-bridge (schema {found}, "
            f"known here up to {len(MIGRATIONS)})",
            hint="upgrade acp-bridge, or name another directory in ACP_BRIDGE_STATE_DIR",
        )
