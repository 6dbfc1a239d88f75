"""Programs that many sessions of one worker share, one for each payer."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from acp_bridge.proving.cases import Case
from acp_bridge.proving.payers import Payer
from acp_bridge.proving.sightings import ANSWERED, Sighting
from acp_bridge.proving.stage import Program, Running, Stage
from acp_bridge.proving.trial import try_in_a_process, try_in_a_session
from tests.support.real import CLAUDE

Try = Callable[[Case, Program], Sighting]


@pytest.fixture(scope="session")
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal() as running:
        yield running


@pytest.fixture(scope="session")
def shared(
    portal: BlockingPortal, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[Payer, Program], Running]]:
    """The worker's program for a payer, started when it is first asked for."""
    started: dict[tuple[Payer, Program], Running] = {}
    with ExitStack() as stack:

        def get(payer: Payer, program: Program) -> Running:
            if (payer, program) not in started:
                root = tmp_path_factory.mktemp("shared")
                opened = portal.wrap_async_context_manager(_running(root, payer, program))
                started[payer, program] = stack.enter_context(opened)
            return started[payer, program]

        yield get


@asynccontextmanager
async def _running(
    root: Path, payer: Payer, program: Program, env: Mapping[str, str] | None = None
) -> Any:
    async with Stage(root, payer) as stage, stage.run(program, env=env) as running:
        yield running


@pytest.fixture
def attempt(
    portal: BlockingPortal, shared: Callable[[Payer, Program], Running], tmp_path: Path
) -> Try:
    """Plant a case's plant and hold one session under it; says what was seen."""

    def attempt_it(case: Case, program: Program) -> Sighting:
        if case.scope.is_of_a_session:
            return portal.call(_in_a_session, shared(case.payer, program), case)
        return portal.call(_in_a_process, tmp_path, case, program)

    return attempt_it


async def _in_a_session(running: Running, case: Case) -> Sighting:
    return await try_in_a_session(running, case, claude=CLAUDE)


async def _in_a_process(root: Path, case: Case, program: Program) -> Sighting:
    return await try_in_a_process(
        root, case, program, claude=CLAUDE, afterwards=partial(_see_the_lookups, case, program)
    )


async def _see_the_lookups(case: Case, program: Program, stage: Stage) -> None:
    """What every start asks of the user's own proxy goes there, and nowhere unseen."""
    starts = case.held_by is ANSWERED
    if program.is_bridge and starts and not case.proxy_is_the_users:
        await stage.wait_for_lookups()
