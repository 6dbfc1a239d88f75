"""How long an agent may take to end, and how it ended."""

import signal
from dataclasses import dataclass
from typing import Self

MARGIN_SECONDS = 2.0
"""What the keeper gets beyond its own limits before it is taken for stuck."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long each step of starting and ending an agent may take, in seconds.

    Attributes:
        start: for the keeper to take its order, and again for the agent to be started.
        grace: for the agent to end by itself after its stdin ended. Claude Code needs up to 3 s to
            end the processes of its Bash tool.
        terminate: between SIGTERM and SIGKILL.
        kill: for the kernel to carry SIGKILL out on all descendants.
    """

    start: float = 15.0
    grace: float = 5.0
    terminate: float = 2.0
    kill: float = 5.0

    @property
    def stop(self) -> float:
        """The longest that a stop may take before the keeper is killed."""
        return self.grace + self.terminate + self.kill + MARGIN_SECONDS


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class AgentExit:
    """How the agent ended.

    Attributes:
        returncode: its exit status; None if a signal ended it or it is not known.
        signal: the number of the signal that ended it, or None.
    """

    returncode: int | None = None
    signal: int | None = None

    @classmethod
    def from_code(cls, code: int) -> Self:
        """Read the keeper's report: an exit status, or minus a signal's number."""
        return cls(signal=-code) if code < 0 else cls(returncode=code)

    @property
    def text(self) -> str:
        """The half sentence for users: "exited with status 3", "was ended by SIGKILL"."""
        if self.signal is not None:
            return f"was ended by {signal_name(self.signal)}"
        if self.returncode is not None:
            return f"exited with status {self.returncode}"
        return "was ended together with the process that watched over it"


def signal_name(number: int) -> str:
    """Return ``SIGKILL`` for 9, ``signal 64`` for one without a name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
