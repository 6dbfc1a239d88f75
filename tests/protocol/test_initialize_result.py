import json
from typing import Any

import pytest

from acp_bridge.modes import AgentKind, BillingMode
from acp_bridge.protocol.facts import AgentIdentified
from acp_bridge.protocol.initialize import edit, identify
from tests.protocol.playbook import (
    A,
    B,
    C,
    Client,
    Playbook,
    Refusal,
    card,
    everyone,
    guarded,
    line,
    recorded,
    relay,
    request,
    result,
    sent_to_agent,
    sent_to_client,
)

ADAPTER = "@agentclientprotocol/claude-agent-acp"


def terminal(method_id: str, *args: str) -> dict[str, Any]:
    """A sign-in method as adapter 0.100.0 offers it."""
    cli = ["--cli", *args]
    legacy = {"command": "/usr/bin/node", "args": ["/x/index.js", *cli], "label": "Login"}
    return {
        "id": method_id,
        "name": method_id,
        "type": "terminal",
        "args": cli,
        "_meta": {"terminal-auth": legacy},
    }


def initialized(name: str | None = ADAPTER) -> dict[str, Any]:
    info = {"name": name, "title": "Claude Agent", "version": "0.100.0"}
    return {
        "protocolVersion": 1,
        "agentCapabilities": {"providers": {}, "loadSession": True, "auth": {"logout": {}}},
        "agentInfo": info if name else None,
        "authMethods": [
            terminal("claude-ai-login", "auth", "login", "--claudeai"),
            terminal("console-login", "auth", "login", "--console"),
            {"id": "gateway", "name": "Gateway"},
            {"id": "gateway-bedrock", "name": "Gateway"},
            {"id": "unheard-of", "name": "?"},
        ],
        "_meta": {"steering": {"supported": True}},
    }


def edited(mode: BillingMode, value: dict[str, Any] | None = None) -> dict[str, Any]:
    raw = json.dumps(value or initialized()).encode()
    after: dict[str, Any] = json.loads(edit(raw, card(mode), AgentKind.CLAUDE))
    return after


@pytest.mark.parametrize(
    ("mode", "offered"), [(A, []), (B, ["claude-ai-login"]), (C, [])], ids=["A", "B", "C"]
)
def test_only_sign_in_methods_that_the_lock_lets_pass_are_offered(
    mode: BillingMode, offered: list[str]
) -> None:
    assert [method["id"] for method in edited(mode)["authMethods"]] == offered


def test_an_absolute_sign_in_command_leads_to_the_bridge() -> None:
    (method,) = edited(B)["authMethods"]
    assert method["args"] == ["--cli", "auth", "login", "--claudeai"]
    assert method["_meta"]["terminal-auth"] == {
        "command": "/opt/acp-bridge",
        "args": ["--mode", "subscription", "--cli", "auth", "login", "--claudeai"],
        "label": "Login",
    }


@pytest.mark.parametrize("args", [None, [], ["auth", "login"], ["--cli", 5], "x"])
def test_a_sign_in_command_that_cannot_go_through_the_bridge_is_removed(args: object) -> None:
    method = terminal("claude-login")
    method["_meta"]["terminal-auth"]["args"] = args
    (after,) = edited(B, {"authMethods": [method]})["authMethods"]
    assert after["_meta"] == {}


@pytest.mark.parametrize("mode", BillingMode)
def test_the_mode_is_in_the_title_and_providers_cannot_be_switched(mode: BillingMode) -> None:
    after = edited(mode)
    assert after["agentInfo"]["title"] == f"Claude Agent · {mode.value}"
    assert after["agentCapabilities"] == {"loadSession": True, "auth": {"logout": {}}}
    assert after["_meta"] == {
        "steering": {"supported": True},
        "acp_bridge": {"version": "0", "mode": mode.value, "guarantees": "enforced"},
    }


def test_a_result_without_the_usual_members_is_edited_all_the_same() -> None:
    assert edited(B, {"protocolVersion": 1}) == {
        "protocolVersion": 1,
        "agentInfo": {"title": "Agent · subscription"},
        "_meta": {"acp_bridge": {"version": "0", "mode": "subscription", "guarantees": "enforced"}},
    }


@pytest.mark.parametrize(
    "name",
    [
        "@agentclientprotocol/claude-agent-acp",
        "@zed-industries/claude-code-acp",
        "claude-code-acp",
        "claude-agent-acp",
    ],
)
def test_claude_adapters_are_known_by_name(name: str) -> None:
    raw = json.dumps(initialized(name)).encode()
    assert identify(raw) == AgentIdentified(name, "0.100.0", AgentKind.CLAUDE)


@pytest.mark.parametrize("name", ["gemini", "Claude-Code-ACP", "", None])
def test_other_agents_are_known_as_other(name: str | None) -> None:
    assert identify(json.dumps(initialized(name)).encode()).kind is AgentKind.OTHER


def test_the_users_word_on_the_kind_wins() -> None:
    raw = json.dumps(initialized("gemini")).encode()
    assert identify(raw, AgentKind.CLAUDE).kind is AgentKind.CLAUDE


INITIALIZE = request(0, "initialize", {"protocolVersion": 1})


def test_the_clients_initialize_goes_as_it_is_and_the_answer_is_edited() -> None:
    core = guarded(B)
    assert sent_to_agent(core.receive_from_client(INITIALIZE, 0.0)) == INITIALIZE
    commands = core.receive_from_agent(result(0, initialized()), 0.0)
    answer = json.loads(sent_to_client(commands))
    assert answer["id"] == 0
    assert answer["result"] == edited(B)
    assert recorded(commands) == [AgentIdentified(ADAPTER, "0.100.0", AgentKind.CLAUDE)]


def test_the_lock_steps_aside_for_another_agent_which_gets_only_the_card() -> None:
    core = guarded(B)
    core.receive_from_client(INITIALIZE, 0.0)
    answer = json.loads(
        sent_to_client(core.receive_from_agent(result(0, initialized("gemini")), 0.0))
    )
    meta = answer["result"].pop("_meta")
    assert meta["acp_bridge"]["guarantees"] == "none"
    expected = initialized("gemini")
    del expected["_meta"]
    assert answer["result"] == expected
    for raw in (request(1, "providers/set"), request(2, "session/new"), request(3, "logout")):
        assert sent_to_agent(core.receive_from_client(raw, 0.0)) == raw
    raw = request(4, "session/prompt", {"sessionId": "s"})
    assert sent_to_agent(core.receive_from_client(raw, 0.0)) == raw


def test_before_the_agent_has_named_itself_the_lock_holds() -> None:
    play = Playbook(guarded(B), facts=False)
    play >> Client(request(1, "providers/set")) << Refusal("1", -32010, "mode_locked")
    play.ends()


def test_an_agent_forced_to_be_other_is_never_locked() -> None:
    raw = request(1, "providers/set")
    core = guarded(B, agent_kind=AgentKind.OTHER)
    assert sent_to_agent(core.receive_from_client(raw, 0.0)) == raw


def test_an_agent_forced_to_be_claude_stays_locked_whatever_its_name() -> None:
    play = Playbook(guarded(B, agent_kind=AgentKind.CLAUDE), facts=False)
    play.happens(Client(INITIALIZE))
    play.core.receive_from_agent(result(0, initialized("gemini")), 0.0)
    play >> Client(request(1, "providers/set")) << Refusal("1", -32010, "mode_locked")
    play.ends()


@pytest.mark.parametrize("odd", [None, 5, [], "x"])
def test_a_result_that_is_no_object_is_left_alone(odd: object) -> None:
    core = relay(B, everyone(B))
    core.receive_from_client(INITIALIZE, 0.0)
    raw = line({"jsonrpc": "2.0", "id": 0, "result": odd})
    assert sent_to_client(core.receive_from_agent(raw, 0.0)) == raw
