"""What the relay core saw or did, as finished facts for observers (meter, ledger, log).

A fact cannot alter traffic and holds no secret: names of channels, never their values.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from acp_bridge.errors import Reason
from acp_bridge.modes import AgentKind
from acp_bridge.protocol.evidence import Evidence
from acp_bridge.protocol.names import Code


class Side(StrEnum):
    """Who wrote a line."""

    CLIENT = "client"
    AGENT = "agent"


class TurnEnd(StrEnum):
    """How a prompt turn ended."""

    ANSWERED = "answered"
    FAILED = "failed"
    STOPPED = "stopped"
    AGENT_EXITED = "agent_exited"


@dataclass(frozen=True, slots=True)
class AgentIdentified:
    """The agent named itself in its ``initialize`` result."""

    name: str | None
    version: str | None
    kind: AgentKind


@dataclass(frozen=True, slots=True)
class EvidenceSeen:
    """A signal about who pays."""

    evidence: Evidence


@dataclass(frozen=True, slots=True)
class StatusNotSeen:
    """No auth status came within the wait before the first prompt; the prompt went on."""

    waited_seconds: float


@dataclass(frozen=True, slots=True)
class Contradicted:
    """Another payer than the mode's was seen.

    Attributes:
        blocked: False if the user only wanted to be told.
        cancelled: session ids whose running turn was stopped.
    """

    reason: Reason
    sentence: str
    blocked: bool
    cancelled: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """A client message was answered (or, without an id, dropped) instead of forwarded."""

    method: str | None
    code: Code
    reason: Reason
    sentence: str
    channel: str | None = None


@dataclass(frozen=True, slots=True)
class RemovedFromMessage:
    """Payer-changing parts of a client message that did not reach the agent, by name."""

    method: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SessionOpened:
    """The agent opened, loaded, resumed or forked a session.

    Attributes:
        continued: it was loaded or resumed, and may have spent something before.
    """

    session_id: str
    cwd: str | None
    model: str | None
    continued: bool = False


@dataclass(frozen=True, slots=True)
class SessionClosed:
    """The agent closed a session; what ran for it ends."""

    session_id: str


@dataclass(frozen=True, slots=True)
class PromptStarted:
    """A prompt was forwarded."""

    session_id: str | None


@dataclass(frozen=True, slots=True)
class PromptEnded:
    """A prompt got its one response.

    Attributes:
        result: the agent's result as JSON; empty where it gave none.
    """

    session_id: str | None
    end: TurnEnd
    result: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class RawMessageSeen:
    """A raw message of the Agent SDK, as JSON, that the bridge asked the adapter for."""

    session_id: str | None
    message: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class UsageUpdated:
    """The agent told the session's cost or context: the params of a ``session/update``."""

    params: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Unparseable:
    """A line that is no JSON; `count` of this side so far."""

    side: Side
    count: int


@dataclass(frozen=True, slots=True)
class LineTooLong:
    """A line over the limit was discarded."""

    side: Side
    limit: int


@dataclass(frozen=True, slots=True)
class StrayResponse:
    """The agent answered something that is not open; the answer was dropped."""

    count: int


Fact = (
    AgentIdentified
    | EvidenceSeen
    | StatusNotSeen
    | Contradicted
    | Refused
    | RemovedFromMessage
    | SessionOpened
    | SessionClosed
    | PromptStarted
    | PromptEnded
    | RawMessageSeen
    | UsageUpdated
    | Unparseable
    | LineTooLong
    | StrayResponse
)
