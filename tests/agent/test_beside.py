"""The companion of a program that has replaced this process."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import anyio
import psutil
import pytest

from acp_bridge.agent.beside import left_behind_ended

SECONDS = 60.0
WORK = """
import os, sys, time
from pathlib import Path
import anyio
from acp_bridge.agent.beside import stand_beside
from acp_bridge.errors import BridgeError, RefusedError

folder = Path(sys.argv[1])
{first}

def work(program):
    (folder / "pid").write_text(str(os.getpid()))
    {before}
    program.let_go()
    {meanwhile}
    anyio.run(program.ended)
    (folder / "ended").write_text("ended")
    {after}

try:
    stand_beside(work)
except BridgeError as error:
    print(f"{{error.message}}|{{error.hint}}|{{error.exit_status}}")
    sys.exit(error.exit_status)
os.execv("/bin/sh", ["sh", "-c", sys.argv[2]])
"""


def start(tmp_path: Path, command: str, **more: str) -> subprocess.Popen[str]:
    """Start a program with a companion; lines of the companion's own may be given."""
    lines = dict.fromkeys(("first", "before", "meanwhile", "after"), "pass")
    source = WORK.format(**{**lines, **more})
    return subprocess.Popen(
        [sys.executable, "-c", source, str(tmp_path), command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def companion(tmp_path: Path) -> psutil.Process:
    wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    return psutil.Process(int((tmp_path / "pid").read_text()))


def test_the_pipes_end_with_the_program_while_its_companion_still_works(tmp_path: Path) -> None:
    with start(tmp_path, "echo done; exit 7", after="time.sleep(600)") as program:
        out, _ = program.communicate(timeout=SECONDS)
        assert (out, program.returncode) == ("done\n", 7)
        beside = companion(tmp_path)
        wait_until((tmp_path / "ended").exists)
        assert beside.is_running()
        beside.kill()


def test_it_is_no_child_of_the_program_and_in_no_group_or_session_of_its_own(
    tmp_path: Path,
) -> None:
    with start(tmp_path, "read line") as program:
        beside = companion(tmp_path)
        assert psutil.Process(program.pid).children(recursive=True) == []
        assert os.getsid(beside.pid) != os.getsid(program.pid)
        assert os.getpgid(beside.pid) != os.getpgid(program.pid)
        assert beside.terminal() is None
        program.kill()
        wait_until((tmp_path / "ended").exists)
        wait_until(lambda: not beside.is_running())


HOW_THE_END_IS_SEEN = {
    "the kernel tells": "pass",
    "it is looked for": "vars(os).pop('pidfd_open', None)",
}


@pytest.mark.parametrize("how", HOW_THE_END_IS_SEEN)
def test_it_can_end_the_program_and_sees_its_end(tmp_path: Path, how: str) -> None:
    more = {"first": HOW_THE_END_IS_SEEN[how], "meanwhile": "program.end()"}
    with start(tmp_path, "exec sleep 600", **more) as program:
        assert program.wait(SECONDS) == -signal.SIGTERM
        beside = companion(tmp_path)
        wait_until((tmp_path / "ended").exists)
        wait_until(lambda: not beside.is_running())


def test_what_it_refuses_does_not_start(tmp_path: Path) -> None:
    refuse = 'program.refuse(RefusedError("no", hint="yes")); return'
    with start(tmp_path, f"touch {tmp_path}/started", before=refuse) as program:
        out, _ = program.communicate(timeout=SECONDS)
    assert (out, program.returncode) == ("no|yes|3\n", 3)
    assert not (tmp_path / "started").exists()


def test_without_it_the_program_does_not_start_either(tmp_path: Path) -> None:
    with start(tmp_path, f"touch {tmp_path}/started", before="os._exit(1)") as program:
        out, _ = program.communicate(timeout=SECONDS)
    assert program.returncode == 4
    assert out.startswith("what meters and guards the command ended before it began|")
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize("named", ["claude", "gate.py"])
def test_it_waits_for_what_claude_code_left_behind(tmp_path: Path, named: str) -> None:
    program = tmp_path / named
    program.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(1.5)\n")
    program.chmod(0o700)
    env = {"CLAUDE_CODE_EXECUTABLE": str(tmp_path / "launch" / "agent" / "claude")}
    with subprocess.Popen([program], env=env) as left:
        wait_until(lambda: named.encode() in Path(f"/proc/{left.pid}/cmdline").read_bytes())
        anyio.run(left_behind_ended, tmp_path)
        assert left.poll() == 0


def test_other_programs_and_other_runs_are_not_waited_for(tmp_path: Path) -> None:
    elsewhere = {"CLAUDE_CODE_EXECUTABLE": "/elsewhere/launch/agent/claude"}
    here = {"CLAUDE_CODE_EXECUTABLE": str(tmp_path / "launch" / "agent" / "claude")}
    waits = "import time; time.sleep(600)"
    with (
        subprocess.Popen(
            ["/bin/claude", "-c", waits], executable=sys.executable, env=elsewhere
        ) as one,
        subprocess.Popen(
            ["/bin/server", "-c", waits], executable=sys.executable, env=here
        ) as other,
    ):
        anyio.run(left_behind_ended, tmp_path)
        one.kill()
        other.kill()
