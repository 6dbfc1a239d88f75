"""What the relay core tells its driver to do, in order."""

from dataclasses import dataclass

from acp_bridge.protocol.facts import Fact


@dataclass(frozen=True, slots=True)
class ToAgent:
    """Write these bytes to the agent: whole lines."""

    data: bytes


@dataclass(frozen=True, slots=True)
class ToClient:
    """Write these bytes to the client: whole lines."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Record:
    """Tell the observers."""

    fact: Fact


@dataclass(frozen=True, slots=True)
class Ask:
    """A request to the bridge itself; answer it with `RelayCore.answer` and this number.

    Attributes:
        params: the params as the client wrote them; empty if absent.
    """

    number: int
    method: str
    params: bytes


@dataclass(frozen=True, slots=True)
class CloseAgentInput:
    """Everything the client ever wrote has been handed over: the agent's input can be closed."""


Command = ToAgent | ToClient | Record | Ask | CloseAgentInput
