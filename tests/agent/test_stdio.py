"""The bridge's stdin and stdout belong to the protocol, whatever they are connected to."""

import os
import pty
import socket
import subprocess
import sys
import tty
from pathlib import Path
from typing import Any

import pytest

from tests.agent.death import SECONDS

CAT = """
import anyio, os, subprocess, sys
from acp_bridge.agent.pipes import stdio_streams
print("before")
async def main():
    async with stdio_streams() as (receive, send):
        print("stray print")
        os.write(1, b"stray write\\n")
        subprocess.run(["echo", "stray child"])
        assert sys.stdin.read() == ""
        async for chunk in receive:
            await send.send(chunk)
        print("late print")
anyio.run(main)
print("after")
"""
CONTENT = bytes(range(256)) * 2000
EXPECTED = b"before\n" + CONTENT + b"after\n"


def cat(given: bytes | None = None, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run a process that copies its stdin to its stdout as the protocol, and chatters besides."""
    argv = [sys.executable, "-c", CAT]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen(argv, env=env, stderr=subprocess.PIPE, **options) as process:
        stdout, stderr = process.communicate(given, timeout=SECONDS)
    return subprocess.CompletedProcess(argv, process.returncode, stdout, stderr)


def check_chatter(done: subprocess.CompletedProcess[bytes]) -> None:
    assert sorted(done.stderr.splitlines()) == [
        b"late print",
        b"stray child",
        b"stray print",
        b"stray write",
    ]
    assert done.returncode == 0


def test_chatter_goes_to_stderr_and_the_protocol_through_pipes() -> None:
    done = cat(CONTENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert done.stdout == EXPECTED
    check_chatter(done)


def test_regular_files_work_as_stdin_and_stdout(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(CONTENT)
    with source.open("rb") as stdin, target.open("wb") as stdout:
        done = cat(stdin=stdin, stdout=stdout)
    check_chatter(done)
    assert target.read_bytes() == EXPECTED


def test_dev_null_is_an_empty_stdin() -> None:
    done = cat(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert done.stdout == b"before\nafter\n"
    check_chatter(done)


def test_one_socket_can_be_both_and_stays_blocking_for_its_other_owners() -> None:
    ours, theirs = socket.socketpair()
    with (
        ours,
        theirs,
        subprocess.Popen(
            [sys.executable, "-c", CAT],
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            stderr=subprocess.PIPE,
        ) as process,
    ):
        ours.settimeout(SECONDS)
        ours.sendall(b"hello")
        received = b""
        while received != b"before\nhello":
            received += ours.recv(4096)
        assert os.get_blocking(theirs.fileno())
        ours.shutdown(socket.SHUT_WR)
        process.communicate(timeout=SECONDS)
        assert ours.recv(4096) == b"after\n"
    assert process.returncode == 0


def test_a_terminal_works_and_stays_blocking_for_the_shell_that_shares_it() -> None:
    controller, terminal = pty.openpty()
    tty.setraw(terminal)
    with subprocess.Popen(
        [sys.executable, "-c", CAT], stdin=terminal, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        os.write(controller, b"typed")
        assert process.stdout is not None
        assert process.stdout.read(12) == b"before\ntyped"
        assert os.get_blocking(terminal)
        os.close(terminal)
        os.close(controller)  # the terminal hangs up
        process.communicate(timeout=SECONDS)


def test_pipes_are_non_blocking_for_nobody_else() -> None:
    read_end, write_end = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", CAT],
        stdin=read_end,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        os.write(write_end, b"x")
        assert process.stdout is not None
        assert process.stdout.read(8) == b"before\nx"
        assert os.get_blocking(read_end) == (sys.platform == "linux")
        os.close(write_end)
        process.communicate(timeout=SECONDS)
    assert os.get_blocking(read_end)
    os.close(read_end)
    assert process.returncode == 0


@pytest.mark.parametrize(("closed", "name"), [("<&-", "stdin"), (">&-", "stdout")])
def test_a_closed_standard_stream_is_a_sentence(closed: str, name: str) -> None:
    source = """
import anyio
from acp_bridge.agent.pipes import stdio_streams
from acp_bridge.errors import ConfigurationError
async def main():
    async with stdio_streams():
        pass
try:
    anyio.run(main)
except ConfigurationError as error:
    import os
    os.write(2, f"{error.message}|{error.exit_status}".encode())
"""
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, source],
        capture_output=True,
        check=False,
        timeout=SECONDS,
    )
    assert done.stderr == f"{name} is closed|2".encode()
