"""The closed world that embedders run the real Claude Code in."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from acp_bridge.modes import BillingMode
from acp_bridge.settings import load_settings
from acp_bridge.testing import OfflineWorld, embedded_endpoint, running_embedded_endpoint, say

Run = Callable[[Callable[[], Awaitable[Any]]], Any]
BODY = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]}


def ask(world: OfflineWorld, key: str) -> str:
    """Ask the endpoint as Claude Code would; returns what it answers."""
    with httpx.Client(trust_env=False) as client:
        url = world.endpoint.url + "/v1/messages"
        answer = client.post(url, json=BODY, headers={"x-api-key": key})
    return str(answer.json()["content"][0]["text"])


@pytest.mark.parametrize("mode", [*BillingMode, "A"], ids=str)
def test_its_environment_is_a_bridges_in_that_mode_and_of_nobody_elses_home(
    tmp_path: Path, run: Run, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-api03-FAKE-inherited")

    async def scenario() -> None:
        async with embedded_endpoint(folder=tmp_path) as world:
            environ = world.environment(mode)
            settings = load_settings(environ=environ)
            assert settings.mode is BillingMode.parse(mode)
            assert {settings.upstream_url, settings.endpoint_url} == {None, world.endpoint.url}
            assert settings.state_dir.is_relative_to(tmp_path)
            assert environ["HOME"] == str(world.home.path)
            assert environ["HTTPS_PROXY"] == world.sink.url
            assert environ["PATH"] == os.environ["PATH"]
            assert "ANTHROPIC_API_KEY" not in environ

    run(scenario)


def test_a_mode_that_does_not_exist_is_an_error(tmp_path: Path, run: Run) -> None:
    async def scenario() -> None:
        async with embedded_endpoint(folder=tmp_path) as world:
            with pytest.raises(ValueError, match="not a billing mode"):
                world.environment("free")

    run(scenario)


def test_a_world_without_a_folder_leaves_nothing_behind(run: Run) -> None:
    async def scenario() -> Path:
        async with embedded_endpoint(login=False) as world:
            assert world.home.project.is_dir()
            assert not world.home.credentials.exists()
            return world.home.path

    assert not run(scenario).parent.exists()


def test_code_that_is_not_async_has_it_in_another_thread(tmp_path: Path) -> None:
    with running_embedded_endpoint([say("Hi.")], folder=tmp_path) as world:
        key = world.environment("api-key")["ACP_BRIDGE_API_KEY"]
        assert ask(world, key) == "Hi."
        (seen,) = world.endpoint.seen
        assert (seen.credential.credential_class, seen.credential.label) == (
            "api_key",
            "demo api key",
        )
        assert world.left_for == set()
