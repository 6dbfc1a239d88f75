"""``ask`` with the stand-in: the answer on stdout, everything else on stderr, honest status."""

import json
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.bridge.process import BRIDGE, SECONDS, bridge_environment, run_bridge, stand_in

CLAUDE = {"agent_kind": "claude", "claude": "/bin/true"}
AGENT = stand_in("--name", "claude-agent-acp", "status:account")


def ask(tmp_path: Path, prompt: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = bridge_environment(tmp_path, **CLAUDE)
    return run_bridge("ask", prompt, *arguments, "--", *AGENT, env=env)


def test_the_answer_alone_is_on_stdout_and_the_evidence_on_stderr(tmp_path: Path) -> None:
    done = ask(tmp_path, "text:Hello, text:payer.")
    assert (done.returncode, done.stdout) == (0, "Hello,payer.\n")
    assert "mode        subscription (B)" in done.stderr
    assert "evidence    declared: subscription_oauth (launch plan), agrees" in done.stderr
    assert "evidence    self_reported: account (auth_status), agrees" in done.stderr


def test_a_prompt_on_stdin(tmp_path: Path) -> None:
    env = bridge_environment(tmp_path, **CLAUDE)
    done = run_bridge("ask", "-", "--", *AGENT, env=env, stdin="text:é".encode())
    assert (done.returncode, done.stdout) == (0, "é\n")


@pytest.mark.parametrize(
    ("approve", "outcome"), [([], "reject"), (["--approve"], "allow")], ids=["declined", "approved"]
)
def test_permission_is_declined_unless_approve_is_given(
    tmp_path: Path, approve: list[str], outcome: str
) -> None:
    done = ask(tmp_path, "ask-permission", *approve)
    assert json.loads(done.stdout) == {"outcome": {"outcome": "selected", "optionId": outcome}}
    notice = "declined: rm -rf / (grant permissions with --approve)"
    assert (notice in done.stderr) is not bool(approve)


def test_a_contradicted_prompt_is_refused_with_status_3(tmp_path: Path) -> None:
    done = ask(tmp_path, "status:gateway wait")
    assert done.returncode == 3
    assert "error: This run is locked to subscription mode" in done.stderr
    assert "VIOLATION   credential_contradiction" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(("end", "status"), [("exit:7", 7), ("exit:0", 1), ("signal:9", 137)])
def test_an_agent_that_ends_before_it_answers_gives_its_own_status(
    tmp_path: Path, end: str, status: int
) -> None:
    done = ask(tmp_path, f"text:begun {end}")
    assert (done.returncode, done.stdout) == (status, "begun\n")
    assert "error: The agent ended before it answered" in done.stderr


def test_an_agent_that_ends_right_after_initialize_does_not_hang_the_command(
    tmp_path: Path,
) -> None:
    env = bridge_environment(tmp_path, agent_kind="other")
    done = run_bridge("ask", "text:x", "--", *stand_in("exit:5"), env=env)
    assert done.returncode == 5
    assert "Traceback" not in done.stderr


def test_an_agent_that_talks_nonsense_is_survived(tmp_path: Path) -> None:
    done = ask(tmp_path, "nonsense:3 odd text:fine")
    assert (done.returncode, done.stdout) == (0, "fine\n")


def test_a_reader_that_stops_reading_ends_the_command_quietly(tmp_path: Path) -> None:
    env = bridge_environment(tmp_path, **CLAUDE)
    with subprocess.Popen(
        [*BRIDGE, "ask", "chunks:1 wait", "--", *AGENT],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as command:
        assert command.stdout is not None
        assert command.stderr is not None
        assert command.stdout.read(5) == b"piece"
        command.stdout.close()
        command.send_signal(signal.SIGTERM)
        assert b"Traceback" not in command.stderr.read()
        assert command.wait(SECONDS) != 0


def test_a_pipe_that_closes_in_the_middle_of_the_answer_is_no_traceback(tmp_path: Path) -> None:
    env = bridge_environment(tmp_path, **CLAUDE)
    line = ["sh", "-c", '"$@" | head -c 5', "sh", *BRIDGE, "ask", "chunks:20000", "--", *AGENT]
    done = subprocess.run(line, env=env, capture_output=True, timeout=SECONDS, check=False)
    assert done.stdout == b"piece"
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_command_and_everything_below_it(
    tmp_path: Path, number: signal.Signals
) -> None:
    env = bridge_environment(tmp_path, **CLAUDE)
    with subprocess.Popen(
        [*BRIDGE, "ask", "text:begun wait", "--", *AGENT],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as command:
        assert command.stdout is not None
        assert command.stderr is not None
        assert command.stdout.read(5) == b"begun"
        family = psutil.Process(command.pid).children(recursive=True)
        command.send_signal(number)
        assert b"Traceback" not in command.stderr.read()
        assert command.wait(SECONDS) == 128 + number
    assert family
    _, alive = psutil.wait_procs(family, timeout=SECONDS)
    assert alive == []
    (run,) = (tmp_path / "state" / "runs").iterdir()
    assert sorted(path.name for path in run.iterdir()) == ["alive", "status.json"]


def test_an_answer_that_stdout_cannot_spell_is_escaped(tmp_path: Path) -> None:
    env = {**bridge_environment(tmp_path, **CLAUDE), "PYTHONIOENCODING": "ascii"}
    done = run_bridge("ask", "text:é", "--", *AGENT, env=env)
    assert (done.returncode, done.stdout) == (0, "\\xe9\n")
