"""A Python relay that inspects nothing: what the bridge is measured against.

Two anyio tasks copy bytes between stdio and a child. `python plain_relay.py COMMAND…`
"""

import sys

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream

from acp_bridge.agent.pipes import stdio_streams

CHUNK = 256 * 1024


async def copy(source: ByteReceiveStream, target: ByteSendStream) -> None:
    """Copy until the source ends, then close the target."""
    async for chunk in source:
        await target.send(chunk)
    await target.aclose()


async def main(command: list[str]) -> None:
    """Relay between this process's stdio and the command's."""
    async with (
        stdio_streams() as (receive, send),
        await anyio.open_process(command, stderr=None) as child,
        anyio.create_task_group() as tasks,
    ):
        assert child.stdin is not None
        assert child.stdout is not None
        tasks.start_soon(copy, receive, child.stdin)
        await copy(child.stdout, send)
        tasks.cancel_scope.cancel()


anyio.run(main, sys.argv[1:])
