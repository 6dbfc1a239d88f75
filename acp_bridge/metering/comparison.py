"""What each witness missed: its figures of a session held against what is known best.

The reference is what the wire saw, where it saw the session; else what the ledger has recorded.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Decimal
from enum import StrEnum

from acp_bridge.metering.reconciling import Figures
from acp_bridge.metering.usage import Source, Tokens, total

UNNAMED = ""
"""The model of figures whose witness named none."""

_THREE_PLACES = Decimal("0.001")


class Reference(StrEnum):
    """What a session's figures are held against."""

    WIRE = "wire"
    LEDGER = "ledger"


@dataclass(frozen=True, slots=True)
class Compared:
    """One witness beside the reference.

    Attributes:
        figures: what it told.
        missed: by kind, tokens of the reference that it did not tell.
        beyond: by kind, tokens that it told and the reference has not.
    """

    figures: Figures
    missed: Tokens = field(default_factory=Tokens)
    beyond: Tokens = field(default_factory=Tokens)

    def __add__(self, other: "Compared") -> "Compared":
        """Both together: what one is beyond does not make up for what the other missed."""
        return Compared(
            self.figures + other.figures, self.missed + other.missed, self.beyond + other.beyond
        )

    def share(self, reference: Tokens) -> Decimal | None:
        """The part of the reference that it told, 1.000 only if it missed nothing.

        None where the reference has no tokens.
        """
        true = reference.positive.total
        if not true:
            return None
        told = Decimal(true - self.missed.total) / true
        return told.quantize(_THREE_PLACES, rounding=ROUND_DOWN)


Witnesses = dict[Source, Compared | None]
"""Every witness; None for one that told nothing."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """All witnesses beside one reference."""

    reference: Tokens
    witnesses: Witnesses


@dataclass(frozen=True, slots=True)
class WitnessedSession:
    """What was told of one session in one run.

    Attributes:
        told: by witness and model.
        recorded: what the ledger holds, by model.
    """

    run_id: str
    session_id: str
    told: Mapping[Source, Mapping[str, Figures]]
    recorded: Mapping[str, Tokens]

    @property
    def reference(self) -> Reference:
        """What it is held against."""
        return Reference.WIRE if Source.WIRE in self.told else Reference.LEDGER

    def by_model(self) -> dict[str, Comparison]:
        """A comparison for each model that anybody named, in alphabetical order.

        Where somebody named none, the last is `UNNAMED`, the comparison of all models together:
        what was told without a model can only be held against that.
        """
        truth = self._truth()
        named = {*truth, *(model for of in self.told.values() for model in of)}
        return {model: self._of_model(model, truth) for model in sorted(named, key=_unnamed_last)}

    def _truth(self) -> Mapping[str, Tokens]:
        if self.reference is Reference.LEDGER:
            return self.recorded
        return {model: figures.tokens for model, figures in self.told[Source.WIRE].items()}

    def _of_model(self, model: str, truth: Mapping[str, Tokens]) -> Comparison:
        if model == UNNAMED:
            reference = total(truth.values())
            told = {source: _sum(of.values()) for source, of in self.told.items()}
        else:
            reference = truth.get(model, Tokens())
            told = {source: of[model] for source, of in self.told.items() if model in of}
        found = {source: _compare(source, of, reference) for source, of in told.items()}
        return Comparison(reference, {source: found.get(source) for source in Source})


def totals(sessions: Iterable[Mapping[str, Comparison]]) -> Comparison:
    """All sessions together.

    A witness that told nothing of some of them has missed these; None is one that told nothing of
    any.

    Args:
        sessions: of each its `WitnessedSession.by_model`.
    """
    each = [one for of in sessions for one in ([of[UNNAMED]] if UNNAMED in of else of.values())]
    return Comparison(
        total(one.reference for one in each),
        {source: _in_all(source, each) for source in Source},
    )


def _in_all(source: Source, each: Sequence[Comparison]) -> Compared | None:
    if all(one.witnesses[source] is None for one in each):
        return None
    found = Compared(Figures())
    for one in each:
        found += one.witnesses[source] or _compare(source, Figures(), one.reference)
    return found


def _compare(source: Source, told: Figures, reference: Tokens) -> Compared:
    rest = _comparable(source, reference.positive) - _comparable(source, told.tokens)
    return Compared(told, rest.positive, (Tokens() - rest).positive)


def _comparable(source: Source, tokens: Tokens) -> Tokens:
    """ACP does not tell how long cache writes last: all of them are held against one another."""
    if source is not Source.ACP:
        return tokens
    writes = tokens.cache_write_5m + tokens.cache_write_1h
    return Tokens(tokens.input, tokens.output, tokens.cache_read, writes)


def _unnamed_last(model: str) -> tuple[bool, str]:
    return model == UNNAMED, model


def _sum(figures: Iterable[Figures]) -> Figures:
    found = Figures()
    for one in figures:
        found += one
    return found
