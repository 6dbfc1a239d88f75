"""Telling whether this process was started by a bridged Claude Code session.

What changes settings or budgets is the user's to do, not the agent's. ``ACP_BRIDGE_*`` variables
never reach the agent, so a session is known by the launch gate that it was started through: its
programs are named in ``CLAUDE_CODE_EXECUTABLE`` and on ``PATH``, see `acp_bridge.launch.launcher`.
This keeps an agent from doing it by accident; a hostile program can take the variables away.
"""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from acp_bridge.errors import RefusedError
from acp_bridge.launch.launcher import PROGRAM

_GATE = re.compile(
    rf"/.*/runs/[0-9]{{8}}-[0-9]{{6}}-[0-9a-f]{{6}}/launch/(?:agent|bin)/{re.escape(PROGRAM)}",
    re.DOTALL,
)
_SCRIPT = "gate.py"


def refuse_inside_a_session(environ: Mapping[str, str], what: str) -> None:
    """Refuse a command that only the user may give.

    Args:
        environ: the process's environment.
        what: the command, as the start of the sentence.

    Raises:
        RefusedError: the environment is that of a bridged session whose run lives.
    """
    if is_inside_a_session(environ):
        raise RefusedError(
            f"{what} does not run inside a bridged Claude Code session",
            hint="run it in a terminal of your own, outside the agent",
        )


def is_inside_a_session(environ: Mapping[str, str]) -> bool:
    """Whether the environment names the launch gate of a run, and the gate is there."""
    return any(_is_gate(path) for path in _programs(environ))


def _programs(environ: Mapping[str, str]) -> Iterator[Path]:
    """What the environment would start as Claude Code.

    Every folder of the search path is looked at: start-up files of shells put others first.
    """
    yield Path(environ.get("CLAUDE_CODE_EXECUTABLE", ""))
    for folder in environ.get("PATH", "").split(os.pathsep):
        yield Path(folder) / PROGRAM


def _is_gate(path: Path) -> bool:
    """Whether it is a program that a bridge wrote; it is taken off the disk when its run ends."""
    has_shape = _GATE.fullmatch(str(path)) is not None
    return has_shape and path.is_file() and (path.parent.parent / _SCRIPT).is_file()
