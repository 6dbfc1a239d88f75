"""What the agent, and any other program of the user, can read of the bridge and its keeper.

The agent looks itself: through ``/proc``, as a command in its shell would. Root reads whatever has
not been overwritten; an ordinary user is refused on top of that.
"""

import json
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bridge.process import (
    BRIDGE,
    SECONDS,
    Json,
    bridge_environment,
    run_bridge,
    stand_in,
)
from tests.support.ordinary_user import AS_ORDINARY_USER

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")

INITIALIZE = b'{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}\n'
UNPROTECTED = (
    sys.executable,
    "-c",
    """
import sys
from acp_bridge import own_process
own_process.forget_environment = own_process.hide_from_others = bool
from acp_bridge.cli import main
sys.exit(main())
""",
)
HALVES = secrets.token_hex(8), secrets.token_hex(8)
SECRET = "sk-ant-api03-FAKE-" + "".join(HALVES)
SPLIT = "/".join(HALVES)
"""The secret's own part, as a command line can say it without holding it."""
PLAIN = "HOME="
SECRETS = {
    "subscription": {
        "ANTHROPIC_API_KEY": SECRET,
        "ANTHROPIC_CUSTOM_HEADERS": f"Authorization: Bearer {SECRET}",
    },
    "api-key": {"ACP_BRIDGE_API_KEY": SECRET},
    "endpoint": {
        "ACP_BRIDGE_ENDPOINT_URL": "http://127.0.0.1:9",
        "ACP_BRIDGE_ENDPOINT_TOKEN": SECRET,
        "ACP_BRIDGE_ENDPOINT_HEADERS": json.dumps({"X-Other": SECRET}),
    },
}
COMMANDS = {
    "run": (["--mode", "subscription"], "subscription"),
    "run with an API key": (["--mode", "api-key"], "api-key"),
    "run with an endpoint": (["run", "--mode", "endpoint"], "endpoint"),
    "ask": (["ask", "--mode", "api-key", "hello"], "api-key"),
    "demo": (["demo", "subscription"], "subscription"),
}


@pytest.fixture(params=["the one who runs the tests", "an ordinary user"])
def user(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Who starts the bridge, as the command line under which that is done."""
    return AS_ORDINARY_USER if request.param == "an ordinary user" else ()


def seen_by_the_agent(
    tmp_path: Path,
    user: tuple[str, ...],
    command: str,
    program: tuple[str, ...] = BRIDGE,
) -> tuple[Json, Json]:
    """What the agent saw of the secret, and of a variable that is none, while the command ran."""
    arguments, mode = COMMANDS[command]
    env = bridge_environment(tmp_path, claude="/bin/true", status_wait_seconds="0")
    agent = stand_in("--name", "claude-agent-acp", f"look:{SPLIT}", f"look:{PLAIN}")
    process = subprocess.Popen(
        [*user, *program, *arguments, "--", *agent],
        env={**env, **SECRETS[mode]},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    output, _ = process.communicate(INITIALIZE, SECONDS)
    secret, plain = (look for line in output.splitlines() if (look := told(line)))
    assert secret["bridge"] == plain["bridge"] == process.pid
    return secret, plain


def told(line: bytes) -> Json | None:
    """What the agent told: in an ACP message, or printed by a command for people."""
    try:
        message = json.loads(line)
        if message.get("method") == "session/update":
            message = json.loads(message["params"]["update"]["content"]["text"])
    except ValueError:
        return None
    return message if "bridge" in message else None


@pytest.mark.parametrize("command", COMMANDS)
def test_neither_the_bridge_nor_its_keeper_shows_a_secret_to_the_agent(
    tmp_path: Path, user: tuple[str, ...], command: str
) -> None:
    secret, plain = seen_by_the_agent(tmp_path, user, command)
    bridge, keeper, agent = (secret[name] for name in ("bridge", "keeper", "agent"))
    assert not {bridge, keeper} & {*secret["environ"]}
    assert secret["cmdline"] == []
    # It did look, and saw what is there to be seen.
    assert agent in plain["environ"]
    assert not {bridge, keeper} & {*plain["environ"]}
    assert {bridge, agent} <= {*plain["cmdline"]}


@pytest.mark.parametrize("command", ["run", "ask", "demo"])
def test_an_ordinary_user_cannot_open_the_memory_of_the_bridge_or_its_keeper(
    tmp_path: Path, command: str
) -> None:
    secret, _ = seen_by_the_agent(tmp_path, AS_ORDINARY_USER, command)
    assert secret["closed"] == [secret["bridge"], secret["keeper"]]


def test_without_the_protection_the_agent_sees_it_all(
    tmp_path: Path, user: tuple[str, ...]
) -> None:
    secret, plain = seen_by_the_agent(tmp_path, user, "run with an API key", UNPROTECTED)
    assert secret["bridge"] in {*secret["environ"]} & {*plain["environ"]}
    assert secret["bridge"] not in secret["closed"]


EMBEDDED = """
import ctypes, os, pathlib, anyio
from acp_bridge.bridge import Bridge
from acp_bridge.settings import load_settings
from acp_bridge.testing import ScriptedAgent

async def main():
    async with Bridge(load_settings(), agent=ScriptedAgent()):
        is_dumpable = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)  # PR_GET_DUMPABLE
        shown = pathlib.Path("/proc/self/environ").read_bytes()
        print(is_dumpable, shown.count(os.environb[b"ACP_BRIDGE_API_KEY"]))

anyio.run(main)
"""


def test_a_program_that_embeds_the_bridge_stays_as_it_is(tmp_path: Path) -> None:
    env = bridge_environment(tmp_path, mode="api-key", api_key=SECRET, claude="/bin/true")
    command = [sys.executable, "-c", EMBEDDED]
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, check=True, timeout=SECONDS)
    assert done.stdout == b"1 1\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["exec", "--", "env"],
        ["--", "/bin/sh", "-c", "env", "agent", "--cli", "auth", "status"],
    ],
    ids=["exec", "--cli"],
)
@pytest.mark.parametrize("mode", SECRETS)
def test_no_variable_of_the_bridge_reaches_the_command_that_replaces_it(
    tmp_path: Path, arguments: list[str], mode: str
) -> None:
    env = {**bridge_environment(tmp_path, claude="/bin/true", mode=mode), **SECRETS[mode]}
    done = run_bridge(*arguments, env=env)
    assert done.returncode == 0, done.stderr
    names = {line.partition("=")[0] for line in done.stdout.splitlines()}
    assert {"HOME", "PATH"} <= names
    assert not [name for name in names if name.startswith("ACP_BRIDGE_")]
    if mode == "subscription":
        assert SECRET not in done.stdout
