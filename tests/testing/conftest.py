"""Fixtures of the tests of what embedders test with."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

SECONDS = 60.0
Run = Callable[[Callable[[], Awaitable[Any]]], Any]


@pytest.fixture(params=["asyncio", "trio"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a scenario on each of the two event loops, in bounded time."""

    async def bounded(scenario: Callable[[], Awaitable[Any]]) -> Any:
        with anyio.fail_after(SECONDS):
            return await scenario()

    return lambda scenario: anyio.run(bounded, scenario, backend=request.param)
