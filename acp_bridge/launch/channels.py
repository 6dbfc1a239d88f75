"""The channels by which a payer reaches Claude Code, read from ``config/credential-channels.toml``.

The file is the only place that knows names of variables and settings keys; its header explains the
words. Everything here is a value: nothing looks at the process or at other files.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from acp_bridge.errors import ConfigurationError
from acp_bridge.launch.rows import Row, Table
from acp_bridge.launch.shipped import shipped_file
from acp_bridge.modes import BillingMode, CredentialClass

CHANNELS_FILE = "credential-channels.toml"
SCHEMA_VERSION = 1


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
    """What a launch with one form of credential sets; values may be ``$`` slots."""

    mode: BillingMode
    form: str
    credential_class: CredentialClass
    sets: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SettingsSource:
    """A file that holds settings: its name in reports, its path with placeholders, its scope."""

    name: str
    path: str
    scope: str


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


@dataclass(frozen=True, slots=True)
class Channels:
    """Every channel and what each mode does with it. Made by `parse_channels`."""

    variables: tuple[Variable, ...]
    settings_keys: tuple[SettingsKey, ...]
    managed_rules: tuple[ManagedRule, ...]
    managed_folders: Mapping[str, str]
    sources: tuple[SettingsSource, ...]
    message_fields: tuple[MessageField, ...]
    launch_forms: tuple[LaunchForm, ...]
    common_sets: Mapping[str, str]
    adapter_sets: Mapping[str, str]
    roles: Mapping[str, str]
    trial: Trial

    def variable(self, name: str) -> Variable | None:
        """The row that speaks of a variable: by name first, then by pattern."""
        for row in self.variables:
            if not row.is_pattern and row.name == name:
                return row
        for row in self.variables:
            if row.is_pattern and row.matches(name):
                return row
        return None

    def action(self, name: str, mode: BillingMode) -> Action:
        """What the mode does with a variable of the process environment."""
        row = self.variable(name)
        return Action.KEEP if row is None else row.environment[mode]

    def is_environment_channel(self, name: str, mode: BillingMode) -> bool:
        """Whether a client's message may not set this variable, since it would move the payer."""
        row = self.variable(name)
        if row is None:
            return False
        return row.removed_from_messages or row.environment[mode] is Action.REMOVE

    def is_users_to_choose(self, name: str) -> bool:
        """Whether the user's own value of a variable is looked at for the settings tier."""
        row = self.variable(name)
        pinned = row is not None and row.settings in (SettingsPin.OWN, SettingsPin.OWN_IF_NAMED)
        return pinned or name in self.common_sets

    def launch_form(self, mode: BillingMode, form: str) -> LaunchForm:
        """The launch of a mode with one form of credential.

        Raises:
            ConfigurationError: the mode has no such form.
        """
        for launch in self.launch_forms:
            if launch.mode is mode and launch.form == form:
                return launch
        raise ConfigurationError(
            f"mode {mode.value} has no credential of the form {form}",
            hint="Choose another mode or another credential.",
        )


def load_channels(path: Path | None = None) -> Channels:
    """Read the channels file; without a path, the one that comes with the package.

    Raises:
        ConfigurationError: the file is missing or wrong; the message names the line and key.
    """
    source = shipped_file(CHANNELS_FILE) if path is None else path
    try:
        text = source.read_text(encoding="utf-8")
    except (OSError, ValueError) as exc:
        raise ConfigurationError(
            f"{source} cannot be read", hint="Check the file and its permissions."
        ) from exc
    return parse_channels(text, origin=source.name)


def parse_channels(text: str, *, origin: str = CHANNELS_FILE) -> Channels:
    """Check and read the text of a channels file.

    Args:
        text: TOML.
        origin: the name to use in errors.

    Raises:
        ConfigurationError: the text is wrong; the message names the line and key.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigurationError(
            f"{origin} is not valid TOML: {exc}", hint="Mend the file or install again."
        ) from exc
    table = Table(document, text, origin)
    table.expect_version(SCHEMA_VERSION)
    channels = Channels(
        variables=_variables(table),
        settings_keys=tuple(_settings_key(row) for row in table.rows("settings")),
        managed_rules=tuple(_managed_rule(row) for row in table.rows("managed")),
        managed_folders={
            row.text("platform"): row.text("path") for row in table.rows("managed_folders")
        },
        sources=tuple(
            SettingsSource(row.text("name"), row.text("path"), row.text("scope"))
            for row in table.rows("files")
        ),
        message_fields=tuple(
            MessageField(row.text("field"), row.text("action"), row.text("why"))
            for row in table.rows("acp")
        ),
        launch_forms=tuple(_launch_form(row) for row in table.rows("launch")),
        common_sets=table.row("common").texts("set"),
        adapter_sets=table.row("common").texts("adapter_set"),
        roles=table.row("roles").all_texts(),
        trial=_trial(table.row("trial")),
    )
    _check_sets(channels, table)
    return channels


def _variables(table: Table) -> tuple[Variable, ...]:
    found: list[Variable] = []
    names: set[str] = set()
    for row in table.rows("variables"):
        for variable in _variables_of(row):
            if variable.name in names:
                raise row.error("names", f"{variable.name} is listed twice")
            names.add(variable.name)
            found.append(variable)
    return tuple(found)


def _variables_of(row: Row) -> list[Variable]:
    pattern = row.optional_text("pattern")
    if pattern is not None:
        try:
            re.compile(pattern)
        except re.error as exc:
            raise row.error("pattern", f"is not a regular expression: {exc}") from exc
    return [
        Variable(
            name=name,
            is_pattern=pattern is not None,
            kind=row.member("kind", Kind),
            environment=_actions(row),
            settings=row.member("settings", SettingsPin),
            removed_from_messages=row.choice("message", ("remove", "keep")) == "remove",
            why=row.text("why"),
            seen=row.text("seen"),
        )
        for name in ([pattern] if pattern is not None else row.list_of_texts("names"))
    ]


def _actions(row: Row) -> dict[BillingMode, Action]:
    if isinstance(row.get("environment"), str):
        action = row.member("environment", Action)
        return dict.fromkeys(BillingMode, action)
    return {mode: row.sub("environment").member(mode.value, Action) for mode in BillingMode}


def _settings_key(row: Row) -> SettingsKey:
    return SettingsKey(
        key=row.text("key"),
        kind=row.member("kind", Kind),
        pin=row.get("pin"),
        contradicts=frozenset(row.modes("managed")),
        why=row.text("why"),
        seen=row.text("seen"),
    )


def _managed_rule(row: Row) -> ManagedRule:
    forbid = row.sub("forbid") if "forbid" in row else None
    require = row.sub("require") if "require" in row else None
    return ManagedRule(
        key=row.text("key"),
        refuse=row.flag("refuse"),
        forbid={}
        if forbid is None
        else {mode: tuple(forbid.list_of_texts(mode.value)) for mode in BillingMode},
        require={} if require is None else {mode: require.text(mode.value) for mode in BillingMode},
        why=row.text("why"),
        seen=row.text("seen"),
    )


def _launch_form(row: Row) -> LaunchForm:
    return LaunchForm(
        mode=row.member("mode", BillingMode),
        form=row.text("form"),
        credential_class=row.member("credential_class", CredentialClass),
        sets=row.texts("set"),
    )


def _trial(row: Row) -> Trial:
    return Trial(
        arguments=tuple(row.list_of_texts("arguments")),
        environment=row.texts("environment"),
        env=row.texts("env"),
        field=row.text("field"),
        loaded=row.text("loaded"),
    )


def _check_sets(channels: Channels, table: Table) -> None:
    # A launch that sets a variable which the mode removes would contradict itself silently.
    everywhere: list[tuple[BillingMode, Mapping[str, Any]]] = [
        (mode, sets)
        for mode in BillingMode
        for sets in (channels.common_sets, channels.adapter_sets)
    ]
    for mode, sets in everywhere + [(form.mode, form.sets) for form in channels.launch_forms]:
        for name in sets:
            if channels.action(name, mode) is not Action.SET:
                raise table.error("launch", f"sets {name}, which mode {mode.value} does not set")
