"""What tokens cost at an endpoint, by the user's own table."""

import re
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Context, Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acp_bridge.errors import ConfigurationError
from acp_bridge.metering.endpoint_prices import EndpointPrices, endpoint_prices
from acp_bridge.metering.prices import Cost, Prices, Terms, TokenKind, Unpriced
from acp_bridge.metering.usage import Tokens

NOW = datetime(2026, 11, 26, tzinfo=UTC)
MILLION = 1_000_000
WHOLE = {
    "input": "2.00",
    "output": "10.00",
    "cache_read": "0.20",
    "cache_write_5m": "2.50",
    "cache_write_1h": 4,
    "web_search_per_1000": "10",
}
PRICES: Prices = EndpointPrices({"my-model": WHOLE, "half": {"output": "0.5"}})


def cost_of(tokens: Tokens, model: str | None = "my-model", **terms: object) -> Cost:
    return PRICES.cost_of(model, tokens, NOW, **terms)  # type: ignore[arg-type]


def unknown(cost: Cost) -> Unpriced | None:
    """Why a cost is unknown; it says so in words."""
    assert (cost.usd, cost.micros) == (None, None)
    assert cost.why
    assert cost.hint
    return cost.unpriced


def refusal(table: object) -> str:
    """How a wrong table is refused, in one line."""
    with pytest.raises(ConfigurationError) as caught:
        endpoint_prices({"endpoint": table}, origin="the file")
    text = f"{caught.value.message} | {caught.value.hint}"
    assert "the file" in caught.value.message
    assert caught.value.hint
    assert "\n" not in text
    return text


def refused(prices: object) -> str:
    """How wrong prices of a model named ``m`` are refused."""
    text = refusal({"prices": {"m": prices}})
    assert "[endpoint.prices.'m']" in text
    return text


@pytest.mark.parametrize(
    ("kind", "usd"),
    [
        ("input", "2"),
        ("output", "10"),
        ("cache_read", "0.2"),
        ("cache_write_5m", "2.5"),
        ("cache_write_1h", "4"),
    ],
)
def test_each_kind_of_token_has_its_price_a_million(kind: str, usd: str) -> None:
    assert cost_of(Tokens(**{kind: MILLION})).usd == Decimal(usd)


def test_a_request_costs_the_exact_sum_of_its_kinds_and_of_its_web_searches() -> None:
    tokens = Tokens(1, 1, 1, 1, 1)
    assert cost_of(tokens).usd == Decimal("0.0000187")
    searched = cost_of(tokens, server_tools={"web_search_requests": 3})
    assert searched.usd == Decimal("0.0300187")


def test_micro_dollars_are_rounded_once_half_up_whatever_the_program_computes_with() -> None:
    with localcontext(Context(prec=3)):
        assert PRICES.cost_micros("half", Tokens(output=1), NOW) == 1  # 0.5
        assert PRICES.cost_micros("my-model", Tokens(cache_read=2), NOW) == 0  # 0.4
        assert PRICES.cost_micros("my-model", Tokens(123_456_789), NOW) == 246_913_578


def test_a_kind_without_a_price_is_unknown_where_it_has_tokens_and_only_there() -> None:
    assert cost_of(Tokens(output=4), "half").usd == Decimal("0.000002")
    for kind in TokenKind:
        if kind is not TokenKind.OUTPUT:
            cost = cost_of(Tokens(**{"output": 4, kind.value: 1}), "half")
            assert unknown(cost) is Unpriced.TOKENS
            assert kind.value in (cost.why or "")


def test_a_price_of_nothing_is_a_price() -> None:
    free = EndpointPrices({"free": {"input": "0"}})
    assert free.cost_micros("free", Tokens(input=5), NOW) == 0


def test_a_model_that_the_table_does_not_have_is_unknown_whatever_anthropic_asks() -> None:
    assert unknown(cost_of(Tokens(1), "claude-opus-5-5")) is Unpriced.MODEL
    assert unknown(cost_of(Tokens(1), None)) is Unpriced.MODEL


@pytest.mark.parametrize(
    ("terms", "why"),
    [
        ({"speed": "fast"}, Unpriced.SPEED),
        ({"service_tier": "priority"}, Unpriced.SERVICE_TIER),
        ({"server_tools": {"code_execution_requests": 1}}, Unpriced.SERVER_TOOL),
        ({"server_tools": {"web_search_requests": -1}}, Unpriced.COUNT),
    ],
)
def test_what_an_answer_says_and_the_table_does_not_is_unknown(terms: Terms, why: Unpriced) -> None:
    assert unknown(cost_of(Tokens(1), **terms)) is why


def test_web_searches_without_a_price_are_unknown() -> None:
    tools = {"web_search_requests": 1}
    assert unknown(cost_of(Tokens(), "half", server_tools=tools)) is Unpriced.SERVER_TOOL


def test_a_negative_count_is_unknown() -> None:
    assert unknown(cost_of(Tokens(input=-1))) is Unpriced.COUNT


@pytest.mark.parametrize(
    "terms",
    [
        {"speed": "standard", "service_tier": "standard", "inference_geo": "us"},
        {"speed": None, "service_tier": None, "server_tools": None, "requests": None},
        {"speed": "normal", "server_tools": {"code_execution_requests": 0}, "requests": 9},
    ],
)
def test_the_usual_words_change_nothing(terms: Terms) -> None:
    assert cost_of(Tokens(1), **terms).usd == Decimal("0.000002")


NAMES = {
    "*": 1,
    "glm-*": 2,
    "glm-*-air": 3,
    "glm-4.6": 4,
    "Vendor/Some-Model": 5,
    "big[1m]": 6,
    "big": 7,
    "*-same": 8,
    "same-*": 9,
    "even*": 10,
    "even": 11,
}


@pytest.mark.parametrize(
    ("model", "price"),
    [
        ("anything", 1),
        ("", 1),
        ("glm-5", 2),
        ("glm-", 2),
        ("glm-5-air", 3),
        ("glm-air", 2),  # the two pieces of "glm-*-air" do not overlap
        ("glm-4.6", 4),
        ("glm-4x6", 2),  # a dot is a dot
        ("vendor/some-model", 5),
        ("VENDOR/SOME-MODEL", 5),
        ("glm-4.6[1m]", 4),
        ("big[1m]", 6),
        ("big", 7),
        ("even", 11),
        ("even-more", 10),
        ("same-same", 8),  # as long as "same-*", and before it
    ],
)
def test_an_exact_name_wins_then_the_longest_then_the_first(model: str, price: int) -> None:
    table = EndpointPrices({name: {"input": of} for name, of in NAMES.items()})
    assert table.cost_micros(model, Tokens(input=1), NOW) == price


@given(glob=st.text("ab*", min_size=1, max_size=8), model=st.text("ab", max_size=10))
def test_a_star_stands_for_any_characters(glob: str, model: str) -> None:
    expected = re.fullmatch(glob.replace("*", ".*"), model) is not None
    table = EndpointPrices({glob: {"input": 1}})
    assert (table.cost_micros(model, Tokens(), NOW) == 0) is expected


COUNTS = st.builds(Tokens, *[st.integers(0, 10**12)] * 5)


@given(parts=st.lists(COUNTS))
def test_the_cost_of_a_sum_is_the_sum_of_the_costs(parts: list[Tokens]) -> None:
    whole = cost_of(sum(parts, Tokens())).usd
    assert whole == sum(cost_of(part).usd or 0 for part in parts)


def test_the_table_is_read_as_the_file_has_it() -> None:
    text = """
        [endpoint.prices."my-model"]
        input = "2.00"
        output = 10
        [endpoint.prices]
        "glm-*" = { input = "0.60" }
    """
    prices = endpoint_prices(tomllib.loads(text))
    assert prices is not None
    assert prices.cost_micros("my-model", Tokens(1, 1), NOW) == 12
    assert prices.cost_micros("glm-4.6", Tokens(MILLION), NOW) == 600_000


@pytest.mark.parametrize(
    "tables", [{}, {"endpoint": {}}, {"endpoint": {"prices": {}}}, {"budget": [{}]}]
)
def test_without_a_price_there_is_no_table(tables: Mapping[str, object]) -> None:
    assert endpoint_prices(tables) is None


@pytest.mark.parametrize("price", [2.0, float("nan"), float("inf"), -0.5])
def test_a_float_is_refused_with_a_hint_to_quote_it(price: float) -> None:
    text = refused({"input": price})
    assert "input of" in text
    assert "quotes" in text


@pytest.mark.parametrize(
    "price",
    [
        *("", "two", "-1", "1e3", "1,5", "$2", " 2", "2.", ".5", "+1", "٣", "NaN", "2\n"),
        *("1234567890", 1_234_567_890, "0.1234567890", -1, True, [], None),
    ],
)
def test_what_is_no_price_is_refused(price: object) -> None:
    assert "output of" in refused({"input": "1", "output": price})


@pytest.mark.parametrize("price", ["0", "999999999.999999999", "0.000000001", 0, 999_999_999])
def test_what_is_a_price_is_exact(price: str | int) -> None:
    table = EndpointPrices({"m": {"input": price}})
    assert table.cost_of("m", Tokens(MILLION), NOW).usd == Decimal(price)


def test_an_unknown_key_is_named_with_the_nearest_known_one() -> None:
    text = refused({"inptu": "1"})
    assert "'inptu'" in text
    assert "did you mean input?" in text
    assert all(key in refused({"zzz": "1"}) for key in WHOLE)


def test_a_name_with_a_dot_and_without_quotes_is_told_from_a_wrong_key() -> None:
    text = refusal(tomllib.loads('[prices.glm-4.6]\ninput = "1"'))
    assert '"glm-4.6"' in text
    assert "quotes" in text


@pytest.mark.parametrize("prices", ["2.00", 2, [], None])
def test_prices_that_are_no_table_are_refused(prices: object) -> None:
    assert "no table" in refused(prices)


def test_a_table_without_a_price_is_refused() -> None:
    assert "no price" in refused({})


@pytest.mark.parametrize("name", ["", " "])
def test_a_name_of_nothing_is_refused(name: str) -> None:
    assert "names no model" in refusal({"prices": {name: WHOLE}})


@pytest.mark.parametrize(("one", "other"), [("M", "m"), ("a*", "A**")])
def test_the_same_name_twice_is_refused(one: str, other: str) -> None:
    text = refusal({"prices": {one: WHOLE, other: WHOLE}})
    assert repr(one) in text
    assert repr(other) in text


@pytest.mark.parametrize("table", ["https://models.example", [], 1])
def test_an_endpoint_that_is_no_table_is_refused(table: object) -> None:
    assert "endpoint_url" in refusal(table)


@pytest.mark.parametrize("prices", ["2.00", [WHOLE], None])
def test_prices_of_no_model_are_refused(prices: object) -> None:
    assert "no table" in refusal({"prices": prices})


def test_another_key_of_the_endpoint_is_named() -> None:
    text = refusal({"url": "https://models.example", "prices": {}})
    assert "'url'" in text
    assert "endpoint_url" in text


def test_a_name_is_shown_in_one_line_and_not_without_end() -> None:
    text = refusal({"prices": {"long\n" * 100: {}}})
    assert len(text) < 300
