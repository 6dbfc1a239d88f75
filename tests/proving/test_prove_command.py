"""``acp-bridge prove`` as a user runs it, on the real adapter and the real Claude Code."""

import contextlib
import json
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from acp_bridge.modes import BillingMode
from acp_bridge.proving.selection import Profile, select
from acp_bridge.proving.shell import Deed
from tests.bridge.process import BRIDGE, SECONDS, bridge_environment, run_bridge
from tests.documents import assert_proof

pytestmark = pytest.mark.agent

SLOW = 4 * SECONDS
"""How long a proof of a few channels may take: a bound, not an expectation."""


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """A user's environment, with keys that must have no part in it."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    return {
        **bridge_environment(tmp_path),
        "TMPDIR": str(temporary),
        "ANTHROPIC_API_KEY": "sk-ant-api03-FAKE-the-users-own",
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:9",
        "ACP_BRIDGE_MODE": "api-key",
        "ACP_BRIDGE_API_KEY": "sk-ant-api03-FAKE-the-users-own-too",
        "ACP_BRIDGE_UPSTREAM_URL": "http://127.0.0.1:9",
    }


def prove(*arguments: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*BRIDGE, "prove", *arguments],
        env=dict(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SLOW,
        check=False,
    )


def as_shown_to_others(pid: int) -> str:
    """The environment that a program was started with, as other programs can read it."""
    with contextlib.suppress(PermissionError, FileNotFoundError):
        return Path(f"/proc/{pid}/environ").read_bytes().decode()
    return ""


def assert_nothing_is_left(tmp_path: Path) -> None:
    """Nothing in the user's places, and nothing in the temporary folder."""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "tmp"]
    assert list((tmp_path / "home").iterdir()) == []
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.full
def test_a_proof_of_a_few_channels_in_every_mode(tmp_path: Path, env: dict[str, str]) -> None:
    done = prove("--json", "--only", "BASE_URL", env=env)

    assert done.returncode == 0, done.stdout + done.stderr
    proof = json.loads(done.stdout)
    assert_proof(proof)
    assert proof["held"] is True
    assert proof["profile"] == "quick"
    assert proof["agent"]["version"] is not None
    assert proof["agent"]["claude_version"] is not None
    assert {case["mode_letter"] for case in proof["cases"]} == {"A", "B", "C"}
    assert {case["without"] for case in proof["cases"]} == {"leaked"}
    for case in proof["cases"]:
        refused = case["channel"] == Deed.OTHER_KEY
        assert case["with"] == ("refused" if refused else "held"), case
    assert {case["channel"] for case in proof["cases"]} == {
        "ANTHROPIC_BASE_URL",
        Deed.OTHER_KEY,
    }
    planted = len(proof["cases"])
    assert proof["totals"] == {
        "planted": planted, "leak_without": planted, "held": planted, "not_held": 0
    }  # fmt: skip
    assert f"{planted}/{planted} held: " in done.stderr
    assert proof["guard"] == {"api-key": "enforce", "subscription": "off", "endpoint": "enforce"}
    assert "FAKE" not in done.stdout + done.stderr
    assert_nothing_is_left(tmp_path)


def test_an_agent_that_is_none_cannot_be_started(tmp_path: Path, env: dict[str, str]) -> None:
    done = run_bridge("prove", "--claude", "true", "--", "false", env=env)

    assert done.returncode == 4
    assert done.stdout == ""
    assert done.stderr.splitlines()[-2].startswith("error: the agent cannot be started: ")
    assert done.stderr.splitlines()[-1].startswith("hint: ")
    assert_nothing_is_left(tmp_path)


def test_ctrl_c_ends_it_at_once_and_says_what_was_proven_so_far(
    tmp_path: Path, env: dict[str, str]
) -> None:
    with subprocess.Popen(
        [*BRIDGE, "prove", "--mode", "subscription", "--json"],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as running:
        assert running.stderr is not None
        assert running.stdout is not None
        for line in running.stderr:
            if line.startswith(b"1/"):
                break
        shown = as_shown_to_others(running.pid)
        below = psutil.Process(running.pid).children(recursive=True)
        running.send_signal(signal.SIGINT)
        proof = json.loads(running.stdout.read())
        errors = running.stderr.read().decode()
        status = running.wait(SLOW)

    assert status == 128 + signal.SIGINT, errors
    assert below, "it was at work"
    assert "the-users-own" not in shown
    _, alive = psutil.wait_procs(below, timeout=SECONDS)
    assert alive == []
    assert_proof(proof)
    assert proof["held"] is False
    whole = len(select(Profile.QUICK, [BillingMode.SUBSCRIPTION]))
    assert 1 <= len(proof["cases"]) < whole
    assert f"interrupted after {len(proof['cases'])} of {whole}: " in errors
    assert_nothing_is_left(tmp_path)
