"""The bridge asks for raw messages of its own, and the client sees only those that it asked for."""

import json
from typing import Any

import pytest

from acp_bridge.protocol.commands import Command, Record, ToClient
from acp_bridge.protocol.facts import RawMessageSeen, UsageUpdated
from acp_bridge.protocol.raw_messages import WANTED, RawMessages, UsageUpdates
from acp_bridge.protocol.relay import RelayCore
from tests.protocol.playbook import (
    failure,
    notification,
    relay,
    request,
    result,
    sent_to_agent,
)

OURS = [dict(one) for one in WANTED]
RESULT = {"type": "result", "subtype": "success", "modelUsage": {}}
TEXT = {"type": "assistant"}


def opening(number: int, option: Any = None, method: str = "session/new", **params: Any) -> bytes:
    claude = {} if option is None else {"emitRawSDKMessages": option}
    return request(number, method, {**params, "_meta": {"other": 1, "claudeCode": claude}})


def raw(message: Any, session_id: str = "s1") -> bytes:
    return notification("_claude/sdkMessage", {"sessionId": session_id, "message": message})


def core() -> RelayCore:
    return relay(interceptors=[RawMessages(), UsageUpdates()])


def opened(option: Any, session_id: str = "s1") -> RelayCore:
    bridge = core()
    bridge.receive_from_client(opening(1, option), 0.0)
    bridge.receive_from_agent(result(1, {"sessionId": session_id}), 0.0)
    return bridge


def shown(commands: list[Command]) -> list[bytes]:
    return [command.data for command in commands if isinstance(command, ToClient)]


@pytest.mark.parametrize(
    ("asked", "passed"),
    [
        (None, OURS),
        (False, OURS),
        ([], OURS),
        ([{"type": "assistant"}], [{"type": "assistant"}, *OURS]),
        (True, True),
        ("odd", "odd"),
        ({"odd": 1}, {"odd": 1}),
    ],
)
def test_the_bridge_adds_its_wishes_to_those_of_the_client(asked: Any, passed: Any) -> None:
    for method in ("session/new", "session/load", "session/resume", "session/fork"):
        line = sent_to_agent(core().receive_from_client(opening(1, asked, method), 0.0))
        meta = json.loads(line)["params"]["_meta"]
        assert meta == {"other": 1, "claudeCode": {"emitRawSDKMessages": passed}}


@pytest.mark.parametrize(
    ("asked", "message", "is_shown"),
    [
        (None, RESULT, False),
        (True, RESULT, True),
        ([{"type": "result"}], RESULT, True),
        ([{"type": "result", "subtype": "success"}], RESULT, True),
        ([{"type": "result", "subtype": "error"}], RESULT, False),
        ([{"type": "result", "origin": "human"}], RESULT, False),
        ([{"type": "result", "origin": "human"}], {**RESULT, "origin": {"kind": "human"}}, True),
        ([{"type": "assistant"}], RESULT, False),
    ],
)
def test_a_client_sees_the_raw_messages_that_it_asked_for_and_no_other(
    asked: Any, message: Any, *, is_shown: bool
) -> None:
    commands = opened(asked).receive_from_agent(raw(message), 0.0)
    assert shown(commands) == ([raw(message)] if is_shown else [])
    [fact] = [command.fact for command in commands if isinstance(command, Record)]
    assert isinstance(fact, RawMessageSeen)
    assert (fact.session_id, json.loads(fact.message)) == ("s1", message)


def test_each_session_has_wishes_of_its_own() -> None:
    bridge = opened([{"type": "assistant"}], "talkative")
    bridge.receive_from_client(opening(2), 0.0)
    bridge.receive_from_agent(result(2, {"sessionId": "quiet"}), 0.0)
    assert shown(bridge.receive_from_agent(raw(TEXT, "talkative"), 0.0))
    assert not shown(bridge.receive_from_agent(raw(TEXT, "quiet"), 0.0))

    again = opening(3, None, "session/resume", sessionId="talkative")
    bridge.receive_from_client(again, 0.0)
    bridge.receive_from_agent(result(3), 0.0)
    assert not shown(bridge.receive_from_agent(raw(TEXT, "talkative"), 0.0))


def test_a_session_may_speak_before_it_is_open() -> None:
    bridge = core()
    bridge.receive_from_client(opening(1, [{"type": "assistant"}]), 0.0)
    assert shown(bridge.receive_from_agent(raw(TEXT), 0.0))
    bridge.receive_from_agent(failure(1), 0.0)
    assert not shown(bridge.receive_from_agent(raw(TEXT), 0.0))


@pytest.mark.parametrize("params", [None, [], "text"])
def test_params_that_are_no_object_are_left_to_the_agent(params: Any) -> None:
    line = request(1, "session/new").replace(b"{}", json.dumps(params).encode())
    assert sent_to_agent(core().receive_from_client(line, 0.0)) == line


def test_what_a_session_costs_is_recorded_and_shown() -> None:
    usage = {"sessionId": "s1", "update": {"sessionUpdate": "usage_update", "used": 1}}
    line = notification("session/update", usage)
    other = notification("session/update", {"sessionId": "s1", "update": {"text": "x" * 5000}})
    commands = core().receive_from_agent(line + other, 0.0)
    assert b"".join(shown(commands)) == line + other
    [fact] = [command.fact for command in commands if isinstance(command, Record)]
    assert isinstance(fact, UsageUpdated)
    assert json.loads(fact.params) == usage
