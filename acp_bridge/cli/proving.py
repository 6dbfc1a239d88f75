"""What ``acp-bridge prove`` shows: progress on stderr, the table or the document on stdout."""

import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio

from acp_bridge.proving.proof import Proof, prove
from acp_bridge.proving.report import document, render, sums, versions, where
from acp_bridge.proving.selection import Profile
from acp_bridge.proving.stage import Program
from acp_bridge.proving.subject import BRIDGE, checked, find_subject
from acp_bridge.proving.trial import Trial
from acp_bridge.settings import Settings
from acp_bridge.signals import BY_SIGNAL, unless_signalled
from acp_bridge.standard_error import write_stderr

_TO_LINE_START = "\r\x1b[K"


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be proven, and how it is shown.

    Attributes:
        settings: the user's; see `acp_bridge.proving.subject.find_subject`.
        profile: how much is tried, for the document.
        trials: what is tried.
        agent: the agent's command line, over the settings' own.
        as_json: print the document, not the table.
        bridge: the bridge to prove; tests take one that lacks a protection.
    """

    settings: Settings
    profile: Profile
    trials: Sequence[Trial]
    agent: Sequence[str] | None = None
    as_json: bool = False
    bridge: Program = BRIDGE


def show_proof(asked: Asked) -> int:
    """Prove and show it.

    Returns:
        0 if everything was held, 1 if something was not; 128 + N after signal N.

    Raises:
        AgentError: the agent or Claude Code is missing or does not start.
    """
    # Processes that were killed may leave a file behind after the last look.
    made = tempfile.TemporaryDirectory(prefix="acp-bridge-prove-", ignore_cleanup_errors=True)
    shown = Progress(len(asked.trials), is_terminal=_is_terminal())
    with made as folder:
        root = Path(folder)
        subject = find_subject(
            asked.settings, _made(root / "version"), agent=asked.agent, bridge=asked.bridge
        )

        async def main() -> int:
            nonlocal subject
            shown.say("starting the agent without the bridge, nothing planted")
            subject = await checked(subject, _made(root / "check"), asked.trials[0].payer)
            shown.keep(f"proving {versions(subject)}")
            await prove(subject, asked.trials, _made(root / "proof"), shown.add)
            return 0

        status = anyio.run(unless_signalled, main)
    shown.end()
    found = document(subject, asked.profile, asked.trials, shown.proofs)
    sys.stdout.write(json.dumps(found, indent=2) + "\n" if asked.as_json else render(found))
    if status > BY_SIGNAL:
        done = f"interrupted after {len(shown.proofs)} of {len(asked.trials)}"
        write_stderr(f"{done}: {sums(found)}\n")
        return status
    return 0 if found["held"] else 1


def _made(folder: Path) -> Path:
    folder.mkdir(mode=0o700)
    return folder


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


class Progress:
    """Progress: one line that rewrites itself on a terminal, else a line for each result.

    Args:
        of: how many results there will be.
        is_terminal: whether a line can be rewritten.
    """

    def __init__(self, of: int, *, is_terminal: bool) -> None:
        self.proofs: list[Proof] = []
        self._of = of
        self._is_terminal = is_terminal

    def say(self, text: str) -> None:
        """Show what goes on, until the next word."""
        if self._is_terminal:
            width = shutil.get_terminal_size().columns - 1
            write_stderr(_TO_LINE_START + text[:width])
        else:
            write_stderr(text + "\n")

    def keep(self, text: str) -> None:
        """Show a line that stays."""
        write_stderr((_TO_LINE_START if self._is_terminal else "") + text + "\n")

    def add(self, proof: Proof) -> None:
        """Take a result and show it."""
        self.proofs.append(proof)
        trial = proof.trial
        words = "held" if proof.held else "NOT HELD"
        line = (
            f"{len(self.proofs)}/{self._of} {words}: "
            f"{trial.channel} in {where(trial)}, {trial.payer.terms.mode}"
        )
        if proof.held:
            self.say(line)
        else:
            self.keep(line)

    def end(self) -> None:
        """Leave nothing on a terminal's line."""
        if self._is_terminal:
            write_stderr(_TO_LINE_START)
