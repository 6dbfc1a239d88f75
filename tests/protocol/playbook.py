"""Conversations with the relay core, written as they happen.

``>>`` is something that happens to the core, ``<<`` is the next command it has to give::

    play = Playbook(core)
    play >> Client(PROMPT) << Record(PromptStarted("s1")) << ToAgent(PROMPT)
    play.ends()

A command can be given as itself or as a `Refusal`, which compares code, id and reason.
"""

import json
from collections import deque
from dataclasses import dataclass
from typing import Any

from acp_bridge.modes import BillingMode
from acp_bridge.protocol.commands import Command, Record, ToAgent, ToClient
from acp_bridge.protocol.decisions import Interceptor
from acp_bridge.protocol.evidence import Context
from acp_bridge.protocol.evidence_gate import EvidenceGate
from acp_bridge.protocol.initialize import BridgeCard, InitializeEditor
from acp_bridge.protocol.lock import ModeLock
from acp_bridge.protocol.relay import RelayCore
from acp_bridge.protocol.session_options import SessionPolicy

A, B, C = BillingMode.API_KEY, BillingMode.SUBSCRIPTION, BillingMode.ENDPOINT

CHANNELS = frozenset({"ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL"})
PINS = {"apiKeyHelper": "", "env": {"ANTHROPIC_API_KEY": "", "ANTHROPIC_BASE_URL": ""}}
POLICY = SessionPolicy(CHANNELS.__contains__, PINS, lambda _path, _cwd: None)


def line(message: Any) -> bytes:
    """One message as the adapter writes it."""
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def request(number: Any, method: str, params: Any = None) -> bytes:
    """A request line."""
    return line({"jsonrpc": "2.0", "id": number, "method": method, "params": params or {}})


def notification(method: str, params: Any = None) -> bytes:
    """A notification line."""
    return line({"jsonrpc": "2.0", "method": method, "params": params or {}})


def result(number: Any, value: Any = None) -> bytes:
    """A result line."""
    return line({"jsonrpc": "2.0", "id": number, "result": {} if value is None else value})


def failure(number: Any, code: int = -32000) -> bytes:
    """An error line."""
    error = {"code": code, "message": "no"}
    return line({"jsonrpc": "2.0", "id": number, "error": error})


def status(kind: str) -> bytes:
    """What the Claude adapter says of its credential."""
    return notification("_auth/status_update", {"authStatus": {"kind": kind, "label": "x"}})


def prompt(number: Any, session_id: str = "s1") -> bytes:
    """A prompt line."""
    return request(number, "session/prompt", {"sessionId": session_id, "prompt": []})


def card(mode: BillingMode) -> BridgeCard:
    """How the bridge of these tests presents itself."""
    return BridgeCard(
        mode, {"version": "0", "mode": mode.value}, ("/opt/acp-bridge", "--mode", mode.value)
    )


def everyone(mode: BillingMode, context: Context | None = None) -> list[Interceptor]:
    """All interceptors, as the bridge lines them up."""
    known = context or Context(login_stored=True)
    return [
        InitializeEditor(card(mode)),
        ModeLock(mode, POLICY),
        EvidenceGate(mode, lambda: known),
    ]


def relay(
    mode: BillingMode = B, interceptors: list[Interceptor] | None = None, **settings: Any
) -> RelayCore:
    """A core; without interceptors unless the test says which."""
    return RelayCore(mode, interceptors or [], **settings)


def guarded(mode: BillingMode = B, context: Context | None = None, **settings: Any) -> RelayCore:
    """A core with all interceptors."""
    return RelayCore(mode, everyone(mode, context), **settings)


@dataclass(frozen=True)
class Client:
    """The client writes."""

    data: bytes


@dataclass(frozen=True)
class Agent:
    """The agent writes."""

    data: bytes


@dataclass(frozen=True)
class ClientCloses:
    """The client's stream ends."""


@dataclass(frozen=True)
class AgentCloses:
    """The agent ends."""

    detail: str = "it exited with status 1"


@dataclass(frozen=True)
class Waits:
    """Time passes, and the driver ticks."""

    seconds: float


Event = Client | Agent | ClientCloses | AgentCloses | Waits


@dataclass(frozen=True)
class Refusal:
    """An error line to the client."""

    raw_id: str
    code: int
    reason: str | None = None

    def matches(self, command: Command) -> bool:
        if not isinstance(command, ToClient) or b'"id":' + self.raw_id.encode() not in command.data:
            return False
        error = json.loads(command.data)["error"]
        data = error.get("data", {}).get("acp_bridge", {})
        return bool(error["code"] == self.code and data.get("reason") == self.reason)


class Playbook:
    """One conversation; `facts` are kept aside unless a step names them."""

    def __init__(self, core: RelayCore, *, facts: bool = True) -> None:
        self.core = core
        self.now = 0.0
        self.given: deque[Command] = deque()
        self._with_facts = facts

    def __rshift__(self, event: Event) -> "Playbook":
        self.ends()
        commands = self.happens(event)
        self.given.extend(c for c in commands if self._with_facts or not isinstance(c, Record))
        return self

    def __lshift__(self, expected: Command | Refusal) -> "Playbook":
        assert self.given, f"expected {expected}, but nothing more was given"
        given = self.given.popleft()
        if isinstance(expected, Refusal):
            assert expected.matches(given), f"expected {expected}, got {given}"
        else:
            assert given == expected
        return self

    def happens(self, event: Event) -> list[Command]:
        match event:
            case Client(data):
                return self.core.receive_from_client(data, self.now)
            case Agent(data):
                return self.core.receive_from_agent(data, self.now)
            case ClientCloses():
                return self.core.client_closed(self.now)
            case AgentCloses(detail):
                return self.core.agent_closed(detail, self.now)
            case Waits(seconds):
                self.now += seconds
                return self.core.tick(self.now)

    def ends(self) -> None:
        """Nothing that was given has been left unmentioned."""
        assert not self.given, f"not expected: {list(self.given)}"


def sent_to_agent(commands: list[Command]) -> bytes:
    """All bytes for the agent."""
    return b"".join(c.data for c in commands if isinstance(c, ToAgent))


def sent_to_client(commands: list[Command]) -> bytes:
    """All bytes for the client."""
    return b"".join(c.data for c in commands if isinstance(c, ToClient))


def recorded(commands: list[Command]) -> list[Any]:
    """All facts."""
    return [c.fact for c in commands if isinstance(c, Record)]
