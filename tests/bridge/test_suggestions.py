"""The setting SUGGESTIONS with the real agent: off means off, and what nobody typed is shown."""

import json
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from acp_bridge.loopback.asked import RequestKind
from acp_bridge.metering.usage import AskedBy
from tests.bridge.process import run_bridge
from tests.launch.standin import write_settings
from tests.matrix.extent import FULL_PROFILE
from tests.metering.bridged import Bridged
from tests.support.offline import Offline, offline

pytestmark = pytest.mark.agent

SECONDS = 60.0
ON = "CLAUDE_CODE_ENABLE_PROMPT_SUGGESTION"
WANTED: Mapping[str, Any] = {"promptSuggestionEnabled": True, "env": {ON: "true"}}
"""Settings, of whatever scope, that ask for suggestions."""
OPTIONS: Mapping[str, Any] = {
    "promptSuggestions": True,
    "env": {ON: "true"},
    "settings": WANTED,
    "extraArgs": {"prompt-suggestions": "true"},
}
"""All the ways by which a client can ask for them."""


def want_in_files(world: Offline) -> dict[str, str]:
    """Ask for them in every file of the user and the project, and in the environment."""
    project = world.home.project / ".claude"
    for path in (
        world.home.config / "settings.json",
        project / "settings.json",
        project / "settings.local.json",
    ):
        write_settings(path, dict(WANTED))
    return {ON: "true"}


async def converse(world: Offline, bridged: Bridged, options: Mapping[str, Any]) -> None:
    """Three prompts in one session: Claude Code asks for suggestions from the second answer on."""
    async with bridged.agent() as client:
        await client.initialize()
        meta = {"claudeCode": {"options": options}}
        session = await client.new_session(world.home.project, _meta=meta)
        for text in ("one thing", "another thing", "and then?"):
            assert (await client.prompt(session, text)).stop_reason == "end_turn"
        if bridged.more["ACP_BRIDGE_SUGGESTIONS"] == "keep":
            with anyio.fail_after(SECONDS):
                while not is_one_counted(bridged):  # noqa: ASYNC110 - a ledger has no event
                    await anyio.sleep(0.05)


def is_one_counted(bridged: Bridged) -> bool:
    """Whether a suggestion that was answered is in the ledger."""
    return any(
        entry.asked_by is AskedBy.SUGGESTION and entry.tokens is not None
        for entry in bridged.entries()
    )


def kinds(world: Offline) -> Counter[RequestKind]:
    return Counter(seen.kind for seen in world.endpoint.seen if seen.usage is not None)


async def usage(bridged: Bridged, *arguments: str) -> str:
    """What the command prints."""

    def run() -> str:
        done = run_bridge("usage", *arguments, env=bridged.env)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    return await anyio.to_thread.run_sync(run)


def by_asker(document: str) -> dict[str, Any]:
    return {row["asked_by"]: row for row in json.loads(document)["rows"]}


async def test_kept_they_are_asked_for_and_the_page_says_what_nobody_typed_costs(
    tmp_path: Path,
) -> None:
    async with offline(tmp_path, login=True) as world:
        bridged = Bridged(world, {"ACP_BRIDGE_SUGGESTIONS": "keep"})
        await converse(world, bridged, {})
        page = await usage(bridged)
        document = json.loads(await usage(bridged, "--json"))
        rows = by_asker(await usage(bridged, "--json", "--by", "asked_by"))

    assert kinds(world)[RequestKind.SUGGESTION] > 0
    unasked = document["totals"]["unasked"]
    asked = [rows["title"], rows["suggestion"]]
    assert unasked["requests"] == sum(row["requests"] for row in asked) >= 2
    tokens = sum(unasked[name] for name in ("input_tokens", "output_tokens", "cache_read_tokens"))
    assert f"{unasked['requests']} requests that nobody typed (titles, and suggestions" in page
    assert f"{tokens} tokens, 0.0" in page
    assert all(Decimal(cost["cost_usd"]) > 0 for cost in unasked["cost"])


PLACES = ["nowhere", "in files", "by the client"]


@pytest.mark.parametrize("wanted", PLACES if FULL_PROFILE else PLACES[2:])
async def test_off_none_is_asked_for_wherever_they_are_wanted(tmp_path: Path, wanted: str) -> None:
    async with offline(tmp_path, login=True) as world:
        more = want_in_files(world) if wanted == "in files" else {}
        bridged = Bridged(world, {"ACP_BRIDGE_SUGGESTIONS": "off", **more})
        await converse(world, bridged, OPTIONS if wanted == "by the client" else {})
        rows = by_asker(await usage(bridged, "--json", "--by", "asked_by"))

    assert kinds(world) == {RequestKind.MAIN: 3, RequestKind.TITLE: 1}
    assert rows.keys() == {"main", "title"}
