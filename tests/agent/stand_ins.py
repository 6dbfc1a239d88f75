"""Command lines of small agents, each with one bad habit."""

import sys
import textwrap
from pathlib import Path

PREAMBLE = r"""
import os, signal, subprocess, sys, time
def ready(name):
    global grave
    grave = os.open(GRAVE, os.O_WRONLY)
    os.set_inheritable(grave, True)
    os.write(grave, f"{name} {os.getpid()}\n".encode())
def ignore(*numbers):
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)
def linger():
    while True:
        signal.pause()
def child(source, **options):
    return subprocess.Popen([sys.executable, "-I", "-S", "-c", head() + source], **options)
def head():
    return f"HEAD = {HEAD!r}\n" + HEAD
"""


def python(source: str, graveyard: Path | None = None) -> list[str]:
    """Return the command line of an agent in Python, with the functions above at hand."""
    head = f"GRAVE = {str(graveyard)!r}\n" + PREAMBLE
    head = f"HEAD = {head!r}\n{head}"
    return [sys.executable, "-I", "-S", "-c", head + textwrap.dedent(source)]


ECHO = python(
    """
    while data := os.read(0, 1 << 20):
        while data:
            data = data[os.write(1, data):]
    """
)

STUBBORN = "ignore(signal.SIGTERM, signal.SIGHUP, signal.SIGINT); ready(NAME); linger()"

FAMILY = """
stubborn = "NAME = {!r}; " + STUBBORN
child(stubborn.format("grandchild"))
orphan = repr(stubborn.format("great-grandchild"))
child(f"child({orphan}, start_new_session=True); os._exit(0)")
"""


def family(agent: str, graveyard: Path) -> list[str]:
    """Return an agent with a stubborn child, and a stubborn orphan in a session of its own.

    Args:
        agent: what the agent itself does then.
        graveyard: where the three report.
    """
    return python(f"STUBBORN = {STUBBORN!r}\n{FAMILY}\nready('agent')\n{agent}", graveyard)
