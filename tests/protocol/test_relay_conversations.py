"""Lines and requests on their way through the relay."""

import json

import pytest

from acp_bridge.errors import Reason
from acp_bridge.protocol.commands import Ask, CloseAgentInput, Record, ToAgent, ToClient
from acp_bridge.protocol.facts import (
    LineTooLong,
    PromptEnded,
    Side,
    StrayResponse,
    TurnEnd,
    Unparseable,
)
from acp_bridge.protocol.names import Code
from tests.protocol.playbook import (
    A,
    Agent,
    AgentCloses,
    Client,
    ClientCloses,
    Playbook,
    Refusal,
    Waits,
    failure,
    guarded,
    notification,
    prompt,
    recorded,
    relay,
    request,
    result,
    sent_to_client,
)

UPDATE = notification("session/update", {"sessionId": "s1"})


# Passing on.


def test_lines_that_nobody_asked_to_see_leave_in_one_command_as_they_came() -> None:
    lines = UPDATE * 3 + b" \t\r\n" + b'{"weird" : [1.0]}\r\n' + result(5)
    play = Playbook(relay())
    play >> Client(lines) << ToAgent(lines)
    play >> Agent(UPDATE * 3) << ToClient(UPDATE * 3)
    play.ends()


def test_a_single_line_is_handed_on_without_a_copy() -> None:
    (command,) = relay().receive_from_agent(UPDATE, 0.0)
    assert isinstance(command, ToClient)
    assert command.data is UPDATE


def test_the_last_line_counts_without_its_line_feed() -> None:
    play = Playbook(relay())
    play >> Client(b'{"jsonrpc":"2.0","method":"x"}')
    play >> ClientCloses() << ToAgent(b'{"jsonrpc":"2.0","method":"x"}') << CloseAgentInput()
    play >> Agent(b'{"a":1}')
    play >> AgentCloses() << ToClient(b'{"a":1}')
    play.ends()


def test_the_agents_input_is_closed_once() -> None:
    play = Playbook(relay())
    play >> ClientCloses() << CloseAgentInput()
    again = play.core.contradict(Reason.GUARD_BYPASSED, "No.", 0.0)
    assert CloseAgentInput() not in again
    play >> Waits(100)
    play.ends()


# Lines that are no message.


def test_a_client_line_that_is_no_json_is_answered_and_not_passed_on() -> None:
    play = Playbook(relay())
    play >> Client(b"{nonsense\n") << Record(Unparseable(Side.CLIENT, 1))
    play << Refusal("null", -32700, "unparseable")
    assert isinstance(play.given.popleft(), Record)
    play >> Client(UPDATE) << ToAgent(UPDATE)
    play.ends()


def test_an_agent_line_that_is_no_json_is_passed_on_and_counted() -> None:
    play = Playbook(relay())
    (
        play
        >> Agent(b"warning: x\n")
        << Record(Unparseable(Side.AGENT, 1))
        << ToClient(b"warning: x\n")
    )
    play >> Agent(b"\xff\n") << Record(Unparseable(Side.AGENT, 2)) << ToClient(b"\xff\n")
    play.ends()


def test_a_batch_is_refused() -> None:
    play = Playbook(relay(), facts=False)
    play >> Client(b"[" + request(1, "logout").strip() + b"]\n")
    play << Refusal("null", -32600, "batch_not_supported")
    play.ends()


@pytest.mark.parametrize("scalar", [b"5\n", b'"x"\n', b"null\n", b'{"id":1}\n', b"{}\n"])
def test_a_value_that_is_no_message_is_left_for_the_agent_to_refuse(scalar: bytes) -> None:
    play = Playbook(relay())
    play >> Client(scalar) << ToAgent(scalar)
    answer = failure(None, -32600)
    play >> Agent(answer) << ToClient(answer)
    play.ends()


# Lines over the limit.


def test_a_request_that_is_too_long_is_answered_with_its_own_id() -> None:
    play = Playbook(relay(max_client_line_bytes=100))
    play >> Client(request("é", "session/prompt", {"x": "y" * 200}))
    play << Record(LineTooLong(Side.CLIENT, 100)) << Refusal('"é"', -32600, "line_too_long")
    assert isinstance(play.given.popleft(), Record)
    play >> Client(UPDATE) << ToAgent(UPDATE)
    play.ends()


def test_a_too_long_answer_to_the_agent_is_replaced_by_an_error() -> None:
    play = Playbook(relay(max_client_line_bytes=100), facts=False)
    play >> Client(result(7, "y" * 200))
    (to_agent, to_client) = (play.given.popleft(), play.given.popleft())
    assert isinstance(to_agent, ToAgent)
    assert json.loads(to_agent.data)["id"] == 7
    assert json.loads(to_agent.data)["error"]["code"] == -32600
    assert Refusal("null", -32600, "line_too_long").matches(to_client)
    play.ends()


@pytest.mark.parametrize(
    "head", [b'{"x":"', b'{"id":12', b'{"id":{},"method":"a","x":"', b'{"id":3,"params":"', b"["]
)
def test_a_line_too_long_without_a_visible_id_is_answered_with_null(head: bytes) -> None:
    play = Playbook(relay(max_client_line_bytes=50), facts=False)
    play >> Client(head + b"1" * 100 + b"\n") << Refusal("null", -32600, "line_too_long")
    play.ends()


def test_a_too_long_answer_of_the_agent_fails_its_request() -> None:
    play = Playbook(relay(max_agent_line_bytes=100), facts=False)
    play.happens(Client(request(3, "session/list")))
    play >> Agent(result(3, "y" * 200)) << Refusal("3", -32603, "line_too_long")
    play >> AgentCloses()
    play.ends()


def test_a_too_long_request_of_the_agent_is_answered_to_the_agent() -> None:
    play = Playbook(relay(max_agent_line_bytes=100), facts=False)
    play >> Agent(request(3, "fs/write_text_file", {"content": "y" * 200}))
    given = play.given.popleft()
    assert isinstance(given, ToAgent)
    assert json.loads(given.data)["id"] == 3
    assert json.loads(given.data)["error"]["code"] == -32603
    play.ends()


def test_a_request_whose_answer_was_too_long_to_be_known_is_answered_when_the_agent_ends() -> None:
    play = Playbook(relay(max_agent_line_bytes=100), facts=False)
    play.happens(Client(request(3, "session/list")))
    play >> Agent(b'{"result":"' + b"y" * 200 + b'","id":3}\n')
    play >> AgentCloses() << Refusal("3", -32603, "agent_exited")
    play.ends()


# Requests and their one response.


def test_ids_of_client_and_agent_may_be_the_same() -> None:
    theirs = request(0, "session/request_permission", {"sessionId": "s1"})
    play = Playbook(relay(), facts=False)
    play.happens(Client(prompt(0)))
    play >> Agent(theirs) << ToClient(theirs)
    play >> Client(result(0, "allowed")) << ToAgent(result(0, "allowed"))
    play >> Agent(result(0)) << ToClient(result(0))
    play >> AgentCloses()
    play.ends()


@pytest.mark.parametrize(
    ("asked", "echoed"),
    [
        ("1.0", "1"),
        ("1e2", "100"),
        ("12345678901234567891", "12345678901234567000"),
        ('"a\\u0062"', '"ab"'),
        ('"\\ud800"', '"\\ud800"'),
        ("-0", "0"),
        ("null", "null"),
    ],
)
def test_an_id_is_known_again_as_javascript_echoes_it(asked: str, echoed: str) -> None:
    play = Playbook(relay(), facts=False)
    play.happens(Client(b'{"jsonrpc":"2.0","method":"x","id":' + asked.encode() + b"}\n"))
    answer = b'{"jsonrpc":"2.0","id":' + echoed.encode() + b',"result":{}}\n'
    play >> Agent(answer) << ToClient(answer)
    play >> AgentCloses()
    play.ends()


@pytest.mark.parametrize(("asked", "other"), [("1", 1), (1, "1"), (0.5, 0), (1, 1.25), (None, "")])
def test_ids_of_other_type_or_value_are_other_ids(asked: object, other: object) -> None:
    play = Playbook(relay(), facts=False)
    play.happens(Client(request(asked, "x")))
    play >> Agent(result(other))
    play >> AgentCloses() << Refusal(json.dumps(asked), -32603, "agent_exited")
    play.ends()


def test_an_answer_to_nothing_is_dropped() -> None:
    play = Playbook(relay())
    play.happens(Client(request(1, "x")))
    play >> Agent(result(1)) << ToClient(result(1))
    play >> Agent(result(1)) << Record(StrayResponse(1))
    play >> Agent(failure("y")) << Record(StrayResponse(2))
    play.ends()


def test_an_id_used_twice_at_once_gets_two_answers() -> None:
    play = Playbook(relay(), facts=False)
    play.happens(Client(request(1, "x") + request(1, "y")))
    play >> Agent(result(1)) << ToClient(result(1))
    play >> AgentCloses() << Refusal("1", -32603, "agent_exited")
    play.ends()


def test_a_malformed_request_may_be_answered_but_need_not() -> None:
    raw = b'{"method":"x","id":4}\n'
    play = Playbook(relay(), facts=False)
    play >> Client(raw * 2) << ToAgent(raw * 2)
    play >> Agent(result(4)) << ToClient(result(4))
    play >> AgentCloses()
    play.ends()


def test_when_the_agent_ends_open_requests_are_answered_with_how_it_ended() -> None:
    core = relay(A)
    core.receive_from_client(request(1, "x") + prompt(2) + notification("y"), 0.0)
    commands = core.agent_closed("it was killed by SIGKILL", 0.0)
    first, second = (json.loads(one) for one in sent_to_client(commands).splitlines())
    assert [first["id"], second["id"]] == [1, 2]
    assert first["error"]["code"] == -32603
    assert "killed by SIGKILL" in first["error"]["message"]
    assert first["error"]["data"]["acp_bridge"]["mode"] == "api-key"
    assert recorded(commands) == [PromptEnded("s1", TurnEnd.AGENT_EXITED)]


def test_after_the_agent_has_ended_requests_are_answered_at_once() -> None:
    play = Playbook(guarded(), facts=False)
    play >> AgentCloses()
    play >> Client(notification("x") + prompt(1)) << Refusal("1", -32603, "agent_exited")
    play >> ClientCloses()
    play.ends()


def test_an_answer_after_half_a_line_of_the_agent_is_still_a_line() -> None:
    core = relay()
    core.receive_from_client(request(1, "x"), 0.0)
    core.receive_from_agent(b'{"jsonrpc":"2.0","me', 0.0)
    half, answer = sent_to_client(core.agent_closed("it crashed", 0.0)).splitlines()
    assert half == b'{"jsonrpc":"2.0","me'
    assert json.loads(answer)["id"] == 1


# Requests to the bridge.


@pytest.mark.parametrize("method", ["_acp_bridge/status", "_acp_bridge/usage"])
def test_requests_to_the_bridge_are_asked_of_the_driver(method: str) -> None:
    play = Playbook(guarded(), facts=False)
    play >> Client(request("q", method, {"a": 1})) << Ask(1, method, b'{"a":1}')
    play >> Client(request(2, method)) << Ask(2, method, b"{}")
    assert play.core.answer(2, b'{"x":1.0}') == [
        ToClient(b'{"jsonrpc":"2.0","id":2,"result":{"x":1.0}}\n')
    ]
    (answer,) = play.core.answer_error(1, Code.INTERNAL_ERROR, "No ledger yet.")
    assert isinstance(answer, ToClient)
    assert json.loads(answer.data)["id"] == "q"
    with pytest.raises(KeyError):
        play.core.answer(1, b"{}")
    play >> Client(notification(method))
    play.ends()
