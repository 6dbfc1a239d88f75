"""The wire guard in a run of the real agent: who is let through, who is not, and what is shown."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest

from acp_bridge.loopback.scratch import (
    FAKE_API_KEY,
    FAKE_ENDPOINT_TOKEN,
    FAKE_OAUTH_TOKEN,
    FAKE_SECRETS,
)
from acp_bridge.loopback.script import Script, fail, say, use
from tests.bridge.process import BRIDGE
from tests.support.acp import AcpClient, AcpError, acp_client
from tests.support.offline import Offline, offline

pytestmark = pytest.mark.agent

OTHER_KEY = "sk-ant-api03-FAKE-other-key-not-a-secret-000000000000"
KNOWN = {**FAKE_SECRETS, "other key": OTHER_KEY}
CONTRADICTION = -32012

ASK_A_MODEL = """
import os, sys, urllib.request, urllib.error
url = os.environ["ANTHROPIC_BASE_URL"] + "/v1/messages"
headers = dict(pair.split("=", 1) for pair in sys.argv[1:])
request = urllib.request.Request(url, b'{"model": "m", "max_tokens": 1, "messages": []}', headers)
try:
    print(urllib.request.urlopen(request).status)
except urllib.error.HTTPError as error:
    print(error.code, error.read().decode())
"""
AS_ANOTHER_KEY = f"x-api-key={OTHER_KEY}"
AS_THE_LOGIN = f"authorization=Bearer {FAKE_OAUTH_TOKEN}", "anthropic-beta=oauth-2025-04-20"


@dataclass
class Guarded:
    """A session behind the bridge with its wire guard."""

    world: Offline
    client: AcpClient
    session: str

    async def ask(self, text: str = "hello") -> str:
        return (await self.client.prompt(self.session, text)).stop_reason

    async def status(self) -> dict[str, Any]:
        document = await self.client.request("_acp_bridge/status", {})
        (bridge,) = document["bridges"]
        return dict(bridge)

    def labels(self) -> set[str | None]:
        """Of the credentials that model requests reached the endpoint with."""
        return {seen.credential.label for seen in self.world.endpoint.seen if seen.model}


def mode(letter: str, url: str) -> dict[str, str]:
    """The settings of a mode whose provider is at that URL."""
    settings = {
        "A": {"UPSTREAM_URL": url, "API_KEY": FAKE_API_KEY},
        "B": {"UPSTREAM_URL": url, "GUARD": "enforce"},
        "C": {"ENDPOINT_URL": url, "ENDPOINT_TOKEN": FAKE_ENDPOINT_TOKEN},
    }[letter]
    return {"MODE": letter, **settings}


@asynccontextmanager
async def guarded(
    tmp_path: Path, letter: str, script: Script = (), **more: str
) -> AsyncIterator[Guarded]:
    """A run in a mode; further settings are named as in the environment, without the prefix."""
    async with offline(tmp_path, script, login=True, known=KNOWN) as world:
        settings = {
            **mode(letter, world.endpoint.url),
            **more,
            "STATE_DIR": str(tmp_path / "state"),
        }
        chosen = {f"ACP_BRIDGE_{name}": value for name, value in settings.items() if value}
        env = {name: of for name, of in world.env.items() if name != "ANTHROPIC_BASE_URL"} | chosen
        async with acp_client(BRIDGE, env=env, cwd=world.home.project) as client:
            await client.initialize()
            yield Guarded(world, client, await client.new_session(world.home.project))


def asks_with(tmp_path: Path, *headers: str) -> Script:
    """A turn in which the agent's shell asks a model with a credential of its own."""
    program = tmp_path / "ask.py"
    program.write_text(ASK_A_MODEL)
    given = " ".join(f"'{header}'" for header in headers)
    return [use("Bash", command=f"{sys.executable} {program} {given}"), say("Asked.")]


@pytest.mark.parametrize(
    ("letter", "presented", "attached", "label"),
    [
        ("A", "api_key", "api_key", "demo api key"),
        ("B", "subscription_oauth", "subscription_oauth", "demo login"),
        ("C", "endpoint_credential", "endpoint_credential", "demo endpoint token"),
    ],
)
async def test_a_turn_is_paid_with_the_modes_credential_and_the_wire_shows_it(
    tmp_path: Path, letter: str, presented: str, attached: str, label: str
) -> None:
    async with guarded(tmp_path, letter) as run:
        assert await run.ask() == "end_turn"
        status = await run.status()

    assert run.labels() == {label}
    assert status["guard"] == "enforce"
    assert list(status["wire"]["presented"]) == [presented]
    assert list(status["wire"]["attached"]) == [attached]
    seen = [one for one in status["evidence"] if one["kind"] == "on_the_wire"]
    assert {(one["source"], one["verdict"]) for one in seen} == {("wire", "agrees")}
    assert status["violations"] == []


@pytest.mark.parametrize(
    ("letter", "headers", "came"),
    [
        ("A", [AS_ANOTHER_KEY], "another API key"),
        ("A", AS_THE_LOGIN, "a subscription's login"),
        ("B", [AS_ANOTHER_KEY], "another API key"),
        ("C", AS_THE_LOGIN, "a subscription's login"),
        ("C", [], "no credential"),
    ],
)
async def test_another_credential_goes_nowhere_and_ends_the_session(
    tmp_path: Path, letter: str, headers: list[str], came: str
) -> None:
    async with guarded(tmp_path, letter, asks_with(tmp_path, *headers)) as run:
        own = {label for label in FAKE_SECRETS if label.split()[1] in mode_words(letter)}
        for _ in range(2):
            with pytest.raises(AcpError) as refused:
                await run.ask()
            assert refused.value.code == CONTRADICTION
            assert came in str(refused.value)
        status = await run.status()

    assert run.labels() <= own
    # The request, and the prompt after it, for the same reason.
    assert {one["reason"] for one in status["violations"]} == {"credential_contradiction"}
    (detail,) = {one["detail"] for one in status["violations"]}
    assert came in detail
    assert [one["verdict"] for one in status["evidence"] if one["source"] == "wire"] == [
        "agrees",
        "contradiction",
    ]


def mode_words(letter: str) -> set[str]:
    return {"A": {"api"}, "B": {"login"}, "C": {"endpoint"}}[letter]


async def test_a_guard_that_observes_lets_it_pass_and_says_so(tmp_path: Path) -> None:
    script = asks_with(tmp_path, AS_ANOTHER_KEY)
    async with guarded(tmp_path, "A", script, GUARD="observe") as run:
        assert await run.ask() == "end_turn"
        assert await run.ask() == "end_turn"
        status = await run.status()

    assert run.labels() == {"demo api key", "other key"}
    (violation,) = status["violations"]
    assert "the guard only observes, so it was sent" in violation["detail"]


async def test_even_a_guard_that_observes_gives_no_login_to_an_endpoint(tmp_path: Path) -> None:
    script = asks_with(tmp_path, *AS_THE_LOGIN)
    async with guarded(tmp_path, "C", script, GUARD="observe") as run:
        assert await run.ask() == "end_turn"
        status = await run.status()

    assert run.labels() == {"demo endpoint token"}
    (violation,) = status["violations"]
    assert "it was not sent" in violation["detail"]


async def test_a_key_that_the_provider_does_not_take_is_asked_for_once_more(tmp_path: Path) -> None:
    command = tmp_path / "key"
    command.write_text(
        f"#!/bin/sh\nkey={OTHER_KEY}\n[ -e {tmp_path}/asked ] && key={FAKE_API_KEY}\n"
        f"echo >> {tmp_path}/asked\necho $key\n"
    )
    command.chmod(0o700)
    no = fail(401, "authentication_error", "invalid x-api-key")
    more = {"API_KEY": "", "API_KEY_COMMAND": str(command), "SUGGESTIONS": "off"}
    async with guarded(tmp_path, "A", [no, say("Here.")], **more) as run:
        assert not (tmp_path / "asked").exists()
        assert await run.ask() == "end_turn"

    assert [seen.credential.label for seen in run.world.main_requests] == [
        "other key",
        "demo api key",
    ]
    assert len((tmp_path / "asked").read_text().splitlines()) == 2


async def test_a_source_that_gives_no_key_ends_the_turn_with_its_sentence(tmp_path: Path) -> None:
    async with guarded(tmp_path, "A", API_KEY="", API_KEY_COMMAND="false") as run:
        with pytest.raises(AcpError, match="ACP_BRIDGE_API_KEY_COMMAND did not give a key"):
            await run.ask()

    assert run.world.endpoint.seen == []


async def test_an_upstream_that_is_not_there_is_an_error_of_the_api_and_no_violation(
    tmp_path: Path,
) -> None:
    nowhere = {"UPSTREAM_URL": "http://127.0.0.1:9", "STATUS_WAIT_SECONDS": "1"}
    async with guarded(tmp_path, "A", (), **nowhere) as run:
        prompt = [{"type": "text", "text": "hello"}]
        params = {"sessionId": run.session, "prompt": prompt}
        number = await run.client.send_request("session/prompt", params)
        with anyio.fail_after(60):
            while not (await run.status())["wire"]["presented"]:  # noqa: ASYNC110 - asks the bridge
                await anyio.sleep(0.1)
        await run.client.notify("session/cancel", {"sessionId": run.session})
        await run.client.wait_for_response(number, seconds=60)
        status = await run.status()

    assert status["violations"] == []
    assert status["sessions"][0]["usage"] is None
