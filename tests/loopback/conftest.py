from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

Run = Callable[[Callable[[], Awaitable[Any]]], Any]


@pytest.fixture(params=["asyncio", "trio"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a scenario on each of the two event loops that anyio knows."""
    return lambda scenario: anyio.run(scenario, backend=request.param)
