"""Signals before there is an event loop: while settings are read and the agent is being started."""

import signal
import sys
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
BY_SIGNAL = 128
"""What a shell adds to the number of the signal that ended a program."""


def exit_on_signal() -> None:
    """Let each of `SIGNALS` end this process with status 128 + N, clean-up included.

    The event loop's own handlers take their place as soon as it runs.
    """
    for number in SIGNALS:
        signal.signal(number, _exit)


def _exit(number: int, frame: FrameType | None) -> NoReturn:
    del frame
    sys.exit(BY_SIGNAL + number)
