"""Fixtures of the agent package's tests: both event loops, and proof of death."""

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest

from tests.agent.death import SECONDS, Graveyard, open_descriptors

Run = Callable[..., Any]


@pytest.fixture(params=["asyncio", "trio"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run an async function on each event loop, within a bounded time."""

    async def bounded(main: Callable[..., Awaitable[Any]], *args: object) -> Any:
        with anyio.fail_after(SECONDS):
            return await main(*args)

    def run(main: Callable[..., Awaitable[Any]], *args: object) -> Any:
        return anyio.run(bounded, main, *args, backend=request.param)

    return run


@pytest.fixture
def no_leaks() -> Iterator[None]:
    """Fail if the test leaves an open descriptor or a child process, zombies included."""
    before = open_descriptors()
    yield
    assert open_descriptors() == before
    assert psutil.Process().children() == []


@pytest.fixture
def graveyard(tmp_path: Path) -> Iterator[Graveyard]:
    graveyard = Graveyard(tmp_path / "graveyard")
    yield graveyard
    graveyard.close()
