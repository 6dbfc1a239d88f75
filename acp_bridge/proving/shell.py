"""What the agent's own shell may try: to be paid for by another, and to find the credential.

Launch gate and mode lock decide what Claude Code is told. A program that Claude Code's shell starts
speaks for itself, so that these two are held by the wire guard alone.
"""

import inspect
import json
import secrets
import shlex
import sys
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from acp_bridge.loopback.script import Script, say, use
from acp_bridge.proving import in_the_shell
from acp_bridge.proving.kinds import PLANTED_KEY
from acp_bridge.proving.payers import Payer
from acp_bridge.proving.sightings import ANSWERED, Outcome, Sighting
from acp_bridge.proving.stage import Program, Stage

NOT_TRIED = "the agent's shell did not do what the model told it"
_HALF = 9


class Deed(StrEnum):
    """What the shell is made to do, by the name that the table shows."""

    OTHER_KEY = "another key at ANTHROPIC_BASE_URL"
    SEARCH = "own credential readable by the agent"


@dataclass(frozen=True, slots=True)
class FromTheShell:
    """A deed under a payer: what a `acp_bridge.proving.cases.Case` is for a plant.

    Attributes:
        deed: what the agent's shell does.
        payer: who is meant to pay.
        is_told_only: the user asked for ``ON_VIOLATION=warn``, with which the guard refuses a
            request and the turn goes on.
    """

    deed: Deed
    payer: Payer
    is_told_only: bool = False

    def __str__(self) -> str:
        return f"{self.deed}, {self.payer}"

    @property
    def channel(self) -> str:
        """The name of the channel."""
        return self.deed.value

    @property
    def where(self) -> str:
        """The place in words."""
        return "the agent's shell"

    @property
    def held_by(self) -> frozenset[Outcome]:
        """The outcomes with which the bridge has held the mode.

        A key that goes nowhere is not enough: whoever uses it must be told.
        """
        if self.deed is Deed.OTHER_KEY and not self.is_told_only:
            return frozenset({Outcome.REFUSED})
        return ANSWERED


async def try_in_the_shell(root: Path, trial: FromTheShell, program: Program) -> Sighting:
    """Start a program in a world of its own and hold a session whose shell does the deed.

    Args:
        root: an empty folder.
        trial: what the shell does.
        program: what is started.

    Raises:
        TimeoutError: the program does not start or does not close the session.
    """
    # One that no other process has: several proofs may run on this machine at once.
    secret = _secret(trial.payer) if trial.deed is Deed.SEARCH else None
    report = root / "report"
    script = _script(root, trial.deed, report, secret or PLANTED_KEY)
    async with Stage(root, trial.payer, script=script, secret=secret) as stage:
        async with stage.run(program) as running:
            sighting = await running.turn(stage.home.project)
        return _with_the_report(sighting, report)


def _secret(payer: Payer) -> str:
    kind = "sk-ant-api03-" if payer is Payer.KEY else ""
    return f"{kind}FAKE-own-{secrets.token_hex(16)}-not-a-secret"


def _script(root: Path, deed: Deed, report: Path, secret: str) -> Script:
    """A model that has the shell do it, and is content with that."""
    program = root / "in_the_shell.py"
    program.write_text(inspect.getsource(in_the_shell), encoding="utf-8")
    match deed:
        case Deed.OTHER_KEY:
            arguments = ["ask", str(report), secret]
        case Deed.SEARCH:
            halves = [secret[:-_HALF], secret[-_HALF:]]
            arguments = ["search", str(report), *halves, str(root / "state"), str(root / "home")]
    command = shlex.join([sys.executable, "-I", str(program), *arguments])
    return [use("Bash", command=command, description="As told"), say("Done.")]


def _with_the_report(sighting: Sighting, report: Path) -> Sighting:
    """The sighting with what the shell says it found; without its word nothing was tried."""
    try:
        found = json.loads(report.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        said = f"{NOT_TRIED}; {sighting.said}" if sighting.said else NOT_TRIED
        return replace(sighting, text=None, error=None, said=said)
    return replace(sighting, found=tuple(found))
