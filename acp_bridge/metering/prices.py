"""What tokens cost by the list prices of ``config/model-prices.json``. Pure.

    table = PriceTable.parse(document)
    cost = table.cost_of("claude-opus-5-5", Tokens(input=12, output=7), at)
    print(cost.usd if cost.usd is not None else cost.why)

Whatever the list does not say is unknown, with a reason, and never a guess: no price of another
model, of another day, or of a word in the answer that the list does not have.

A request is priced as a whole by the size of its prompt, cached or not, as Claude Code 2.1.316
does. Its figures were seen to agree to the micro-dollar, but for an exact sum that ends on half a
one: it adds binary fractions, which may then round the other way.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext
from enum import StrEnum
from functools import lru_cache
from typing import Protocol, Self, TypedDict, Unpack

from acp_bridge.metering.price_rows import (
    PRICES_FILE,
    Counts,
    ModelPrice,
    NamedModel,
    PriceList,
    Rates,
    Source,
    Tariff,
    TokenKind,
    counts_of,
    read_price_list,
)
from acp_bridge.metering.usage import Tokens

__all__ = [
    "EXACT",
    "PRICES_FILE",
    "WEB_SEARCH",
    "Cost",
    "ModelPrice",
    "PriceTable",
    "Prices",
    "Source",
    "Tariff",
    "Terms",
    "TokenKind",
    "Unpriced",
    "shown",
]

EXACT = Context(prec=100, rounding=ROUND_HALF_UP)
"""Wide enough for exact sums of any counts, whatever context the embedding program has set."""
WEB_SEARCH = "web_search_requests"
"""The server tool for web searches, as the provider names it."""
_MOST_NAMES = 256
_MOST_SHOWN = 60
_RENEW = "A newer acp-bridge may know it."
_ONE = Decimal(1)


class Unpriced(StrEnum):
    """Why a cost is unknown.

    ``model``: no such name in the list, or nobody said which model. ``date``: the list has no price
    for that day. ``speed``, ``service_tier``, ``inference_geo``, ``server_tool``: the list has no
    price for what the answer says there. ``tokens``: nor for a kind of token. ``prompt_size``: the
    tokens of several requests, of which some may be in a tier. ``count``: a negative count.
    """

    MODEL = "model"
    DATE = "date"
    SPEED = "speed"
    SERVICE_TIER = "service_tier"
    INFERENCE_GEO = "inference_geo"
    SERVER_TOOL = "server_tool"
    TOKENS = "tokens"
    PROMPT_SIZE = "prompt_size"
    COUNT = "count"


@dataclass(frozen=True, slots=True)
class Cost:
    """What something costs, or why nobody knows.

    Attributes:
        usd: US dollars, exact; None if unknown.
        unpriced: what makes it unknown; None if it is known.
        why: the same as a sentence.
        hint: what to do about it.
    """

    usd: Decimal | None
    unpriced: Unpriced | None = None
    why: str | None = None
    hint: str | None = None

    @property
    def micros(self) -> int | None:
        """Millionths of a US dollar, rounded once, half up; None if unknown."""
        if self.usd is None:
            return None
        with localcontext(EXACT):
            return int(self.usd.scaleb(6).to_integral_value(ROUND_HALF_UP))


class Terms(TypedDict, total=False):
    """What decides the price of a request beside its model, its tokens and its day.

    Attributes:
        speed: as in the answer's usage; None or none is the usual one.
        service_tier: the same.
        inference_geo: the same.
        server_tools: uses by the provider's names, e.g. ``web_search_requests``.
        requests: how many requests the tokens are the sum of, by default one; None if that is not
            known. Which of several were in a tier cannot be told from their sum.
    """

    speed: str | None
    service_tier: str | None
    inference_geo: str | None
    server_tools: Mapping[str, int] | None
    requests: int | None


class Prices(Protocol):
    """Whatever prices API requests: the list prices, or an endpoint's own."""

    @property
    def also_as_asked(self) -> bool:
        """Whether the name that was asked for counts where the one that answered has no price."""

    def cost_micros(
        self, model: str | None, tokens: Tokens, at: datetime, **terms: Unpack[Terms]
    ) -> int | None:
        """Millionths of a US dollar, rounded once, half up; None if unknown. See `cost_of`."""

    def cost_of(
        self, model: str | None, tokens: Tokens, at: datetime, **terms: Unpack[Terms]
    ) -> Cost:
        """What an API request costs, or why that is unknown.

        Args:
            model: the model's name; None if nobody said.
            tokens: input without what was read from or written to the cache.
            at: when it was asked. Aware.
            terms: what else decides the price; see `Terms`.
        """


class _UnknownError(Exception):
    def __init__(self, unpriced: Unpriced, why: str, hint: str) -> None:
        super().__init__(why)
        self.cost = Cost(None, unpriced, why, hint)


class PriceTable:
    """The price list, asked by model and moment. `parse` makes it."""

    def __init__(self, prices: PriceList) -> None:
        self._list = prices
        # The names come from outside, so that only some of them are kept.
        self._find = lru_cache(_MOST_NAMES)(self._search)

    @classmethod
    def parse(cls, document: object, *, origin: str = PRICES_FILE) -> Self:
        """Check and read a decoded price list.

        Args:
            document: dictionaries, lists and texts, as a JSON decoder gives them.
            origin: the name to use in errors.

        Raises:
            ConfigurationError: it is wrong; the message names the place.
        """
        return cls(read_price_list(document, origin=origin))

    @property
    def also_as_asked(self) -> bool:
        """The list knows models by their own names; another name's price would be a guess."""
        return False

    @property
    def source(self) -> Source:
        """Where the prices are from, and of which day."""
        return self._list.source

    @property
    def models(self) -> tuple[str, ...]:
        """The ids of all models in the list."""
        return tuple(model.id for model in self._list.models)

    def price(
        self, model: str | None, at: datetime, *, tariff: Tariff = Tariff.STANDARD
    ) -> ModelPrice | None:
        """What a model costs at a moment; None if the list does not say.

        Args:
            model: its name as asked for or answered; the case and ``[1m]`` do not matter.
            at: aware.
            tariff: fast mode and batches have lists of their own.

        Raises:
            ValueError: the moment is naive.
        """
        try:
            return self._price(model, at, tariff)
        except _UnknownError:
            return None

    def cost(
        self, model: str | None, tokens: Tokens, at: datetime, **terms: Unpack[Terms]
    ) -> Decimal | None:
        """US dollars, exact; None if unknown. `cost_of` says why, and what the arguments are."""
        return self.cost_of(model, tokens, at, **terms).usd

    def cost_micros(
        self, model: str | None, tokens: Tokens, at: datetime, **terms: Unpack[Terms]
    ) -> int | None:
        """Millionths of a US dollar, rounded once, half up; None if unknown. See `cost_of`."""
        return self.cost_of(model, tokens, at, **terms).micros

    def cost_of(
        self, model: str | None, tokens: Tokens, at: datetime, **terms: Unpack[Terms]
    ) -> Cost:
        """What an API request costs at list price, or why that is unknown.

        Args:
            model: the model's name; None if nobody said.
            tokens: input without what was read from or written to the cache.
            at: when it was asked. Aware.
            terms: what else decides the price; see `Terms`.

        Raises:
            ValueError: the moment is naive.
        """
        tools = terms.get("server_tools") or {}
        try:
            tariff = self._tariff(terms.get("speed"), terms.get("service_tier"))
            price = self._price(model, at, tariff)
            counts = counts_of(tokens)
            _check_counts((*counts, *tools.values()))
            factor = self._factor(terms.get("inference_geo"))
            rates = _rates(price, counts, terms.get("requests", 1))
            with localcontext(EXACT):
                in_tokens = _tokens_cost(rates, counts) * factor
                return Cost(in_tokens + self._tools_cost(price, tools))
        except _UnknownError as error:
            return error.cost

    def _price(self, model: str | None, at: datetime, tariff: Tariff) -> ModelPrice:
        if at.tzinfo is None:
            raise ValueError("a moment without a time zone has no day")
        if model is None:
            raise _UnknownError(Unpriced.MODEL, "nobody said which model", "Nothing can be done.")
        known = self._find(model)
        if known is None:
            raise _UnknownError(Unpriced.MODEL, f"no price is known of {shown(model)}", _RENEW)
        rows = [price for price in known.prices if price.tariff is tariff]
        day = at.astimezone(UTC).date()
        for price in rows:
            if price.holds_on(day):
                return price
        if rows or tariff is Tariff.STANDARD:
            why = f"no {tariff.value} price of {known.id} is known for {day.isoformat()}"
            raise _UnknownError(Unpriced.DATE, why, _RENEW)
        unpriced = Unpriced.SPEED if tariff is Tariff.FAST else Unpriced.SERVICE_TIER
        raise _UnknownError(unpriced, f"no {tariff.value} price of {known.id} is known", _RENEW)

    def _search(self, name: str) -> NamedModel | None:
        bare = name.lower()
        for suffix in self._list.ignored_suffixes:
            bare = bare.removesuffix(suffix)
        return next((model for model in self._list.models if model.is_named(bare)), None)

    def _tariff(self, speed: str | None, service_tier: str | None) -> Tariff:
        by_speed, by_tier = Tariff.STANDARD, Tariff.STANDARD
        if speed is not None:
            found = self._list.speeds.get(speed)
            if found is None:
                why = f"no price is known at the speed {shown(speed)}"
                raise _UnknownError(Unpriced.SPEED, why, _RENEW)
            by_speed = found
        if service_tier is not None:
            found = self._list.service_tiers.get(service_tier)
            if found is None:
                why = f"no price is known in the service tier {shown(service_tier)}"
                hint = "What it costs is agreed with the provider."
                raise _UnknownError(Unpriced.SERVICE_TIER, why, hint)
            by_tier = found
        if Tariff.STANDARD not in (by_speed, by_tier):
            why = f"no price is known of {by_speed.value} and {by_tier.value} at once"
            raise _UnknownError(Unpriced.SPEED, why, _RENEW)
        return by_tier if by_speed is Tariff.STANDARD else by_speed

    def _factor(self, inference_geo: str | None) -> Decimal:
        if inference_geo is None:
            return _ONE
        factor = self._list.inference_geo.get(inference_geo)
        if factor is None:
            why = f"no price is known for inference in {shown(inference_geo)}"
            raise _UnknownError(Unpriced.INFERENCE_GEO, why, _RENEW)
        return factor

    def _tools_cost(self, price: ModelPrice, tools: Mapping[str, int]) -> Decimal:
        searches = tools.get(WEB_SEARCH, 0)
        for name, uses in tools.items():
            if uses and name != WEB_SEARCH and name not in self._list.free_server_tools:
                why = f"no price is known of the server tool {shown(name)}"
                raise _UnknownError(Unpriced.SERVER_TOOL, why, _RENEW)
        if not searches:
            return Decimal(0)
        if price.web_search_per_1000 is None:
            why = f"no price is known of web searches with {price.model}"
            raise _UnknownError(Unpriced.SERVER_TOOL, why, _RENEW)
        return (searches * price.web_search_per_1000).scaleb(-3)


def _check_counts(counts: Iterable[int]) -> None:
    if any(count < 0 for count in counts):
        why = "a negative count is a correction, which has no price of its own"
        raise _UnknownError(Unpriced.COUNT, why, "Take the difference of two costs.")


def _rates(price: ModelPrice, counts: Counts, requests: int | None) -> Rates:
    if not price.tiers:
        return price.rates
    rates = price.rates_for(price.prompt_size(counts))
    if requests != 1 and rates is not price.rates:
        why = f"of several requests to {price.model} some may have had a prompt in a dearer tier"
        raise _UnknownError(Unpriced.PROMPT_SIZE, why, "Only the cost of each request is exact.")
    return rates


def _tokens_cost(rates: Rates, counts: Counts) -> Decimal:
    cost = Decimal(0)
    for (kind, rate), count in zip(rates.items(), counts, strict=True):
        if count and rate is None:
            why = f"no price is known of the {kind.value} tokens"
            raise _UnknownError(Unpriced.TOKENS, why, _RENEW)
        cost += count * (rate or 0)
    return cost.scaleb(-6)


def shown(word: object) -> str:
    """A word from outside as errors and reasons show it: quoted, and not without end."""
    text = repr(word)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"
