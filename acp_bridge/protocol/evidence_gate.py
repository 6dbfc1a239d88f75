"""Lets prompts through only once the evidence has had its chance to speak.

The Claude adapter reports its credential in ``_auth/status_update`` notifications. The first prompt
waits for the first of them, up to a limit; silence is noted and the prompt goes on. A report that
contradicts the mode stops spending (`relay.RelayCore` does the stopping).
"""

from collections.abc import Callable, Mapping

from acp_bridge.errors import Reason
from acp_bridge.modes import BillingMode
from acp_bridge.protocol import json_text, names
from acp_bridge.protocol.decisions import (
    AgentDecision,
    ClientDecision,
    Contradiction,
    Hold,
    Interceptor,
    Note,
)
from acp_bridge.protocol.envelope import Envelope
from acp_bridge.protocol.evidence import Context, Signal, Source, Verdict, weigh
from acp_bridge.protocol.facts import EvidenceSeen, StatusNotSeen

_SAYS: Mapping[str, str] = {
    "account": "the agent reports a claude.ai account",
    "api_key": "the agent reports an API key",
    "gateway": "the agent reports a model gateway",
    "external": "the agent reports a cloud provider",
}
_SUSPECTS: Mapping[str, str] = {
    "account": "a stored claude.ai login or CLAUDE_CODE_OAUTH_TOKEN",
    "api_key": "a stored Console key, an apiKeyHelper or an ANTHROPIC_API_KEY in a settings file",
    "gateway": "ANTHROPIC_BASE_URL or a gateway sign-in",
    "external": "a CLAUDE_CODE_USE_… flag in a settings file or the environment",
}
_HINTS: Mapping[BillingMode, str] = {
    BillingMode.API_KEY: (
        "Remove it and start the agent again; `acp-bridge status` shows the evidence."
    ),
    BillingMode.SUBSCRIPTION: (
        "Sign in with `claude auth login --claudeai`, remove the other credential and start the"
        " agent again; `acp-bridge status` shows the evidence."
    ),
    BillingMode.ENDPOINT: (
        "Remove it and start the agent again; `acp-bridge status` shows the evidence."
    ),
}


class EvidenceGate(Interceptor):
    """Holds the first prompts, and judges what the agent says of itself.

    Args:
        mode: the mode of the run.
        context: what else is known, asked anew for each signal.
        status_wait_seconds: how long a prompt waits for a first status, in all.
    """

    client_methods = names.SPENDING
    agent_methods = frozenset({names.AUTH_STATUS_UPDATE})

    def __init__(
        self,
        mode: BillingMode,
        context: Callable[[], Context],
        status_wait_seconds: float = 5.0,
    ) -> None:
        self._mode = mode
        self._context = context
        self._wait = status_wait_seconds
        self._until: float | None = None
        self._settled = False

    def client_message(self, message: Envelope, now: float) -> ClientDecision:
        """Hold a prompt until a status was seen or the wait is over."""
        del message
        if self._settled:
            return None
        if self._until is None:
            self._until = now + self._wait
        if now < self._until:
            return Hold(self._until)
        self._settled = True
        return Note((StatusNotSeen(self._wait),))

    def agent_message(self, message: Envelope, now: float) -> AgentDecision:
        """Judge a status."""
        value = _status_kind(bytes(message.params))
        if value is None:
            return None
        self._settled = True
        signal = Signal(Source.AUTH_STATUS, value)
        evidence = weigh(self._mode, signal, self._context(), now)
        seen = (EvidenceSeen(evidence),)
        if evidence.verdict is not Verdict.CONTRADICTION:
            return Note(seen)
        sentence = (
            f"This run is locked to {self._mode.value} mode, but {_SAYS[value]}:"
            f" {_SUSPECTS[value]} is the likely cause."
        )
        return Contradiction(
            Reason.CREDENTIAL_CONTRADICTION,
            sentence,
            _HINTS[self._mode],
            channel=f"{Source.AUTH_STATUS}:{value}",
            facts=seen,
        )


def _status_kind(params: bytes) -> str | None:
    status = _member(_member(params, "authStatus"), "kind")
    return json_text.string(status)


def _member(raw: bytes | None, name: str) -> bytes | None:
    return (json_text.members(raw) or {}).get(name) if raw else None
