"""The stdio bridge as a command: the banner, its hint, and nothing but protocol on stdout."""

import json
import subprocess
from pathlib import Path

import pytest

from acp_bridge.launch.policy_file import load_policy
from tests.bridge.process import bridge_environment, run_bridge, stand_in

KEY = "sk-ant-api03-FAKE-in-the-environment"
CLAUDE = {"agent_kind": "claude", "claude": "/bin/true"}
AGENT = stand_in("--name", "claude-agent-acp", "status:none")
INITIALIZE = b'{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}\n'
POLICY = f"(policy {load_policy(None).version})"
MODES = {
    "api-key": ({"api_key": KEY}, f"an API key, charged to api {POLICY} · wire guard enforce"),
    "subscription": (
        {},
        f"the stored claude.ai login, charged to plan_limits {POLICY} · wire guard off",
    ),
    "endpoint": (
        {"endpoint_url": "http://127.0.0.1:9", "endpoint_token": "FAKE-token"},
        f"the endpoint's token, charged to endpoint {POLICY} · wire guard enforce",
    ),
}
LETTERS = {"api-key": "A", "subscription": "B", "endpoint": "C"}
HINT = "hint: an API key was found and removed; set ACP_BRIDGE_MODE=api-key to use it\n"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("form", [[], ["run"]], ids=["bare", "run"])
def test_the_banner_names_mode_and_credential_and_stdout_is_protocol(
    tmp_path: Path, mode: str, form: list[str]
) -> None:
    settings, pays_with = MODES[mode]
    banner = f"mode {mode} ({LETTERS[mode]}) · pays with {pays_with}"
    env = bridge_environment(tmp_path, **CLAUDE, **settings)
    done = run_bridge(*form, "--mode", mode, "--", *AGENT, env=env, stdin=INITIALIZE)
    assert done.returncode == 0
    assert done.stderr.splitlines() == [f"acp-bridge: {banner} · nothing had to be removed"]
    assert [set(json.loads(line)) for line in done.stdout.splitlines()] == [
        {"jsonrpc", "id", "result"},
        {"jsonrpc", "method", "params"},
    ]


def test_a_billing_policy_that_is_wrong_is_one_line_and_a_hint(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.touch()
    config.with_name("billing-policy.toml").write_text("rules = 3")
    env = bridge_environment(tmp_path, **CLAUDE) | {"ACP_BRIDGE_CONFIG": str(config)}
    done = run_bridge("--", *AGENT, env=env, stdin=INITIALIZE)
    assert (done.returncode, done.stdout) == (2, "")
    error, hint = done.stderr.splitlines()
    assert "billing-policy.toml" in error
    assert hint.startswith("hint: ")


@pytest.mark.parametrize("said", ["default", "flag", "environment", "file"])
def test_a_removed_key_is_hinted_at_only_if_nobody_chose_the_mode(
    tmp_path: Path, said: str
) -> None:
    env = {**bridge_environment(tmp_path, **CLAUDE), "ANTHROPIC_API_KEY": KEY}
    flags = ["--mode", "subscription"] if said == "flag" else []
    if said == "environment":
        env["ACP_BRIDGE_MODE"] = "B"
    if said == "file":
        (tmp_path / "config.toml").write_text("mode = 'subscription'\n")
        env["ACP_BRIDGE_CONFIG"] = str(tmp_path / "config.toml")
    done = run_bridge(*flags, "--", *AGENT, env=env, stdin=INITIALIZE)
    assert "removed ANTHROPIC_API_KEY (environment)" in done.stderr
    assert (HINT in done.stderr) is (said == "default")
    assert KEY not in done.stderr


def test_a_letter_names_a_mode_and_a_flag_beats_the_environment(tmp_path: Path) -> None:
    env = bridge_environment(tmp_path, **CLAUDE, mode="endpoint")
    done = run_bridge("--mode", "b", "--", *AGENT, env=env, stdin=INITIALIZE)
    assert done.stderr.startswith("acp-bridge: mode subscription (B)")


def test_the_sign_in_command_that_clients_are_given_starts_this_bridge_again(
    tmp_path: Path,
) -> None:
    env = bridge_environment(tmp_path, **CLAUDE)
    agent = stand_in("--name", "claude-agent-acp", "--sign-in", "/opt/agent")
    done = run_bridge("--mode", "B", "--", *agent, env=env, stdin=INITIALIZE)
    (method,) = json.loads(done.stdout)["result"]["authMethods"]
    terminal = method["_meta"]["terminal-auth"]
    assert terminal["args"][-5:] == [*agent[-1:], "--cli", "auth", "login", "--claudeai"]
    again = run_bridge_as(terminal["command"], *terminal["args"][:-4], env=env)
    assert again.startswith("acp-bridge: mode subscription (B)")


def run_bridge_as(*argv: str, env: dict[str, str]) -> str:
    done = subprocess.run(argv, env=env, capture_output=True, timeout=60, check=False, input=b"")
    return done.stderr.decode()
