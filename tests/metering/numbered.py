"""An endpoint whose every answer has a usage of its own, so that each request can be told apart."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import count

from acp_bridge.loopback.asked import Asked
from acp_bridge.loopback.endpoint import EmbeddedEndpoint
from acp_bridge.loopback.script import Answer, Script, Step, Usage
from acp_bridge.metering.usage import Tokens


def usage_of(number: int) -> Usage:
    """Five counts that no other number has."""
    return Usage(1000 + number, 100 + number, 20_000 + 3 * number, 3000 + 5 * number, 7 * number)


def tokens_of(usage: Usage) -> Tokens:
    """The same as the ledger keeps it."""
    return Tokens(
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_5m_tokens,
        usage.cache_write_1h_tokens,
    )


class NumberedEndpoint(EmbeddedEndpoint):
    """Numbers its answers, titles and suggestions included, whatever the script says they cost."""

    def __init__(
        self, script: Script, *, suggestion: Step | None, known: Mapping[str, str]
    ) -> None:
        super().__init__(script, suggestion=suggestion, known=known)
        self._answers = count(1)

    def _step(self, asked: Asked) -> Step:
        step = super()._step(asked)
        if isinstance(step, Answer):
            return replace(step, usage=usage_of(next(self._answers)))
        return step
