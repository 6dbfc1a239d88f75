"""Changing files of other programs: shown first, kept, taken back.

A change is one or more files that are written together. What was there before is kept in the state
directory, and `undo` puts exactly that back, unless somebody has changed a file since.
"""

import base64
import difflib
import hashlib
import io
import json
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acp_bridge.errors import ConfigurationError
from acp_bridge.redaction import REDACTED, redact

_MODE = 0o600
_KEPT = "backups"
_SECRET = re.compile(
    r'("\w*(?:key|token|secret|password)\w*"\s*:\s*)"(?:[^"\\]|\\.)+"', re.IGNORECASE
)
"""A member that looks like a credential of somebody else's."""


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file's bytes before and after.

    Attributes:
        path: the file; where it is a symbolic link, what it leads to is changed.
        before: None if it is not there.
        after: None to delete it.
        mode: of a file that is made.
    """

    path: Path
    before: bytes | None
    after: bytes | None
    mode: int = _MODE

    @property
    def is_change(self) -> bool:
        """Whether anything would be different."""
        return self.before != self.after

    @property
    def diff(self) -> str:
        """What changes, as a unified diff to be read, without credentials of the lines around."""
        old, new = (_lines(of) for of in (self.before, self.after))
        name = str(self.path)
        there = "/dev/null" if self.before is None else name
        text = redact("".join(difflib.unified_diff(old, new, there, name)))
        return _SECRET.sub(rf'\1"{REDACTED}"', text)


def read(path: Path) -> bytes | None:
    """A file's bytes; None if it is not there.

    Raises:
        ConfigurationError: it cannot be read, or is no file.
    """
    if path.exists() and not path.is_file():
        raise ConfigurationError(f"{path} is no ordinary file", hint="name another with --file")
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as exc:
        raise ConfigurationError(
            f"cannot read {path}: {exc.strerror}", hint="make it readable, or name another"
        ) from exc


def apply(changes: Sequence[FileChange], name: str, state_dir: Path) -> None:
    """Write all files, and keep what was there under a name.

    Raises:
        ConfigurationError: one cannot be written, or was changed meanwhile; none is changed then.
    """
    kept = _keep(changes, name, state_dir)
    done: list[FileChange] = []
    try:
        for change in changes:
            _refuse_changed(change)
            _put(change.path, change.after, change.mode)
            done.append(change)
    except ConfigurationError:
        for change in reversed(done):
            _put(change.path, change.before, change.mode)
        kept.unlink()
        raise


def _refuse_changed(change: FileChange) -> None:
    if read(change.path) != change.before:
        raise ConfigurationError(
            f"{change.path} was changed meanwhile; nothing was written", hint="try again"
        )


def undo(name: str, state_dir: Path) -> list[FileChange]:
    """Put back what was there before the last change of that name; returns what was done.

    Raises:
        ConfigurationError: there is none, or a file was changed since.
    """
    kept = _kept_before(_folder(state_dir, name))
    if not kept:
        raise ConfigurationError(
            f"nothing of {name} was written by acp-bridge", hint=f"see acp-bridge clients {name}"
        )
    last = kept[-1]
    try:
        changes = [_kept_change(row) for row in json.loads(last.read_text("utf-8"))["files"]]
    except (OSError, ValueError, LookupError, TypeError) as exc:
        raise ConfigurationError(
            f"{last} cannot be read, so nothing was taken back",
            hint="take the entry out by hand, and delete that file",
        ) from exc
    for change, written in changes:
        if _digest(read(change.path)) != written:
            raise ConfigurationError(
                f"{change.path} was changed since acp-bridge wrote it, so it was left alone",
                hint=f"take the entry out by hand; what was there before is in {last}",
            )
    for change, _ in changes:
        _put(change.path, change.after, change.mode)
    last.unlink()
    return [change for change, _ in changes]


def _keep(changes: Sequence[FileChange], name: str, state_dir: Path) -> Path:
    """Note what is there, so that it can be put back; the note is for this user alone."""
    folder = _folder(state_dir, name)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        number = 1 + max((int(path.stem) for path in _kept_before(folder)), default=0)
        path = folder / f"{number:04}.json"
        rows = [
            {
                "path": str(change.path),
                "before": None
                if change.before is None
                else base64.b64encode(change.before).decode("ascii"),
                "written_sha256": _digest(change.after),
                "mode": change.mode,
            }
            for change in changes
        ]
        with open(
            path, "x", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, _MODE)
        ) as file:
            json.dump({"schema_version": 1, "files": rows}, file, indent=2)
    except OSError as exc:
        raise ConfigurationError(
            f"cannot keep what is there in {folder}: {exc.strerror}; nothing was written",
            hint="name a directory that you can write in ACP_BRIDGE_STATE_DIR",
        ) from exc
    return path


def _kept_before(folder: Path) -> list[Path]:
    """What was kept, the oldest first."""
    found = (path for path in folder.glob("*.json") if path.stem.isdecimal())
    return sorted(found, key=lambda path: int(path.stem))


def _kept_change(row: dict[str, Any]) -> tuple[FileChange, str | None]:
    path = Path(row["path"])
    before = None if row["before"] is None else base64.b64decode(row["before"])
    return FileChange(path, read(path), before, row["mode"]), row["written_sha256"]


def _folder(state_dir: Path, name: str) -> Path:
    return state_dir / _KEPT / name


def _digest(content: bytes | None) -> str | None:
    return None if content is None else hashlib.sha256(content).hexdigest()


def _put(path: Path, content: bytes | None, mode: int) -> None:
    """Replace a file at once or not at all; it keeps its mode, and a link stays one.

    Raises:
        ConfigurationError: that cannot be done; the file is as it was.
    """
    target = path.resolve()
    try:
        if content is None:
            target.unlink(missing_ok=True)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and not os.access(target, os.W_OK):
            raise PermissionError(13, "it is read-only")
        kept_mode = target.stat().st_mode & 0o7777 if target.exists() else mode
        number, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with os.fdopen(number, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(kept_mode)
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as exc:
        raise ConfigurationError(
            f"cannot write {path}: {exc.strerror}",
            hint="make it and its directory writable, or paste what `acp-bridge clients` prints",
        ) from exc


def _lines(content: bytes | None) -> list[str]:
    text = "" if content is None else content.decode("utf-8", "replace")
    lines = io.StringIO(text, newline="\n").readlines()
    return [
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    ]
