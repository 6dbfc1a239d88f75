"""Programs that many sessions of one worker share, one for each payer."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from tests.matrix.cases import Case
from tests.matrix.kinds import plant
from tests.matrix.payers import Payer
from tests.matrix.scopes import place
from tests.matrix.sightings import Sighting
from tests.matrix.stage import Program, Running, Stage

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
    stage = running.stage
    project = stage.new_folder("project")
    placed = place(case.scope, plant(case.kind, stage.bait()), home=stage.home, project=project)
    return await running.turn(project, options=placed.options, opening=case.opening)


async def _in_a_process(root: Path, case: Case, program: Program) -> Sighting:
    async with Stage(root, case.payer) as stage:
        project = stage.home.project
        made = plant(case.kind, stage.bait())
        placed = place(case.scope, made, home=stage.home, project=project)
        stage.trap_is_the_users = case.proxy_is_the_users
        async with stage.run(program, env=placed.env) as running:
            sighting = await running.turn(project, options=placed.options)
            if program.is_bridge and not case.proxy_is_the_users:
                await stage.wait_for_lookups()
            return sighting
