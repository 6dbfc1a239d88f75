"""A guard changes nothing of what a session asks: models, betas, headers and bodies."""

import json
import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from acp_bridge.loopback.asked import Asked, RequestKind
from acp_bridge.loopback.endpoint import EmbeddedEndpoint
from acp_bridge.loopback.scratch import (
    FAKE_API_KEY,
    FAKE_SECRETS,
    make_scratch_home,
    scratch_environment,
)
from acp_bridge.loopback.script import Step, say, use
from acp_bridge.loopback.seen import SeenRequest
from acp_bridge.loopback.sink import ProxySink
from tests.bridge.process import BRIDGE
from tests.matrix.extent import FULL_PROFILE
from tests.matrix.programs import bridge_with_layers
from tests.support.acp import acp_client
from tests.support.real import ADAPTER_ARGV

pytestmark = pytest.mark.agent

EVERY_LAYER = (*bridge_with_layers("gate", "lock", "evidence", "guard").argv,)
TRIES = 3
FIRST_PARTY = "_CLAUDE_CODE_ASSUME_FIRST_PARTY_BASE_URL"
# Ids of the session and of its user, and a checksum over what they are in.
_ITS_OWN = re.compile(
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{64}|(?<=cch=)[0-9a-f]{5}"
)
_OF_ONE_CONNECTION = frozenset({"connection", "content-length", "host"})


class Listening(EmbeddedEndpoint):
    """Keeps what it is asked."""

    def __init__(self) -> None:
        script = [use("Bash", command="echo 1"), say("Done.")]
        super().__init__(script, known=FAKE_SECRETS, suggestion=say("go on"))
        self.bodies: list[tuple[RequestKind, Mapping[str, Any]]] = []

    def _step(self, asked: Asked) -> Step:
        self.bodies.append((asked.kind, asked.body))
        return super()._step(asked)


Line = tuple[str | None, str | None, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Heard:
    """What a session asked for, without what every session has of its own."""

    requests: dict[RequestKind, list[Line]]
    bodies: dict[RequestKind, list[str]]


def heard(endpoint: Listening, home: Path) -> Heard:
    requests: dict[RequestKind, list[Line]] = defaultdict(list)
    for seen in endpoint.seen:
        if seen.model:
            requests[seen.kind].append((seen.model, seen.header("anthropic-beta"), _names(seen)))
    bodies: dict[RequestKind, list[str]] = defaultdict(list)
    for kind, body in endpoint.bodies:
        if kind is not RequestKind.SUGGESTION:
            text = json.dumps(body).replace(str(home), "HOME")
            text = text.replace(str(home).replace("/", "-").replace("_", "-"), "HOME")
            bodies[kind].append(_ITS_OWN.sub("ID", text))
    # After which of the turns it is asked for, and with what by then, is a matter of time.
    del requests[RequestKind.SUGGESTION][1:]
    return Heard(requests, bodies)


def _names(seen: SeenRequest) -> tuple[str, ...]:
    return tuple(name for name in seen.header_names if name not in _OF_ONE_CONNECTION)


async def session(folder: Path, argv: Sequence[str], env: Mapping[str, str]) -> Heard:
    """Two turns with a tool, a title and a suggestion, in a world of its own.

    Args:
        folder: an empty folder.
        argv: the agent, or the bridge; ``{url}`` in it and in the environment is the endpoint.
        env: variables besides those of the world.
    """
    home = make_scratch_home(folder / "home", login="ANTHROPIC_API_KEY" not in env)
    async with Listening() as endpoint, ProxySink() as sink:
        base = scratch_environment(home, sink_url=sink.url)
        mine = {name: value.replace("{url}", endpoint.url) for name, value in env.items()}
        program = [word.replace("{url}", endpoint.url) for word in argv]
        async with acp_client(program, env={**base, **mine}, cwd=home.project) as client:
            await client.initialize()
            opened = await client.new_session(home.project)
            for text in ("use a tool", "and then?"):
                assert (await client.prompt(opened, text)).stop_reason == "end_turn"
            await endpoint.wait_for(lambda seen: seen.kind is RequestKind.SUGGESTION, 60)
        return heard(endpoint, folder)


async def alike(folder: Path, *programs: tuple[Sequence[str], Mapping[str, str]]) -> list[Heard]:
    """A session of each program, again where they differ.

    What Claude Code reminds the model of depends on what was ready when it asked, so that two
    sessions of the same program may differ on a busy machine. What the guard does is always there.
    """
    found: list[Heard] = []
    for attempt in range(TRIES):
        homes = [folder / f"{attempt}-{number}" for number in range(len(programs))]
        pairs = zip(homes, programs, strict=True)
        found = [await session(home, argv, env) for home, (argv, env) in pairs]
        if found[0] == found[1]:
            break
    return found


PAID = {
    "A": {"ANTHROPIC_API_KEY": FAKE_API_KEY, "ACP_BRIDGE_MODE": "A"},
    "B": {"ACP_BRIDGE_MODE": "B"},
    "C": {"ACP_BRIDGE_MODE": "C", "ACP_BRIDGE_ENDPOINT_API_KEY": FAKE_API_KEY},
}
NO_BACKGROUND = {"CLAUDE_CODE_DISABLE_AGENT_VIEW": "1"}
"""What the launch gate switches off in any run, of which Claude Code tells the model."""
DIRECT = {
    "A": {
        **NO_BACKGROUND,
        "ANTHROPIC_API_KEY": FAKE_API_KEY,
        "CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST": "1",
    },
    "B": NO_BACKGROUND,
}
COUNTS_AS_ANTHROPIC = (*EVERY_LAYER, "--anthropic", "{url}")


def bridged(folder: Path, mode: str, **more: str) -> dict[str, str]:
    settings = {**more, "STATE_DIR": str(folder / "state"), "CONFIG": os.devnull}
    named = {f"ACP_BRIDGE_{name}": value for name, value in settings.items()}
    return {**PAID[mode], **named}


# In mode A Claude Code first asks Anthropic for policies, and waits 10 s where it is not there.
@pytest.mark.parametrize("mode", ["A", "B"] if FULL_PROFILE else ["B"])
async def test_before_anthropic_a_guarded_session_asks_what_a_direct_one_asks(
    tmp_path: Path, mode: str
) -> None:
    first_party = {**DIRECT[mode], "ANTHROPIC_BASE_URL": "{url}", FIRST_PARTY: "1"}
    behind = (COUNTS_AS_ANTHROPIC, bridged(tmp_path, mode))
    guarded, direct = await alike(tmp_path, behind, (ADAPTER_ARGV, first_party))

    assert guarded == direct
    assert {model for model, _, _ in guarded.requests[RequestKind.TITLE]} == {"claude-haiku-5-5"}


@pytest.mark.parametrize("mode", ["A", "B", "C"] if FULL_PROFILE else ["A", "C"])
async def test_before_another_upstream_the_guard_changes_nothing_either(
    tmp_path: Path, mode: str
) -> None:
    upstream = {"ENDPOINT_URL" if mode == "C" else "UPSTREAM_URL": "{url}"}
    without = bridged(tmp_path, mode, **upstream, GUARD="off")
    guarded = bridged(tmp_path, mode, **upstream, GUARD="enforce")

    one, other = await alike(tmp_path, (BRIDGE, guarded), (BRIDGE, without))

    assert one == other
