"""Prompts are refused while extra usage would pay for them, and pass again when it would not."""

import json

import pytest

from acp_bridge.errors import Reason
from acp_bridge.protocol.commands import Record, ToAgent
from acp_bridge.protocol.decisions import Refuse
from acp_bridge.protocol.facts import PromptStarted, Refused
from acp_bridge.protocol.names import Code
from acp_bridge.protocol.overage_gate import OverageGate
from tests.protocol.playbook import Client, Playbook, Refusal, prompt, relay, request

NO = Refuse(
    Code.BUDGET_EXHAUSTED,
    Reason.BUDGET_EXHAUSTED,
    "The plan's five-hour window is used up; it resets at noon.",
    "Wait.",
    channel="extra_usage",
)


class Block:
    """A block that stands while the test says so."""

    def __init__(self) -> None:
        self.refusal: Refuse | None = NO
        self.play = Playbook(relay(interceptors=[OverageGate(lambda: self.refusal)]))


@pytest.mark.parametrize("method", ["session/prompt", "_session/steering", "_session/goal"])
def test_what_would_spend_is_refused_with_the_sentence_and_goes_nowhere(method: str) -> None:
    block = Block()
    refused = Refused(method, NO.code, NO.reason, NO.sentence, NO.channel)
    (
        block.play
        >> Client(request(1, method, {"sessionId": "s1"}))
        << Refusal("1", -32011, "budget_exhausted")
        << Record(refused)
    )
    block.play.ends()


def test_the_refusal_names_what_would_be_charged() -> None:
    core = relay(interceptors=[OverageGate(lambda: NO)])
    (answer, _) = core.receive_from_client(prompt(1), 0.0)
    error = json.loads(getattr(answer, "data", b""))["error"]

    assert error["message"] == NO.sentence
    assert error["data"]["acp_bridge"]["channel"] == "extra_usage"
    assert error["data"]["acp_bridge"]["hint"] == "Wait."


def test_once_the_block_is_lifted_the_next_prompt_passes() -> None:
    block = Block()
    (
        block.play
        >> Client(prompt(1))
        << Refusal("1", -32011, "budget_exhausted")
        << Record(Refused("session/prompt", NO.code, NO.reason, NO.sentence, NO.channel))
    )
    block.refusal = None
    block.play >> Client(prompt(2)) << Record(PromptStarted("s1")) << ToAgent(prompt(2))
    block.play.ends()


def test_what_spends_nothing_passes_while_the_block_stands() -> None:
    block = Block()
    harmless = request(1, "session/new", {"cwd": "/w"})
    block.play >> Client(harmless) << ToAgent(harmless)
    block.play.ends()
