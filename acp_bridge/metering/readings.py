"""Cumulative totals of a session, model by model, and the arithmetic on them.

Witnesses may call one model by two names: Claude Code's raw results and transcripts name the model
that was asked for, its telemetry the one that answered (2.1.316), and a gateway may answer with any
name. So what one witness tells under a name beyond the other is held against what the other tells
under its own names beyond the first, figure against figure; names are never compared for likeness.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from acp_bridge.metering.usage import Tokens, UsageEntry, total

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

UNNAMED = ""
"""Stands for the model of what was told without one."""


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

    def holds(self, totals: Totals) -> bool:
        """Whether it holds at least these in all, whatever either calls the models.

        Cache writes are compared as one kind, as in `covers`.
        """
        have, need = _comparable(_all(self.models)), _comparable(_all(totals))
        return all(of >= at_least for of, at_least in zip(have, need, strict=True))

    @property
    def tokens(self) -> Tokens:
        """All models together."""
        return _all(self.models)

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
    """What these entries hold together, by model; `UNNAMED` where nobody named the model.

    Entries without tokens are left out: nothing can be compared with them.
    """
    found: dict[str, Spent] = {}
    for entry in entries:
        if entry.tokens is not None:
            model = entry.model or UNNAMED
            found[model] = found.get(model, NOTHING) + Spent(entry.tokens, entry.cost_micros)
    return found


def missing_by_model(whole: Totals, known: Totals) -> dict[str, Spent]:
    """What the whole has beyond what is known of it, by model, each token once.

    A model is compared with itself first. What is known of a model beyond the whole was told of
    another one there under another name, and is taken from what seems missing: from the model that
    it fits into best. All kinds of tokens together, the whole is never exceeded.

    Args:
        whole: by one witness.
        known: by others, who may call the same models by other names.

    Returns:
        As `missing`, without models of which nothing is missing; a correction of the lifetime of
        cache writes is under the name by which they are known.
    """
    lacking = _missing_of_each(whole, known)
    more = {model: _split(rest)[0] for model, rest in _missing_of_each(known, whole).items()}
    beyond = {model: spent for model, spent in more.items() if spent.tokens}
    if not beyond or not lacking:
        return lacking
    split = {model: _split(rest) for model, rest in lacking.items()}
    lacking = {model: positive for model, (positive, _) in split.items()}
    corrections = {model: correction for model, (_, correction) in split.items()}
    for name in sorted(beyond, key=lambda model: (-beyond[model].tokens.total, model)):
        corrections[name] = corrections.get(name, NOTHING) + _take(lacking, beyond[name])
    found = add(lacking, corrections)
    return {model: rest for model, rest in found.items() if rest.tokens}


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


def _all(totals: Totals) -> Tokens:
    return total(spent.tokens for spent in totals.values())


def _missing_of_each(whole: Totals, known: Totals) -> dict[str, Spent]:
    return {
        model: rest
        for model, spent in sorted(whole.items())
        if (rest := missing(spent, known.get(model, NOTHING)))
    }


def _take(lacking: dict[str, Spent], known: Spent) -> Spent:
    """Take from what seems missing what is known under another name.

    Args:
        lacking: what seems missing, by model; it is changed.
        known: what is known.

    Returns:
        The cache writes whose lifetime was told otherwise, as a correction of what is known.
    """
    corrections = NOTHING
    left = known
    for model in sorted(lacking, key=lambda model: _fit(lacking[model], known)):
        whole = lacking[model]
        rest = missing(whole, left) or NOTHING
        if rest.tokens != whole.tokens:
            lacking[model], correction = _split(rest)
            corrections += correction
            left, _ = _split(missing(left, whole) or NOTHING)
    return corrections


def _fit(lacking: Spent, known: Spent) -> tuple[bool, int]:
    """Sorts best what holds all that is known, and least beyond; then what holds most of it."""
    holds = Reading("", {UNNAMED: lacking}).holds({UNNAMED: known})
    size = lacking.tokens.total
    return not holds, size if holds else -size


def _split(rest: Spent) -> tuple[Spent, Spent]:
    """What is missing, and the cache writes that only move from one lifetime to the other.

    Of the second part one kind is negative and the sum is nothing; the cost goes with the first
    part if there is one.
    """
    five, hour = rest.tokens.cache_write_5m, rest.tokens.cache_write_1h
    moved = five if five < 0 else max(0, -hour)
    correction = Tokens(cache_write_5m=moved, cache_write_1h=-moved)
    positive = rest.tokens - correction
    if not positive:
        return NOTHING, rest
    none = None if rest.cost_micros is None else 0
    return Spent(positive, rest.cost_micros), Spent(correction, none)


def _comparable(tokens: Tokens) -> tuple[int, int, int, int]:
    writes = tokens.cache_write_5m + tokens.cache_write_1h
    return tokens.input, tokens.output, tokens.cache_read, writes
