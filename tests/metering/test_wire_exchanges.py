"""What the ledger keeps of an exchange on the wire."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from acp_bridge.launch.price_file import load_prices
from acp_bridge.metering.usage import AskedBy, State, Tokens
from acp_bridge.metering.wire_answer import AnswerKind, SeenAnswer
from acp_bridge.metering.wire_exchange import WireExchange, entries_of
from acp_bridge.metering.wire_request import Endpoint, ModelRequest
from acp_bridge.metering.wire_usage import SideUsage, Unread
from acp_bridge.policy.surface import Surface

TOKENS = Tokens(input=1_000_000, output=100_000)
REQUEST = ModelRequest(
    endpoint=Endpoint.MESSAGES,
    session_id="s",
    agent_id="a",
    prompt_id=None,
    surface=Surface.AGENT_SDK,
    asked_by=AskedBy.SUBAGENT,
    model="claude-asked",
    stream=True,
)
ANSWER = SeenAnswer(
    kind=AnswerKind.MESSAGE,
    status=200,
    complete=True,
    request_id="req_1",
    model="claude-opus-5-5",
    tokens=TOKENS,
)
EXCHANGE = WireExchange(
    number=3,
    request=REQUEST,
    began_at=datetime(2026, 11, 25, tzinfo=UTC),
    duration_ms=900,
    ttft_ms=200,
    answer=ANSWER,
)


def test_a_whole_answer_is_one_live_entry_with_all_that_the_wire_shows() -> None:
    (entry,) = entries_of("run", EXCHANGE, turn=2)

    assert (entry.key, entry.state, entry.tokens) == ("wire:run:3", State.LIVE, TOKENS)
    assert (entry.session_id, entry.agent_id, entry.turn) == ("s", "a", 2)
    assert (entry.model, entry.request_id) == ("claude-opus-5-5", "req_1")
    assert (entry.duration_ms, entry.ttft_ms, entry.detail) == (900, 200, None)
    assert (entry.requests, entry.cost_micros) == (1, None)


def test_with_a_price_list_it_has_a_cost() -> None:
    (entry,) = entries_of("run", EXCHANGE, turn=None, prices=load_prices())

    assert entry.cost_micros == 4_000_000 + 2_000_000  # 4 and 20 dollars a million


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (None, "it was cut off before the provider told its usage"),
        (
            SeenAnswer(kind=AnswerKind.OTHER, status=200, complete=False),
            "it was cut off before the provider told its usage",
        ),
        (
            replace(ANSWER, tokens=None, unread=Unread.ENCODING),
            "its answer could not be read: encoding",
        ),
    ],
)
def test_what_told_no_usage_is_an_unknown_request(answer: SeenAnswer | None, detail: str) -> None:
    (entry,) = entries_of("run", replace(EXCHANGE, answer=answer), turn=None)

    assert (entry.state, entry.tokens, entry.requests) == (State.UNKNOWN, None, 1)
    assert entry.detail == detail


def test_an_answer_that_was_cut_off_counts_with_what_it_had_told() -> None:
    cut = replace(ANSWER, complete=False, tokens=Tokens(input=10, output=1))
    (entry,) = entries_of("run", replace(EXCHANGE, answer=cut), turn=None)

    assert (entry.state, entry.tokens) == (State.LIVE, Tokens(input=10, output=1))
    assert entry.detail == "it was cut off; counted is what was told by then"


def test_an_error_costs_nothing_and_neither_does_a_count_of_tokens() -> None:
    error = SeenAnswer(kind=AnswerKind.ERROR, status=529, complete=True)
    count = replace(REQUEST, endpoint=Endpoint.COUNT_TOKENS)

    assert entries_of("run", replace(EXCHANGE, answer=error), turn=None) == []
    assert entries_of("run", replace(EXCHANGE, request=count), turn=None) == []


def test_a_sampling_within_a_request_is_an_entry_but_no_request_of_its_own() -> None:
    side = SideUsage("compaction", "claude-haiku-5-5", Tokens(input=5, output=6))
    own, beside = entries_of(
        "run", replace(EXCHANGE, answer=replace(ANSWER, side_usage=(side,))), turn=1
    )

    assert own.tokens == TOKENS
    assert (beside.key, beside.requests, beside.turn) == ("wire:run:3:1", 0, 1)
    assert (beside.model, beside.tokens) == ("claude-haiku-5-5", Tokens(input=5, output=6))
    assert beside.detail == "compaction within a request"
