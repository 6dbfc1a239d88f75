"""The processes below a program: which there are, and their end."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterable

import anyio
import anyio.to_thread

from acp_bridge.agent.keeper import descendants, rows_from_proc, rows_from_ps

_LOOK_AGAIN_SECONDS = 0.05
_HAS_PROC = sys.platform == "linux"


async def processes_below(pid: int) -> frozenset[int]:
    """The living processes below one."""
    return frozenset(descendants(pid, (await _parents()).items()))


async def wait_for_the_end(pids: frozenset[int], seconds: float) -> None:
    """Wait until none of the processes lives, but no longer than that."""
    with anyio.move_on_after(seconds):
        while pids & (await _parents()).keys():  # noqa: ASYNC110 - nobody tells
            await anyio.sleep(_LOOK_AGAIN_SECONDS)


def kill(pids: Iterable[int]) -> None:
    """Kill the processes; those that have ended do no harm."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


async def _parents() -> dict[int, int]:
    """Every living process, with its parent."""
    rows = await anyio.to_thread.run_sync(rows_from_proc if _HAS_PROC else rows_from_ps)
    return {pid: parent for pid, parent, _ in rows}
