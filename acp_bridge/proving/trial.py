"""One trial under one program: plant it, hold a session, say what was seen."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeGuard

from acp_bridge.proving.cases import Case
from acp_bridge.proving.kinds import plant
from acp_bridge.proving.messages import Said
from acp_bridge.proving.scopes import place
from acp_bridge.proving.shell import FromTheShell, try_in_the_shell
from acp_bridge.proving.sightings import Sighting
from acp_bridge.proving.stage import Program, Running, Stage

Trial = Case | Said | FromTheShell
Afterwards = Callable[[Stage], Awaitable[None]]
"""What is awaited after a turn, before the program is ended."""


async def _nothing(stage: Stage) -> None:
    del stage


def is_of_a_session(trial: Trial) -> TypeGuard[Case]:
    """Whether sessions of one program can try it; if not, it needs programs of its own."""
    return isinstance(trial, Case) and trial.scope.is_of_a_session


async def try_in_a_session(running: Running, case: Case, *, claude: Path) -> Sighting:
    """Plant a case of a session and hold that session in a program that runs.

    Args:
        running: the program.
        case: one whose scope is of a session.
        claude: the Claude Code that a planted program becomes.

    Raises:
        TimeoutError: the program did not close the session.
    """
    stage = running.stage
    project = stage.new_folder("project")
    made = plant(case.kind, stage.bait(claude))
    placed = place(case.scope, made, home=stage.home, project=project)
    return await running.turn(project, options=placed.options, opening=case.opening)


async def try_in_a_process(
    root: Path,
    trial: Trial,
    program: Program,
    *,
    claude: Path,
    afterwards: Afterwards = _nothing,
) -> Sighting:
    """Start a program under a trial, in a world of its own, and hold one session.

    Args:
        root: an empty folder.
        trial: what is planted, said, or done in the agent's shell.
        program: what is started.
        claude: the Claude Code that a planted program becomes.
        afterwards: see `Afterwards`.

    Raises:
        TimeoutError: the program does not start or does not close the session.
    """
    if isinstance(trial, FromTheShell):
        return await try_in_the_shell(root, trial, program)
    async with Stage(root, trial.payer) as stage:
        if isinstance(trial, Said):
            return await _after_a_message(stage, trial, program)
        project = stage.home.project
        made = plant(trial.kind, stage.bait(claude))
        placed = place(trial.scope, made, home=stage.home, project=project)
        stage.trap_is_the_users = trial.proxy_is_the_users
        async with stage.run(program, env=placed.env) as running:
            sighting = await running.turn(project, options=placed.options)
            await afterwards(stage)
            return sighting


async def _after_a_message(stage: Stage, said: Said, program: Program) -> Sighting:
    async with stage.run(program) as running:
        await said.message.try_to_say(running)
        sighting = await running.turn(stage.home.project)
        # The adapter itself asks a new endpoint for its models, before any turn.
        return replace(sighting, attacker=tuple(stage.attacker.seen))
