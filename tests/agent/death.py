"""Proof that processes have ended and that descriptors are closed."""

import os
import select
import sys
from pathlib import Path

import psutil

SECONDS = 30.0


def open_descriptors() -> set[int]:
    """Return the numbers of this process's open descriptors."""
    folder = Path("/proc/self/fd" if sys.platform == "linux" else "/dev/fd")
    numbers = [int(entry.name) for entry in folder.iterdir()]
    # The listing itself used a descriptor, which is closed by now.
    return {number for number in numbers if is_open(number)}


def is_open(number: int) -> bool:
    """Tell whether a descriptor is open."""
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


class Graveyard:
    """A FIFO that the processes of a test hold open: its end proves that all have ended.

    Each writes ``NAME PID`` into it when it is ready.
    """

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._text = b""

    def births(self, count: int) -> dict[str, int]:
        """Wait for `count` processes to be ready; return their ids by name."""
        while self._text.count(b"\n") < count:
            assert self._read(), "the processes ended before they were ready"
        return {name: int(pid) for name, pid in map(str.split, self._text.decode().splitlines())}

    def wait_for_the_last(self) -> None:
        """Wait until no process holds the FIFO any more."""
        while self._read():
            pass

    def close(self) -> None:
        os.close(self._fd)

    def _read(self) -> bool:
        # Before the first writer came, a FIFO reads as ended; poll waits for one.
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        assert poll.poll(SECONDS * 1000), f"still held open after {SECONDS} s: {self._text!r}"
        chunk = os.read(self._fd, 65536)
        self._text += chunk
        return bool(chunk)


def wait_for_the_end_of(pid: int) -> None:
    """Wait for a process that is not this one's child."""
    try:
        psutil.Process(pid).wait(SECONDS)
    except psutil.NoSuchProcess:
        return
