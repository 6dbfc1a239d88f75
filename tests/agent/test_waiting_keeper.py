"""A keeper that was started before the bridge knows what to start, and the order it waits for."""

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acp_bridge.agent.keeper import Order, read_order
from acp_bridge.agent.process import AgentExit, Limits, adopt_agent
from acp_bridge.agent.spawn import (
    LIBRARY_PATHS,
    WaitingKeeper,
    keeper_environment,
    spawn_agent,
    start_keeper,
)
from acp_bridge.errors import AgentError
from tests.agent.conftest import Run
from tests.agent.death import SECONDS, wait_for_the_end_of
from tests.agent.stand_ins import ECHO, python

PATIENT = Limits(grace=20, terminate=20, kill=10)
ENV = dict(os.environ)
SECRET = "sk-ant-api03-FAKE-of-the-agent"
LARGE = {f"LARGE_{number}": "x" * 100_000 for number in range(10)}
"""More than any socket buffer holds by default, less than `execve` takes."""

words = st.binary(max_size=20).map(lambda word: word.replace(b"\0", b""))
names = words.map(lambda name: name.replace(b"=", b"") or b"N")
waits = st.tuples(*[st.floats(min_value=0, allow_nan=False)] * 3)


@given(st.lists(words, min_size=1), st.dictionaries(names, words), words, waits)
def test_an_order_arrives_as_it_was_given(
    argv: list[bytes],
    environment: dict[bytes, bytes],
    directory: bytes,
    waits: tuple[float, float, float],
) -> None:
    order = Order(argv, environment, directory, waits)
    assert vars(Order.unpacked(order.packed()[8:])) == vars(order)


@given(st.data())
def test_an_order_that_ends_early_is_none(data: st.DataObject) -> None:
    order = Order([b"agent"], {b"NAME": b"value"}, b"/", (1, 2, 3)).packed()
    sent = data.draw(st.integers(0, len(order)))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(order[:sent])
        ours.close()
        assert (read_order(theirs.fileno()) is None) is (sent < len(order))


@pytest.mark.parametrize(
    ("argv", "options"),
    [
        (["a\0b"], {}),
        (["a"], {"env": {"NAME": "\0OTHER=1"}}),
        (["a"], {"env": {"NA=ME": "value"}}),
        (["a"], {"env": {"NAME": "no bytes for \ud800"}}),
        (["a"], {"cwd": Path("\0")}),
    ],
)
@pytest.mark.usefixtures("no_leaks")
def test_what_no_program_can_be_given_is_refused(
    argv: list[str], options: dict[str, object]
) -> None:
    with pytest.raises(AgentError, match="holds a character that none may hold"):
        spawn_agent(argv, **{"env": {}, **options})  # type: ignore[arg-type]


def test_a_variable_without_a_name_is_left_out() -> None:
    order = Order([b"agent"], {b"": b"of a strange parent", b"A": b"1"}, b"", (1, 2, 3))
    assert Order.unpacked(order.packed()[8:]).environment == {b"A": b"1"}


@pytest.mark.usefixtures("no_leaks")
def test_a_keeper_that_is_asked_for_nothing_exits_with_0() -> None:
    with start_keeper() as keeper:
        process = keeper._process
    assert process.returncode == 0
    keeper.close()
    with pytest.raises(RuntimeError):
        keeper.start(ECHO, env=ENV)


@pytest.mark.usefixtures("no_leaks")
def test_a_stuck_keeper_that_is_asked_for_nothing_is_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("acp_bridge.agent.spawn.REAP_SECONDS", 0.1)
    keeper = start_keeper()
    keeper._process.send_signal(signal.SIGSTOP)
    keeper.close()
    assert keeper._process.returncode == -signal.SIGKILL


async def run_to_its_end(
    keeper: WaitingKeeper, argv: list[str], env: dict[str, str], cwd: Path | None = None
) -> bytes:
    """Give the keeper an agent and return what that wrote to stdout."""
    text = b""
    with keeper:
        spawned = spawn_agent(argv, env=env, cwd=cwd, limits=PATIENT, keeper=keeper)
    async with adopt_agent(spawned) as agent:
        async for chunk in agent.stdout:
            text += chunk
    assert await agent.wait() == AgentExit(returncode=0)
    return text


@pytest.mark.usefixtures("no_leaks")
def test_an_environment_larger_than_the_socket_gets_through_while_the_keeper_boots(
    run: Run,
) -> None:
    env = {"PATH": os.environ["PATH"], **LARGE}
    text = run(run_to_its_end, start_keeper(), ["env"], env)
    assert sorted(text.decode().splitlines()) == sorted(f"{name}={env[name]}" for name in env)


@pytest.mark.usefixtures("no_leaks")
def test_words_and_directory_that_are_no_text_get_through(run: Run, tmp_path: Path) -> None:
    odd = tmp_path / "\udcff=\n"
    odd.mkdir()
    argv = ["sh", "-c", 'pwd -P; printf "%s|" "$@"', "sh", "", "\udcfe", "a\nb"]
    text = run(run_to_its_end, start_keeper(), argv, {"PATH": os.environ["PATH"]}, odd)
    assert text == os.fsencode(odd.resolve()) + b"\n|\xfe|a\nb|"


@pytest.mark.usefixtures("no_leaks")
def test_a_relative_program_is_the_agents_directory_and_that_is_the_bridges(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    program = tmp_path / "below" / "agent"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho found\n")
    program.chmod(0o755)
    for argv, path in ((["./agent"], ""), (["agent"], "."), (["agent"], "/nonexistent:")):
        env = {"PATH": path}
        assert run(run_to_its_end, start_keeper(), argv, env, Path("below")) == b"found\n"


@pytest.mark.parametrize("name", ["file", "x" * 300])
@pytest.mark.usefixtures("no_leaks")
def test_a_working_directory_that_is_none_is_named(run: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AgentError, match=rf"working directory .*{name} does not exist"):
        run(run_to_its_end, start_keeper(), ECHO, ENV, tmp_path / name)


@pytest.mark.parametrize("env", [{}, LARGE], ids=["small", "large"])
@pytest.mark.usefixtures("no_leaks")
def test_a_keeper_that_was_killed_meanwhile_is_an_error(env: dict[str, str]) -> None:
    keeper = start_keeper()
    keeper._process.kill()
    keeper._process.wait()
    with pytest.raises(AgentError, match="watches over the agent ended at once"):
        keeper.start(ECHO, env=env)


@pytest.mark.usefixtures("no_leaks")
def test_a_keeper_that_is_killed_while_it_is_told_is_an_error() -> None:
    keeper = start_keeper()
    keeper._process.send_signal(signal.SIGSTOP)  # it reads nothing more
    killer = threading.Thread(target=keeper._process.kill)
    killer.start()
    with pytest.raises(AgentError, match="watches over the agent ended at once"):
        keeper.start(ECHO, env=LARGE)
    killer.join()


@pytest.mark.parametrize("start", [0, 0.1])
@pytest.mark.usefixtures("no_leaks")
def test_a_keeper_that_does_not_listen_is_given_up(
    start: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acp_bridge.agent.spawn.REAP_SECONDS", 0.1)
    keeper = start_keeper()
    keeper._process.send_signal(signal.SIGSTOP)
    with pytest.raises(AgentError, match=f"did not start within {start:g} s"):
        keeper.start(ECHO, env=LARGE, limits=Limits(start=start))


@pytest.mark.usefixtures("no_leaks")
def test_the_signals_of_a_terminal_do_not_end_a_keeper_that_waits() -> None:
    order = Order([b"/bin/true"], {b"LARGE": b"x" * 1_000_000}, b"", (9, 9, 9)).packed()
    with start_keeper() as keeper:
        keeper._control.sendall(order[:-1])  # returns when the keeper has begun to read
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM):
            keeper._process.send_signal(number)
        keeper._control.shutdown(socket.SHUT_WR)
        assert keeper._process.wait(SECONDS) == 0


BRIDGE = """
import signal
from acp_bridge.agent.spawn import start_keeper
with start_keeper() as keeper:
    print(keeper._process.pid, flush=True)
    signal.pause()
"""


def test_kill_9_of_the_bridge_ends_a_keeper_that_waits() -> None:
    bridge = subprocess.Popen([sys.executable, "-c", BRIDGE], stdout=subprocess.PIPE)
    assert bridge.stdout is not None
    keeper = int(bridge.stdout.readline())
    bridge.kill()
    bridge.communicate()
    wait_for_the_end_of(keeper)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")
@pytest.mark.usefixtures("no_leaks")
def test_the_keeper_shows_neither_the_agents_environment_nor_the_bridges(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACP_BRIDGE_API_KEY", SECRET)
    argv = [*python("print('ready', flush=True); sys.stdin.read()"), SECRET]

    async def main() -> tuple[bytes, bytes, bytes]:
        spawned = spawn_agent(argv, env={"KEY": SECRET}, limits=PATIENT)
        async with adopt_agent(spawned) as agent:
            await agent.stdout.receive()
            keeper, child = (Path(f"/proc/{pid}") for pid in (spawned.keeper.pid, agent.pid))
            shown = [(keeper / name).read_bytes() for name in ("environ", "cmdline")]
            return shown[0], shown[1], (child / "environ").read_bytes()

    environ, cmdline, of_agent = run(main)
    assert {pair.split(b"=")[0].decode() for pair in environ.split(b"\0")[:-1]} <= {
        *LIBRARY_PATHS,
        "PATH",
    }
    assert SECRET.encode() not in environ + cmdline
    assert SECRET.encode() in of_agent


def test_the_keeper_gets_the_paths_of_libraries_and_nothing_else_of_the_users() -> None:
    environ = {"LD_LIBRARY_PATH": "/opt/lib", "PATH": "/opt/bin", "ANTHROPIC_API_KEY": SECRET}
    assert keeper_environment(environ) == {"LD_LIBRARY_PATH": "/opt/lib", "PATH": os.defpath}


RUN = """
import os, sys
import psutil
from acp_bridge.cli import main
status = main(sys.argv[1:])
print(status, [child.status() for child in psutil.Process().children()])
"""


@pytest.mark.parametrize(
    ("arguments", "setting", "status"),
    [
        ([], {"MODE": "nonsense"}, 2),
        (["--max-line-bytes", "0"], {}, 2),
        ([], {"MODE": "api-key"}, 2),
        (["--", "/nonexistent/agent"], {"CLAUDE": "/bin/true"}, 4),
    ],
    ids=["settings", "flag", "credential", "agent"],
)
def test_a_run_that_fails_leaves_no_keeper(
    tmp_path: Path, arguments: list[str], setting: dict[str, str], status: int
) -> None:
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "ACP_BRIDGE_CONFIG": os.devnull}
    env |= {f"ACP_BRIDGE_{name}": value for name, value in setting.items()}
    done = subprocess.run(
        [sys.executable, "-c", RUN, *arguments],
        env={**env, "ACP_BRIDGE_STATE_DIR": str(tmp_path / "state")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    assert done.stdout == f"{status} []\n", done.stderr
    assert done.stderr.startswith("error: ")


EARLY = """
import argparse, sys
from acp_bridge.agent import spawn
from acp_bridge.cli.arguments import Arguments
from acp_bridge.cli.run import run
def start_keeper():
    print(sorted({"acp_bridge.settings", "pathlib", "anyio", "pydantic"} & sys.modules.keys()))
    sys.exit(7)
spawn.start_keeper = start_keeper
run(Arguments("run", {}, argparse.Namespace(), None, None))
"""


def test_the_keeper_is_started_before_anything_heavy_is_imported() -> None:
    done = subprocess.run(
        [sys.executable, "-c", EARLY], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (7, "[]\n"), done.stderr


def test_a_spawned_agent_is_the_keepers_child(run: Run) -> None:
    async def main() -> None:
        keeper = start_keeper()
        async with adopt_agent(keeper.start(ECHO, env=ENV, limits=PATIENT)) as agent:
            assert psutil.Process(agent.pid).ppid() == keeper._process.pid
            with pytest.raises(RuntimeError):
                keeper.start(ECHO, env=ENV)

    run(main)
