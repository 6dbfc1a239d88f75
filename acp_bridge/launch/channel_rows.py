"""What one row of ``config/credential-channels.toml`` says; its header explains the words."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from acp_bridge.modes import BillingMode, CredentialClass


class Kind(StrEnum):
    """What a channel carries."""

    CREDENTIAL = "credential"
    HOST = "host"
    FEDERATION = "federation"
    PROVIDER = "provider"
    CLOUD = "cloud"
    ENDPOINT = "endpoint"
    HEADERS = "headers"
    PROXY = "proxy"
    TLS = "tls"
    LOADER = "loader"
    MODEL = "model"
    STATE = "state"
    NESTED = "nested"
    BRIDGE = "bridge"

    @property
    def moves_the_payer(self) -> bool:
        """Whether finding one is worth telling the user."""
        return self in _PAYER_KINDS


_PAYER_KINDS = frozenset(
    {Kind.CREDENTIAL, Kind.HOST, Kind.FEDERATION, Kind.PROVIDER, Kind.ENDPOINT, Kind.HEADERS}
)


class Action(StrEnum):
    """What a mode does with a variable of the process environment."""

    REMOVE = "remove"
    KEEP = "keep"
    PIN = "pin"
    SET = "set"


class SettingsPin(StrEnum):
    """What is pinned for a variable in the ``env`` of the settings tier."""

    BLANK = "blank"
    OWN = "own"
    OWN_IF_NAMED = "own-if-named"
    SET = "set"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable, or a family of them when ``is_pattern``."""

    name: str
    is_pattern: bool
    kind: Kind
    environment: Mapping[BillingMode, Action]
    settings: SettingsPin
    removed_from_messages: bool
    why: str
    seen: str

    def matches(self, name: str) -> bool:
        """Whether this row speaks of the variable."""
        if self.is_pattern:
            return re.match(self.name, name) is not None
        return name == self.name


@dataclass(frozen=True, slots=True)
class SettingsKey:
    """A key of a settings file other than ``env``."""

    key: str
    kind: Kind
    pin: object
    contradicts: frozenset[BillingMode]
    why: str
    seen: str


@dataclass(frozen=True, slots=True)
class ManagedRule:
    """What an administrator's key means for the modes."""

    key: str
    refuse: bool
    forbid: Mapping[BillingMode, tuple[str, ...]]
    require: Mapping[BillingMode, str]
    why: str
    seen: str


@dataclass(frozen=True, slots=True)
class LaunchForm:
    """What a launch with one form of credential sets; values may be ``$`` slots.

    Args:
        settings: keys of the settings tier beside those of every launch.
    """

    mode: BillingMode
    form: str
    credential_class: CredentialClass
    sets: Mapping[str, str]
    settings: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Moved:
    """A variable whose value, if the user's own, is used under other names."""

    name: str
    to: tuple[str, ...]
    unless: str
    why: str
    seen: str


@dataclass(frozen=True, slots=True)
class SettingsSource:
    """A file that holds settings.

    Args:
        name: its name in reports.
        path: its path with placeholders.
        scope: user, project, managed…
        option: its word in ``--setting-sources``; None where that option leaves it alone.
    """

    name: str
    path: str
    scope: str
    option: str | None


@dataclass(frozen=True, slots=True)
class StoredSignIn:
    """A sign-in that Claude Code keeps, and pays with in place of a mode's own credential.

    Args:
        name: its name for people.
        path: its file with a placeholder.
        key: the key of that file which says that it is there.
        contradicts: the modes in which Claude Code would use it.
        fix: what the user can do.
    """

    name: str
    path: str
    key: str
    contradicts: frozenset[BillingMode]
    fix: str
    why: str
    seen: str


@dataclass(frozen=True, slots=True)
class MessageField:
    """A field of a client's ACP message that reaches Claude Code."""

    field: str
    action: str
    why: str


@dataclass(frozen=True, slots=True)
class Trial:
    """How to see whether the real program loads a settings file."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    env: Mapping[str, str]
    field: str
    loaded: str


class Pinned(StrEnum):
    """What the user exports without the bridge."""

    OFF = "off"
    ALONE = "alone"
    TAPPED = "tapped"


@dataclass(frozen=True, slots=True)
class TelemetryVariable:
    """A variable that says whether and where Claude Code exports its own telemetry.

    Args:
        part: what it says; the launch gate asks for variables by their part, in the file's order.
        pins: what is pinned in a `Pinned` case; ``$telemetry`` is the receiver's address.
        project: the only value of a project's settings file that counts; None for none at all.
    """

    name: str
    part: str
    pins: Mapping[Pinned, str]
    project: str | None
    why: str
    seen: str


@dataclass(frozen=True, slots=True)
class Telemetry:
    """How Claude Code's log events are brought to the bridge's receiver.

    Args:
        variables: every variable that matters.
        switched_on: the words that switch telemetry on.
        exporters: the exporters that are known; the first sends events over the network.
        protocols: the protocols that the receiver can pass on and the meter can read.
        default: the base address where the user names none.
        path: what Claude Code appends to a base address.
        helper: the settings key of the command that makes headers.
        managed: a pattern of names with which an administrator fixes the telemetry.
    """

    variables: tuple[TelemetryVariable, ...]
    switched_on: tuple[str, ...]
    exporters: tuple[str, ...]
    protocols: tuple[str, ...]
    default: str
    path: str
    helper: str
    managed: str
