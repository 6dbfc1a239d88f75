"""What an endpoint or sink remembers of its visitors, and how to wait for one. Never a secret."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Generic, TypeVar

import anyio

from acp_bridge.loopback.asked import RequestKind
from acp_bridge.loopback.message import Request
from acp_bridge.loopback.script import Usage
from acp_bridge.policy.credential import KnownSecrets, PresentedCredential, classify_credential
from acp_bridge.policy.surface import Surface, surface_of

_T = TypeVar("_T")

# Anything else may carry a secret (ANTHROPIC_CUSTOM_HEADERS names headers freely).
_READABLE_HEADERS = frozenset(
    {"accept", "accept-encoding", "content-length", "content-type", "host", "user-agent", "x-app"}
)
_READABLE_PREFIXES = ("anthropic-", "x-claude-code-", "x-claude-1p-", "x-stainless-")
_SECRET_WORDS = ("auth", "key", "secret", "token")


class Outcome(StrEnum):
    """How far an answer got."""

    OPEN = "open"
    COMPLETE = "complete"
    CUT = "cut"
    CLIENT_LEFT = "client_left"


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """One request as the embedded endpoint saw it.

    Attributes:
        at: when it had arrived, UTC.
        method: as on the wire.
        target: as on the wire, query included.
        credential: what it authenticates with; the secret itself is not kept.
        headers: names in lower case, in the order of the wire; the value is None for every header
            that could carry a secret.
        body_sha256: hexadecimal digest of the body.
        kind: what it was for.
        model: the model asked for; None outside the Messages API.
        answered: the model that the answer names; None when no model answered.
        prompt: what the user typed last, as `Asked.prompt`.
        status: the HTTP status answered.
        usage: what the answer is scripted to cost; None when no model answered.
        outcome: how far the answer got.
    """

    at: datetime
    method: str
    target: str
    credential: PresentedCredential
    headers: tuple[tuple[str, str | None], ...]
    body_sha256: str
    kind: RequestKind = RequestKind.OTHER
    model: str | None = None
    answered: str | None = None
    prompt: str | None = None
    status: int | None = None
    usage: Usage | None = None
    outcome: Outcome = Outcome.OPEN

    def header(self, name: str) -> str | None:
        """The first value kept for a header (name in lower case), or None."""
        return next((value for key, value in self.headers if key == name), None)

    @property
    def header_names(self) -> tuple[str, ...]:
        """The names of the headers, in the order of the wire."""
        return tuple(name for name, _ in self.headers)

    @property
    def session_id(self) -> str | None:
        """Claude Code's session."""
        return self.header("x-claude-code-session-id")

    @property
    def agent_id(self) -> str | None:
        """The subagent that asked; None for the main loop."""
        return self.header("x-claude-code-agent-id")

    @property
    def user_agent(self) -> str | None:
        """Who says it asks."""
        return self.header("user-agent")

    @property
    def surface(self) -> Surface:
        """What kind of program says it asks."""
        return surface_of(self.user_agent)


def see(request: Request, known: KnownSecrets) -> SeenRequest:
    """Look at a request once and keep what is no secret."""
    return SeenRequest(
        at=datetime.now(UTC),
        method=request.method,
        target=request.target,
        credential=classify_credential(request.headers, known),
        headers=tuple((n, value if _is_readable(n) else None) for n, value in request.headers),
        body_sha256=hashlib.sha256(request.body).hexdigest(),
    )


class Record(Generic[_T]):
    """Values in order of arrival, which a task can wait on."""

    def __init__(self) -> None:
        self._values: list[_T] = []
        self._changed = anyio.Event()

    def add(self, value: _T) -> int:
        """Append a value and return its place."""
        self._values.append(value)
        self._announce()
        return len(self._values) - 1

    def replace(self, place: int, change: Callable[[_T], _T]) -> None:
        """Put a changed value at a place."""
        self._values[place] = change(self._values[place])
        self._announce()

    def all(self) -> list[_T]:
        """A copy of everything so far."""
        return list(self._values)

    async def wait_for(self, predicate: Callable[[_T], bool], seconds: float) -> _T:
        """The first value, past or to come, that the predicate accepts.

        Raises:
            TimeoutError: none came in time.
        """
        with anyio.fail_after(seconds):
            while True:
                changed = self._changed
                for value in self._values:
                    if predicate(value):
                        return value
                await changed.wait()

    def _announce(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


def _is_readable(name: str) -> bool:
    if any(word in name for word in _SECRET_WORDS):
        return False
    return name in _READABLE_HEADERS or name.startswith(_READABLE_PREFIXES)
