"""The errors a user can meet: one sentence, one hint, one exit status.

Every error that leaves a command is a `BridgeError`; anything else is a defect. Foreign exceptions
are translated once, where they are met, with ``raise … from``.
"""

from enum import StrEnum


class BridgeError(Exception):
    """Something the user can act on.

    Args:
        message: one sentence that says what is wrong; no secret, no newline.
        hint: one sentence that says what to do next.
    """

    exit_status = 1

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigurationError(BridgeError):
    """Wrong usage or settings."""

    exit_status = 2


class RefusedError(BridgeError):
    """The billing mode or a budget forbids what was asked."""

    exit_status = 3


class AgentError(BridgeError):
    """The agent is missing or cannot be started."""

    exit_status = 4


class Reason(StrEnum):
    """Why the bridge answered in the agent's place (``data.acp_bridge.reason``)."""

    MODE_LOCKED = "mode_locked"
    BUDGET_EXHAUSTED = "budget_exhausted"
    METERING_FAILED = "metering_failed"
    CREDENTIAL_CONTRADICTION = "credential_contradiction"
    GUARD_BYPASSED = "guard_bypassed"
    AGENT_EXITED = "agent_exited"
    LINE_TOO_LONG = "line_too_long"
    UNPARSEABLE = "unparseable"
    BATCH_NOT_SUPPORTED = "batch_not_supported"
