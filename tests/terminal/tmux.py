"""A real terminal: a tmux server of its own, with one window."""

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

SECONDS = 60.0
LOOK_SECONDS = 0.05
AGAIN_SECONDS = 0.5
"""After so long Ctrl-C is pressed again."""


class Terminal:
    """One terminal in which a program runs."""

    def __init__(self, socket: str) -> None:
        program = shutil.which("tmux")
        assert program is not None, "the tests need tmux"
        self._command = (program, "-S", socket, "-f", os.devnull)

    def tmux(self, *arguments: str) -> str:
        """Ask the server something."""
        done = subprocess.run(
            [*self._command, *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=SECONDS,
        )
        return done.stdout

    def type(self, text: str) -> None:
        """Type characters as they are."""
        self.tmux("send-keys", "-t", "main", "-l", text)

    def press(self, *keys: str) -> None:
        """Press keys by tmux's names: ``Enter``, ``C-c``."""
        self.tmux("send-keys", "-t", "main", *keys)

    def resize(self, columns: int, rows: int) -> None:
        """Give the window another size."""
        self.tmux("resize-window", "-t", "main", "-x", str(columns), "-y", str(rows))

    @property
    def screen(self) -> str:
        """What is to be seen."""
        return self.tmux("capture-pane", "-p", "-t", "main")

    def interrupt_until_it_ends(self) -> None:
        """Press Ctrl-C, and again for a program that asks for it."""
        deadline = time.monotonic() + SECONDS
        while "[ended with" not in self.screen:
            assert time.monotonic() < deadline, self.screen
            self.press("C-c")
            time.sleep(AGAIN_SECONDS)

    def wait_for(self, *texts: str) -> str:
        """Wait until one of these is to be seen; returns the screen."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            screen = self.screen
            if any(text in screen for text in texts):
                return screen
            time.sleep(LOOK_SECONDS)
        raise AssertionError(f"none of {texts} in:\n{self.screen}")


@contextmanager
def terminal(
    folder: Path, argv: Sequence[str], env: Mapping[str, str], cwd: Path
) -> Iterator[Terminal]:
    """A terminal of 100 by 30 in which a shell runs a program and says how it ended.

    Args:
        folder: where the server's socket goes.
        argv: the program.
        env: the whole environment.
        cwd: where it starts.
    """
    # A socket's path may be no longer than about a hundred bytes.
    opened = Terminal(os.path.relpath(folder / "tmux"))
    # The server takes PATH from whoever asks for the session.
    program = shlex.join(["env", f"PATH={env['PATH']}", *argv])
    ended = 'status=$?; echo; echo "[ended with $status]"; while :; do sleep 60; done'
    line = f"trap : INT; {program}; {ended}"
    own = {"LANG": "C.UTF-8", "TERM": "screen-256color"}
    variables = [f"-e{name}={value}" for name, value in {**own, **env}.items()]
    size = ("-x", "100", "-y", "30")
    opened.tmux(
        "new-session", "-d", "-s", "main", *size, "-c", str(cwd), *variables, "sh", "-c", line
    )
    try:
        yield opened
    finally:
        opened.tmux("kill-server")
