"""The ``usage`` of the Messages API: told once in a JSON answer, told and restated in a stream.

``message_start`` tells the input and a first output token; each ``message_delta`` tells the output
so far, and may restate the rest. As Claude Code 2.1.316 reads it, a restated 0 (other than of the
output) restates nothing. ``iterations`` lists the samplings of a request; those of the kinds
``compaction`` and ``advisor_message`` are billed and not in the other figures.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from acp_bridge.metering.usage import Tokens

_MOST = 2**53
_MOST_SIDE, _MOST_TOOLS = 64, 16
_NAME = re.compile(r"[!-~]{1,200}", re.ASCII)
_IN_THE_SUM = ("message", "fallback_message")


class Unread(StrEnum):
    """Why an answer could not be read.

    ``encoding``: a content encoding that is not undone here. ``corrupt``: bytes that are not in the
    encoding that the headers name. ``too_long``: over a limit. ``malformed``: not what the Messages
    API says.
    """

    ENCODING = "encoding"
    CORRUPT = "corrupt"
    TOO_LONG = "too_long"
    MALFORMED = "malformed"


class UnreadError(ValueError):
    """Reading has to stop; nothing of the answer is quoted."""

    def __init__(self, why: Unread) -> None:
        super().__init__(why.value)
        self.why = why


@dataclass(frozen=True, slots=True)
class SideUsage:
    """A sampling within a request that the request's own tokens leave out.

    Attributes:
        kind: ``compaction``, ``advisor_message``, or another word of the provider's.
        model: None if it is not named: the request's own, as far as is known.
        tokens: None if they are not told.
    """

    kind: str
    model: str | None
    tokens: Tokens | None


class UsageSoFar:
    """What an answer has told of its usage.

    Attributes:
        server_tools: uses of server tools by the provider's names, e.g. ``web_search_requests``;
            None until told.
        side: samplings beside the request's own tokens; None until told.
        service_tier, speed, inference_geo: what else changes the price; None until told.
    """

    def __init__(self) -> None:
        self._input: int | None = None
        self._output: int | None = None
        self._read = self._writes = self._five = self._hour = 0
        self.server_tools: dict[str, int] | None = None
        self.side: tuple[SideUsage, ...] | None = None
        self.service_tier: str | None = None
        self.speed: str | None = None
        self.inference_geo: str | None = None

    @property
    def tokens(self) -> Tokens | None:
        """The tokens told; None before input and output are."""
        if self._input is None or self._output is None:
            return None
        # Writes over those whose lifetime is told count as five-minute writes, the API's default.
        five = self._five + self.writes_of_unknown_lifetime
        return Tokens(self._input, self._output, self._read, five, self._hour)

    @property
    def writes_of_unknown_lifetime(self) -> int:
        """Tokens written to the cache that are counted as five-minute writes for want of a word."""
        return max(0, self._writes - self._five - self._hour)

    def tell(self, usage: object) -> None:
        """Take in a ``usage`` object, decoded; None tells nothing.

        Raises:
            UnreadError: a figure that is no count.
        """
        if usage is None:
            return
        if not isinstance(usage, dict):
            raise UnreadError(Unread.MALFORMED)
        given, made = count_in(usage.get("input_tokens")), count_in(usage.get("output_tokens"))
        self._input = self._input if given is None else given or self._input or 0
        self._output = self._output if made is None else made
        self._read = count_in(usage.get("cache_read_input_tokens")) or self._read
        self._writes = count_in(usage.get("cache_creation_input_tokens")) or self._writes
        self._tell_lifetimes(usage.get("cache_creation"))
        self._tell_server_tools(usage.get("server_tool_use"))
        self._tell_side(usage.get("iterations"))
        self.service_tier = name_in(usage.get("service_tier")) or self.service_tier
        self.speed = name_in(usage.get("speed")) or self.speed
        self.inference_geo = name_in(usage.get("inference_geo")) or self.inference_geo

    def _tell_lifetimes(self, writes: object) -> None:
        if writes is None:
            return
        if not isinstance(writes, dict):
            raise UnreadError(Unread.MALFORMED)
        five = count_in(writes.get("ephemeral_5m_input_tokens"))
        hour = count_in(writes.get("ephemeral_1h_input_tokens"))
        if five or hour:
            self._five = self._five if five is None else five
            self._hour = self._hour if hour is None else hour

    def _tell_server_tools(self, uses: object) -> None:
        if isinstance(uses, dict):
            told = {name: count_in(uses[name]) for name in uses if name_in(name)}
            known = (self.server_tools or {}) | {n: c for n, c in told.items() if c is not None}
            if len(known) > _MOST_TOOLS:
                raise UnreadError(Unread.MALFORMED)
            self.server_tools = known

    def _tell_side(self, iterations: object) -> None:
        if isinstance(iterations, list):
            side = tuple(one for one in map(_side_usage, iterations) if one)
            if len(side) > _MOST_SIDE:
                raise UnreadError(Unread.MALFORMED)
            self.side = side


def name_in(value: object) -> str | None:
    """A word of the provider's: printable ASCII without blanks, so no text; else None."""
    return value if isinstance(value, str) and _NAME.fullmatch(value) else None


def _side_usage(iteration: object) -> SideUsage | None:
    if not isinstance(iteration, dict) or iteration.get("type") in _IN_THE_SUM:
        return None
    usage = UsageSoFar()
    usage.tell(iteration | {"iterations": None})
    kind, model = name_in(iteration.get("type")), name_in(iteration.get("model"))
    return SideUsage(kind or "unknown", model, usage.tokens)


def count_in(value: object) -> int | None:
    """A whole number from 0, decoded; None is none.

    Raises:
        UnreadError: anything else.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnreadError(Unread.MALFORMED)
    if not 0 <= value <= _MOST or value != int(value):
        raise UnreadError(Unread.MALFORMED)
    return int(value)
