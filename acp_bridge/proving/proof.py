"""The proof: every trial without the bridge and then with it, and what each time was seen."""

import os
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TypeVar

import anyio

from acp_bridge.proving.cases import Case
from acp_bridge.proving.client import AcpError
from acp_bridge.proving.payers import Payer
from acp_bridge.proving.sightings import Outcome, Sighting, unique
from acp_bridge.proving.stage import Program, Running, Stage
from acp_bridge.proving.subject import Subject
from acp_bridge.proving.trial import Trial, is_of_a_session, try_in_a_process, try_in_a_session
from acp_bridge.redaction import redact

FEWEST_AT_ONCE, MOST_AT_ONCE = 2, 4
"""A trial waits for other processes half of its time, and each takes 300 MB."""
MOST_SHARING = 8
"""Sessions that share a program, so that rounds are short enough to share out."""
LONGEST_DETAIL = 600
"""Characters. Of what is longer the begin and the end are kept."""
MOST_NAMED = 3
"""How many different things that should not have been seen an `Attempt` names."""
_Trial = TypeVar("_Trial", bound=Trial)
_FAILURES = (
    TimeoutError,
    OSError,
    AcpError,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of a trial under one program.

    Attributes:
        outcome: by what the endpoints and proxies saw, and what the agent's shell found.
        detail: in words what should not have been seen, or why there was no answer; else empty.
    """

    outcome: Outcome
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Proof:
    """One trial, without the bridge and with it."""

    trial: Trial
    without: Attempt
    through: Attempt

    @property
    def held(self) -> bool:
        """Whether the bridge held the mode, by what the trial asks for.

        Usually: the session was answered, and paid by the mode's own credential alone.
        """
        return self.through.outcome in self.trial.held_by


async def prove(
    subject: Subject, trials: Sequence[Trial], root: Path, report: Callable[[Proof], None]
) -> None:
    """Try everything, a few at once.

    Args:
        subject: the agent without the bridge, and with it.
        trials: what is tried; see `acp_bridge.proving.selection.select`.
        root: an empty folder for homes, projects and state.
        report: is told each result, in the order in which they come.
    """
    proving = _Proving(subject, root, report)
    rounds = deque(_rounds(trials))

    async def work() -> None:
        while rounds:
            await proving.round(rounds.popleft())

    cores = os.cpu_count() or FEWEST_AT_ONCE
    async with anyio.create_task_group() as tasks:
        for _ in range(min(max(cores, FEWEST_AT_ONCE), MOST_AT_ONCE)):
            tasks.start_soon(work)


def _rounds(trials: Sequence[Trial]) -> Iterator[Sequence[Trial]]:
    """What is tried one after the other: sessions that share programs, the longest rounds first."""
    for payer in Payer:
        cases = [trial for trial in trials if trial.payer is payer and is_of_a_session(trial)]
        yield from (cases[at : at + MOST_SHARING] for at in range(0, len(cases), MOST_SHARING))
    yield from ([trial] for trial in trials if not is_of_a_session(trial))


class _Proving:
    """A proof under way."""

    def __init__(self, subject: Subject, root: Path, report: Callable[[Proof], None]) -> None:
        self._subject = subject
        self._root = root
        self._report = report
        self._numbers = count(1)

    async def round(self, trials: Sequence[Trial]) -> None:
        """One trial after the other; sessions share two programs, new ones if one has ended."""
        waiting = deque(trials)
        while waiting:
            async with AsyncExitStack() as stack:
                shared = _Shared(self._new_folder, stack, self._subject.claude)
                while waiting and not shared.has_ended:
                    trial = waiting.popleft()
                    if is_of_a_session(trial):
                        await self._both(trial, shared.attempt)
                    else:
                        await self._both(trial, self._in_a_process)

    async def _both(
        self, trial: _Trial, attempt: Callable[[_Trial, Program], Awaitable[Attempt]]
    ) -> None:
        without = await attempt(trial, self._subject.plain)
        through = await attempt(trial, self._subject.bridge)
        self._report(Proof(trial, without, through))

    async def _in_a_process(self, trial: Trial, program: Program) -> Attempt:
        try:
            return attempt_of(
                await try_in_a_process(
                    self._new_folder(), trial, program, claude=self._subject.claude
                )
            )
        except _FAILURES as error:
            return failed_attempt(error)

    def _new_folder(self) -> Path:
        folder = self._root / str(next(self._numbers))
        folder.mkdir(mode=0o700)
        return folder


class _Shared:
    """The programs in which one payer's sessions are held, each started when first needed."""

    def __init__(self, new_folder: Callable[[], Path], stack: AsyncExitStack, claude: Path) -> None:
        self._new_folder = new_folder
        self._stack = stack
        self._claude = claude
        self._running: dict[Program, Running] = {}
        self._not_started: dict[Program, Attempt] = {}

    @property
    def has_ended(self) -> bool:
        """Whether one of them is gone."""
        return any(running.client.has_ended for running in self._running.values())

    async def attempt(self, case: Case, program: Program) -> Attempt:
        """Hold a session under a case."""
        if program in self._not_started:
            # Nothing was planted when it failed, so that it would fail again.
            return self._not_started[program]
        if program not in self._running:
            try:
                self._running[program] = await self._started(case.payer, program)
            except _FAILURES as error:
                self._not_started[program] = failed_attempt(error)
                return self._not_started[program]
        try:
            running = self._running[program]
            return attempt_of(await try_in_a_session(running, case, claude=self._claude))
        except _FAILURES as error:
            return failed_attempt(error)

    async def _started(self, payer: Payer, program: Program) -> Running:
        stage = await self._stack.enter_async_context(Stage(self._new_folder(), payer))
        return await self._stack.enter_async_context(stage.run(program))


def attempt_of(sighting: Sighting) -> Attempt:
    """What a sighting amounts to."""
    seen = unique(sighting.leaks)
    if seen:
        more = f"; and {len(seen) - MOST_NAMED} more" if len(seen) > MOST_NAMED else ""
        return Attempt(sighting.outcome, _words("; ".join(seen[:MOST_NAMED]) + more))
    if sighting.outcome is Outcome.HELD:
        return Attempt(Outcome.HELD)
    code = "" if sighting.error is None else f"error {sighting.error}: "
    return Attempt(sighting.outcome, _words(code + (sighting.said or "an empty answer")))


def failed_attempt(error: Exception) -> Attempt:
    """What an error of the program amounts to."""
    return Attempt(Outcome.NO_ANSWER, _words(str(error) or "nothing within the time"))


def _words(text: str) -> str:
    """What a program said, on one line of bounded length, without what would move a cursor."""
    line = "".join(char if char.isprintable() else " " for char in redact(text))
    if len(line) > LONGEST_DETAIL:
        line = f"{line[: LONGEST_DETAIL // 4]} … {line[-LONGEST_DETAIL // 2 :]}"
    return " ".join(line.split())
