"""The keeper's arithmetic of processes, and the keeper where the kernel does not help it."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from acp_bridge.agent import keeper
from acp_bridge.agent.spawn import KEEPER
from tests.agent.death import SECONDS, Graveyard, wait_for_the_end_of
from tests.agent.stand_ins import python


def test_descendants_are_found_at_any_depth_and_cousins_are_not() -> None:
    parents = [(1, 0), (4, 3), (3, 2), (2, 1), (5, 1), (6, 5)]
    assert sorted(keeper.descendants(2, parents)) == [3, 4]
    assert sorted(keeper.descendants(1, [*parents, (1, 1)])) == [2, 3, 4, 5, 6]
    assert keeper.descendants(6, parents) == []


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_proc_and_ps_agree_on_this_process() -> None:
    this = (os.getpid(), os.getppid(), os.getpgrp())
    assert this in keeper.rows_from_proc()
    assert this in keeper.rows_from_ps()


def test_the_dead_are_not_among_the_rows() -> None:
    child = subprocess.Popen([sys.executable, "-I", "-S", "-c", "pass"], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.read() == b""
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # a zombie from here on
    assert child.pid not in {pid for pid, _, _ in keeper.rows_from_ps()}
    if sys.platform == "linux":
        assert child.pid not in {pid for pid, _, _ in keeper.rows_from_proc()}
    child.communicate()


Running = tuple[subprocess.Popen[bytes], socket.socket]
"""A keeper's process and the bridge's end of its control socket."""


@contextmanager
def a_keeper(agent: list[str], waits: keeper.Waits, changed: str = "") -> Iterator[Running]:
    """Start a keeper of `agent`, after `changed` was done to its module."""
    source = f"""
import sys
sys.path.insert(0, {str(Path(KEEPER).parent)!r})
import keeper
{changed}
sys.exit(keeper.main(sys.argv[1:]))
"""
    environment = dict(os.environb)
    order = keeper.Order([os.fsencode(word) for word in agent], environment, b"", waits)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = subprocess.Popen(
            [sys.executable, "-c", source, f"fd={theirs.fileno()}"],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        theirs.close()
        ours.sendall(order.packed())
        yield process, ours


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a parent-death signal")
def test_the_kernel_kills_the_agent_of_a_keeper_that_is_killed(graveyard: Graveyard) -> None:
    agent = python("ignore(signal.SIGTERM); ready('agent'); linger()", graveyard.path)
    with a_keeper(agent, (9, 9, 9)) as (process, _):
        graveyard.births(1)
        process.kill()
        process.wait(SECONDS)
        graveyard.wait_for_the_last()


@pytest.mark.parametrize("rows", ["rows_from_ps", "rows_from_proc"])
def test_without_a_subreaper_the_group_and_the_tree_are_ended(
    graveyard: Graveyard, rows: str
) -> None:
    changed = f"""
keeper.find_prctl = lambda: keeper.no_prctl
keeper.rows_from_proc = keeper.{rows}
"""
    agent = python(
        """
        stubborn = "ignore(signal.SIGTERM); ready('{}'); linger()"
        child("child(" + repr(stubborn.format("orphan")) + "); os._exit(0)")
        child(stubborn.format("own-session"), start_new_session=True)
        ready("agent")
        sys.stdin.read()
        linger()
        """,
        graveyard.path,
    )
    with a_keeper(agent, (0.3, 0.3, 10), changed) as (process, ours):
        born = graveyard.births(3)
        assert born.keys() == {"agent", "orphan", "own-session"}
        ours.shutdown(socket.SHUT_WR)
        graveyard.wait_for_the_last()
        assert process.wait(SECONDS) == 0
        assert ours.recv(4096) == f"started {born['agent']}\nexited -15\n".encode()
    for pid in born.values():
        wait_for_the_end_of(pid)


def test_a_keeper_that_has_to_give_up_says_how_many_are_left(graveyard: Graveyard) -> None:
    agent = python("child('ready(\"child\"); linger()'); ready('agent'); linger()", graveyard.path)
    changed = "keeper.Keeper._signal_all = lambda self, *numbers: None"
    with a_keeper(agent, (0.05, 0.05, 0.05), changed) as (process, ours):
        born = graveyard.births(2)
        assert ours.recv(4096) == f"started {born['agent']}\n".encode()
        ours.shutdown(socket.SHUT_WR)
        assert process.wait(SECONDS) == 1
        assert ours.recv(4096) == b"left 2\n"
    # Its end took the agent along; the agent's child is this test's to end.
    os.kill(born["child"], signal.SIGKILL)
    graveyard.wait_for_the_last()
