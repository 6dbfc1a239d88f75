"""``acp-bridge setup``: the pinned agent in place, or what was there before."""

import fcntl
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from acp_bridge.agent import install
from acp_bridge.agent.find import ADAPTER, ENTRY
from acp_bridge.agent.install import Installation, Installed
from acp_bridge.errors import AgentError, ConfigurationError
from tests.bridge.process import run_bridge
from tests.support.real import NODE

ANSWER = {"jsonrpc": "2.0", "id": 0, "result": {"agentInfo": {"name": ADAPTER}}}
NPM = """#!/bin/sh
echo "$@" >> "{log}"
{what}
while [ "$1" != --prefix ]; do shift; done
mkdir -p "$2/{folder}" && cp "{agent}" "$2/{entry}"
"""


class Machine:
    """A machine with a Node and an npm of the test's, and nothing else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.log = folder / "npm.log"
        self.agent = folder / "index.js"
        self.pinned = folder / "pinned"
        self.pinned.mkdir()
        self.pin("1")
        self.said: list[str] = []
        self.answers(json.dumps(ANSWER))
        self.program(
            "node", '#!/bin/sh\n[ "$1" = --version ] && echo v22.1.0 && exit\nexec sh "$1"\n'
        )
        self.npm_does(":")

    def pin(self, version: str) -> None:
        for name in ("package.json", "package-lock.json"):
            dependencies = {ADAPTER: version, "@anthropic-ai/claude-code": version}
            (self.pinned / name).write_text(json.dumps({"dependencies": dependencies}))

    def answers(self, line: str) -> None:
        self.agent.write_text(f"read line\necho 'no json'\necho '{line}'\nread end\n")

    def npm_does(self, what: str) -> None:
        words = {"log": self.log, "what": what, "agent": self.agent, "entry": ENTRY}
        self.program("npm", NPM.format(folder=ENTRY.parent, **words))

    def program(self, name: str, text: str) -> None:
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o700)

    @property
    def installation(self) -> Installation:
        return Installation(
            data_dir=self.folder / "data",
            pinned=self.pinned,
            environ={"PATH": f"{self.bin}:{os.defpath}", "ANTHROPIC_API_KEY": "FAKE"},
            progress=self.said.append,
            prefix=self.folder,
        )

    @property
    def place(self) -> Path:
        return self.folder / "data" / "agent"

    def install(self) -> Installed:
        return self.installation.install()

    def left_over(self) -> list[str]:
        return [path.name for path in (self.folder / "data").iterdir() if path.name != ".setup"]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(install, "ANSWER_SECONDS", 2.0)
    return Machine(tmp_path)


def test_the_agent_is_installed_asked_and_put_in_place(machine: Machine) -> None:
    found = machine.install()
    assert found.entry == machine.place / ENTRY
    assert found.did == (f"installed the agent in {machine.place}",)
    assert (found.node, found.node_version) == (machine.bin / "node", 22)
    words = machine.log.read_text().split()
    assert {"ci", "--ignore-scripts", "--no-audit", "--no-fund"} <= set(words)
    assert machine.left_over() == ["agent"]
    assert machine.said


def test_a_second_run_finds_all_in_place(machine: Machine) -> None:
    machine.install()
    machine.log.unlink()
    assert machine.install().did == ()
    assert not machine.log.exists()


def test_another_pinned_version_takes_its_place(machine: Machine) -> None:
    machine.install()
    machine.pin("2")
    assert [machine.installation.is_current] == [False]
    assert machine.install().did == (f"updated the agent in {machine.place}",)
    assert [machine.installation.is_current] == [True]
    assert machine.left_over() == ["agent"]


@pytest.mark.parametrize(
    ("breaks", "said"),
    [
        (
            lambda machine: machine.npm_does("echo npm error code E404 >&2; exit 1"),
            "the agent could not be installed: npm error code E404",
        ),
        (lambda machine: machine.npm_does("exit 7"), "could not be installed: exit status 7"),
        (lambda machine: machine.answers("{}"), "does not answer: what it said is no answer"),
        (
            lambda machine: machine.answers(json.dumps({"id": 0, "result": {}})),
            "does not answer: what it said is no answer",
        ),
        (lambda machine: machine.agent.write_text("exit 1"), "does not answer"),
    ],
)
def test_whatever_goes_wrong_the_old_one_stays(
    machine: Machine, breaks: Callable[[Machine], object], said: str
) -> None:
    machine.install()
    before = (machine.place / ENTRY).read_bytes()
    machine.pin("2")
    breaks(machine)
    with pytest.raises(AgentError, match=said):
        machine.install()
    assert (machine.place / ENTRY).read_bytes() == before
    assert machine.left_over() == ["agent"]


def test_no_credential_is_handed_to_npm(machine: Machine) -> None:
    machine.npm_does('[ -z "$ANTHROPIC_API_KEY" ] || exit 1')
    machine.install()


def test_two_at_once_are_one(machine: Machine) -> None:
    machine.install()
    with (machine.folder / "data" / ".setup").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(AgentError, match="another acp-bridge setup is under way"):
            machine.install()


def test_a_directory_that_cannot_be_written_is_told(machine: Machine) -> None:
    (machine.folder / "data").write_text("a file in its place")
    with pytest.raises(ConfigurationError, match="cannot install into"):
        machine.install()


@pytest.mark.parametrize("within", ["", "node_modules", "lib"])
def test_an_install_that_is_there_is_taken_over(machine: Machine, within: str) -> None:
    prefix = machine.folder / "theirs"
    root = prefix / "lib" if within == "lib" else prefix
    (root / ENTRY).parent.mkdir(parents=True)
    shutil.copy(machine.agent, root / ENTRY)
    named = prefix / "node_modules" if within == "node_modules" else prefix
    found = machine.installation.take_over(named)
    assert found.entry.resolve() == (root / ENTRY).resolve()
    assert machine.installation.look().entry == found.entry
    assert not machine.installation.is_current
    with pytest.raises(AgentError, match="there is no @agentclientprotocol"):
        machine.installation.take_over(machine.folder)


def test_what_is_not_installed_is_told_with_the_command(machine: Machine) -> None:
    with pytest.raises(AgentError, match="no agent is installed") as caught:
        machine.installation.look()
    assert caught.value.hint == "run: acp-bridge setup"


def user(tmp_path: Path) -> dict[str, str]:
    """A user with nothing but a home directory, as the command sees one."""
    return {
        "HOME": str(tmp_path),
        "PATH": f"{NODE.parent}:{os.defpath}",
        "ACP_BRIDGE_STATE_DIR": str(tmp_path / "state"),
        "ACP_BRIDGE_CONFIG": os.devnull,
        **{name: value for name, value in os.environ.items() if "CA_" in name or "CERT" in name},
    }


@pytest.mark.agent
def test_the_real_agent_of_a_checkout_is_taken_over(tmp_path: Path) -> None:
    env, theirs = user(tmp_path), Path(sys.prefix) / "share" / "acp-bridge" / "agent"
    assert run_bridge("setup", "--check", env=env).returncode == 4
    done = run_bridge("setup", "--from", str(theirs), "--json", env=env)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["agent"]["claude_version"]
    assert document["did"] == [
        f"linked {tmp_path}/.local/share/acp-bridge/agent to {theirs}/node_modules"
    ]
    assert document["agent"]["current"]
    for words in ((), ("--check",)):
        done = run_bridge("setup", *words, env=env)
        assert done.returncode == 0, done.stderr
        assert "nothing had to be done" in done.stdout
