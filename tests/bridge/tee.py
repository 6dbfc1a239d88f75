"""Stands before an agent and keeps the bytes of both directions: ``tee.py LOG AGENT ARGV…``."""

import os
import subprocess
import sys
import threading
from pathlib import Path


def copy(source: int, target: int, log: str) -> None:
    """Copy until the end, then close the target."""
    with Path(log).open("wb", buffering=0) as kept:
        while data := os.read(source, 1 << 16):
            kept.write(data)
            while data:
                data = data[os.write(target, data) :]
    os.close(target)


def main(log: str, argv: list[str]) -> int:
    """Run the agent between two copies."""
    child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin
    assert child.stdout
    stdin, stdout = os.dup(child.stdin.fileno()), os.dup(child.stdout.fileno())
    child.stdin.close()
    child.stdout.close()
    threading.Thread(target=copy, args=(0, stdin, log + ".in"), daemon=True).start()
    copy(stdout, os.dup(1), log + ".out")
    return child.wait()


if __name__ == "__main__":
    os._exit(main(sys.argv[1], sys.argv[2:]))
