"""One minute from install to an editor: the commands that the README says, and no other."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.bridge.process import Json
from tests.readme.commands import ROOT, in_blocks, name_of
from tests.support.acp import Turn, acp_client
from tests.terminal.world import World, closed_world

PATH = [line for line in in_blocks() if name_of(line) in ("pip", "setup", "clients")]
FROM_REGISTRIES = ("pip", "setup")
"""What these install comes from the package registries; the rest has loopback alone."""
SECONDS = 600.0


@pytest.mark.agent
async def test_install_setup_snippet_first_prompt(tmp_path: Path) -> None:
    with closed_world(tmp_path) as world:
        defaults = ("ACP_BRIDGE_STATE_DIR", "ACP_BRIDGE_CONFIG")
        closed = {name: value for name, value in world.env.items() if name not in defaults}
        closed["PATH"] = os.pathsep.join((str(tmp_path / "env" / "bin"), os.defpath))
        follow_the_readme(tmp_path, world, closed)
        entry = entry_in_zed(world)
        assert entry["command"] == str(tmp_path / "env" / "bin" / "acp-bridge")
        upstream = {"ACP_BRIDGE_UPSTREAM_URL": world.endpoint.url}
        turn = await first_prompt(world, entry, {**closed, **upstream})
        assert (turn.stop_reason, turn.text) == ("end_turn", "Hello from the embedded endpoint.")
        assert world.paid_with == {"subscription_oauth"}


def follow_the_readme(tmp_path: Path, world: World, closed: Mapping[str, str]) -> None:
    """Type the commands in their order, in an environment for Python that is empty."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "env"], check=True)
    to_registries = {**registries(), "PATH": closed["PATH"], "HOME": str(world.home.path)}
    for line in PATH:
        done = subprocess.run(
            line.split(),
            env=to_registries if name_of(line) in FROM_REGISTRIES else closed,
            cwd=ROOT if line == "pip install ." else world.project,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
        assert done.returncode == 0, (line, done.stderr)


def registries() -> dict[str, str]:
    """What pip and npm need of this machine's environment to reach the registries."""
    words = ("CA_", "CERT", "PIP_", "NPM_", "PROXY")
    return {
        name: value
        for name, value in os.environ.items()
        if any(word in name.upper() for word in words)
    }


def entry_in_zed(world: World) -> Json:
    settings = json.loads((world.home.path / ".config" / "zed" / "settings.json").read_text())
    (entry,) = settings["agent_servers"].values()
    assert isinstance(entry, dict)
    return entry


async def first_prompt(world: World, entry: Json, env: Mapping[str, str]) -> Turn:
    """Start the agent as the editor does, and ask it something."""
    argv = [entry["command"], *entry["args"]]
    async with acp_client(argv, env=env, cwd=world.project) as editor:
        opened = await editor.initialize()
        assert opened["agentInfo"]["title"].endswith("· subscription")
        return await editor.prompt(await editor.new_session(world.project), "hello")
