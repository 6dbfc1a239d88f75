"""The forms that hand the terminal over, with the real Claude Code behind the gate."""

import json
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from acp_bridge.loopback.asked import RequestKind
from acp_bridge.loopback.scratch import (
    FAKE_API_KEY,
    FAKE_ENDPOINT_TOKEN,
    FAKE_SECRETS,
    make_scratch_home,
    scratch_environment,
)
from acp_bridge.loopback.threaded import RunningEndpoint, running_endpoint, running_sink
from tests.bridge.process import BRIDGE, SECONDS, bridge_environment, run_bridge
from tests.support.real import CLAUDE

pytestmark = pytest.mark.agent

CLASSES = {
    "api-key": "api_key",
    "subscription": "subscription_oauth",
    "endpoint": "endpoint_credential",
}


@dataclass(frozen=True)
class World:
    """A closed world without an event loop."""

    endpoint: RunningEndpoint
    project: Path
    env: dict[str, str]

    def in_mode(self, mode: str) -> dict[str, str]:
        """The environment of a bridge in this mode, with a key that must not pay in B and C."""
        env = {**self.env, "ACP_BRIDGE_MODE": mode, "ANTHROPIC_API_KEY": FAKE_API_KEY}
        if mode == "endpoint":
            env["ACP_BRIDGE_ENDPOINT_URL"] = self.endpoint.url
            env["ACP_BRIDGE_ENDPOINT_TOKEN"] = FAKE_ENDPOINT_TOKEN
        else:
            env["ACP_BRIDGE_UPSTREAM_URL"] = self.endpoint.url
        return env

    @property
    def paid_with(self) -> set[str]:
        """The credential classes of the model requests."""
        main = [seen for seen in self.endpoint.seen if seen.kind is RequestKind.MAIN]
        return {str(seen.credential.credential_class) for seen in main}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    home = make_scratch_home(tmp_path / "home")
    with running_endpoint(known=FAKE_SECRETS) as endpoint, running_sink() as sink:
        env = {
            **scratch_environment(home, sink_url=sink.url),
            "ACP_BRIDGE_STATE_DIR": str(tmp_path / "state"),
            "ACP_BRIDGE_CONFIG": "/dev/null",
        }
        yield World(endpoint, home.project, env)


@pytest.mark.parametrize("mode", CLASSES)
def test_claude_by_name_pays_by_the_mode(world: World, mode: str) -> None:
    done = run_bridge("exec", "--", "claude", "-p", "hello", env=world.in_mode(mode))
    assert (done.returncode, done.stdout) == (0, "Hello from the embedded endpoint.\n"), done.stderr
    assert world.paid_with == {CLASSES[mode]}


def test_claude_by_its_path_pays_by_the_mode(world: World) -> None:
    env = world.in_mode("subscription")
    done = run_bridge("exec", "--", str(CLAUDE), "-p", "hello", env=env)
    assert (done.returncode, done.stdout) == (0, "Hello from the embedded endpoint.\n"), done.stderr
    assert world.paid_with == {"subscription_oauth"}


def test_any_command_gets_the_scrubbed_environment(world: World) -> None:
    done = run_bridge("exec", "--", "env", env=world.in_mode("subscription"))
    assert done.returncode == 0
    names = {line.partition("=")[0] for line in done.stdout.splitlines()}
    assert "ANTHROPIC_API_KEY" not in names
    assert not [name for name in names if name.startswith("ACP_BRIDGE_")]
    assert FAKE_API_KEY not in done.stdout
    assert "HOME" in names
    assert "removed ANTHROPIC_API_KEY (environment)" in done.stderr


@pytest.mark.parametrize(
    ("script", "status"), [("exit 7", 7), ("kill -TERM $$", -signal.SIGTERM), ("exit 0", 0)]
)
def test_status_and_signals_are_the_commands_own(world: World, script: str, status: int) -> None:
    done = run_bridge("exec", "--", "sh", "-c", script, env=world.in_mode("subscription"))
    assert done.returncode == status


def test_a_signal_reaches_the_command_and_the_run_is_recorded(world: World) -> None:
    env = world.in_mode("subscription")
    script = "trap 'exit 9' TERM; echo up; while :; do sleep 0.1; done"
    with subprocess.Popen(
        [*BRIDGE, "exec", "--", "sh", "-c", script], env=env, stdout=subprocess.PIPE
    ) as command:
        assert command.stdout is not None
        assert command.stdout.readline() == b"up\n"
        (run,) = json.loads(run_bridge("status", "--json", env=env).stdout)["bridges"]
        assert (run["alive"], run["pid"]) == (True, command.pid)
        command.send_signal(signal.SIGTERM)
        assert command.wait(SECONDS) == 9
    (run,) = json.loads(run_bridge("status", "--json", env=env).stdout)["bridges"]
    assert run["alive"] is False


def test_the_sign_in_form_reaches_the_real_claude_through_the_gate(world: World) -> None:
    env = world.in_mode("subscription")
    done = run_bridge("--cli", "auth", "status", "--json", env=env)
    assert done.returncode == 0, done.stderr
    status = json.loads(done.stdout)
    # Without the gate the inherited key would be named as the credential.
    assert (status["loggedIn"], status["authMethod"]) == (True, "claude.ai")
    assert "apiKeySource" not in status


def test_a_command_that_cannot_be_started_leaves_no_credential_behind(tmp_path: Path) -> None:
    key = "sk-ant-api03-FAKE-left-behind"
    env = bridge_environment(tmp_path, mode="api-key", api_key=key, claude="/bin/true")
    assert run_bridge("exec", "--", "no-such-program", env=env).returncode == 4
    files = [path for path in (tmp_path / "state").rglob("*") if path.is_file()]
    assert {path.name for path in files} == {"alive", "status.json"}
