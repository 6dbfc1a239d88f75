"""The signals that ask a process to end, as calls and as exit status."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
from anyio.abc import TaskStatus

from acp_bridge.early_signals import BY_SIGNAL, SIGNALS
from acp_bridge.errors import BridgeError

__all__ = ["BY_SIGNAL", "SIGNALS", "on_signal", "unless_signalled"]


@asynccontextmanager
async def on_signal(call: Callable[[int], None]) -> AsyncIterator[None]:
    """Call `call` with the number of each signal in `SIGNALS`, for the length of the block.

    Errors of the block for the user pass as they are, not wrapped in an exception group.
    """
    failure: BridgeError | OSError | None = None
    async with anyio.create_task_group() as tasks:
        await tasks.start(_listen, call)
        try:
            yield
        except (BridgeError, OSError) as error:
            failure = error
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def unless_signalled(main: Callable[[], Awaitable[int]]) -> int:
    """Run `main`, cancelled by the first signal; returns its status, or 128 + N after signal N."""
    caught: list[int] = []
    with anyio.CancelScope() as scope:

        def cancel(number: int) -> None:
            caught.append(number)
            scope.cancel()

        async with on_signal(cancel):
            return await main()
    return BY_SIGNAL + caught[0]


async def _listen(call: Callable[[int], None], *, task_status: TaskStatus[None]) -> None:
    with anyio.open_signal_receiver(*SIGNALS) as signals:
        task_status.started()
        async for number in signals:
            call(number)
