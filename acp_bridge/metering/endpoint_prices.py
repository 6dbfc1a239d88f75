"""What an endpoint asks for tokens, by the user's own ``[endpoint.prices]``. Pure.

    prices = endpoint_prices({"endpoint": {"prices": {"my-model": {"input": "2.00"}}}})
    cost = prices.cost_of("my-model", Tokens(input=12), at)

A model has one price at all times and for prompts of all sizes, so the cost of a sum of requests is
the sum of their costs. What the table does not say is unknown, with a reason, and never a guess;
Anthropic's list does not stand in for it.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, localcontext
from operator import mul
from typing import Unpack

from acp_bridge.errors import ConfigurationError
from acp_bridge.metering.model_names import is_model
from acp_bridge.metering.price_rows import Rates, TokenKind, counts_of
from acp_bridge.metering.prices import EXACT, WEB_SEARCH, Cost, Terms, Unpriced, shown
from acp_bridge.metering.usage import Tokens

CONFIGURATION = "config.toml"
_FIGURE = re.compile(r"\d{1,9}(\.\d{1,9})?", re.ASCII)
_WEB_SEARCH_KEY = "web_search_per_1000"
_STARS = re.compile(r"\*+")
_KEYS = (*(kind.value for kind in TokenKind), _WEB_SEARCH_KEY)
_LONG_CONTEXT = "[1m]"
"""How Claude Code asks for a context of a million tokens; no part of the model's name."""
_USUAL_SPEEDS = (None, "standard", "normal")
_USUAL_TIERS = (None, "standard")


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is asked for the models of one name.

    Attributes:
        name: as the user wrote it.
        pieces: the name in lower case, taken apart at each ``*``; one piece is an exact name.
        rates: US dollars per million tokens.
        web_search_per_1000: US dollars; None if unknown.
    """

    name: str
    pieces: tuple[str, ...]
    rates: Rates
    web_search_per_1000: Decimal | None

    @property
    def length(self) -> int:
        """Characters of the name without its stars."""
        return sum(map(len, self.pieces))

    def is_of(self, model: str) -> bool:
        """Whether a model is named so: a name in lower case."""
        return is_model(self.name, model)


class EndpointPrices:
    """The endpoint's price table, asked by model. `endpoint_prices` finds it.

    Args:
        table: the decoded table ``[endpoint.prices]``: a table of prices for each name of a model.
            A name is exact or has stars, each for any characters; case does not matter. An exact
            name wins, then the longest, then the first. Claude Code's ``[1m]`` at the end of a
            model's name may be left out.
        origin: the file to name in errors.

    Raises:
        ConfigurationError: it is wrong; the message names the place.
    """

    def __init__(self, table: object, *, origin: str = CONFIGURATION) -> None:
        if not isinstance(table, Mapping):
            raise ConfigurationError(
                f"prices of [endpoint] in {origin} is no table",
                hint='begin a table for each model: [endpoint.prices."my-model"]',
            )
        asked = [_read(name, prices, origin) for name, prices in table.items()]
        _check_names(asked, origin)
        # Sorting keeps the user's order among names of the same length.
        self._asked = sorted(asked, key=lambda one: (len(one.pieces) > 1, -one.length))

    @property
    def also_as_asked(self) -> bool:
        """A gateway may name the model behind the one that it sells, and that has the price."""
        return True

    def cost_micros(
        self, model: str | None, tokens: Tokens, at: datetime, **terms: Unpack[Terms]
    ) -> int | None:
        """Millionths of a US dollar, rounded once, half up; None if unknown. See `cost_of`."""
        return self.cost_of(model, tokens, at, **terms).micros

    def cost_of(
        self,
        model: str | None,
        tokens: Tokens,
        at: datetime,  # noqa: ARG002 - a price list's signature; here a price holds at all times
        **terms: Unpack[Terms],
    ) -> Cost:
        """What the endpoint asks for an API request, or why that is unknown.

        Args:
            model: the model's name; None if nobody said.
            tokens: input without what was read from or written to the cache.
            at: when it was asked.
            terms: what else the answer said. The table has the usual speed and service tier, which
                may be others in the next request. Where it was computed is the endpoint's choice.
        """
        if model is None:
            return Cost(None, Unpriced.MODEL, "nobody said which model", "Nothing can be done.")
        asked = self._find(model)
        if asked is None:
            why = f"the endpoint's prices do not have {shown(model)}"
            return Cost(None, Unpriced.MODEL, why, "Give them in the configuration file.")
        return _untold(terms) or _cost(asked, tokens, terms.get("server_tools") or {})

    def _find(self, model: str) -> _Asked | None:
        name = model.lower()
        spelt = (name, name.removesuffix(_LONG_CONTEXT))
        return next((one for one in self._asked if any(map(one.is_of, spelt))), None)


def endpoint_prices(
    tables: Mapping[str, object], *, origin: str = CONFIGURATION
) -> EndpointPrices | None:
    """The prices in the tables of the user's configuration; None if there are none.

    Args:
        tables: decoded; looked at is ``endpoint``, whose one key is ``prices``.
        origin: the file to name in errors.

    Raises:
        ConfigurationError: the table is wrong; the message names the place.
    """
    endpoint = tables.get("endpoint", {})
    if not isinstance(endpoint, Mapping):
        raise ConfigurationError(
            f"endpoint in {origin} is no table", hint="the endpoint's address is endpoint_url"
        )
    for key in endpoint:
        if key != "prices":
            raise ConfigurationError(
                f"unknown key {shown(key)} in [endpoint] in {origin}",
                hint="the one key there is prices; settings, as endpoint_url, go above all tables",
            )
    prices = EndpointPrices(endpoint.get("prices", {}), origin=origin)
    return prices if endpoint.get("prices") else None


def _untold(terms: Terms) -> Cost | None:
    """A word of the answer of which the table says nothing."""
    hint = "The table has the usual price alone."
    speed, service_tier = terms.get("speed"), terms.get("service_tier")
    if speed not in _USUAL_SPEEDS:
        why = f"no price of the endpoint is known at the speed {shown(speed)}"
        return Cost(None, Unpriced.SPEED, why, hint)
    if service_tier not in _USUAL_TIERS:
        why = f"no price of the endpoint is known in the service tier {shown(service_tier)}"
        return Cost(None, Unpriced.SERVICE_TIER, why, hint)
    return None


def _cost(asked: _Asked, tokens: Tokens, tools: Mapping[str, int]) -> Cost:
    counts = counts_of(tokens)
    if min(*counts, *tools.values()) < 0:
        why = "a negative count is a correction, which has no price of its own"
        return Cost(None, Unpriced.COUNT, why, "Take the difference of two costs.")
    for (kind, rate), count in zip(asked.rates.items(), counts, strict=True):
        if count and rate is None:
            why = f"{_place(asked.name)} has no price of the {kind.value} tokens"
            return Cost(None, Unpriced.TOKENS, why, f"Set {kind.value} there.")
    for tool, uses in tools.items():
        if uses and (tool != WEB_SEARCH or asked.web_search_per_1000 is None):
            why = f"{_place(asked.name)} has no price of the server tool {shown(tool)}"
            hint = f"{_WEB_SEARCH_KEY} is the price of web searches; other tools have none."
            return Cost(None, Unpriced.SERVER_TOOL, why, hint)
    with localcontext(EXACT):
        rates = [rate or Decimal(0) for rate in asked.rates.values()]
        in_tokens = sum(map(mul, rates, counts), Decimal(0)).scaleb(-6)
        searches = (asked.web_search_per_1000 or Decimal(0)) * tools.get(WEB_SEARCH, 0)
        return Cost(in_tokens + searches.scaleb(-3))


def _read(name: str, prices: object, origin: str) -> _Asked:
    place = f"{_place(name)} in {origin}"
    if not name.strip():
        raise ConfigurationError(f"{place} names no model", hint='"*" names every model')
    if not isinstance(prices, Mapping):
        raise ConfigurationError(
            f"{place} is no table", hint='write { input = "2.00", output = "10.00" }'
        )
    for key in prices:
        if key not in _KEYS:
            dotted = isinstance(prices[key], Mapping)
            hint = f'a name with dots needs quotes: "{name}.{key}"' if dotted else _nearest(key)
            raise ConfigurationError(f"unknown key {shown(key)} in {place}", hint=hint)
    if not prices:
        raise ConfigurationError(
            f"{place} has no price", hint=f"give one of {', '.join(_KEYS)}, or remove the table"
        )
    figures = {key: _figure(value, f"{key} of {place}") for key, value in prices.items()}
    return _Asked(
        name=name,
        pieces=tuple(_STARS.split(name.lower())),
        rates={kind: figures.get(kind.value) for kind in TokenKind},
        web_search_per_1000=figures.get(_WEB_SEARCH_KEY),
    )


def _check_names(asked: Iterable[_Asked], origin: str) -> None:
    names: dict[tuple[str, ...], str] = {}
    for one in asked:
        other = names.setdefault(one.pieces, one.name)
        if other != one.name:
            raise ConfigurationError(
                f"{_place(other)} and {_place(one.name)} in {origin} are the same name",
                hint="keep one of them; upper and lower case are the same",
            )


def _nearest(key: str) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - only an error needs it

    close = get_close_matches(key, _KEYS, n=1)
    return f"did you mean {close[0]}?" if close else f"the keys are {', '.join(_KEYS)}"


def _figure(value: object, place: str) -> Decimal:
    if isinstance(value, float):
        raise ConfigurationError(
            f"{place} is a binary fraction, which is no exact price",
            hint='put it in quotes, as "2.00"',
        )
    text = str(value) if isinstance(value, int) else value
    if not isinstance(text, str) or not _FIGURE.fullmatch(text):
        raise ConfigurationError(
            f"{place} is {shown(value)}, which is no price",
            hint='US dollars, from 0, with at most nine decimals: "2.00"',
        )
    return Decimal(text)


def _place(name: str) -> str:
    return f"[endpoint.prices.{shown(name)}]"
