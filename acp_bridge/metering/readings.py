"""Cumulative totals of a session, model by model, and the arithmetic on them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from acp_bridge.metering.usage import Tokens, UsageEntry

_MICROS = 1_000_000


@dataclass(frozen=True, slots=True)
class Spent:
    """Tokens, and their cost in millionths of a US dollar; None if nobody knows the cost."""

    tokens: Tokens = field(default_factory=Tokens)
    cost_micros: int | None = None

    def __add__(self, other: "Spent") -> "Spent":
        """Both together; an unknown cost leaves the other as it is."""
        costs = [c for c in (self.cost_micros, other.cost_micros) if c is not None]
        return Spent(self.tokens + other.tokens, sum(costs) if costs else None)


NOTHING = Spent()
Totals = Mapping[str, Spent]
"""What was spent, by model."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a session had spent in all at one moment, by one witness.

    Attributes:
        session_id: Claude Code's session.
        models: the totals; a model that is not in it has spent nothing.
        began_at: when the session first began, as its process says; the same after a resume.
            Aware UTC; None if nobody said.
    """

    session_id: str
    models: Totals = field(default_factory=dict)
    began_at: datetime | None = None

    def of(self, model: str) -> Spent:
        """What that model has spent."""
        return self.models.get(model, NOTHING)

    def covers(self, totals: Totals) -> bool:
        """Whether it holds at least these, kind by kind.

        Cache writes are compared as one kind: some witnesses do not tell how long they last.
        """
        return all(
            have >= need
            for model, spent in totals.items()
            for have, need in zip(
                _comparable(self.of(model).tokens), _comparable(spent.tokens), strict=True
            )
        )

    @property
    def size(self) -> int:
        """All tokens of all models together."""
        return sum(spent.tokens.total for spent in self.models.values())

    def same_tokens(self, other: "Reading") -> bool:
        """Whether both say the same of every model, the cost aside."""
        models = {*self.models, *other.models}
        return all(self.of(model).tokens == other.of(model).tokens for model in models)


def add(one: Totals, other: Totals) -> dict[str, Spent]:
    """The sum, model by model."""
    return {
        model: one.get(model, NOTHING) + other.get(model, NOTHING)
        for model in sorted({*one, *other})
    }


def totals_of(entries: Iterable[UsageEntry]) -> dict[str, Spent]:
    """What these entries hold together, by model.

    Entries without a model or without tokens are left out: nothing can be compared with them.
    """
    found: dict[str, Spent] = {}
    for entry in entries:
        if entry.model is not None and entry.tokens is not None:
            spent = Spent(entry.tokens, entry.cost_micros)
            found[entry.model] = found.get(entry.model, NOTHING) + spent
    return found


def missing(whole: Spent, known: Spent) -> Spent | None:
    """What the whole has beyond what is known of it; None if no token is missing.

    Kinds that are known to be more than the whole count as nothing missing. Cache writes that were
    recorded without their lifetime are set right: one of the two kinds is then negative.
    The cost is never negative: the parts were rounded one by one, and Claude Code puts the cost of
    a stream that broke onto the request that followed it.
    """
    rest = whole.tokens - known.tokens
    writes = max(0, rest.cache_write_5m + rest.cache_write_1h)
    if min(rest.cache_write_5m, rest.cache_write_1h) >= 0:
        five, hour = rest.cache_write_5m, rest.cache_write_1h
    elif rest.cache_write_5m < 0:
        hour = max(0, rest.cache_write_1h)
        five = writes - hour
    else:
        five = max(0, rest.cache_write_5m)
        hour = writes - five
    tokens = Tokens(max(0, rest.input), max(0, rest.output), max(0, rest.cache_read), five, hour)
    if not any(tokens.counts):
        return None
    if whole.cost_micros is None:
        return Spent(tokens, None)
    return Spent(tokens, max(0, whole.cost_micros - (known.cost_micros or 0)))


def micros(dollars: Decimal) -> int:
    """US dollars as millionths, rounded."""
    return round(dollars * _MICROS)


def _comparable(tokens: Tokens) -> tuple[int, int, int, int]:
    writes = tokens.cache_write_5m + tokens.cache_write_1h
    return tokens.input, tokens.output, tokens.cache_read, writes
