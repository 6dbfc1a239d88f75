"""A program that replaces the bridge behaves as if it had been started itself."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from acp_bridge.agent.terminal import replace_process
from acp_bridge.errors import AgentError
from tests.agent.death import SECONDS
from tests.support.signals import signals_in

REPLACE = """
import os, sys
from acp_bridge.agent.terminal import replace_process
print("before")
replace_process({}, {{"PATH": os.environ["PATH"], "ONLY": "this"}})
"""


def replaced(argv: list[str], typed: str = "") -> subprocess.CompletedProcess[str]:
    """Run a process that prints, then becomes `argv`."""
    return subprocess.run(
        [sys.executable, "-c", REPLACE.format(argv)],
        stdout=subprocess.PIPE,
        input=typed,
        text=True,
        check=False,
        timeout=SECONDS,
    )


def test_its_exit_status_and_death_by_signal_are_the_processs_own() -> None:
    assert replaced(["sh", "-c", "exit 7"]).returncode == 7
    assert replaced(["sh", "-c", "kill -TERM $$"]).returncode == -15


def test_it_gets_the_streams_and_exactly_the_environment_given() -> None:
    done = replaced(["sh", "-c", "cat; env | grep ONLY; env | wc -l"], typed="typed\n")
    assert done.stdout.splitlines()[:3] == ["before", "typed", "ONLY=this"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows a process's signal masks")
def test_it_ignores_no_signal_because_python_did() -> None:
    fields = replaced(["cat", "/proc/self/status"]).stdout
    ignored = next(line for line in fields.splitlines() if line.startswith("SigIgn"))
    assert signals_in(ignored.split()[1]) == []


def test_it_keeps_the_process_id() -> None:
    with subprocess.Popen(
        [
            sys.executable,
            "-c",
            REPLACE.format(["sh", "-c", "echo $$"]),
        ],
        stdout=subprocess.PIPE,
    ) as process:
        output, _ = process.communicate(timeout=SECONDS)
    assert output == f"before\n{process.pid}\n".encode()


def test_a_missing_program_is_one_sentence_and_a_hint() -> None:
    with pytest.raises(AgentError, match="nonexistent-program was not found") as caught:
        replace_process(["nonexistent-program"], dict(os.environ))
    assert caught.value.exit_status == 4


def test_a_program_that_cannot_run_is_one_sentence_and_changes_no_signal(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("\x7fELF but not really")
    program.chmod(0o755)
    before = signal.getsignal(signal.SIGPIPE)
    with pytest.raises(AgentError, match="could not be started") as caught:
        replace_process([str(program)], {})
    assert caught.value.hint
    assert signal.getsignal(signal.SIGPIPE) is before
