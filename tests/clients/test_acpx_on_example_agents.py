"""acpx on agents that are not Claude Code: what it shows is the same with the bridge between."""

import asyncio
import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clients.acpx import EXAMPLE_AGENT, Acpx, Json, Talk
from tests.clients.bridged import (
    BRIDGE,
    EXAMPLE_ARGV,
    anywhere,
    finished_runs,
    outer_environment,
    take_card,
)
from tests.support.offline import offline

RANDOM_ID = r"\b[0-9a-f]{8}(?:-?[0-9a-f]{4}){4}[0-9a-f]{8}\b"
NAMED, RECOGNISED = (BRIDGE, "--agent-kind", "other", "--"), (BRIDGE, "--")


@dataclass(frozen=True, slots=True)
class Shown:
    """One run of acpx.

    Attributes:
        talk: as acpx reports it.
        messages: both sides' messages, the bridge's card taken out, whatever the place and the ids.
        card: what the bridge says of itself.
        runs: what ``acp-bridge status`` says.
    """

    talk: Talk
    messages: list[Json]
    card: Json | None
    runs: list[Json]


@pytest.mark.parametrize(
    ("agent", "bridge", "prompt", "answer"),
    [
        (EXAMPLE_AGENT, RECOGNISED, "Go on.", "successfully updated the configuration"),
        (EXAMPLE_ARGV, NAMED, "copy {project}/notes.txt {project}/copy.txt", "copied 8 characters"),
        (EXAMPLE_ARGV, RECOGNISED, "run printf out%sput .", "0: out.put"),
    ],
    ids=["permission", "files", "terminal"],
)
async def test_acpx_shows_the_same_conversation_with_and_without_the_bridge(
    tmp_path: Path, agent: tuple[str, ...], bridge: tuple[str, ...], prompt: str, answer: str
) -> None:
    direct, bridged = await asyncio.gather(
        show(tmp_path / "direct", agent, prompt),
        show(tmp_path / "bridged", (*bridge, *agent), prompt),
    )

    assert (direct.card, direct.runs) == (None, [])
    assert (direct.talk.status, direct.talk.errors) == (0, [])
    assert answer in direct.talk.text
    assert bridged.messages == direct.messages
    assert bridged.talk.status == 0
    assert bridged.card is not None
    assert bridged.card["guarantees"] == "none"
    assert [run["guarantees"] for run in bridged.runs] == ["none"]


async def show(folder: Path, argv: tuple[str, ...], prompt: str) -> Shown:
    """Run ``acpx exec`` with the agent that `argv` starts, in a world of its own."""
    async with offline(folder) as world:
        project, env = world.home.project, outer_environment(world)
        (project / "notes.txt").write_text("one\ntwo\n")
        acpx = Acpx(world, env, ("--agent", shlex.join(argv)))
        talk = await acpx.talk("exec", prompt.format(project=project), options=("--approve-all",))
        runs = await finished_runs(env)
    assert (world.endpoint.seen, world.left_for) == ([], set())
    card = take_card(talk.messages)
    return Shown(talk, whichever(anywhere(talk.messages, project)), card, runs)


def whichever(messages: list[Json]) -> list[Json]:
    """The messages with random ids numbered in the order in which they turn up."""
    numbers: dict[str, str] = {}

    def number(found: re.Match[str]) -> str:
        return numbers.setdefault(found[0], f"<id {len(numbers)}>")

    numbered: list[Json] = json.loads(re.sub(RANDOM_ID, number, json.dumps(messages)))
    return numbered
