"""The credential of a run: what the agent is given, and what stays with the bridge."""

from dataclasses import dataclass, field
from typing import Self

from acp_bridge.launch.credentials import (
    Credential,
    Source,
    api_key_source,
    endpoint_credential,
    stand_in,
)
from acp_bridge.loopback.bound import new_token
from acp_bridge.modes import BillingMode
from acp_bridge.settings import Settings

_ANTHROPICS = "sk-ant-api03-"


@dataclass(frozen=True, slots=True)
class RunCredential:
    """Who holds what.

    Attributes:
        given: what the agent is given; None for a login of its own.
        held: where the wire guard gets the credential; None if the agent has it itself.
        placeholder: what the agent's requests carry instead of it.
    """

    given: Credential | None
    held: Source | None = None
    placeholder: str | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls,
        settings: Settings,
        inherited: str | None,
        *,
        guarded: bool,
        at_terminal: bool = False,
    ) -> Self:
        """The credential that the settings name.

        Args:
            settings: what the user asked for.
            inherited: the API key in the environment that the bridge was started with.
            guarded: a wire guard attaches it. Otherwise it is read at once.
            at_terminal: Claude Code would ask whether an API key may be used; the placeholder is a
                bearer then, of which it asks nothing.

        Raises:
            ConfigurationError: it is missing or wrong.
        """
        source = _source(settings, inherited)
        if source is None:
            return cls(None)
        if not guarded:
            return cls(source.read())
        placeholder = f"{_beginning(settings)}acp-bridge-placeholder-{new_token()}"
        form = "bearer" if at_terminal else source.form
        return cls(stand_in(form, placeholder), source, placeholder)

    @property
    def form(self) -> str | None:
        """The form of what pays; None for a login of the agent's own."""
        held = self.held or self.given
        return None if held is None else held.form


def _beginning(settings: Settings) -> str:
    """What Claude Code is to see at the placeholder's beginning.

    By it Claude Code tells a key of Anthropic's, and with such a one asks for titles on a cheaper
    model, whatever the base URL (ran 2.1.316).
    """
    key = settings.endpoint_api_key
    if settings.mode is BillingMode.ENDPOINT:
        is_anthropics = key is not None and key.get_secret_value().startswith(_ANTHROPICS)
        return _ANTHROPICS if is_anthropics else ""
    return _ANTHROPICS


def _source(settings: Settings, inherited: str | None) -> Source | None:
    match settings.mode:
        case BillingMode.API_KEY:
            return api_key_source(
                value=settings.api_key.get_secret_value() if settings.api_key else None,
                file=settings.api_key_file,
                command=settings.api_key_command,
                keyring=settings.api_key_keyring,
                inherited=inherited,
            )
        case BillingMode.ENDPOINT:
            return Source.of(_endpoint_credential(settings))
        case BillingMode.SUBSCRIPTION:
            return None


def _endpoint_credential(settings: Settings) -> Credential:
    token, key, headers = (
        settings.endpoint_token,
        settings.endpoint_api_key,
        settings.endpoint_headers,
    )
    return endpoint_credential(
        token=token.get_secret_value() if token else None,
        key=key.get_secret_value() if key else None,
        headers={name: value.get_secret_value() for name, value in headers.items()}
        if headers
        else None,
        no_auth=settings.endpoint_no_auth,
    )
