"""What ``config/model-prices.json`` says, checked and as values. Pure.

The file explains itself (``about``); `acp_bridge.metering.prices` answers questions about it.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise
from operator import attrgetter
from typing import Literal

import msgspec

from acp_bridge.errors import ConfigurationError
from acp_bridge.metering.usage import Tokens

PRICES_FILE = "model-prices.json"
_FIGURE = re.compile(r"\d{1,9}(\.\d{1,9})?", re.ASCII)


class Tariff(StrEnum):
    """Which of a model's price lists: as usual, in fast mode, in a message batch."""

    STANDARD = "standard"
    FAST = "fast"
    BATCH = "batch"


class TokenKind(StrEnum):
    """The five kinds of tokens, named like the attributes of `Tokens`, in their order."""

    INPUT = "input"
    OUTPUT = "output"
    CACHE_READ = "cache_read"
    CACHE_WRITE_5M = "cache_write_5m"
    CACHE_WRITE_1H = "cache_write_1h"


Counts = tuple[int, ...]
"""How many tokens of each kind, in the order of `TokenKind`."""

counts_of: Callable[[Tokens], Counts] = attrgetter(*(kind.value for kind in TokenKind))
"""The counts of some tokens."""

Rates = Mapping[TokenKind, Decimal | None]
"""US dollars per million tokens, of each kind in order; None where the list has no price."""


@dataclass(frozen=True, slots=True)
class Tier:
    """The rates of a request whose prompt has more than so many tokens, for all of its tokens."""

    above_prompt_tokens: int
    rates: Rates


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPrice:
    """What a model costs during one period.

    Attributes:
        model: the model's id in the price list.
        tariff: the price list it is of.
        valid_from: its first day, UTC; None if it has always held, as far as is known.
        valid_until: the first day on which it no longer holds, UTC; None if no end is known.
        rates: of a prompt that is in no tier.
        tiers: by rising size of the prompt.
        prompt_kinds: the kinds of tokens that make up the size of a prompt.
        web_search_per_1000: US dollars for 1,000 web searches; None if unknown.
    """

    model: str
    tariff: Tariff
    valid_from: date | None
    valid_until: date | None
    rates: Rates
    tiers: tuple[Tier, ...]
    prompt_kinds: frozenset[TokenKind]
    web_search_per_1000: Decimal | None

    def holds_on(self, day: date) -> bool:
        """Whether the period has that day, UTC."""
        begun = self.valid_from is None or self.valid_from <= day
        return begun and (self.valid_until is None or day < self.valid_until)

    def prompt_size(self, counts: Counts) -> int:
        """The tokens of the prompt, which decide the tier."""
        kinds = self.prompt_kinds
        return sum(count for kind, count in zip(TokenKind, counts, strict=True) if kind in kinds)

    def rates_for(self, prompt_size: int) -> Rates:
        """The rates of every token of a request whose prompt has that many tokens."""
        found = self.rates
        for tier in self.tiers:
            if prompt_size > tier.above_prompt_tokens:
                found = tier.rates
        return found


@dataclass(frozen=True, slots=True)
class NamedModel:
    """A model, its names, and its prices."""

    id: str
    names: frozenset[str]
    patterns: tuple[re.Pattern[str], ...]
    prices: tuple[ModelPrice, ...]

    def is_named(self, name: str) -> bool:
        """Whether that is this model: a name in lower case, nothing ignored in it."""
        return name in self.names or any(pattern.fullmatch(name) for pattern in self.patterns)


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the prices are from.

    Attributes:
        package: the Python package, with its version.
        provider: whose prices they are.
        date: the day on which they were written as they are.
    """

    package: str
    version: str
    provider: str
    date: date


class _Rates(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    input: str
    output: str
    cache_read: str | None = None
    cache_write_5m: str | None = None
    cache_write_1h: str | None = None


class _Tier(_Rates, kw_only=True):
    above_prompt_tokens: int


class _Row(_Rates, kw_only=True):
    valid_from: date | None = None
    valid_until: date | None = None
    web_search_per_1000: str | None = None
    tiers: list[_Tier] = []


class _Model(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    id: str
    names: list[str] = []
    dated_names: list[str] = []
    patterns: list[str] = []
    standard: list[_Row]
    fast: list[_Row] = []
    batch: list[_Row] = []


class _Geography(msgspec.Struct, forbid_unknown_fields=True):
    multipliers: dict[str, str]
    source: str


class _Free(msgspec.Struct, forbid_unknown_fields=True):
    names: list[str]
    source: str


class _Document(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    schema_version: Literal[1]
    about: list[str] = []
    source: Source
    prompt_tokens: list[TokenKind]
    ignored_suffixes: list[str]
    suffixes: list[str]
    speeds: dict[str, Tariff]
    service_tiers: dict[str, Tariff]
    inference_geo: _Geography
    free_server_tools: _Free
    models: list[_Model]


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceList:
    """The whole file, checked.

    Attributes:
        source: where the prices are from.
        ignored_suffixes: what may end a model's name and changes no price.
        speeds: word of an answer's usage to tariff.
        service_tiers: the same.
        inference_geo: word of an answer's usage to what multiplies the price of tokens.
        free_server_tools: names of server tools that cost nothing beside their tokens.
        models: all of them.
    """

    source: Source
    ignored_suffixes: tuple[str, ...]
    speeds: Mapping[str, Tariff]
    service_tiers: Mapping[str, Tariff]
    inference_geo: Mapping[str, Decimal]
    free_server_tools: frozenset[str]
    models: tuple[NamedModel, ...]


def read_price_list(document: object, *, origin: str = PRICES_FILE) -> PriceList:
    """Check and read a decoded price list.

    Args:
        document: dictionaries, lists and texts, as a JSON decoder gives them.
        origin: the name to use in errors.

    Raises:
        ConfigurationError: it is wrong; the message names the place.
    """
    try:
        raw = msgspec.convert(document, _Document)
        return PriceList(
            source=raw.source,
            ignored_suffixes=tuple(suffix.lower() for suffix in raw.ignored_suffixes),
            speeds=raw.speeds,
            service_tiers=raw.service_tiers,
            inference_geo={
                word: _figure(text, "inference_geo")
                for word, text in raw.inference_geo.multipliers.items()
            },
            free_server_tools=frozenset(raw.free_server_tools.names),
            models=_models(raw),
        )
    except (msgspec.ValidationError, _WrongError) as error:
        raise ConfigurationError(
            f"{origin}: {error}", hint="Mend the file, or install acp-billing-bridge again."
        ) from error


class _WrongError(ValueError):
    """What a schema cannot say; the text names the place."""


def _models(raw: _Document) -> tuple[NamedModel, ...]:
    suffix = f"(?:{'|'.join(raw.suffixes)})?"
    prompt = frozenset(raw.prompt_tokens)
    found = tuple(_model(model, suffix, prompt) for model in raw.models)
    names = [name for model in raw.models for name in (*model.names, *model.dated_names)]
    for name in names:
        owners = [model.id for model in found if model.is_named(name.lower())]
        if len(owners) != 1:
            raise _WrongError(f"models: {name!r} is the name of {' and of '.join(owners)}")
    return found


def _model(raw: _Model, suffix: str, prompt: frozenset[TokenKind]) -> NamedModel:
    patterns = [re.escape(name.lower()) + suffix for name in raw.dated_names]
    return NamedModel(
        id=raw.id,
        names=frozenset(name.lower() for name in raw.names),
        patterns=tuple(_compiled(pattern, raw.id) for pattern in (*patterns, *raw.patterns)),
        prices=tuple(
            price
            for tariff in Tariff
            for price in _prices(getattr(raw, tariff), raw, tariff, prompt)
        ),
    )


def _compiled(pattern: str, model: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern, re.ASCII)
    except re.error as error:
        raise _WrongError(f"{model}: {pattern!r} is no regular expression: {error}") from error


def _prices(
    rows: list[_Row], model: _Model, tariff: Tariff, prompt: frozenset[TokenKind]
) -> list[ModelPrice]:
    where = f"{model.id}.{tariff.value}"
    _check_periods(rows, where)
    return [
        ModelPrice(
            model=model.id,
            tariff=tariff,
            valid_from=row.valid_from,
            valid_until=row.valid_until,
            rates=_rates(row, where),
            tiers=_tiers(row.tiers, where),
            prompt_kinds=prompt,
            web_search_per_1000=None
            if row.web_search_per_1000 is None
            else _figure(row.web_search_per_1000, where),
        )
        for row in rows
    ]


def _check_periods(rows: Iterable[_Row], where: str) -> None:
    for row in rows:
        if row.valid_from and row.valid_until and row.valid_from >= row.valid_until:
            raise _WrongError(f"{where}: a row ends before it begins")
    for one, other in pairwise(rows):
        if not (one.valid_until and other.valid_from and one.valid_until <= other.valid_from):
            raise _WrongError(f"{where}: two rows hold on the same day")


def _tiers(rows: list[_Tier], where: str) -> tuple[Tier, ...]:
    borders = [row.above_prompt_tokens for row in rows]
    if borders != sorted(set(borders)) or any(border < 0 for border in borders):
        raise _WrongError(f"{where}: tiers must rise")
    return tuple(Tier(row.above_prompt_tokens, _rates(row, where)) for row in rows)


def _rates(row: _Rates, where: str) -> Rates:
    given = {kind: getattr(row, kind.value) for kind in TokenKind}
    return {kind: None if text is None else _figure(text, where) for kind, text in given.items()}


def _figure(text: str, where: str) -> Decimal:
    if not _FIGURE.fullmatch(text):
        raise _WrongError(f"{where}: {text!r} is no price, which is a decimal from 0")
    return Decimal(text)
