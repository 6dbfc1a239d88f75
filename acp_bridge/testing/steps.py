"""What a scripted agent does in a turn: the words of its script. Data that JSON can carry.

A turn is a list of steps, done from first to last; without an `End`, `Fail` or `Crash` of its own
it ends with ``end_turn``. In JSON a step is an object whose ``do`` names it (``chunk``, ``pause``,
…) beside its members: ``[{"do": "chunk", "text": "Hello."}, {"do": "pause", "until": "go"}]``.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

DEFAULT_TEXT = "Hello from the scripted agent."


class _Step(msgspec.Struct, frozen=True, tag_field="do", tag=str.lower, forbid_unknown_fields=True):
    """A step; its name in JSON is its class's in lower case, words joined by ``_``."""


class TurnUsage(msgspec.Struct, frozen=True, rename="camel"):
    """Tokens of one turn as ACP's ``PromptResponse.usage`` counts them: input without the cache."""

    input_tokens: int = 12
    output_tokens: int = 7
    cached_read_tokens: int = 0
    cached_write_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """All of them."""
        counted = (self.input_tokens, self.output_tokens)
        return sum(counted) + self.cached_read_tokens + self.cached_write_tokens


class Chunk(_Step, frozen=True):
    """A piece of the agent's answer (``agent_message_chunk``), the same so many times."""

    text: str = DEFAULT_TEXT
    times: int = 1


class Update(_Step, frozen=True):
    """Any other session update: its members, ``sessionUpdate`` among them."""

    update: dict[str, Any]


class Notify(_Step, frozen=True):
    """A notification of any method, e.g. ``_auth/status_update``."""

    method: str
    params: dict[str, Any] = {}


class AskPermission(_Step, frozen=True, tag="ask_permission"):
    """Ask for permission, and go on as the client decides; everything else is declined.

    Attributes:
        title: the tool call's title.
        granted: done if the client chose to allow.
        declined: done if it did not.
    """

    title: str
    granted: tuple["Step", ...] = ()
    declined: tuple["Step", ...] = ()


class Pause(_Step, frozen=True):
    """Go on when the event of that name has been released; a cancelled turn goes on no more."""

    until: str


class Hang(_Step, frozen=True):
    """Never go on and never answer, also if the turn is cancelled."""


class Write(_Step, frozen=True):
    """Bytes as they are, no line end added: half a message, nonsense, a spelling of one's own."""

    text: str


class End(_Step, frozen=True):
    """Answer the prompt.

    Attributes:
        stop_reason: as ACP names it.
        usage: the response's ``usage``; None leaves it out.
        meta: the response's ``_meta``, e.g. ``{"quota": …}``; None leaves it out.
    """

    stop_reason: str = "end_turn"
    usage: TurnUsage | None = None
    meta: dict[str, Any] | None = None


class Fail(_Step, frozen=True):
    """Answer the prompt with an error."""

    message: str
    code: int = -32603
    data: Any = None


class Crash(_Step, frozen=True):
    """End the agent here, with this exit status or, if given, by this signal's number."""

    status: int = 1
    signal: int | None = None


Step = Chunk | Update | Notify | AskPermission | Pause | Hang | Write | End | Fail | Crash
Turn = Sequence[Step]
"""The steps of one turn."""
