"""What an interceptor may do with a message, and the shape of an interceptor.

Interceptors stand in one explicit list. Each names the methods that it wants to see, so that a
message nobody asked for costs one dictionary look-up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from acp_bridge.errors import Reason
from acp_bridge.protocol.envelope import Envelope
from acp_bridge.protocol.facts import Fact
from acp_bridge.protocol.names import Code
from acp_bridge.protocol.open_requests import OpenRequest

NO_METHODS: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer in the agent's place; a notification is dropped."""

    code: Code
    reason: Reason
    sentence: str
    hint: str
    channel: str | None = None


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Forward the message with one member replaced; the others keep their bytes.

    Attributes:
        member: ``params`` or ``result``.
        value: its new value as JSON.
    """

    member: str
    value: bytes
    facts: tuple[Fact, ...] = ()


@dataclass(frozen=True, slots=True)
class Hold:
    """Stop reading the client until the agent has said more, or until a time (seconds)."""

    until: float


@dataclass(frozen=True, slots=True)
class Note:
    """Forward, and record this."""

    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class Drop:
    """Keep the agent's message from the client, which did not ask for it, and record this."""

    facts: tuple[Fact, ...] = ()


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Forward the agent's message, and stop spending.

    Attributes:
        channel: what is suspected, if anything.
    """

    reason: Reason
    sentence: str
    hint: str
    channel: str | None = None
    facts: tuple[Fact, ...] = ()


ClientDecision = Refuse | Rewrite | Hold | Note | None
AgentDecision = Contradiction | Drop | Note | None


class Interceptor:
    """Sees the messages it names and decides on them; the base class lets everything pass.

    Attributes:
        client_methods: requests and notifications from the client.
        agent_methods: requests and notifications from the agent.
        agent_marks: by agent method, bytes without which a message of it does not matter.
        answers_to: responses of the agent to requests with these methods.
        claude_only: steps aside when the agent is not a Claude adapter.
    """

    client_methods: frozenset[str] = NO_METHODS
    agent_methods: frozenset[str] = NO_METHODS
    agent_marks: Mapping[str, bytes] = MappingProxyType({})
    answers_to: frozenset[str] = NO_METHODS
    claude_only: bool = True

    def client_message(self, message: Envelope, now: float) -> ClientDecision:
        """Decide on a message from the client, as the agent would read it."""
        del message, now
        return None

    def agent_message(self, message: Envelope, now: float) -> AgentDecision:
        """Look at a request or notification from the agent."""
        del message, now
        return None

    def agent_response(
        self, request: OpenRequest, message: Envelope, now: float
    ) -> Rewrite | Note | None:
        """Look at a response from the agent."""
        del request, message, now
        return None


def marks(on_agent: Mapping[str, tuple[Interceptor, ...]]) -> dict[str, tuple[bytes, ...]]:
    """What tells the messages that matter, by the agent's methods of which not all of them do."""
    return {
        method: tuple(one.agent_marks[method] for one in watchers)
        for method, watchers in on_agent.items()
        if all(method in one.agent_marks for one in watchers)
    }


def interested(
    interceptors: Sequence[Interceptor], attribute: str
) -> dict[str, tuple[Interceptor, ...]]:
    """Index interceptors by the methods that one of their attributes names, order kept."""
    index: dict[str, tuple[Interceptor, ...]] = {}
    for interceptor in interceptors:
        for method in getattr(interceptor, attribute):
            index[method] = (*index.get(method, ()), interceptor)
    return index
