"""The status of a run: three ways to ask, one answer, in the shape of the contract."""

import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from acp_bridge import __version__
from tests.bridge.process import SECONDS, BridgeProcess, bridge_process, run_bridge, stand_in
from tests.documents import assert_card, assert_error_data, assert_status

AGENT = stand_in("--name", "claude-agent-acp", "status:account")
CLAUDE = {"agent_kind": "claude", "claude": "/bin/true"}


def status(bridge: BridgeProcess, *arguments: str) -> Any:
    done = run_bridge("status", "--json", *arguments, env=bridge.env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def settled_status(bridge: BridgeProcess, expected: Any, *arguments: str) -> Any:
    """What the command prints once the registry has caught up; it is written beside the stream."""
    with anyio.move_on_after(SECONDS):
        while (printed := await anyio.to_thread.run_sync(status, bridge, *arguments)) != expected:
            pass
    return printed


async def test_command_and_request_give_the_same_document(tmp_path: Path) -> None:
    async with bridge_process(tmp_path, CLAUDE, agent=AGENT) as bridge:
        initialized = await bridge.initialize()
        session = await bridge.new_session(tmp_path, _meta={"claudeCode": {"options": {"env": {
            "ANTHROPIC_API_KEY": "sk-ant-api03-FAKE-from-the-client"}}}})  # fmt: skip
        await bridge.response(await bridge.send_prompt(session, "text:hello"))
        asked = await bridge.request("_acp_bridge/status", {})
        assert_status(asked)
        run_id = initialized["_meta"]["acp_bridge"]["run_id"]
        assert await settled_status(bridge, asked, "--run", run_id) == asked

    (run,) = asked["bridges"]
    assert run["alive"] is True
    assert run["pid"] == bridge.pid
    assert run["agent"]["name"] == "claude-agent-acp"
    assert run["sessions"][0]["cwd"] == str(tmp_path)
    assert {"channel": "env.ANTHROPIC_API_KEY", "origin": "ACP session/new"} in run["removed"]
    assert [item["value"] for item in run["evidence"]] == ["subscription_oauth", "account"]


async def test_the_initialize_result_names_the_run_and_its_mode(tmp_path: Path) -> None:
    async with bridge_process(tmp_path, CLAUDE, agent=AGENT) as bridge:
        result = await bridge.initialize()
        meta = result["_meta"]["acp_bridge"]
        run_id = (await bridge.request("_acp_bridge/status", {}))["bridges"][0]["run_id"]
    assert_card(meta)
    assert meta == {
        "version": __version__,
        "run_id": run_id,
        "mode": "subscription",
        "mode_letter": "B",
        "credential_class": "subscription_oauth",
        "bucket": "plan_limits",
        "guard": "off",
        "guarantees": "enforced",
    }
    assert result["agentInfo"]["title"] == "Stand-in · subscription"


@pytest.mark.parametrize("forced", [True, False])
async def test_an_agent_that_is_no_claude_adapter_gets_no_guarantees_anywhere(
    tmp_path: Path, *, forced: bool
) -> None:
    settings = {"agent_kind": "other"} if forced else {"agent_kind": "", "claude": "/bin/true"}
    async with bridge_process(tmp_path, settings) as bridge:
        result = await bridge.initialize()
        assert result["_meta"]["acp_bridge"]["guarantees"] == "none"
        (run,) = (await bridge.request("_acp_bridge/status", {}))["bridges"]
        assert run["guarantees"] == "none"
        await bridge.wait_for_stderr("guarantees: none" if forced else "guarantees_none")


async def test_every_error_of_the_bridge_says_why_and_what_to_do_next(tmp_path: Path) -> None:
    async with bridge_process(tmp_path, CLAUDE, agent=AGENT) as bridge:
        session = await bridge.session()
        number = await bridge.send_request("providers/set", {})
        refused = (await bridge.error(number))["data"]["acp_bridge"]
        await bridge.send_bytes(b"no JSON\n")
        unread = (await bridge.error(None))["data"]["acp_bridge"]
        number = await bridge.send_prompt(session, "exit:3")
        ended = (await bridge.error(number))["data"]["acp_bridge"]
    for data in (refused, unread, ended):
        assert_error_data(data)
    assert (refused["reason"], refused["method"]) == ("mode_locked", "providers/set")
    assert (unread["reason"], ended["reason"]) == ("unparseable", "agent_exited")


async def test_a_live_run_is_alive_and_an_ended_one_is_not(tmp_path: Path) -> None:
    async with bridge_process(tmp_path) as first, bridge_process(tmp_path) as second:
        for bridge in (first, second):
            await bridge.initialize()
        alive = {run["pid"]: run["alive"] for run in status(first)["bridges"]}
        assert alive == {first.pid: True, second.pid: True}
        first.close_stdin()
        await first.exit_status()
        document = status(second)
        assert_status(document)
        runs = {run["pid"]: run for run in document["bridges"]}
        assert runs[second.pid]["alive"] is True
        assert runs[second.pid]["ended_at"] is None
        assert runs[first.pid]["alive"] is False
        assert runs[first.pid]["ended_at"] >= runs[first.pid]["started_at"]


async def test_the_run_directory_of_a_killed_bridge_holds_no_secret_after_the_next_start(
    tmp_path: Path,
) -> None:
    key = "sk-ant-api03-FAKE-swept-0000"
    settings = {**CLAUDE, "mode": "api-key", "api_key": key, "guard": "off"}
    async with bridge_process(tmp_path, settings, agent=AGENT) as bridge:
        await bridge.initialize()
        family = bridge.descendants()
        bridge.process.kill()
        await bridge.exit_status()
        assert family
        assert files_with(key, tmp_path / "state") != []
        async with bridge_process(tmp_path) as next_one:
            await next_one.initialize()
            assert files_with(key, tmp_path / "state") == []


def files_with(text: str, folder: Path) -> list[Path]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return [path for path in files if text.encode() in path.read_bytes()]


async def test_the_page_for_people_names_run_mode_and_evidence(tmp_path: Path) -> None:
    async with bridge_process(tmp_path, CLAUDE, agent=AGENT) as bridge:
        meta = (await bridge.initialize())["_meta"]["acp_bridge"]
        page = run_bridge("status", "--run", meta["run_id"], env=bridge.env).stdout
    assert f"{meta['run_id']}  mode subscription (B)  running, pid {bridge.pid}" in page
    assert "charged to plan_limits" in page
