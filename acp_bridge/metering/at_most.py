"""What a request can cost at most, told before it is answered. Pure.

No count of tokens is known then. A token is at least one byte of the request's body, a prompt is no
longer than the longest context window, and an answer no longer than was asked for. What the
provider's own tools do within a request (web searches) is not in it.
"""

from dataclasses import dataclass
from datetime import datetime

from acp_bridge.metering.prices import Cost, Prices
from acp_bridge.metering.usage import Tokens
from acp_bridge.metering.wire_request import ModelRequest

LONGEST_PROMPT = 1_000_000
"""Tokens: the largest context window that is known."""
LONGEST_ANSWER = 128_000
"""Tokens: what is taken for the longest answer where a request does not limit it."""


@dataclass(frozen=True, slots=True)
class AtMost:
    """The bounds of one request.

    Attributes:
        tokens: of all kinds.
        cost: at the dearest of the prices that its prompt may have; unknown where one of them is.
    """

    tokens: int
    cost: Cost


def at_most(request: ModelRequest, prices: Prices | None, at: datetime) -> AtMost:
    """The bounds of a request.

    Args:
        request: what it told of itself.
        prices: of its provider.
        at: when it came. Aware.
    """
    prompt = min(request.size, LONGEST_PROMPT)
    answer = LONGEST_ANSWER if request.max_tokens is None else request.max_tokens
    answer = min(answer, LONGEST_ANSWER)
    if prices is None:
        return AtMost(prompt + answer, Cost(None, why="nobody knows what it costs here"))
    costs = [
        prices.cost_of(
            request.model,
            tokens,
            at,
            speed=request.speed,
            inference_geo=request.inference_geo,
        )
        for tokens in (
            Tokens(input=prompt, output=answer),
            Tokens(cache_write_5m=prompt, output=answer),
            Tokens(cache_write_1h=prompt, output=answer),
        )
    ]
    unknown = next((cost for cost in costs if cost.usd is None), None)
    return AtMost(prompt + answer, unknown or max(costs, key=lambda cost: cost.usd or 0))
