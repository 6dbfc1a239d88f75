"""What a request can cost at most: never less than what it turns out to cost."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acp_bridge.launch.price_file import load_prices
from acp_bridge.metering.at_most import LONGEST_ANSWER, LONGEST_PROMPT, at_most
from acp_bridge.metering.usage import Tokens
from acp_bridge.metering.wire_request import read_request
from tests.metering.test_wire_exchanges import REQUEST

AT = datetime(2026, 11, 25, tzinfo=UTC)
PRICES = load_prices()
OPUS = replace(REQUEST, model="claude-opus-5-5", size=100_000, max_tokens=32_000)


def test_each_byte_may_be_a_token_and_be_written_to_the_cache_for_an_hour() -> None:
    bound = at_most(OPUS, PRICES, AT)
    assert bound.tokens == 132_000
    assert bound.cost.usd == Decimal(8) * 100_000 / 10**6 + Decimal(20) * 32_000 / 10**6


def test_a_prompt_is_no_longer_than_the_longest_window() -> None:
    long = replace(OPUS, size=50_000_000, max_tokens=0)
    assert at_most(long, PRICES, AT).tokens == LONGEST_PROMPT


@pytest.mark.parametrize("asked", [None, 10**9])
def test_an_answer_without_a_limit_is_as_long_as_the_longest(asked: int | None) -> None:
    bound = at_most(replace(OPUS, size=0, max_tokens=asked), PRICES, AT)
    assert bound.tokens == LONGEST_ANSWER


def test_what_is_asked_for_dearer_is_bounded_dearer() -> None:
    usual = at_most(OPUS, PRICES, AT).cost.usd
    fast = at_most(replace(OPUS, speed="fast"), PRICES, AT).cost.usd
    there = at_most(replace(OPUS, inference_geo="us"), PRICES, AT).cost.usd
    assert usual is not None
    assert fast is not None
    assert fast > usual
    assert there == usual * Decimal("1.1")


def test_a_model_without_a_price_has_a_bound_of_tokens_and_the_reason() -> None:
    bound = at_most(replace(OPUS, model="nobody-knows"), PRICES, AT)
    assert (bound.tokens, bound.cost.usd) == (132_000, None)
    assert bound.cost.why == "no price is known of 'nobody-knows'"


def test_a_model_of_which_a_price_is_not_known_has_no_bound_of_money() -> None:
    """Its answer may have tokens of that kind, which nobody could count."""
    bound = at_most(replace(OPUS, model="claude-2"), PRICES, AT)
    assert (bound.tokens, bound.cost.usd) == (132_000, None)
    assert bound.cost.why == "no price is known of the cache_write_5m tokens"


def test_without_any_prices_tokens_are_bounded_all_the_same() -> None:
    bound = at_most(OPUS, None, AT)
    assert (bound.tokens, bound.cost.usd) == (132_000, None)


@given(
    st.sampled_from(["claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"]),
    st.lists(st.integers(0, 60_000), min_size=4, max_size=4),
    st.integers(0, 32_000),
)
def test_no_request_costs_more_than_its_bound(model: str, prompt: list[int], output: int) -> None:
    read, short, long, plain = prompt
    tokens = Tokens(
        input=plain,
        output=output,
        cache_read=read,
        cache_write_5m=short,
        cache_write_1h=long,
    )
    bound = at_most(replace(OPUS, model=model, size=sum(prompt)), PRICES, AT)
    cost = PRICES.cost_of(model, tokens, AT).usd
    assert cost is not None
    assert bound.cost.usd is not None
    assert cost <= bound.cost.usd
    assert tokens.total <= bound.tokens


def test_a_body_tells_its_limit_speed_and_place() -> None:
    body = b'{"model": "m", "max_tokens": 7, "speed": "fast", "inference_geo": "us"}'
    request = read_request("POST", "/v1/messages", (), body)
    told = (request.size, request.max_tokens, request.speed, request.inference_geo)
    assert told == (len(body), 7, "fast", "us")


@pytest.mark.parametrize("max_tokens", [b"true", b'"7"', b"-1", b"7.5", b"null"])
def test_a_limit_that_is_none_is_not_told(max_tokens: bytes) -> None:
    body = b'{"model": "m", "max_tokens": ' + max_tokens + b', "speed": 5, "inference_geo": []}'
    request = read_request("POST", "/v1/messages", (), body)
    assert (request.max_tokens, request.speed, request.inference_geo) == (None, None, None)
    assert request.model == "m"
