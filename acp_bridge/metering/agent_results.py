"""What the agent itself says of its usage, over ACP: the fallback where telemetry is silent.

Seen with the Claude adapter 0.100.0; other agents give ``usage`` or a cost at most.

* A raw ``result`` message has ``modelUsage``: totals of the raw session, going on from what the
  transcript had when the process began. It misses what ends after the turn (the suggestion) and
  what was cancelled.
* ``PromptResponse._meta.quota.model_usage`` tells a turn by model, subagents in front included.
* ``PromptResponse.usage`` tells the main loop's part of a turn.
* ``usage_update.cost`` tells the session's cost so far; ``used`` and ``size`` are the context
  window and never a sum.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Literal

import msgspec

from acp_bridge.metering.readings import Reading, Spent, micros
from acp_bridge.metering.transcript import ModelUsage, totals_by_model
from acp_bridge.metering.usage import Tokens

_MOST = 2**53
_Count = Annotated[int, msgspec.Meta(ge=0, le=_MOST)]
_CANNOT = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Result(msgspec.Struct, rename="camel"):
    type: Literal["result"]
    session: str = msgspec.field(name="session_id")
    model_usage: dict[str, ModelUsage]
    since: dict[str, ModelUsage] | None = msgspec.field(
        default=None, name="model_usage_since_last_result"
    )


@dataclass(frozen=True, slots=True)
class AgentResult:
    """A raw ``result`` message.

    Attributes:
        reading: the totals of the raw session.
        since_last: what came since the result before, by model; None in versions that do not say.
    """

    reading: Reading
    since_last: dict[str, Spent] | None


def read_result(message: bytes) -> AgentResult | None:
    """A raw message of the Agent SDK, as JSON; None if it is no ``result`` with totals."""
    try:
        result = _RESULT.decode(message)
    except _CANNOT:
        return None
    since = None if result.since is None else totals_by_model(result.since)
    return AgentResult(Reading(result.session, totals_by_model(result.model_usage)), since)


class _Counts(msgspec.Struct, rename="camel"):
    """The adapter says ``cachedInputTokens`` in one place and ``cachedReadTokens`` in another."""

    input_tokens: _Count | None = None
    output_tokens: _Count | None = None
    cached_read_tokens: _Count | None = None
    cached_input_tokens: _Count | None = None
    cached_write_tokens: _Count | None = None

    @property
    def tokens(self) -> Tokens | None:
        if self.input_tokens is None or self.output_tokens is None:
            return None
        read = self.cached_read_tokens or self.cached_input_tokens or 0
        return Tokens(self.input_tokens, self.output_tokens, read, self.cached_write_tokens or 0)


class _OfModel(msgspec.Struct):
    model: str
    token_count: _Counts


class _Quota(msgspec.Struct):
    model_usage: list[_OfModel] = []


class _Meta(msgspec.Struct):
    quota: _Quota | None = None


class _PromptResult(msgspec.Struct, rename="camel"):
    stop_reason: str | None = None
    usage: _Counts | None = None
    meta: _Meta | None = msgspec.field(default=None, name="_meta")


@dataclass(frozen=True, slots=True)
class TurnUsage:
    """What the response to a prompt tells.

    How long cache writes last is not in it: they are counted as five-minute writes.

    Attributes:
        stop_reason: why the turn ended.
        by_model: the turn's tokens by model; None is the key where nobody named the model. Empty
            if the agent told nothing.
    """

    stop_reason: str | None
    by_model: dict[str | None, Tokens]


def read_turn(result: bytes) -> TurnUsage:
    """The result of ``session/prompt``, as JSON; what cannot be read tells nothing."""
    try:
        told = _PROMPT.decode(result)
    except _CANNOT:
        return TurnUsage(None, {})
    by_model: dict[str | None, Tokens] = {}
    for one in told.meta.quota.model_usage if told.meta and told.meta.quota else ():
        if tokens := one.token_count.tokens:
            by_model[one.model] = by_model.get(one.model, Tokens()) + tokens
    if not by_model and told.usage and (tokens := told.usage.tokens):
        by_model[None] = tokens
    return TurnUsage(told.stop_reason, by_model)


class _Cost(msgspec.Struct):
    amount: Decimal
    currency: str = "USD"


class _Update(msgspec.Struct, rename="camel", tag_field="sessionUpdate", tag="usage_update"):
    cost: _Cost | None = None


class _UpdateParams(msgspec.Struct, rename="camel"):
    session_id: str
    update: _Update


@dataclass(frozen=True, slots=True)
class CostSoFar:
    """What a session had cost in all, in millionths of a US dollar."""

    session_id: str
    micros: int


def read_cost(params: bytes) -> CostSoFar | None:
    """The params of a ``session/update``, as JSON; None if they tell no cost in US dollars."""
    try:
        told = _UPDATE.decode(params)
    except _CANNOT:
        return None
    cost = told.update.cost
    if cost is None or cost.currency != "USD" or not cost.amount.is_finite():
        return None
    if not 0 <= cost.amount < _MOST:
        return None
    return CostSoFar(told.session_id, micros(cost.amount))


_RESULT = msgspec.json.Decoder(_Result)
_PROMPT = msgspec.json.Decoder(_PromptResult)
_UPDATE = msgspec.json.Decoder(_UpdateParams)
