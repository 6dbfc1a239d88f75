"""What a transcript of Claude Code tells about spending.

A transcript is ``<configuration>/projects/<folder>/<session>.jsonl``; those of subagents lie in
``<session>/subagents/``. Seen with Claude Code 2.1.316:

* each process that ends (also one that did nothing, also when the adapter was killed) appends one
  line ``cost-state`` with the totals of the session so far: those of the last such line when the
  process began, and its own. A killed process appends none, and what it spent is in no later line.
* two processes on one session each go on from the line that was last when they began; neither's
  line holds the other's tokens.
* a fork and ``/clear`` begin another file, from nothing.
* the lines hold no time and no process. A cancelled stream is not in them; of a stream that the
  server cut, the input is, with one token of output, if content had begun.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Literal

import msgspec

from acp_bridge.metering.moments import from_seconds
from acp_bridge.metering.readings import Reading, Spent, micros
from acp_bridge.metering.usage import Tokens

_BLOCK = 64 * 1024
_MOST = 2**53
_Count = Annotated[int, msgspec.Meta(ge=0, le=_MOST)]


class ModelUsage(msgspec.Struct, rename="camel"):
    """One model's totals, as ``cost-state`` lines and raw ``result`` messages write them."""

    input_tokens: _Count = 0
    output_tokens: _Count = 0
    cache_read_input_tokens: _Count = 0
    cache_creation_input_tokens: _Count = 0
    five: _Count | None = msgspec.field(default=None, name="cacheCreationEphemeral5mInputTokens")
    hour: _Count | None = msgspec.field(default=None, name="cacheCreationEphemeral1hInputTokens")
    cost: Decimal | None = msgspec.field(default=None, name="costUSD")

    @property
    def spent(self) -> Spent:
        """The same in our words; writes without a lifetime count as five-minute writes."""
        hour = self.hour or 0
        five = self.five
        if five is None:
            five = max(0, self.cache_creation_input_tokens - hour)
        tokens = Tokens(
            self.input_tokens, self.output_tokens, self.cache_read_input_tokens, five, hour
        )
        known = self.cost is not None and self.cost.is_finite() and 0 <= self.cost < _MOST
        return Spent(tokens, micros(self.cost) if self.cost is not None and known else None)


class _CostState(msgspec.Struct, rename="camel"):
    type: Literal["cost-state"]
    session_id: str
    model_usage: dict[str, ModelUsage]
    start_time: int | float | None = None


_TOTALS = b'"cost-state"'
_TITLE_LINE = b'{"type":"ai-title"'
_COST_STATE = msgspec.json.Decoder(_CostState)


def lines_from_end(read: Callable[[int, int], bytes], size: int) -> Iterator[bytes]:
    """The lines of a file from its last to its first, reading no more than is taken.

    An unfinished last line is a line too; empty lines are left out.

    Args:
        read: gives the bytes from an offset up to another.
        size: of the file, in bytes.
    """
    # A line of many blocks is joined once, not block by block.
    pending: list[bytes] = []
    end = size
    while end > 0:
        start = max(0, end - _BLOCK)
        head, *lines = read(start, end).split(b"\n")
        if lines:
            last = lines.pop() + b"".join(reversed(pending))
            yield from (line for line in (last, *reversed(lines)) if line)
            pending = []
        pending.append(head)
        end = start
    first = b"".join(reversed(pending))
    if first:
        yield first


def readings_from_end(lines: Iterable[bytes]) -> Iterator[Reading]:
    """Every ``cost-state`` among lines that come from the end, the last one first.

    Lines that cannot be read are passed over: a process may be writing, or have died writing.
    """
    for line in lines:
        # A cheap look first: transcripts have lines of megabytes.
        if _TOTALS in line and (reading := _reading(line)):
            yield reading


def up_to_totals(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The lines, in order, up to the last totals: what follows is of a process that goes on."""
    waiting: list[bytes] = []
    for line in lines:
        waiting.append(line)
        if _TOTALS in line:
            yield from waiting
            waiting.clear()


def is_titled(lines: Iterable[bytes]) -> bool:
    """Whether a session has got its title; one without asks for it with its next prompt."""
    return any(line.startswith(_TITLE_LINE) for line in lines)


def totals_by_model(usage: Mapping[str, ModelUsage]) -> dict[str, Spent]:
    """Totals by model, without models that spent nothing."""
    return {model: told.spent for model, told in usage.items() if told.spent.tokens}


def _reading(line: bytes) -> Reading | None:
    try:
        state = _COST_STATE.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    began = None if state.start_time is None else from_seconds(state.start_time / 1000)
    return Reading(state.session_id, totals_by_model(state.model_usage), began)
