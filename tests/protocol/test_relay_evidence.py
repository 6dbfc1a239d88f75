"""Prompts wait for evidence, and stop when it contradicts the mode."""

import json
from typing import Any

import pytest

from acp_bridge.errors import Reason
from acp_bridge.modes import BillingMode, OnViolation
from acp_bridge.protocol.commands import Ask, CloseAgentInput, Record, ToAgent, ToClient
from acp_bridge.protocol.evidence import (
    EVIDENCE_TABLE,
    Context,
    Evidence,
    EvidenceKind,
    Source,
    Verdict,
)
from acp_bridge.protocol.evidence_gate import EvidenceGate
from acp_bridge.protocol.facts import (
    Contradicted,
    EvidenceSeen,
    PromptStarted,
    StatusNotSeen,
)
from tests.protocol.playbook import (
    A,
    Agent,
    AgentCloses,
    B,
    C,
    Client,
    ClientCloses,
    Playbook,
    Refusal,
    Waits,
    failure,
    guarded,
    notification,
    prompt,
    relay,
    request,
    result,
    sent_to_agent,
    sent_to_client,
    status,
)

UPDATE = notification("session/update", {"sessionId": "s1"})


def seen(kind: str, verdict: Verdict, at: float = 0.0) -> Record:
    return Record(
        EvidenceSeen(Evidence(EvidenceKind.SELF_REPORTED, Source.AUTH_STATUS, at, kind, verdict))
    )


def gate(seconds: float = 5.0) -> EvidenceGate:
    return EvidenceGate(B, lambda: Context(login_stored=False), seconds)


# The wait for a first status.


def test_a_prompt_waits_for_the_first_status_and_everything_after_it_waits_too() -> None:
    later = notification("session/cancel", {"sessionId": "s1"}) + request(2, "_acp_bridge/status")
    play = Playbook(relay(interceptors=[gate()]))
    play >> Client(UPDATE + prompt(1) + later) << ToAgent(UPDATE)
    assert (play.core.holding, play.core.deadline) == (True, 5.0)
    play >> Client(b'{"half":')
    play >> Agent(status("account")) << ToClient(status("account"))
    play << seen("account", Verdict.AGREES) << Record(PromptStarted("s1"))
    play << ToAgent(prompt(1) + later.splitlines(keepends=True)[0])
    play << Ask(1, "_acp_bridge/status", b"{}")
    assert (play.core.holding, play.core.deadline) == (False, None)
    play >> Client(b"1}\n") << ToAgent(b'{"half":1}\n')
    play >> Client(prompt(3)) << Record(PromptStarted("s1")) << ToAgent(prompt(3))
    play.ends()


def test_silence_is_noted_once_and_the_prompt_goes_on() -> None:
    play = Playbook(relay(interceptors=[gate(2.0)]))
    play >> Client(prompt(1))
    play >> Waits(1.9)
    play >> Agent(UPDATE) << ToClient(UPDATE)
    play >> Waits(0.2) << Record(StatusNotSeen(2.0)) << Record(PromptStarted("s1"))
    play << ToAgent(prompt(1))
    play >> Client(prompt(2)) << Record(PromptStarted("s1")) << ToAgent(prompt(2))
    play.ends()


def test_a_status_before_the_first_prompt_leaves_nothing_to_wait_for() -> None:
    play = Playbook(relay(interceptors=[gate()]))
    play >> Agent(status("none")) << ToClient(status("none"))
    play << seen("none", Verdict.NOT_LOGGED_IN)
    play >> Client(prompt(1)) << Record(PromptStarted("s1")) << ToAgent(prompt(1))
    play.ends()


@pytest.mark.parametrize("params", ["{}", '{"authStatus":5}', "[]", '{"authStatus":{"kind":1}}'])
def test_a_status_that_says_nothing_does_not_end_the_wait(params: str) -> None:
    raw = b'{"jsonrpc":"2.0","method":"_auth/status_update","params":' + params.encode() + b"}\n"
    play = Playbook(relay(interceptors=[gate()]))
    play >> Client(prompt(1))
    play >> Agent(raw) << ToClient(raw)
    assert play.core.holding
    play.ends()


def test_a_held_prompt_is_answered_when_the_agent_ends() -> None:
    play = Playbook(relay(interceptors=[gate()]), facts=False)
    play >> Client(prompt(1) + request(2, "x"))
    play >> AgentCloses() << ToClient(_both_dead())
    assert not play.core.holding
    play.ends()


def _both_dead() -> bytes:
    core = relay()
    core.agent_closed(AgentCloses().detail, 0.0)
    return sent_to_client(core.receive_from_client(prompt(1) + request(2, "x"), 0.0))


def test_the_agents_input_stays_open_while_a_prompt_is_held() -> None:
    play = Playbook(relay(interceptors=[gate()]), facts=False)
    play >> Client(prompt(1))
    play >> ClientCloses()
    play >> Waits(5) << ToAgent(prompt(1)) << CloseAgentInput()
    play.ends()


# Contradictions.


def test_a_contradiction_ends_the_running_turn_and_swallows_its_late_answer() -> None:
    play = Playbook(relay(interceptors=[gate()]), facts=False)
    play >> Agent(status("account")) << ToClient(status("account"))
    play >> Client(prompt(1) + prompt(2, "s2") + request(3, "session/list"))
    play << ToAgent(prompt(1)) << ToAgent(prompt(2, "s2") + request(3, "session/list"))
    play >> Agent(status("api_key")) << ToClient(status("api_key"))
    cancels = notification("session/cancel", {"sessionId": "s1"})
    cancels += notification("session/cancel", {"sessionId": "s2"})
    play << ToAgent(cancels)
    play << Refusal("1", -32012, "credential_contradiction")
    play << Refusal("2", -32012, "credential_contradiction")
    late = result(1) + result(3) + failure(2)
    play >> Agent(late) << ToClient(result(3))
    play >> AgentCloses()
    play.ends()


def test_after_a_contradiction_nothing_is_spent_any_more() -> None:
    play = Playbook(relay(interceptors=[gate()]))
    play >> Agent(status("api_key")) << ToClient(status("api_key"))
    play << seen("api_key", Verdict.CONTRADICTION)
    contradicted = play.given.popleft()
    assert isinstance(contradicted, Record)
    assert isinstance(contradicted.fact, Contradicted)
    assert contradicted.fact.blocked
    assert contradicted.fact.cancelled == ()
    for method in ("session/prompt", "_session/steering", "_session/goal"):
        play >> Client(request(1, method)) << Refusal("1", -32012, "credential_contradiction")
        assert isinstance(play.given.popleft(), Record)
    play >> Client(request(1, "session/list")) << ToAgent(request(1, "session/list"))
    play.ends()


def test_a_refused_prompt_says_what_is_suspected_and_what_to_do() -> None:
    core = relay(interceptors=[gate()])
    core.receive_from_agent(status("api_key"), 0.0)
    error = json.loads(sent_to_client(core.receive_from_client(prompt(1), 0.0)))["error"]
    assert error["message"] == (
        "This run is locked to subscription mode, but the agent reports an API key: a stored"
        " Console key, an apiKeyHelper or an ANTHROPIC_API_KEY in a settings file is the likely"
        " cause."
    )
    assert error["data"]["acp_bridge"]["channel"] == "auth_status:api_key"
    assert "claude auth login --claudeai" in error["data"]["acp_bridge"]["hint"]


@pytest.mark.parametrize("mode", BillingMode)
def test_every_status_that_contradicts_a_mode_is_explained_in_words(mode: BillingMode) -> None:
    explained = 0
    for row in EVIDENCE_TABLE:
        if row.signal.source is Source.AUTH_STATUS:
            core = guarded(mode, Context(login_stored=False))
            core.receive_from_agent(status(row.signal.value), 0.0)
            answer = json.loads(sent_to_client(core.receive_from_client(prompt(1), 0.0)) or "{}")
            sentence = answer.get("error", {}).get("message", "")
            explained += mode.value in sentence and "the agent reports" in sentence
    assert explained == {A: 3, B: 3, C: 4}[mode]


def test_a_held_prompt_is_refused_when_the_status_contradicts() -> None:
    play = Playbook(relay(interceptors=[gate()]), facts=False)
    play >> Client(prompt(1))
    play >> Agent(status("gateway")) << ToClient(status("gateway"))
    play << Refusal("1", -32012, "credential_contradiction")
    play.ends()


def test_who_only_wants_to_be_told_is_only_told() -> None:
    play = Playbook(relay(interceptors=[gate()], on_violation=OnViolation.WARN))
    play >> Agent(status("api_key")) << ToClient(status("api_key"))
    play << seen("api_key", Verdict.CONTRADICTION)
    told = play.given.popleft()
    assert isinstance(told, Record)
    assert isinstance(told.fact, Contradicted)
    assert not told.fact.blocked
    play >> Client(prompt(1)) << Record(PromptStarted("s1")) << ToAgent(prompt(1))
    play.ends()


def test_a_bypassed_guard_stops_spending_the_same_way() -> None:
    play = Playbook(relay(), facts=False)
    play.happens(Client(prompt(1)))
    commands = play.core.contradict(
        Reason.GUARD_BYPASSED, "Tokens were spent that the guard did not see.", 0.0, hint="Look."
    )
    assert sent_to_agent(commands) == notification("session/cancel", {"sessionId": "s1"})
    answer = json.loads(sent_to_client(commands))
    assert answer["error"]["message"] == "Tokens were spent that the guard did not see."
    assert answer["error"]["data"]["acp_bridge"]["hint"] == "Look."
    play >> Client(prompt(2)) << Refusal("2", -32012, "guard_bypassed")
    play.ends()


def stopped(**settings: Any) -> Playbook:
    """A conversation whose running prompt, with id 1, the bridge has answered."""
    play = Playbook(relay(**settings), facts=False)
    play.happens(Client(prompt(1)))
    commands = play.core.contradict(Reason.GUARD_BYPASSED, "No.", 0.0)
    assert sent_to_client(commands).count(b"\n") == 1
    return play


def test_a_stopped_prompt_is_not_answered_again_when_the_agent_ends() -> None:
    play = stopped()
    play >> AgentCloses()
    play.ends()


def test_a_stopped_prompt_is_not_answered_again_when_its_answer_is_too_long() -> None:
    play = stopped(max_agent_line_bytes=100)
    play >> Agent(result(1, "y" * 200))
    play.ends()


def test_an_id_reused_before_the_late_answer_still_gets_its_own_answer() -> None:
    play = Playbook(relay(), facts=False)
    play.happens(Client(prompt(1)))
    play.core.contradict(Reason.GUARD_BYPASSED, "No.", 0.0)
    play >> Client(request(1, "session/list")) << ToAgent(request(1, "session/list"))
    play >> Agent(result(1, {"stopReason": "cancelled"}))
    play >> Agent(result(1, {"sessions": []})) << ToClient(result(1, {"sessions": []}))
    play.ends()
