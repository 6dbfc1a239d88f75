"""What tokens cost, by the shipped price list."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Context, Decimal, localcontext

import pytest

from acp_bridge.launch.price_file import load_prices
from acp_bridge.metering.prices import Cost, Tariff, Terms, TokenKind, Unpriced
from acp_bridge.metering.usage import Tokens

PRICES = load_prices()
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
MILLION = 1_000_000
EACH = Tokens(1_000, 200, 30_000, 4_000, 5_000)


def per_million(model: str, at: datetime = NOW, tariff: Tariff = Tariff.STANDARD) -> list[str]:
    """US dollars for input, output, cache read, five-minute and one-hour writes."""
    price = PRICES.price(model, at, tariff=tariff)
    assert price is not None
    return [str(price.rates[kind]) for kind in TokenKind]


def why_not(model: str | None, tokens: Tokens = EACH, at: datetime = NOW, **terms: object) -> Cost:
    """A cost that has to be unknown, and says so."""
    cost = PRICES.cost_of(model, tokens, at, **terms)  # type: ignore[arg-type]
    assert cost.usd is None
    assert cost.micros is None
    assert cost.why
    assert cost.hint
    return cost


# FACTS of the project, section 4.
@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("claude-opus-5-5", ["4", "20", "0.2", "5", "8"]),
        ("claude-sonnet-5-5", ["2", "10", "0.1", "2.5", "4"]),
        ("claude-haiku-5-5", ["0.1", "0.5", "0.01", "0.125", "0.2"]),
        ("claude-fable-5-2", ["8", "40", "0.2", "10", "16"]),
        ("claude-fable-5-1", ["10", "50", "0.25", "12.5", "20"]),
        ("claude-opus-4-5", ["5", "25", "0.5", "6.25", "10"]),
        ("claude-opus-5", ["5", "25", "0.5", "6.25", "10"]),
    ],
)
def test_the_list_has_the_known_prices(model: str, expected: list[str]) -> None:
    assert per_million(model) == expected


def test_each_kind_of_token_has_its_price() -> None:
    kinds = {
        "input": "0.004",
        "output": "0.02",
        "cache_read": "0.0002",
        "cache_write_5m": "0.005",
        "cache_write_1h": "0.008",
    }
    for kind, usd in kinds.items():
        assert PRICES.cost("claude-opus-5-5", Tokens(**{kind: 1000}), NOW) == Decimal(usd)


def test_a_cost_is_the_exact_sum_of_its_kinds() -> None:
    assert PRICES.cost("claude-opus-5-5", EACH, NOW) == Decimal("0.074")
    assert PRICES.cost_micros("claude-opus-5-5", EACH, NOW) == 74_000


def test_nothing_costs_nothing() -> None:
    assert PRICES.cost("claude-opus-5-5", Tokens(), NOW) == 0
    assert PRICES.cost_micros("claude-opus-5-5", Tokens(), NOW) == 0


@pytest.mark.parametrize(
    ("tokens", "micros"),
    [
        (Tokens(output=1), 1),  # 0.5
        (Tokens(input=4), 0),  # 0.4
        (Tokens(input=5), 1),  # 0.5
        (Tokens(cache_write_5m=3), 0),  # 0.375
        (Tokens(cache_write_5m=3, input=1), 0),  # 0.475: not first 0.5 and then 1
        (Tokens(cache_write_5m=4, output=2), 2),  # 1.5
        (Tokens(cache_write_5m=12, output=2), 3),  # 2.5: up, not to the even one
    ],
)
def test_micro_dollars_are_rounded_once_and_half_up(tokens: Tokens, micros: int) -> None:
    assert PRICES.cost_micros("claude-haiku-5-5", tokens, NOW) == micros


def test_the_decimal_context_of_the_embedding_program_changes_nothing() -> None:
    with localcontext(Context(prec=2)):
        assert PRICES.cost("claude-opus-5-5", Tokens(123_456_789), NOW) == Decimal("493.827156")
        assert PRICES.cost_micros("claude-opus-5-5", Tokens(123_456_789), NOW) == 493_827_156


HAIKU = "claude-haiku-5-5"
ON_THE_BORDER = Tokens(40_000, 0, 30_000, 20_000, 10_000)


def test_a_prompt_on_the_border_is_not_above_it() -> None:
    assert PRICES.cost(HAIKU, ON_THE_BORDER, NOW) == Decimal("0.0088")


@pytest.mark.parametrize("kind", ["input", "cache_read", "cache_write_5m", "cache_write_1h"])
def test_one_token_of_any_kind_in_the_prompt_lifts_the_whole_request(kind: str) -> None:
    more = ON_THE_BORDER + Tokens(**{kind: 1})
    below = PRICES.price(HAIKU, NOW)
    assert below is not None
    one = below.rates[TokenKind(kind)]
    assert one is not None
    assert PRICES.cost(HAIKU, more, NOW) == 5 * (Decimal("0.0088") + one / MILLION)


def test_output_is_no_part_of_the_prompt_and_is_lifted_with_it() -> None:
    much = Tokens(output=MILLION)
    assert PRICES.cost(HAIKU, ON_THE_BORDER + much, NOW) == Decimal("0.5088")
    assert PRICES.cost(HAIKU, Tokens(100_001, MILLION), NOW) == Decimal("2.5500005")


def test_the_tier_of_several_requests_is_not_guessed_from_their_sum() -> None:
    over = ON_THE_BORDER + Tokens(1)
    for requests in (2, None):
        assert PRICES.cost(HAIKU, ON_THE_BORDER, NOW, requests=requests) == Decimal("0.0088")
        assert why_not(HAIKU, over, requests=requests).unpriced is Unpriced.PROMPT_SIZE
        assert PRICES.cost("claude-opus-5-5", over, NOW, requests=requests) is not None


def test_a_price_holds_from_midnight_utc_of_its_day() -> None:
    """Sonnet 4.6 lost its dearer tier on 2026-03-13."""
    long_prompt = Tokens(200_001)
    day = datetime(2026, 3, 13, tzinfo=UTC)
    before = day - timedelta(microseconds=1)
    assert PRICES.cost("claude-sonnet-4-6", long_prompt, before) == Decimal("1.200006")
    assert PRICES.cost("claude-sonnet-4-6", long_prompt, day) == Decimal("0.600003")


def test_the_day_is_that_of_utc_wherever_the_moment_is_told() -> None:
    east, west = timezone(timedelta(hours=14)), timezone(timedelta(hours=-12))
    long_prompt = Tokens(200_001)
    still_the_12th = datetime(2026, 3, 13, 13, 59, tzinfo=east)
    already_the_13th = datetime(2026, 3, 12, 12, 0, tzinfo=west)
    assert PRICES.cost("claude-sonnet-4-6", long_prompt, still_the_12th) == Decimal("1.200006")
    assert PRICES.cost("claude-sonnet-4-6", long_prompt, already_the_13th) == Decimal("0.600003")


def test_a_moment_without_a_time_zone_is_a_defect_of_the_caller() -> None:
    naive = datetime(2026, 11, 1)  # noqa: DTZ001 - it is what must be refused
    with pytest.raises(ValueError, match="time zone"):
        PRICES.cost("claude-opus-5-5", EACH, naive)


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("claude-opus-5-5", "claude-opus-5-5"),
        ("Claude-Opus-5-5", "claude-opus-5-5"),
        ("claude-opus-5-5[1m]", "claude-opus-5-5"),
        ("claude-opus-5-5-20260915", "claude-opus-5-5"),
        ("claude-opus-5-5-20260915[1M]", "claude-opus-5-5"),
        ("claude-opus-5", "claude-opus-5"),
        ("claude-haiku-4-5-20251001", "claude-haiku-4-5"),
        ("claude-haiku-5-5@20260915", "claude-haiku-5-5"),
        ("claude-sonnet-4-20250514", "claude-sonnet-4-0"),
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
        ("claude-3-5-haiku-latest", "claude-3-5-haiku-latest"),
    ],
)
def test_a_model_is_known_by_any_of_its_names(name: str, model: str) -> None:
    price = PRICES.price(name, NOW)
    assert price is not None
    assert price.model == model


@pytest.mark.parametrize(
    "name",
    [
        "claude-opus-5-50",
        "claude-opus-4-10",
        "claude-opus-4-8-mini",
        "claude-opus-5-5-2026",
        "claude-haiku-4-5-20251001-extra",
        "claude-sonnet-6",
        "my-claude-opus-5-5",
        "anthropic.claude-opus-5-5",
        "[1m]",
        "opus",
        "",
        "claude-opus-5-5\n",
    ],
)
def test_a_name_that_only_looks_like_a_models_is_unknown(name: str) -> None:
    assert PRICES.price(name, NOW) is None
    assert why_not(name).unpriced is Unpriced.MODEL


def test_without_a_model_there_is_no_price() -> None:
    assert PRICES.price(None, NOW) is None
    assert why_not(None).unpriced is Unpriced.MODEL


def test_a_name_of_any_length_leaves_a_short_sentence() -> None:
    assert len(why_not("x" * 10_000).why or "") < 100


def test_fast_mode_has_its_own_prices() -> None:
    expected = ["8", "40", "0.4", "10", "16"]
    assert per_million("claude-opus-5-5", tariff=Tariff.FAST) == expected
    assert PRICES.cost("claude-opus-5-5", EACH, NOW, speed="fast") == Decimal("0.148")
    for usual in ("standard", "normal", None):
        assert PRICES.cost("claude-opus-5-5", EACH, NOW, speed=usual) == Decimal("0.074")


def test_a_speed_that_the_list_does_not_have_is_unknown() -> None:
    assert why_not(HAIKU, speed="fast").unpriced is Unpriced.SPEED
    assert why_not("claude-opus-5-5", speed="faster").unpriced is Unpriced.SPEED
    both: Terms = {"speed": "fast", "service_tier": "batch"}
    assert why_not("claude-opus-5-5", **both).unpriced is Unpriced.SPEED


def test_a_batch_costs_half_since_its_prices_are_in_the_list() -> None:
    first = datetime(2026, 10, 14, tzinfo=UTC)
    batch: Terms = {"service_tier": "batch"}
    assert PRICES.cost("claude-opus-5-5", EACH, first, **batch) == Decimal("0.037")
    before = why_not("claude-opus-5-5", at=first - timedelta(microseconds=1), **batch)
    assert before.unpriced is Unpriced.DATE
    assert why_not("claude-opus-4-1", **batch).unpriced is Unpriced.SERVICE_TIER


def test_a_service_tier_that_the_list_does_not_have_is_unknown() -> None:
    assert PRICES.cost("claude-opus-5-5", EACH, NOW, service_tier="standard") == Decimal("0.074")
    priority = why_not("claude-opus-5-5", service_tier="priority")
    assert priority.unpriced is Unpriced.SERVICE_TIER


def test_inference_in_the_united_states_costs_a_tenth_more_for_tokens_alone() -> None:
    def cost(geo: str | None) -> Decimal | None:
        searched = {"web_search_requests": 1}
        return PRICES.cost("claude-opus-5-5", EACH, NOW, server_tools=searched, inference_geo=geo)

    assert [cost(geo) for geo in ("global", "not_available", None)] == [Decimal("0.084")] * 3
    assert cost("us") == Decimal("0.0914")
    elsewhere = why_not("claude-opus-5-5", inference_geo="eu")
    assert elsewhere.unpriced is Unpriced.INFERENCE_GEO


def test_web_searches_cost_a_cent_each_and_fetches_nothing() -> None:
    tools = {"web_search_requests": 3, "web_fetch_requests": 9}
    assert PRICES.cost("claude-opus-5-5", Tokens(), NOW, server_tools=tools) == Decimal("0.03")


@pytest.mark.parametrize(("speed", "tier"), [("fast", None), (None, "batch")])
def test_web_searches_cost_the_same_in_every_price_list(
    speed: str | None, tier: str | None
) -> None:
    tools = {"web_search_requests": 1000}
    terms: Terms = {"speed": speed, "service_tier": tier, "server_tools": tools}
    assert PRICES.cost("claude-opus-5-5", Tokens(), NOW, **terms) == Decimal(10)


def test_a_server_tool_of_unknown_price_makes_the_cost_unknown_once_it_is_used() -> None:
    used = {"code_execution_requests": 1}
    unused = {"code_execution_requests": 0}
    assert PRICES.cost("claude-opus-5-5", EACH, NOW, server_tools=unused) == Decimal("0.074")
    assert why_not("claude-opus-5-5", server_tools=used).unpriced is Unpriced.SERVER_TOOL
    searched = {"web_search_requests": 1}
    assert why_not("claude-3-haiku", server_tools=searched).unpriced is Unpriced.SERVER_TOOL


def test_a_kind_of_token_without_a_price_makes_the_cost_unknown() -> None:
    assert PRICES.cost("claude-2", Tokens(1000, 1000), NOW) == Decimal("0.032")
    assert why_not("claude-2", Tokens(1000, cache_read=1)).unpriced is Unpriced.TOKENS


def test_a_correction_has_no_price_of_its_own() -> None:
    assert why_not("claude-opus-5-5", Tokens(10, -1)).unpriced is Unpriced.COUNT
    tools = {"web_search_requests": -1}
    assert why_not("claude-opus-5-5", server_tools=tools).unpriced is Unpriced.COUNT
