"""Who is meant to pay, how the plain adapter is told so and how the bridge is."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from acp_bridge.loopback.scratch import (
    FAKE_API_KEY,
    FAKE_ENDPOINT_TOKEN,
    FAKE_SECRETS,
)
from acp_bridge.modes import BillingMode, CredentialClass
from acp_bridge.proving.kinds import PLANTED_SECRETS

SETUP_TOKEN = "sk-ant-oat01-FAKE-own-setup-token-not-a-secret-000000000000000"  # noqa: S105 - fake
ENDPOINT_KEY = "FAKE-own-endpoint-key-not-a-secret"
KNOWN: Mapping[str, str] = {
    **FAKE_SECRETS,
    **PLANTED_SECRETS,
    "own setup token": SETUP_TOKEN,
    "own endpoint key": ENDPOINT_KEY,
}
PROFILE_LOOKUP = frozenset({"api.anthropic.com:443"})
"""What every start with a stored login asks for, whatever the settings say (FACTS)."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What one payer means.

    Attributes:
        mode: the billing mode.
        credential: the class and the label that every model request has to carry.
        native: the variables that tell Claude Code without the bridge; ``{url}`` is the endpoint.
        bridge: the same for the bridge.
        lookup: what leaves for elsewhere at each start.
        note: what tells it from the usual payer of the mode.
    """

    mode: BillingMode
    credential: tuple[CredentialClass, str]
    native: Mapping[str, str]
    bridge: Mapping[str, str]
    lookup: frozenset[str] = frozenset()
    note: str = ""

    def paid_with(self, secret: str) -> "Terms":
        """The same with another secret in the place of its own, where variables hand that over."""
        own = KNOWN[self.credential[1]]
        native, bridge = (
            {name: secret if value == own else value for name, value in variables.items()}
            for variables in (self.native, self.bridge)
        )
        return replace(self, native=native, bridge=bridge)


class Payer(StrEnum):
    """The payers. All of them find the same stored claude.ai login in the home."""

    KEY = "A"
    LOGIN = "B"
    ENDPOINT = "C"
    SETUP_TOKEN = "B-token"  # noqa: S105 - a name
    ENDPOINT_KEY = "C-key"

    @property
    def terms(self) -> Terms:
        """What this payer means."""
        return _TERMS[self]


_TO_ENDPOINT = {"ANTHROPIC_BASE_URL": "{url}"}
_TERMS: Mapping[Payer, Terms] = {
    Payer.KEY: Terms(
        BillingMode.API_KEY,
        (CredentialClass.API_KEY, "demo api key"),
        {**_TO_ENDPOINT, "ANTHROPIC_API_KEY": FAKE_API_KEY},
        {"ACP_BRIDGE_UPSTREAM_URL": "{url}", "ACP_BRIDGE_API_KEY": FAKE_API_KEY},
    ),
    Payer.LOGIN: Terms(
        BillingMode.SUBSCRIPTION,
        (CredentialClass.SUBSCRIPTION_OAUTH, "demo login"),
        _TO_ENDPOINT,
        {"ACP_BRIDGE_UPSTREAM_URL": "{url}"},
        PROFILE_LOOKUP,
    ),
    Payer.ENDPOINT: Terms(
        BillingMode.ENDPOINT,
        (CredentialClass.ENDPOINT_CREDENTIAL, "demo endpoint token"),
        {**_TO_ENDPOINT, "ANTHROPIC_AUTH_TOKEN": FAKE_ENDPOINT_TOKEN},
        {"ACP_BRIDGE_ENDPOINT_URL": "{url}", "ACP_BRIDGE_ENDPOINT_TOKEN": FAKE_ENDPOINT_TOKEN},
    ),
    Payer.SETUP_TOKEN: Terms(
        BillingMode.SUBSCRIPTION,
        (CredentialClass.SUBSCRIPTION_OAUTH, "own setup token"),
        {**_TO_ENDPOINT, "CLAUDE_CODE_OAUTH_TOKEN": SETUP_TOKEN},
        {"ACP_BRIDGE_UPSTREAM_URL": "{url}", "CLAUDE_CODE_OAUTH_TOKEN": SETUP_TOKEN},
        note="setup token",
    ),
    Payer.ENDPOINT_KEY: Terms(
        BillingMode.ENDPOINT,
        # A key for an endpoint travels as any key does; which endpoint is what tells them apart.
        (CredentialClass.API_KEY, "own endpoint key"),
        {**_TO_ENDPOINT, "ANTHROPIC_API_KEY": ENDPOINT_KEY},
        {"ACP_BRIDGE_ENDPOINT_URL": "{url}", "ACP_BRIDGE_ENDPOINT_API_KEY": ENDPOINT_KEY},
        note="endpoint with x-api-key",
    ),
}
