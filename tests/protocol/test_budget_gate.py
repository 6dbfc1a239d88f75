"""Prompts wait until the budgets were asked; what a budget ended is told in the bridge's words."""

import json
from typing import Any

from acp_bridge.errors import Reason
from acp_bridge.protocol.budget_gate import Answered, BudgetGate
from acp_bridge.protocol.commands import Record, ToAgent, ToClient
from acp_bridge.protocol.decisions import Refuse
from acp_bridge.protocol.evidence import Context
from acp_bridge.protocol.evidence_gate import EvidenceGate
from acp_bridge.protocol.facts import (
    PromptEnded,
    PromptStarted,
    Refused,
    StatusNotSeen,
    TurnEnd,
)
from acp_bridge.protocol.names import Code
from tests.protocol.playbook import (
    A,
    Agent,
    AgentCloses,
    Client,
    Playbook,
    Refusal,
    Waits,
    failure,
    notification,
    prompt,
    relay,
    request,
    result,
)

SPENT = Refuse(
    Code.BUDGET_EXHAUSTED,
    Reason.BUDGET_EXHAUSTED,
    "Budget month has spent 25.00 of 25.00 USD.",
    "Raise it.",
    channel="budget:month",
)
REFUSED = Record(Refused("session/prompt", SPENT.code, SPENT.reason, SPENT.sentence, SPENT.channel))
CANCEL = notification("session/cancel", {"sessionId": "s1"})


class Budgets:
    """Who is asked: answers when the test says so."""

    def __init__(self) -> None:
        self.asked: list[tuple[str | None, Answered]] = []
        self.methods: list[str] = []
        self.stopped: dict[str | None, Refuse] = {}
        gate = BudgetGate(A, self._ask, self._take)
        self.play = Playbook(relay(A, interceptors=[gate]))

    def _ask(self, session_id: str | None, method: str, answered: Answered) -> None:
        self.methods.append(method)
        self.asked.append((session_id, answered))

    def _take(self, session_id: str | None) -> Refuse | None:
        return self.stopped.pop(session_id, None)

    def answer(self, refused: Refuse | None = None) -> Playbook:
        (_, answered) = self.asked.pop()
        answered(refused)
        self.play.ends()
        self.play.given.extend(self.play.core.resume(self.play.now))
        return self.play

    def stop(self, *session_ids: str) -> Playbook:
        self.play.given.extend(self.play.core.stop_turns(SPENT, session_ids or None, self.play.now))
        return self.play


def test_a_prompt_is_held_with_all_that_follows_until_the_budgets_answered() -> None:
    budgets = Budgets()
    play = budgets.play
    play >> Client(prompt(1) + request(2, "x"))
    assert play.core.holding
    assert [session for session, _ in budgets.asked] == ["s1"]
    budgets.answer() << Record(PromptStarted("s1")) << ToAgent(prompt(1) + request(2, "x"))
    play >> Client(request(3, "x")) << ToAgent(request(3, "x"))
    play.ends()


def test_a_held_prompt_is_asked_for_once() -> None:
    budgets = Budgets()
    budgets.play >> Client(prompt(1))
    (
        budgets.play
        >> Agent(notification("session/update"))
        << ToClient(notification("session/update"))
    )
    budgets.play >> Waits(100)
    assert len(budgets.asked) == 1
    assert budgets.play.core.holding


def test_each_prompt_is_asked_for_anew_also_with_an_id_that_was_used() -> None:
    budgets = Budgets()
    for _ in range(2):
        budgets.play >> Client(prompt(1))
        budgets.answer() << Record(PromptStarted("s1")) << ToAgent(prompt(1))
        budgets.play >> Agent(result(1, {"stopReason": "end_turn"}))
        budgets.play.given.clear()
    assert budgets.asked == []


def test_a_prompt_without_room_is_answered_and_does_not_reach_the_agent() -> None:
    budgets = Budgets()
    budgets.play >> Client(prompt(1) + request(2, "x"))
    play = budgets.answer(SPENT)
    play << Refusal("1", -32011, "budget_exhausted") << REFUSED << ToAgent(request(2, "x"))
    play >> Client(prompt(3))
    budgets.answer() << Record(PromptStarted("s1")) << ToAgent(prompt(3))
    play.ends()


def test_what_the_adapter_has_of_its_own_to_spend_with_is_asked_for_too() -> None:
    budgets = Budgets()
    steering = request(1, "_session/steering", {"sessionId": "s2"})
    budgets.play >> Client(steering)
    assert [session for session, _ in budgets.asked] == ["s2"]
    budgets.answer() << ToAgent(steering)
    nameless = notification("_session/goal")
    budgets.play >> Client(nameless)
    assert [session for session, _ in budgets.asked] == [None]
    budgets.answer(SPENT)
    budgets.play.given.clear()
    assert not budgets.play.core.holding
    assert budgets.methods == ["_session/steering", "_session/goal"]


def test_the_silence_of_an_agent_is_noted_also_while_the_budgets_are_asked() -> None:
    asked: list[Answered] = []
    gates = [
        EvidenceGate(A, Context, 2.0),
        BudgetGate(A, lambda _session, _method, answered: asked.append(answered), lambda _: None),
    ]
    play = Playbook(relay(A, interceptors=gates))
    play >> Client(prompt(1))
    play >> Waits(2) << Record(StatusNotSeen(2.0))
    asked[0](None)
    play.given.extend(play.core.resume(play.now))
    play << Record(PromptStarted("s1")) << ToAgent(prompt(1))
    play.ends()


def test_a_held_prompt_is_answered_when_the_agent_ends() -> None:
    budgets = Budgets()
    budgets.play >> Client(prompt(1))
    budgets.play >> AgentCloses() << Refusal("1", -32603, "agent_exited")
    assert not budgets.play.core.holding
    budgets.play.given.clear()
    budgets.answer().ends()


def test_a_turn_that_a_budget_ended_fails_in_the_bridges_words() -> None:
    budgets = Budgets()
    budgets.play >> Client(prompt(1))
    budgets.answer() << Record(PromptStarted("s1")) << ToAgent(prompt(1))
    budgets.stopped["s1"] = SPENT
    (told, ended) = budgets.play.happens(Agent(failure(1, -32603)))
    assert isinstance(told, ToClient)
    assert json.loads(told.data) == {
        "jsonrpc": "2.0",
        "id": 1,
        "error": {
            "code": -32011,
            "message": SPENT.sentence,
            "data": {
                "acp_bridge": {
                    "reason": "budget_exhausted",
                    "mode": "api-key",
                    "method": "session/prompt",
                    "channel": "budget:month",
                    "hint": "Raise it.",
                }
            },
        },
    }
    assert ended == Record(PromptEnded("s1", TurnEnd.FAILED))


def test_a_turn_that_went_on_without_what_was_refused_ends_as_the_agent_says() -> None:
    budgets = Budgets()
    budgets.play >> Client(prompt(1))
    budgets.answer() << Record(PromptStarted("s1")) << ToAgent(prompt(1))
    budgets.stopped["s1"] = SPENT
    assert budgets.play.happens(Agent(result(1)))[0] == ToClient(result(1))
    assert budgets.stopped == {}


def test_a_turn_that_failed_by_itself_fails_in_the_agents_words() -> None:
    budgets = Budgets()
    budgets.play >> Client(prompt(1))
    budgets.answer() << Record(PromptStarted("s1")) << ToAgent(prompt(1))
    budgets.stopped["s2"] = SPENT
    assert budgets.play.happens(Agent(failure(1)))[0] == ToClient(failure(1))


# Turns that are ended from outside.


def running(*session_ids: str) -> Budgets:
    budgets = Budgets()
    for number, session_id in enumerate(session_ids, 1):
        budgets.play >> Client(prompt(number, session_id))
        budgets.answer()
        budgets.play.given.clear()
    return budgets


def test_a_turn_that_is_stopped_is_cancelled_and_answered_and_later_ones_are_asked_for() -> None:
    budgets = running("s1")
    play = budgets.stop("s1")
    play << ToAgent(CANCEL) << Refusal("1", -32011, "budget_exhausted")
    play << Record(PromptEnded("s1", TurnEnd.STOPPED)) << REFUSED
    play >> Agent(result(1, {"stopReason": "cancelled"}))
    play >> Client(prompt(2))
    budgets.answer() << Record(PromptStarted("s1")) << ToAgent(prompt(2))
    play.ends()


def test_only_the_turns_of_the_named_sessions_are_stopped() -> None:
    budgets = running("s1", "s2")
    play = budgets.stop("s1", "s3")
    play << ToAgent(CANCEL) << Refusal("1", -32011, "budget_exhausted")
    play << Record(PromptEnded("s1", TurnEnd.STOPPED)) << REFUSED
    play >> Agent(result(2)) << ToClient(result(2))
    play.given.clear()


def test_all_turns_are_stopped_where_no_session_is_named() -> None:
    budgets = running("s1", "s2")
    ended = [command for command in budgets.stop().given if isinstance(command, Record)]
    assert [one.fact for one in ended if isinstance(one.fact, PromptEnded)] == [
        PromptEnded("s1", TurnEnd.STOPPED),
        PromptEnded("s2", TurnEnd.STOPPED),
    ]


def test_where_no_turn_runs_nothing_is_told() -> None:
    running("s2").stop("s1").ends()


def test_a_notification_of_the_bridges_own_is_one_line_to_the_client() -> None:
    params: dict[str, Any] = {"bucket": "extra_usage"}
    (told,) = relay().notify("_acp_bridge/told", json.dumps(params).encode())
    assert isinstance(told, ToClient)
    assert json.loads(told.data) == {
        "jsonrpc": "2.0",
        "method": "_acp_bridge/told",
        "params": params,
    }
    assert told.data.endswith(b"}\n")


def test_a_notification_does_not_continue_a_line_that_the_agent_left_open() -> None:
    core = relay()
    half = b'{"jsonrpc":"2.0"'
    core.receive_from_agent(half, 0.0)
    core.agent_closed("it ended", 0.0)
    (told,) = core.notify("_acp_bridge/told", b"{}")
    assert isinstance(told, ToClient)
    assert told.data.startswith(b"\n{")
