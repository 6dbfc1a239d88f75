"""Any tokens of any model on any day: our arithmetic beside two others'."""

from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from math import floor

from genai_prices import types
from genai_prices.data import providers
from hypothesis import assume, given
from hypothesis import strategies as st

from acp_bridge.launch.price_file import load_prices
from acp_bridge.metering.prices import Tariff, Terms, TokenKind, Unpriced
from acp_bridge.metering.usage import Tokens

PRICES = load_prices()
ANTHROPIC = next(provider for provider in providers if provider.id == "anthropic")
THEIR_MODELS = {model.id: model for model in ANTHROPIC.models}
TERMS: dict[Tariff, Terms] = {
    Tariff.STANDARD: {},
    Tariff.FAST: {"speed": "fast"},
    Tariff.BATCH: {"service_tier": "batch"},
}
CONTEXTS = {
    Tariff.STANDARD: None,
    Tariff.FAST: {"speed": "fast"},
    Tariff.BATCH: {"processing": "batch"},
}

COUNTS = st.integers(0, 400_000)
TOKENS = st.builds(Tokens, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS)
SMALL = st.builds(Tokens, *[st.integers(0, 20_000)] * 5)
DAYS = st.dates(date(2026, 1, 1), date(2027, 12, 31))
MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone
MODELS = st.sampled_from(PRICES.models)
BATCHES_SINCE = date(2026, 10, 14)


def their_cost(
    model: str, tokens: Tokens, at: datetime, searches: int, tariff: Tariff
) -> Decimal | None:
    """What genai-prices says; None where it would take the standard price for want of another."""
    found = THEIR_MODELS[model]
    context = CONTEXTS[tariff]
    if context and not any(
        variant.when == context and (not variant.constraint or variant.constraint.active(at))
        for variant in found.price_variants or ()
    ):
        return None
    written = tokens.cache_write_5m + tokens.cache_write_1h
    usage = types.Usage(
        input_tokens=tokens.input + tokens.cache_read + written,
        output_tokens=tokens.output,
        cache_read_tokens=tokens.cache_read,
        cache_write_tokens=written,
        cache_write_1h_tokens=tokens.cache_write_1h,
        web_searches=searches,
    )
    priced = found.calc_price(usage, ANTHROPIC, genai_request_timestamp=at, price_context=context)
    return priced.total_price


@given(MODELS, TOKENS, MOMENTS, st.integers(0, 50), st.sampled_from(Tariff))
def test_our_cost_is_that_of_the_source_or_unknown_where_the_source_would_stand_in(
    model: str, tokens: Tokens, at: datetime, searches: int, tariff: Tariff
) -> None:
    theirs = their_cost(model, tokens, at, searches, tariff)
    terms: Terms = {"server_tools": {"web_search_requests": searches}, **TERMS[tariff]}
    ours = PRICES.cost_of(model, tokens, at, **terms)
    if ours.unpriced in (Unpriced.TOKENS, Unpriced.SERVER_TOOL):
        # Old models: the source takes the input's price for cache tokens, and none for searches.
        price = PRICES.price(model, at)
        assert price is not None
        assert price.rates[TokenKind.CACHE_READ] is None or price.web_search_per_1000 is None
    else:
        assert ours.usd == theirs


@given(MODELS, SMALL, SMALL, MOMENTS)
def test_the_cost_of_requests_is_the_sum_of_their_costs(
    model: str, one: Tokens, other: Tokens, at: datetime
) -> None:
    """Below every tier, exactly; it is never rounded before it is told in micro-dollars."""
    costs = [PRICES.cost(model, tokens, at) for tokens in (one, other)]
    both = PRICES.cost(model, one + other, at, requests=2)
    if None in costs:
        assert both is None
    else:
        assert both == sum(cost for cost in costs if cost is not None)


@given(MODELS, TOKENS, st.sampled_from(TokenKind), MOMENTS)
def test_one_token_more_is_never_cheaper(
    model: str, tokens: Tokens, kind: TokenKind, at: datetime
) -> None:
    less = PRICES.cost(model, tokens, at)
    more = PRICES.cost(model, tokens + Tokens(**{kind.value: 1}), at)
    assume(less is not None and more is not None)
    assert less is not None
    assert more is not None
    assert more > less


@given(MODELS, TOKENS, MOMENTS)
def test_micro_dollars_are_the_nearest_to_the_exact_cost(
    model: str, tokens: Tokens, at: datetime
) -> None:
    cost = PRICES.cost_of(model, tokens, at)
    assume(cost.usd is not None)
    assert cost.usd is not None
    assert cost.micros is not None
    assert cost.micros == cost.usd.scaleb(6).to_integral_value(ROUND_HALF_UP)
    assert abs(cost.usd - Decimal(cost.micros).scaleb(-6)) <= Decimal("0.0000005")


@given(MODELS, TOKENS, MOMENTS, st.sampled_from([None, "us"]))
def test_a_sum_of_binary_fractions_differs_only_where_the_exact_one_ends_on_a_half(
    model: str, tokens: Tokens, at: datetime, geo: str | None
) -> None:
    """So Claude Code 2.1.316 adds: kind by kind in floating point, rounded at the end."""
    cost = PRICES.cost_of(model, tokens, at, inference_geo=geo)
    price = PRICES.price(model, at)
    assume(cost.usd is not None)
    assert cost.usd is not None
    assert price is not None
    rates = price.rates_for(price.prompt_size(tokens.counts))
    parts = [
        count / 1e6 * float(rate)
        for count, rate in zip(tokens.counts, rates.values(), strict=True)
        if rate is not None
    ]
    theirs = floor(sum(parts) * (1.1 if geo else 1) * 1e6 + 0.5)
    exact = cost.usd.scaleb(6)
    assert theirs == cost.micros or exact % 1 == Decimal("0.5")
    assert cost.micros is not None
    assert abs(theirs - cost.micros) <= 1


NAMES = st.one_of(
    st.sampled_from([model.id for model in ANTHROPIC.models]),
    st.builds(
        "{}{}{}".format,
        st.sampled_from([model.id.removesuffix("-latest") for model in ANTHROPIC.models]),
        st.sampled_from(["", "-latest", "-20250929", "@20260915", "-2026-01-31", "-1", "0", ".5"]),
        st.sampled_from(["", "-mini", "-v1", "x"]),
    ),
    st.from_regex(r"claude-[a-z0-9.@-]{1,20}", fullmatch=True),
)


@given(NAMES)
def test_a_name_is_never_taken_for_another_model_than_the_source_takes_it_for(name: str) -> None:
    price = PRICES.price(name, datetime(2026, 11, 1, tzinfo=UTC))
    if price is not None:
        theirs = ANTHROPIC.find_model(name)
        assert theirs is not None
        assert price.model == theirs.id


def test_every_model_of_the_source_is_in_the_list_under_its_id() -> None:
    assert list(PRICES.models) == list(THEIR_MODELS)
    now = datetime(2026, 11, 1, tzinfo=UTC)
    priced = [PRICES.price(model, now) for model in PRICES.models]
    assert [price.model for price in priced if price] == list(THEIR_MODELS)


@given(MODELS, DAYS, st.sampled_from(Tariff))
def test_a_day_has_one_price_from_its_first_moment_to_its_last(
    model: str, day: date, tariff: Tariff
) -> None:
    first = datetime(day.year, day.month, day.day, tzinfo=UTC)
    last = first.replace(hour=23, minute=59, second=59, microsecond=999_999)
    price = PRICES.price(model, first, tariff=tariff)
    assert PRICES.price(model, last, tariff=tariff) == price
    if tariff is Tariff.BATCH and day < BATCHES_SINCE and "5-2" not in model:
        assert price is None
