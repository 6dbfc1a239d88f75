"""Wrong usage of each command and each setting: one line, one hint, the right status, no more."""

import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from acp_bridge.cli import main
from acp_bridge.cli.arguments import COMMANDS
from acp_bridge.settings import SECRETS, Settings
from tests.bridge.process import BRIDGE, STAND_IN, bridge_environment, run_bridge

ARGUMENTS = {
    "run": [], "exec": [], "ask": ["hello"], "demo": [], "prove": [], "usage": [], "status": [],
    "explain": [], "receipt": [], "ledger": ["verify"], "budget": [],
    "clients": [], "statusline": [], "setup": ["--check"], "doctor": [],
    "completion": ["bash"],
}  # fmt: skip
AFTER = {"run": ["--", *STAND_IN], "exec": ["--", "true"], "ask": ["--", *STAND_IN]}

WRONG: dict[str, dict[str, str]] = {
    "mode": {"mode": "free"},
    "agent": {"agent": "/nonexistent/agent"},
    "agent_kind": {"agent_kind": "gpt"},
    "claude": {"claude": "/nonexistent/claude", "agent_kind": "claude"},
    "api_key": {"api_key": "sk-ant-api03-FAKE", "mode": "subscription"},
    "api_key_file": {"api_key_file": "/nonexistent/key", "mode": "api-key"},
    "api_key_command": {"api_key_command": "/nonexistent/command", "mode": "api-key"},
    "api_key_keyring": {"api_key_keyring": "SERVICE", "mode": "endpoint"},
    "endpoint_url": {"endpoint_url": "http://example.com", "mode": "endpoint"},
    "endpoint_token": {"endpoint_token": "FAKE", "mode": "endpoint"},
    "endpoint_api_key": {"endpoint_api_key": "FAKE"},
    "endpoint_headers": {"endpoint_headers": "{not json"},
    "endpoint_no_auth": {"endpoint_no_auth": "perhaps"},
    "upstream_url": {"upstream_url": "https://example.com"},
    "guard": {"guard": "sometimes"},
    "on_violation": {"on_violation": "ignore"},
    "on_overage": {"on_overage": "ignore"},
    "metering": {"metering": "sometimes"},
    "suggestions": {"suggestions": "perhaps"},
    "plan": {"plan": "free"},
    "max_line_bytes": {"max_line_bytes": "12"},
    "status_wait_seconds": {"status_wait_seconds": "-1"},
    "state_dir": {"state_dir": "/dev/null/state"},
    "log_level": {"log_level": "loud"},
    "log_file": {"log_file": "/nonexistent/folder/log"},
    "log_format": {"log_format": "xml"},
}
"""For each setting a value that no run can use, with what makes it so."""

STATUS = {"agent": 4, "claude": 4}
ONLY_A_RUN_NOTICES = {
    "agent", "claude", "api_key_file", "api_key_command", "state_dir", "log_file"
}  # fmt: skip
"""Their values are right or wrong only when a run uses them."""
READERS = {
    "status",
    "usage",
    "explain",
    "receipt",
    "ledger",
    "budget",
    "clients",
    "setup",
    "doctor",
    "completion",
}
"""Commands that start nothing."""
NO_SETTINGS = {"statusline"}
"""Commands that read no settings, so that nothing can be wrong with them."""
FLAG_CASES = [
    (command, name)
    for command in COMMANDS
    for name in WRONG
    if name not in SECRETS
    and command not in NO_SETTINGS
    and not (command in READERS and name in ONLY_A_RUN_NOTICES)
    and not (command == "exec" and name == "agent")
]


Wrong = Callable[..., None]


@dataclass(frozen=True)
class Said:
    """What a command said and how it ended."""

    status: int
    stdout: str
    stderr: str


@pytest.fixture
def assert_wrong(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """Run a command that must fail, in this process unless it could replace the process."""

    def run(arguments: Sequence[str], env: Mapping[str, str], stdin: bytes) -> Said:
        if "-" in arguments or "exec" in arguments or "--cli" in arguments:
            done = run_bridge(*arguments, env=env, stdin=stdin)
            return Said(done.returncode, done.stdout, done.stderr)
        with monkeypatch.context() as patch:
            for name in os.environ.keys() - env.keys():
                patch.delenv(name)
            for name, value in env.items():
                patch.setenv(name, value)
            status = main(list(arguments))
        return Said(status, *capfd.readouterr())

    def assert_wrong(
        *arguments: str,
        env: Mapping[str, str],
        status: int = 2,
        says: str = "",
        stdin: bytes = b"",
    ) -> None:
        said = run(arguments, env, stdin)
        assert said.stdout == ""
        assert "FAKE" not in said.stderr
        # What a run says before it fails: the banner of exec, the heading of the demo.
        before, error, after = said.stderr.rpartition("error: ")
        assert error, said.stderr
        assert all(line[:3] in ("", "===", "> S", "acp") for line in before.splitlines())
        sentence, hint = after.splitlines()
        assert says in sentence
        assert hint.startswith("hint: ")
        assert len(hint) > len("hint: ")
        assert said.status == status

    return assert_wrong


def test_every_setting_has_a_wrong_value_here() -> None:
    assert WRONG.keys() == Settings.model_fields.keys()


def test_every_command_is_here() -> None:
    assert ARGUMENTS.keys() == COMMANDS.keys()


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_value_in_the_environment(tmp_path: Path, assert_wrong: Wrong, name: str) -> None:
    env = bridge_environment(tmp_path, **{"agent_kind": "other", **WRONG[name]})
    after = [] if name == "agent" else ["--", *STAND_IN]
    assert_wrong("run", *after, env=env, status=STATUS.get(name, 2))


@pytest.mark.parametrize("name", [name for name in WRONG if name not in ONLY_A_RUN_NOTICES])
def test_a_wrong_value_in_the_file(tmp_path: Path, assert_wrong: Wrong, name: str) -> None:
    def quoted(value: str) -> str:
        return value if value.lstrip("-").isdigit() else f"'{value}'"

    path = tmp_path / "config.toml"
    path.write_text("".join(f"{key} = {quoted(value)}\n" for key, value in WRONG[name].items()))
    env = bridge_environment(tmp_path, config=str(path))
    assert_wrong("status", env=env)


@pytest.mark.parametrize(("command", "name"), FLAG_CASES)
def test_a_wrong_value_as_a_flag(
    tmp_path: Path, assert_wrong: Wrong, command: str, name: str
) -> None:
    env = bridge_environment(tmp_path)
    wrong = {key: value for key, value in WRONG[name].items() if key not in SECRETS}
    if "mode" not in wrong:
        wrong = {"agent_kind": "other", **wrong}
    if command in ("demo", "prove"):
        wrong = {name: wrong[name]}
    flags = [f"--{key.replace('_', '-')}={value}" for key, value in wrong.items()]
    if name == "endpoint_no_auth":
        flags = ["--endpoint-no-auth"]
    after = [] if name == "agent" else AFTER.get(command, [])
    status = STATUS.get(name, 2)
    assert_wrong(command, *flags, *ARGUMENTS[command], *after, env=env, status=status)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--nonsense"], "--nonsense"),
        (["nonsense"], "nonsense"),
        (["--mod", "api-key"], "api-key"),
        (["--mode"], "--mode"),
        (["--"], "no agent after --"),
        (["run", "extra"], "extra"),
        (["exec"], "exec needs a command"),
        (["exec", "--"], "exec needs a command"),
        (["exec", "claude"], "claude"),
        (["ask"], "PROMPT"),
        (["ask", ""], "the prompt is empty"),
        (["ask", " \n"], "the prompt is empty"),
        (["ask", "-"], "the prompt is empty"),
        (["ask", "one", "two"], "two"),
        (["ask", "hello", "--cwd", "/nonexistent"], "/nonexistent"),
        (["demo", "free"], "'free'"),
        (["demo", "--endpoint-no-auth"], "--endpoint-no-auth"),
        (["prove", "free"], "free"),
        (["prove", "--mode", "free"], "'free'"),
        (["prove", "--only"], "--only"),
        (["prove", "--only", "weather"], "'weather'"),
        (["prove", "--state-dir", "/nonexistent"], "--state-dir"),
        (["status", "--run"], "--run"),
        (["status", "--run", "20260101-000000-abcdef"], "20260101-000000-abcdef"),
        (["status", "extra"], "extra"),
        (["status", "--api-key", "x"], "--api-key"),
        (["receipt", "one", "two"], "two"),
        (["receipt", "--run"], "--run"),
        (["receipt", "--run", "20260101-000000-abcdef"], "20260101-000000-abcdef"),
        (["receipt", "--json", "--markdown"], "--json and --markdown"),
        (["receipt", "--all", "--run", "20260101-000000-abcdef"], "--all and --run"),
        (["receipt"], "no session is recorded"),
        (["receipt", "0b8c7a54"], "'0b8c7a54'"),
        (["explain", "extra"], "extra"),
        (["explain", "--credential", "cash"], "--credential: 'cash'"),
        (["explain", "--surface", "fridge"], "--surface: 'fridge'"),
        (["explain", "--date", "tomorrow"], "--date 'tomorrow'"),
        (["explain", "--date", "2026-02-30"], "--date '2026-02-30'"),
        (["explain", "--plan", "free"], "--plan"),
        (["budget", "burn"], "'burn'"),
        (["budget", "show", "month"], "no budget 'month'"),
        (["budget", "show", "--json", "--plot"], "--json and --plot"),
        (["budget", "set"], "NAME"),
        (["budget", "set", "month", "--limit-usd", "1"], "no ordinary file"),
        (["budget", "remove"], "NAME"),
        (["budget", "release", "20260101-000000-abcdef"], "20260101-000000-abcdef"),
        (["ledger"], "ACTION"),
        (["ledger", "burn"], "'burn'"),
        (["ledger", "export", "--since", "yesterday"], "--since 'yesterday'"),
        (["ledger", "export", "--since", "1d", "--until", "2d"], "--since is not before --until"),
        (["ledger", "export", "--run", "20260101-000000-abcdef"], "20260101-000000-abcdef"),
        (["ledger", "export", "--format", "xml"], "'xml'"),
        (["ledger", "export", "--format", "csv", "--everything"], "--everything does not go"),
        (["ledger", "export", "--force"], "--force is for a file"),
        (["ledger", "export", "--output", "/nonexistent/file"], "/nonexistent/file"),
        (["ledger", "backup"], "FILE"),
        (["ledger", "backup", "/nonexistent/file"], "there is no ledger"),
        (["ledger", "verify", "extra"], "extra"),
        (["ledger", "prune"], "--before"),
        (["ledger", "prune", "--before", "7d"], "--before '7d' is no day"),
        (["ledger", "prune", "--before", "2999-01-01"], "is yet to come"),
        (["ledger", "prune", "--before", "2026-01-01", "--export", "f", "--no-export"], "--no-ex"),
        (["usage", "extra"], "extra"),
        (["usage", "--json", "--csv", "--plot"], "--json and --csv and --plot"),
        (["usage", "--plot", "--by", "day"], "--by does not go with it"),
        (["usage", "--reconcile", "--csv"], "--csv does not go with --reconcile"),
        (["usage", "--reconcile", "--plot"], "--plot does not go with --reconcile"),
        (["usage", "--by"], "--by"),
        (["usage", "--by", "mode,weather"], "'weather'"),
        (["usage", "--by", ""], "''"),
        (["usage", "--reconcile", "--by", "mode"], "--by does not go with it"),
        (["usage", "--reconcile", "--by", "weather"], "--by does not go with it"),
        (["usage", "--reconcile", "always"], "always"),
        (["usage", "--since", "yesterday"], "--since 'yesterday'"),
        (["usage", "--until", "12m"], "--until '12m'"),
        (["usage", "--since", "1d", "--until", "2d"], "--since is not before --until"),
        (["usage", "--run", "20260101-000000-abcdef"], "20260101-000000-abcdef"),
    ],
)
def test_wrong_arguments(
    tmp_path: Path, assert_wrong: Wrong, arguments: list[str], says: str
) -> None:
    assert_wrong(*arguments, env=bridge_environment(tmp_path), says=says)


def test_text_that_is_not_utf_8_is_no_prompt(tmp_path: Path, assert_wrong: Wrong) -> None:
    env = bridge_environment(tmp_path, agent_kind="other")
    assert_wrong("ask", "-", env=env, stdin=b"caf\xe9", says="not UTF-8")
    assert_wrong("ask", os.fsdecode(b"caf\xe9"), env=env, says="not UTF-8")


@pytest.mark.parametrize("command", sorted(COMMANDS.keys() - {"demo"} - NO_SETTINGS))
def test_a_setting_that_nobody_knows(tmp_path: Path, assert_wrong: Wrong, command: str) -> None:
    env = bridge_environment(tmp_path, moed="api-key")
    after = AFTER.get(command, [])
    assert_wrong(command, *ARGUMENTS[command], *after, env=env, says="ACP_BRIDGE_MOED")


def test_a_missing_configuration_file(tmp_path: Path, assert_wrong: Wrong) -> None:
    env = bridge_environment(tmp_path, config=str(tmp_path / "missing.toml"))
    assert_wrong("status", env=env, says="missing.toml")


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["exec", "--", "/nonexistent/program"], 4),
        (["exec", "--claude", "/bin/true", "--", "nonexistent-program"], 4),
        (["run", "--agent-kind", "other", "--", "/nonexistent/agent"], 4),
        (["ask", "--agent-kind", "other", "hello", "--", "/nonexistent/agent"], 4),
        (["demo", "--agent", "/nonexistent/agent"], 4),
        (["prove", "--agent", "/nonexistent/agent"], 4),
        (["prove", "--claude", "/nonexistent/claude"], 4),
        (["--cli", "auth", "login", "--console"], 3),
        (["--mode", "api-key", "--cli", "auth", "login"], 3),
        (["--mode", "A", "--cli", "--debug", "auth", "logout"], 3),
    ],
)
def test_what_cannot_be_started_or_is_refused(
    tmp_path: Path, assert_wrong: Wrong, arguments: list[str], status: int
) -> None:
    assert_wrong(*arguments, env=bridge_environment(tmp_path), status=status)


@pytest.mark.parametrize(("number", "name"), [(0, "stdin"), (1, "stdout")])
def test_a_closed_standard_stream_is_wrong_usage_of_the_bridge(
    tmp_path: Path, number: int, name: str
) -> None:
    env = bridge_environment(tmp_path, agent_kind="other")
    shell = ["sh", "-c", f'exec "$@" {number}>&-', "sh", *BRIDGE, "--", *STAND_IN]
    done = subprocess.run(shell, env=env, timeout=60, check=False, stderr=subprocess.PIPE)
    assert done.returncode == 2
    assert done.stderr.decode().startswith(f"error: {name} is closed\nhint: ")


def test_a_closed_stderr_is_no_mistake(tmp_path: Path) -> None:
    env = bridge_environment(tmp_path, agent_kind="other")
    shell = ["sh", "-c", 'exec "$@" 2>&-', "sh", *BRIDGE, "--", *STAND_IN]
    initialize = b'{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}\n'
    done = subprocess.run(
        shell, env=env, timeout=60, check=False, input=initialize, stdout=subprocess.PIPE
    )
    assert done.returncode == 0
    assert json.loads(done.stdout)["result"]["agentInfo"]["name"] == "stand-in"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_goes_to_stdout_and_is_no_mistake(tmp_path: Path, command: str) -> None:
    done = run_bridge(command, "--help", env=bridge_environment(tmp_path))
    assert done.returncode == 0
    assert done.stderr == ""
    assert "--mode" in done.stdout


def test_a_user_without_a_home_is_told_to_name_one(
    tmp_path: Path, assert_wrong: Wrong, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(_: int) -> None:
        raise KeyError

    monkeypatch.setattr("pwd.getpwuid", unknown)
    env = {name: of for name, of in bridge_environment(tmp_path).items() if name != "HOME"}
    for home in ({}, {"HOME": ""}):
        assert_wrong("status", env={**env, **home}, says="has no home directory")
