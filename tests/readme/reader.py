"""Somebody who has followed the README so far: a fresh home, the bridge and the agent on PATH."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from acp_bridge.loopback.scratch import FAKE_API_KEY, FAKE_ENDPOINT_TOKEN
from tests.bridge.process import SECONDS
from tests.support.real import ADAPTER, AGENT_MODULES, CLAUDE, NODE
from tests.terminal.world import World, closed_world

BASH = shutil.which("bash") or "/bin/bash"
PASS = f"#!/bin/sh\necho {FAKE_API_KEY}\n"


@dataclass(frozen=True)
class Reader:
    """A reader at the shell.

    Attributes:
        world: where their requests go.
        env: their environment.
        here: the folder they are in.
    """

    world: World
    env: Mapping[str, str]
    here: Path

    def runs(self, line: str, *, seconds: float = SECONDS) -> subprocess.CompletedProcess[str]:
        """Type a line into bash; nothing is to be read from the terminal."""
        env = dict(self.env)
        if "--mode endpoint" in line:
            del env["ACP_BRIDGE_UPSTREAM_URL"]
            env["ACP_BRIDGE_ENDPOINT_TOKEN"] = FAKE_ENDPOINT_TOKEN
        return subprocess.run(
            [BASH, "-o", "pipefail", "-c", line],
            env=env,
            cwd=self.here,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )


@contextmanager
def reader(tmp_path: Path) -> Iterator[Reader]:
    """A reader whose home has a login, a key where the examples look for one, and a project."""
    with closed_world(tmp_path) as world:
        world.trust_the_project()
        home, project, programs = world.home.path, world.project, tmp_path / "bin"
        programs.mkdir()
        for name, target in {
            "acp-bridge": Path(sys.executable).with_name("acp-bridge"),
            "claude": CLAUDE,
            "claude-agent-acp": ADAPTER,
        }.items():
            (programs / name).symlink_to(target)
        (programs / "pass").write_text(PASS)
        (programs / "pass").chmod(0o700)
        (home / "agent").symlink_to(AGENT_MODULES.parent)
        (home / "anthropic-key").write_text(FAKE_API_KEY)
        (home / "anthropic-key").chmod(0o600)
        (home / ".config" / "fish").mkdir(parents=True)
        (project / "nightly.sh").write_text('claude -p "what failed?"\n')
        (project / "prompt.txt").write_text("What is this?\n")
        (project / "src").mkdir()
        own = {
            "PATH": os.pathsep.join(map(str, (programs, NODE.parent, os.defpath))),
            "ACP_BRIDGE_UPSTREAM_URL": world.endpoint.url,
            "ANTHROPIC_API_KEY": FAKE_API_KEY,
            "SHELL": BASH,
        }
        defaults = {"ACP_BRIDGE_STATE_DIR", "ACP_BRIDGE_CONFIG"}
        env = {name: value for name, value in world.env.items() if name not in defaults}
        yield Reader(world, {**env, **own}, project)
