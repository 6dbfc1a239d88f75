"""The real Claude Code, ``claude -p``, on the embedded endpoint."""

import json
from pathlib import Path
from typing import Any

import pytest

from acp_bridge.loopback.asked import RequestKind
from acp_bridge.loopback.scratch import FAKE_API_KEY, FAKE_ENDPOINT_TOKEN
from acp_bridge.loopback.script import DEFAULT_TEXT, Usage, fail, say
from acp_bridge.modes import CredentialClass
from acp_bridge.policy.surface import Surface
from tests.support.offline import Offline, offline
from tests.support.real import run_claude

pytestmark = pytest.mark.agent


async def printed(world: Offline, **env: str) -> dict[str, Any]:
    """What ``claude -p hello --output-format json`` prints, further variables set."""
    done = await run_claude(
        "-p",
        "hello",
        "--output-format",
        "json",
        env={**world.env, **env},
        cwd=world.home.project,
    )
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@pytest.mark.parametrize(
    ("env", "expected", "label", "reached_for"),
    [
        ({"ANTHROPIC_API_KEY": FAKE_API_KEY}, CredentialClass.API_KEY, "demo api key", set()),
        (
            {"ANTHROPIC_AUTH_TOKEN": FAKE_ENDPOINT_TOKEN},
            CredentialClass.ENDPOINT_CREDENTIAL,
            "demo endpoint token",
            set(),
        ),
        ({}, CredentialClass.SUBSCRIPTION_OAUTH, "demo login", {"api.anthropic.com:443"}),
    ],
    ids=["api key", "endpoint token", "login"],
)
async def test_a_turn_is_paid_with_the_credential_that_it_was_given(
    tmp_path: Path,
    env: dict[str, str],
    expected: CredentialClass,
    label: str,
    reached_for: set[str],
) -> None:
    async with offline(tmp_path, login=not env) as world:
        document = await printed(world, **env)

    assert document["result"] == DEFAULT_TEXT
    assert [seen.kind for seen in world.endpoint.seen] == [RequestKind.MAIN]
    seen = world.endpoint.seen[0]
    assert (seen.credential.credential_class, seen.credential.label) == (expected, label)
    assert (seen.prompt, seen.surface) == ("hello", Surface.PRINT)
    assert seen.session_id == document["session_id"]
    assert world.left_for == reached_for


async def test_claude_code_counts_the_usage_that_was_scripted(tmp_path: Path) -> None:
    usage = Usage(
        input_tokens=101,
        output_tokens=23,
        cache_read_tokens=4005,
        cache_write_5m_tokens=607,
        cache_write_1h_tokens=89,
    )
    async with offline(tmp_path, [say(usage=usage)]) as world:
        document = await printed(world, ANTHROPIC_API_KEY=FAKE_API_KEY)

    (counted,) = document["modelUsage"].values()
    assert counted["inputTokens"] == 101
    assert counted["outputTokens"] == 23
    assert counted["cacheReadInputTokens"] == 4005
    assert counted["cacheCreationEphemeral5mInputTokens"] == 607
    assert counted["cacheCreationEphemeral1hInputTokens"] == 89


async def test_an_error_that_forbids_a_retry_ends_the_run_at_once(tmp_path: Path) -> None:
    script = [fail(402, "billing_error", "Nothing left.", retry=False)]
    async with offline(tmp_path, script) as world:
        document = await printed(world, ANTHROPIC_API_KEY=FAKE_API_KEY)

    assert document["is_error"] is True
    assert "Nothing left." in document["result"]
    assert len(world.main_requests) == 1
