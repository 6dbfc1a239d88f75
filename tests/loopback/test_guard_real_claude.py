"""The real Claude Code, ``claude -p``, through the wire guard to the embedded endpoint."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from acp_bridge.loopback.message import HeaderPairs
from acp_bridge.loopback.scratch import FAKE_API_KEY
from acp_bridge.loopback.script import DEFAULT_TEXT
from acp_bridge.modes import BillingMode, CredentialClass
from acp_bridge.policy.judgement import with_credential
from tests.loopback.guard_rig import HELD, TOKEN, Rig, rig
from tests.support.offline import Offline, offline
from tests.support.real import run_claude

pytestmark = pytest.mark.agent


async def attach(headers: HeaderPairs) -> HeaderPairs:
    return with_credential(headers, [("x-api-key", FAKE_API_KEY)])


@asynccontextmanager
async def guarded(
    folder: Path, mode: BillingMode, *, login: bool
) -> AsyncIterator[tuple[Offline, Rig]]:
    """A world without network whose endpoint is behind a guard."""
    async with (
        offline(folder, login=login) as world,
        rig(world.endpoint.url, mode=mode, attach=attach) as this,
    ):
        yield world, this


async def printed(world: Offline, this: Rig, **env: str) -> dict[str, Any]:
    """What ``claude -p hello --output-format json`` prints through the guard."""
    base = {"ANTHROPIC_BASE_URL": f"{this.url}/{TOKEN}"}
    done = await run_claude(
        "-p",
        "hello",
        "--output-format",
        "json",
        env={**world.env, **base, **env},
        cwd=world.home.project,
    )
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@pytest.mark.parametrize("variable", ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"])
async def test_a_turn_with_the_placeholder_is_paid_with_the_key(
    tmp_path: Path, variable: str
) -> None:
    async with guarded(tmp_path, BillingMode.API_KEY, login=False) as (world, this):
        document = await printed(world, this, **{variable: HELD})

    (seen,) = world.endpoint.seen
    assert document["result"] == DEFAULT_TEXT
    assert (seen.credential.label, seen.target) == ("demo api key", "/v1/messages?beta=true")
    assert not seen.credential.both_headers
    sessions = [dict(one.facts.headers)["x-claude-code-session-id"] for one in this.seen]
    assert sessions == [document["session_id"]]
    assert this.seen[0].ends == [True]


async def test_a_turn_with_the_login_passes_in_mode_subscription(tmp_path: Path) -> None:
    async with guarded(tmp_path, BillingMode.SUBSCRIPTION, login=True) as (world, this):
        document = await printed(world, this)

    assert document["result"] == DEFAULT_TEXT
    assert [seen.credential.label for seen in world.endpoint.seen] == ["demo login"]
    assert this.seen[0].ends == [True]


async def test_a_turn_with_the_login_ends_at_once_in_mode_api_key(tmp_path: Path) -> None:
    async with guarded(tmp_path, BillingMode.API_KEY, login=True) as (world, this):
        document = await printed(world, this)

    assert document["is_error"] is True
    assert "billing mode api-key takes only the API key" in document["result"]
    assert world.endpoint.seen == []
    (seen,) = [one for one in this.seen if one.facts.method == "POST"]
    assert seen.facts.verdict.presented is CredentialClass.SUBSCRIPTION_OAUTH
