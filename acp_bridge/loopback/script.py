"""What the embedded endpoint answers: the steps of a script, and the words to write one.

A script is a list of steps, taken one per model request of the agent loop (subagents included), or
a callable that is given each request. When a list is used up, the default answer follows.

    script = [use("Bash", command="ls"), say("Two files.", usage=Usage(input_tokens=90))]
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from acp_bridge.loopback.asked import Asked
from acp_bridge.loopback.message import HeaderPairs

DEFAULT_TEXT = "Hello from the embedded endpoint."


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer, as the Messages API counts them: input excludes the cache."""

    input_tokens: int = 12
    output_tokens: int = 7
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Text:
    """A text block."""

    text: str


@dataclass(frozen=True, slots=True)
class Thinking:
    """A thinking block; the signature is as opaque to the client as a real one."""

    thinking: str
    signature: str = "RW1iZWRkZWRFbmRwb2ludA=="


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A call of one of the client's tools. Without an id the endpoint numbers it."""

    name: str
    input: Mapping[str, object]
    id: str | None = None


Block = Text | Thinking | ToolUse


@dataclass(frozen=True, slots=True)
class Answer:
    """A message that the model says.

    Attributes:
        blocks: its content, in order.
        usage: what it costs.
        model: the model it claims to be; None repeats the one that was asked for.
        stop_reason: None is ``tool_use`` when a tool is called, else ``end_turn``.
        headers: response headers beside the usual ones, e.g. rate limits.
        pause_seconds: the wait before each event of the stream after the first.
        cut_after: events after which the connection is dropped; None sends them all.
        stall_after: events after which nothing more comes until the client leaves.
    """

    blocks: tuple[Block, ...]
    usage: Usage = Usage()
    model: str | None = None
    stop_reason: str | None = None
    headers: HeaderPairs = ()
    pause_seconds: float = 0.0
    cut_after: int | None = None
    stall_after: int | None = None

    @property
    def effective_stop_reason(self) -> str:
        """The stop reason on the wire."""
        calls = any(isinstance(block, ToolUse) for block in self.blocks)
        return self.stop_reason or ("tool_use" if calls else "end_turn")


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """An error as the Anthropic API words it.

    Attributes:
        status: the HTTP status.
        error_type: e.g. ``billing_error``, ``rate_limit_error``, ``overloaded_error``.
        message: the sentence.
        headers: response headers, e.g. ``x-should-retry``.
    """

    status: int
    error_type: str
    message: str
    headers: HeaderPairs = ()


Step = Answer | ErrorAnswer
Script = Sequence[Step] | Callable[[Asked], Step]


def say(text: str = DEFAULT_TEXT, *, usage: Usage | None = None) -> Answer:
    """An answer of one text block that ends the turn."""
    return Answer((Text(text),), usage or Usage())


def use(tool: str, *, usage: Usage | None = None, **tool_input: object) -> Answer:
    """An answer that calls one tool: ``use("Bash", command="ls", description="List")``."""
    return Answer((ToolUse(tool, tool_input),), usage or Usage())


def fail(status: int, error_type: str, message: str, *, retry: bool | None = None) -> ErrorAnswer:
    """An error; ``retry`` sets ``x-should-retry``, None leaves the client to decide."""
    headers = () if retry is None else (("x-should-retry", str(retry).lower()),)
    return ErrorAnswer(status, error_type, message, headers)


def cut(answer: Answer, *, after: int) -> Answer:
    """The same answer on a stream that breaks after that many events."""
    return replace(answer, cut_after=after)


def stall(answer: Answer, *, after: int) -> Answer:
    """The same answer on a stream that falls silent after that many events."""
    return replace(answer, stall_after=after)


def slow(answer: Answer, *, pause_seconds: float) -> Answer:
    """The same answer with a wait before each event."""
    return replace(answer, pause_seconds=pause_seconds)
