"""Waiting for what has no event."""

from collections.abc import Callable

import anyio

SECONDS = 60.0
"""How long anything is waited for: a busy machine is no reason to fail."""


async def until(condition: Callable[[], object]) -> None:
    """Look again and again until the condition holds."""
    with anyio.fail_after(SECONDS):
        while not condition():  # noqa: ASYNC110 - what is waited for here has no event
            await anyio.sleep(0.02)
