"""The words of billing: mode, credential class, bucket, plan, guard.

Every other module uses these enums and no strings of its own. The values are the ones that users
see in settings, JSON documents and logs.
"""

from enum import StrEnum


class BillingMode(StrEnum):
    """Who is meant to pay for a run. Decided once, at start."""

    API_KEY = "api-key"
    SUBSCRIPTION = "subscription"
    ENDPOINT = "endpoint"

    @property
    def letter(self) -> str:
        """The short name: ``A``, ``B`` or ``C``."""
        return _LETTERS[self]

    @classmethod
    def parse(cls, text: str) -> "BillingMode":
        """Read a mode from its name or letter, in any case.

        Raises:
            ValueError: the text names no billing mode.
        """
        wanted = text.strip().lower()
        for mode in cls:
            if wanted in (mode.value, mode.letter.lower()):
                return mode
        raise ValueError(f"{text!r} is not a billing mode; use api-key, subscription or endpoint")


_LETTERS = {
    BillingMode.API_KEY: "A",
    BillingMode.SUBSCRIPTION: "B",
    BillingMode.ENDPOINT: "C",
}


class CredentialClass(StrEnum):
    """What a model request authenticates with."""

    API_KEY = "api_key"
    SUBSCRIPTION_OAUTH = "subscription_oauth"
    ENDPOINT_CREDENTIAL = "endpoint_credential"
    CLOUD = "cloud"
    NONE = "none"
    UNKNOWN = "unknown"


CLASS_OF_MODE = {
    BillingMode.API_KEY: CredentialClass.API_KEY,
    BillingMode.SUBSCRIPTION: CredentialClass.SUBSCRIPTION_OAUTH,
    BillingMode.ENDPOINT: CredentialClass.ENDPOINT_CREDENTIAL,
}
"""What the requests of a mode are to authenticate with."""


class Bucket(StrEnum):
    """What is expected to be charged."""

    PLAN_LIMITS = "plan_limits"
    EXTRA_USAGE = "extra_usage"
    PROGRAMMATIC_CREDIT = "programmatic_credit"
    API = "api"
    ENDPOINT = "endpoint"
    UNKNOWN = "unknown"


class Plan(StrEnum):
    """Which claude.ai plan the user has. None where it is not known."""

    PRO = "pro"
    MAX_5X = "max-5x"
    MAX_20X = "max-20x"
    TEAM = "team"
    ENTERPRISE = "enterprise"


class Guard(StrEnum):
    """What the wire guard does with a request that carries the wrong credential."""

    ENFORCE = "enforce"
    OBSERVE = "observe"
    OFF = "off"


class OnViolation(StrEnum):
    """What happens when a payer other than the mode's is seen."""

    BLOCK = "block"
    WARN = "warn"


class OnOverage(StrEnum):
    """What happens when a subscription session is moved to extra usage."""

    WARN = "warn"
    BLOCK = "block"


class Metering(StrEnum):
    """What happens to a session where nothing can be counted.

    ``required`` refuses every prompt, ``budgeted`` those that a budget may stop, ``best-effort``
    none.
    """

    BUDGETED = "budgeted"
    REQUIRED = "required"
    BEST_EFFORT = "best-effort"


class AgentKind(StrEnum):
    """Whether the agent is a Claude Code adapter, for which the bridge gives guarantees."""

    CLAUDE = "claude"
    OTHER = "other"
