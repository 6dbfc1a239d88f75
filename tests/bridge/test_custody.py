"""Key custody: the real agent's own shell looks for the key in everything that it can read."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from acp_bridge.loopback.script import say, use
from tests.bridge.process import BRIDGE
from tests.support.acp import acp_client
from tests.support.offline import offline
from tests.support.ordinary_user import AS_ORDINARY_USER

pytestmark = pytest.mark.agent

# It is told the secret in two halves, so as not to find itself.
LOOK = """
import glob, json, os, pathlib, sys
secret = (sys.argv[1] + sys.argv[2]).encode()
state, found, looked, stood_in = sys.argv[3], [], 0, []
places = glob.glob("/proc/[0-9]*/environ") + glob.glob("/proc/[0-9]*/cmdline")
places += [str(path) for path in pathlib.Path(state).rglob("*") if path.is_file()]
for place in places:
    try:
        text = pathlib.Path(place).read_bytes()
    except OSError:
        continue
    looked += 1
    if secret in text:
        found.append(place)
    if b"acp-bridge-placeholder-" in text:
        stood_in.append(place)
found += [name for name, value in os.environ.items() if secret.decode() in value]
print(json.dumps({"found": found, "looked": looked, "stood_in": stood_in, "own": list(os.environ)}))
"""


@dataclass(frozen=True, slots=True)
class Search:
    """What the agent's shell saw.

    Attributes:
        found: where the secret was.
        stood_in: where a placeholder was.
        own: the names of the shell's own variables.
    """

    found: list[str]
    stood_in: list[str]
    own: list[str]


async def searched(tmp_path: Path, secret: str, prefix: Sequence[str], **settings: str) -> Search:
    """Let the agent's shell search for a secret."""
    program, report = tmp_path / "look.py", Path("report")
    program.write_text(LOOK)
    state = tmp_path / "state"
    halves = f"{secret[:9]} {secret[9:]}"
    command = f"{sys.executable} {program} {halves} {state} > {report}"
    script = [use("Bash", command=command), say("Looked.")]
    async with offline(tmp_path, script, login=True) as world:
        url = "ENDPOINT_URL" if settings["MODE"] == "C" else "UPSTREAM_URL"
        given = {**settings, url: world.endpoint.url, "STATE_DIR": str(state)}
        env = {**world.env, **{f"ACP_BRIDGE_{name}": value for name, value in given.items()}}
        async with acp_client((*prefix, *BRIDGE), env=env, cwd=world.home.project) as client:
            await client.initialize()
            session = await client.new_session(world.home.project)
            assert (await client.prompt(session, "look around")).stop_reason == "end_turn"
    document = json.loads((world.home.project / report).read_text())
    assert document.pop("looked") > 10
    return Search(**document)


@pytest.fixture
def secret() -> str:
    """One that no other process has, as many tests run at once."""
    return f"sk-ant-api03-FAKE-{uuid4().hex}"


@pytest.mark.parametrize("prefix", [(), AS_ORDINARY_USER], ids=["as the tests", "ordinary user"])
@pytest.mark.parametrize(("mode", "setting"), [("A", "API_KEY"), ("C", "ENDPOINT_TOKEN")])
async def test_the_agents_shell_finds_the_key_nowhere(
    tmp_path: Path, secret: str, prefix: tuple[str, ...], mode: str, setting: str
) -> None:
    search = await searched(tmp_path, secret, prefix, MODE=mode, **{setting: secret})

    assert search.found == []
    assert search.stood_in != []
    assert not [name for name in search.own if name.startswith("ACP_BRIDGE_")]


async def test_the_headers_of_an_endpoint_stay_in_the_bridge_too(
    tmp_path: Path, secret: str
) -> None:
    headers = json.dumps({"X-Tenant-Secret": secret})
    search = await searched(tmp_path, secret, (), MODE="C", ENDPOINT_HEADERS=headers)

    assert search.found == []


async def test_without_the_guard_it_is_found_in_processes_and_files(
    tmp_path: Path, secret: str
) -> None:
    """What custody is for, and that the search can find something."""
    search = await searched(tmp_path, secret, (), MODE="A", API_KEY=secret, GUARD="off")

    assert [place for place in search.found if place.endswith("/environ")]
    assert [place for place in search.found if place.startswith(str(tmp_path / "state"))]
