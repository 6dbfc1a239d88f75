"""stderr, which may be closed, or full because nobody reads it; neither may end or stall a run."""

import contextlib
import os
import sys

from acp_bridge.redaction import redact


def write_stderr(text: str) -> None:
    """Write to stderr, credentials taken out. If nobody can read it, the words are lost.

    Written past `sys.stderr`'s buffer where it has a descriptor: what a broken pipe leaves in that
    buffer would change the exit status at the interpreter's end.
    """
    stream, safe = sys.stderr, redact(text)
    if stream is None:
        return
    with contextlib.suppress(OSError, ValueError):
        descriptor = _descriptor()
        if descriptor is None:
            stream.write(safe)
            return
        stream.flush()
        rest = safe.encode(errors="backslashreplace")
        while rest:
            rest = rest[os.write(descriptor, rest) :]


def _descriptor() -> int | None:
    """The number behind `sys.stderr`; None if it has been replaced by something in memory."""
    try:
        return sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):
        return None
