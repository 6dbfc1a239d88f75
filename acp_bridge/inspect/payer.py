"""Which payer Claude Code picks by itself, from what a machine holds; nothing is read here.

The order is Claude Code's own, as it was seen on the real program (2.1.316); where two credentials
go out together, nobody can say which of them is charged. Claude Code writes the ``env`` of settings
over its environment, the strongest file last; a few things it reads before the project's files.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlsplit

from acp_bridge.modes import CredentialClass

ENVIRONMENT = "environment"
_KEY, _BEARER, _LOGIN_TOKEN = (
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "CLAUDE_CODE_OAUTH_TOKEN",
)
_BASE_URL, _HEADERS, _SOCKET = (
    "ANTHROPIC_BASE_URL",
    "ANTHROPIC_CUSTOM_HEADERS",
    "ANTHROPIC_UNIX_SOCKET",
)
_PROGRAM, _HOSTED, _BARE, _GATEWAY = (
    "CLAUDE_CODE_EXECUTABLE",
    "CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST",
    "CLAUDE_CODE_SIMPLE",
    "CLAUDE_CODE_USE_GATEWAY",
)
_CLOUDS = (
    "CLAUDE_CODE_USE_BEDROCK",
    "CLAUDE_CODE_USE_FOUNDRY",
    "CLAUDE_CODE_USE_ANTHROPIC_AWS",
    "CLAUDE_CODE_USE_ANTHROPIC_GOOGLE_CLOUD",
    "CLAUDE_CODE_USE_MANTLE",
    "CLAUDE_CODE_USE_VERTEX",
)
_FEDERATION = "ANTHROPIC_FEDERATION_RULE_ID"
_HELPER = "apiKeyHelper"
_PROXIES = {
    "http": ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"),
    "https": ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"),
}
_NO_PROXIES = ("no_proxy", "NO_PROXY")
ANTHROPIC = "https://api.anthropic.com"
GATEWAY_SIGN_IN, CONSOLE_LOGIN = "Cloud gateway sign-in", "Console login"


class Reach(StrEnum):
    """Which of Claude Code's readings a place reaches."""

    PROCESS = "process"
    USER = "user"
    PROJECT = "project"
    MANAGED = "managed"


@dataclass(frozen=True, slots=True)
class Layer:
    """One place that holds variables or settings keys.

    Attributes:
        origin: its name for people: ``environment``, or a file.
        reach: when Claude Code reads it.
        env: its variables; may hold secrets.
        helper: whether it names an ``apiKeyHelper``.
    """

    origin: str
    reach: Reach
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    helper: bool = False


@dataclass(frozen=True, slots=True)
class Machine:
    """What Claude Code would find.

    Attributes:
        layers: from the weakest to the strongest; the process environment first.
        login: where a claude.ai login is stored; None if there is none.
        console_key: where a Console login left its key; None if there is none.
        profile: where an active profile of a federation is; None if there is none.
        gateway: where a sign-in at a company's gateway is stored; None if there is none.
    """

    layers: Sequence[Layer]
    login: str | None = None
    console_key: str | None = None
    profile: str | None = None
    gateway: str | None = None


@dataclass(frozen=True, slots=True)
class Payer:
    """Who would be charged.

    Attributes:
        credential_class: what a model request would carry; `NONE` if it would carry nothing, and
            `UNKNOWN` if two credentials go out, or a program in Claude Code's place decides.
        channel: what brings it.
        origin: where that is.
        destination: the base URL; None where a cloud provider, a gateway or a socket decides.
        route: the proxy on the way, as (variable, origin); None without one.
    """

    credential_class: CredentialClass
    channel: str
    origin: str
    destination: str | None = ANTHROPIC
    route: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class _Found:
    name: str
    value: str
    layer: Layer


def payer_of(machine: Machine) -> Payer:
    """The payer that Claude Code picks on this machine without the bridge."""
    sight = _Sight(machine)
    program = sight.in_process(_PROGRAM)
    if program is not None:
        return Payer(CredentialClass.UNKNOWN, _PROGRAM, ENVIRONMENT, None)
    elsewhere = sight.provider()
    if elsewhere is not None:
        return elsewhere
    credential = sight.credential()
    if sight.in_process(_SOCKET) is not None:
        is_login = credential.credential_class is CredentialClass.SUBSCRIPTION_OAUTH
        nobody = CredentialClass.NONE if is_login else credential.credential_class
        return Payer(nobody, _SOCKET, ENVIRONMENT, None)
    base = sight.setting(_BASE_URL)
    destination = ANTHROPIC if base is None else base.value.rstrip("/")
    route = sight.proxy(destination)
    return Payer(
        credential.credential_class, credential.channel, credential.origin, destination, route
    )


class _Sight:
    """What Claude Code sees of a machine."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._hosted = self.in_process(_HOSTED) is not None

    def in_process(self, name: str) -> _Found | None:
        """A variable of the process alone."""
        layers = [layer for layer in self._machine.layers if layer.reach is Reach.PROCESS]
        return self._strongest(name, layers)

    def early(self, name: str) -> _Found | None:
        """A variable that is read before the project's files."""
        layers = [layer for layer in self._machine.layers if layer.reach is not Reach.PROJECT]
        return self._strongest(name, layers)

    def setting(self, name: str) -> _Found | None:
        """A variable that settings can set; where a host manages the provider, they cannot."""
        layers = self._machine.layers
        return self.in_process(name) if self._hosted else self._strongest(name, layers)

    def provider(self) -> Payer | None:
        """Another provider than Anthropic's own API; a gateway that is signed in to comes first."""
        if self._machine.gateway is not None and not self._hosted:
            where = self._machine.gateway
            return Payer(CredentialClass.ENDPOINT_CREDENTIAL, GATEWAY_SIGN_IN, where, None)
        for name in _CLOUDS:
            flag = self.setting(name)
            if flag is not None:
                return Payer(CredentialClass.CLOUD, name, flag.layer.origin, None)
        gateway = self.setting(_GATEWAY)
        if gateway is None:
            return None
        own = self.in_process(_BEARER)
        if gateway.layer.reach is Reach.PROJECT and own is not None:
            # Its address is not taken from the project, and the bearer is the process's.
            base = self.in_process(_BASE_URL)
            destination = ANTHROPIC if base is None else base.value.rstrip("/")
            return Payer(CredentialClass.ENDPOINT_CREDENTIAL, _BEARER, ENVIRONMENT, destination)
        return Payer(CredentialClass.ENDPOINT_CREDENTIAL, _GATEWAY, gateway.layer.origin, None)

    def credential(self) -> Payer:
        """What a request to Anthropic's API, or one like it, carries."""
        found = list(self._outranking())
        if len(found) > 1:
            names = " and ".join(one.channel for one in found)
            return Payer(CredentialClass.UNKNOWN, names, found[-1].origin)
        base = found[0] if found else self._stored()
        headers = self.setting(_HEADERS)
        if headers is not None and self._replaces(headers.value, base):
            return Payer(CredentialClass.UNKNOWN, _HEADERS, headers.layer.origin)
        return base

    def _outranking(self) -> Iterator[Payer]:
        """Credentials before which no login counts; those that are there all go out."""
        bearer = self.setting(_BEARER)
        if bearer is not None:
            origin = bearer.layer.origin
            yield Payer(CredentialClass.ENDPOINT_CREDENTIAL, _BEARER, origin)
        keys = list(self._keys())
        yield from keys
        # The key of a Console login fills the place of a key beside a bearer.
        console_key = self._machine.console_key
        if bearer is not None and not keys and console_key is not None and not self._hosted:
            yield Payer(CredentialClass.API_KEY, CONSOLE_LOGIN, console_key)

    def _keys(self) -> Iterator[Payer]:
        key = self.setting(_KEY)
        if key is not None:
            yield Payer(CredentialClass.API_KEY, _KEY, key.layer.origin)
        if not self._hosted:
            for layer in reversed(self._machine.layers):
                if layer.helper:
                    yield Payer(CredentialClass.API_KEY, _HELPER, layer.origin)
                    return

    def _stored(self) -> Payer:
        """Logins, in their order."""
        machine = self._machine
        token = self.early(_LOGIN_TOKEN)
        if token is not None:
            return Payer(CredentialClass.SUBSCRIPTION_OAUTH, _LOGIN_TOKEN, token.layer.origin)
        federation = self.early(_FEDERATION)
        if federation is not None:
            origin = federation.layer.origin
            return Payer(CredentialClass.ENDPOINT_CREDENTIAL, _FEDERATION, origin)
        if machine.profile is not None:
            return Payer(CredentialClass.ENDPOINT_CREDENTIAL, "profile", machine.profile)
        if not self._hosted and self.early(_BARE) is None:
            if machine.login is not None:
                return Payer(CredentialClass.SUBSCRIPTION_OAUTH, "stored login", machine.login)
            if machine.console_key is not None:
                return Payer(CredentialClass.API_KEY, CONSOLE_LOGIN, machine.console_key)
        return Payer(CredentialClass.NONE, "nothing", "")

    @staticmethod
    def _replaces(headers: str, base: Payer) -> bool:
        """Whether headers of the user's own authenticate in another's place, or beside it."""
        names = {line.partition(":")[0].strip().lower() for line in headers.splitlines()}
        return "x-api-key" in names or ("authorization" in names and base.channel != _BEARER)

    def proxy(self, destination: str) -> tuple[str, str] | None:
        """The proxy on the way to a destination."""
        parts = urlsplit(destination)
        if any(
            _covers(found.value, parts.hostname or "")
            for name in _NO_PROXIES
            if (found := self._any(name)) is not None
        ):
            return None
        for name in _PROXIES.get(parts.scheme, ()):
            found = self._any(name)
            if found is not None:
                return name, found.layer.origin
        return None

    def _any(self, name: str) -> _Found | None:
        return self._strongest(name, self._machine.layers)

    @staticmethod
    def _strongest(name: str, layers: Sequence[Layer]) -> _Found | None:
        """The last word on a variable; an empty one unsets it."""
        for layer in reversed(layers):
            if name in layer.env:
                value = layer.env[name]
                return _Found(name, value, layer) if value else None
        return None


def _covers(no_proxy: str, host: str) -> bool:
    entries = [entry.strip().lstrip(".") for entry in no_proxy.split(",")]
    return "*" in entries or any(
        entry and (host == entry or host.endswith(f".{entry}")) for entry in entries
    )
