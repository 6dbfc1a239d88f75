"""Where Claude Code keeps the transcripts of a session, and how to read them.

A transcript is ``<configuration>/projects/<folder>/<session>.jsonl``, those of its subagents are in
``<configuration>/projects/<folder>/<session>/subagents/`` (seen with 2.1.316). They are only read.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from acp_bridge.metering.transcript import lines_from_end

_SESSION_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,127}")


@dataclass(frozen=True, slots=True)
class Transcript:
    """One session's files. What is missing or cannot be read has no lines.

    Args:
        path: the session's own file.
    """

    path: Path

    @property
    def size(self) -> int:
        """Bytes of the session's own file so far; 0 if there is none."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    def lines_from_end(self) -> Iterator[bytes]:
        """The lines of the session's own file, the last one first; no more is read than taken."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return
        try:
            size = os.fstat(descriptor).st_size
            yield from lines_from_end(
                lambda start, end: os.pread(descriptor, end - start, start), size
            )
        except OSError:
            return
        finally:
            os.close(descriptor)

    def lines_since(self, offset: int) -> Iterator[bytes]:
        """The lines of the session's own file from an offset on, in order."""
        yield from _lines(self.path, offset)

    def subagents(self) -> list[Path]:
        """The files of the session's subagents."""
        try:
            return sorted((self.path.with_suffix("") / "subagents").glob("*.jsonl"))
        except OSError:
            return []


def lines_of(path: Path) -> Iterator[bytes]:
    """The lines of a file, in order; none if it cannot be read."""
    yield from _lines(path, 0)


def find_transcript(config: Path, session_id: str) -> Transcript | None:
    """The transcript of a session; None if there is none (yet).

    Args:
        config: the folder of Claude Code's state.
        session_id: Claude Code's session; anything that is no file name has none.
    """
    if not _SESSION_ID.fullmatch(session_id):
        return None
    try:
        found = sorted((config / "projects").glob(f"*/{session_id}.jsonl"))
    except OSError:
        return None
    return Transcript(found[-1]) if found else None


def _lines(path: Path, offset: int) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            yield from file
    except OSError:
        return
