"""What observers are told, and in which order interceptors are asked."""

import json

import pytest

from acp_bridge.errors import Reason
from acp_bridge.protocol.commands import Record, ToAgent, ToClient
from acp_bridge.protocol.decisions import ClientDecision, Interceptor, Note, Refuse
from acp_bridge.protocol.envelope import Envelope
from acp_bridge.protocol.facts import (
    PromptEnded,
    PromptStarted,
    Refused,
    SessionClosed,
    SessionOpened,
    TurnEnd,
)
from acp_bridge.protocol.names import Code
from tests.protocol.playbook import (
    Agent,
    Client,
    Playbook,
    Refusal,
    failure,
    notification,
    prompt,
    recorded,
    relay,
    request,
    result,
)

# Facts.


@pytest.mark.parametrize(
    ("method", "params", "answer", "opened"),
    [
        (
            "session/new",
            {"cwd": "/w"},
            {
                "sessionId": "n",
                "configOptions": [5, {"id": "mode"}, {"id": "model", "currentValue": "opus"}],
            },
            SessionOpened("n", "/w", "opus"),
        ),
        (
            "session/load",
            {"cwd": "/w", "sessionId": "l"},
            {"models": {"currentModelId": "haiku"}},
            SessionOpened("l", "/w", "haiku", continued=True),
        ),
        (
            "session/resume",
            {"sessionId": "r"},
            None,
            SessionOpened("r", None, None, continued=True),
        ),
        (
            "session/fork",
            {"cwd": "/w", "sessionId": "old"},
            {"sessionId": "f"},
            SessionOpened("f", "/w", None),
        ),
    ],
)
def test_sessions_are_recorded_as_the_agent_opens_them(
    method: str, params: object, answer: object, opened: SessionOpened
) -> None:
    core = relay()
    core.receive_from_client(request(1, method, params), 0.0)
    raw = json.dumps({"jsonrpc": "2.0", "id": 1, "result": answer}).encode() + b"\n"
    assert recorded(core.receive_from_agent(raw, 0.0)) == [opened]


def test_a_session_that_could_not_be_opened_is_not_recorded() -> None:
    core = relay()
    core.receive_from_client(request(1, "session/new"), 0.0)
    core.receive_from_client(request(2, "session/fork", {"sessionId": "old"}), 0.0)
    assert recorded(core.receive_from_agent(failure(1) + result(2), 0.0)) == []


def test_a_session_is_known_although_its_params_hold_lone_surrogates() -> None:
    core = relay()
    raw = prompt(1).replace(b'"prompt":[]', b'"prompt":["\\ud800"]')
    assert recorded(core.receive_from_client(raw, 0.0)) == [PromptStarted("s1")]


@pytest.mark.parametrize("method", ["session/close", "session/delete"])
def test_a_session_that_was_closed_is_recorded(method: str) -> None:
    core = relay()
    for number, answer in ((1, result(1)), (2, failure(2))):
        core.receive_from_client(request(number, method, {"sessionId": "s"}), 0.0)
        found = recorded(core.receive_from_agent(answer, 0.0))
        assert found == ([SessionClosed("s")] if number == 1 else [])


def test_prompts_are_recorded_from_start_to_end() -> None:
    play = Playbook(relay())
    play >> Client(prompt(1)) << Record(PromptStarted("s1")) << ToAgent(prompt(1))
    (
        play
        >> Agent(result(1))
        << ToClient(result(1))
        << Record(PromptEnded("s1", TurnEnd.ANSWERED, b"{}"))
    )
    play >> Client(prompt(2)) << Record(PromptStarted("s1")) << ToAgent(prompt(2))
    play >> Agent(failure(2)) << ToClient(failure(2)) << Record(PromptEnded("s1", TurnEnd.FAILED))
    play.ends()


class Watcher(Interceptor):
    """Notes what it sees."""

    client_methods = frozenset({"x"})
    agent_methods = frozenset({"x"})
    answers_to = frozenset({"x"})

    def __init__(self, name: str) -> None:
        self._note = Note((Refused(name, Code.INTERNAL_ERROR, Reason.UNPARSEABLE, ""),))

    def client_message(self, message: Envelope, now: float) -> ClientDecision:
        del message, now
        return self._note

    def agent_message(self, message: Envelope, now: float) -> Note:
        del message, now
        return self._note

    def agent_response(self, request: object, message: Envelope, now: float) -> Note:
        del request, message, now
        return self._note


def test_interceptors_see_a_message_in_the_order_of_the_list() -> None:
    core = relay(interceptors=[Watcher("first"), Watcher("second"), Interceptor()])
    for commands in (
        core.receive_from_client(request(1, "x"), 0.0),
        core.receive_from_agent(notification("x"), 0.0),
        core.receive_from_agent(result(1), 0.0),
    ):
        assert [fact.method for fact in recorded(commands)] == ["first", "second"]


class Refuser(Interceptor):
    """Refuses what the first watcher has noted."""

    client_methods = frozenset({"x"})

    def client_message(self, message: Envelope, now: float) -> ClientDecision:
        del message, now
        return Refuse(Code.BUDGET_EXHAUSTED, Reason.BUDGET_EXHAUSTED, "No.", "Wait.")


def test_what_was_noted_before_a_refusal_is_recorded_and_nobody_is_asked_after_it() -> None:
    core = relay(interceptors=[Watcher("first"), Refuser(), Watcher("never")])
    commands = core.receive_from_client(request(1, "x"), 0.0)
    assert [fact.method for fact in recorded(commands)] == ["first", "x"]
    assert Refusal("1", -32011, "budget_exhausted").matches(commands[1])
