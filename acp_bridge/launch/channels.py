"""The channels by which a payer reaches Claude Code, read from ``config/credential-channels.toml``.

The file is the only place that knows names of variables and settings keys; its header explains the
words. `acp_bridge.launch.channel_rows` has the rows, `acp_bridge.launch.channel_table` the whole.
"""

import re
import tomllib
from pathlib import Path

from acp_bridge.errors import ConfigurationError
from acp_bridge.launch.channel_rows import (
    Action,
    Kind,
    LaunchForm,
    ManagedRule,
    MessageField,
    Moved,
    Pinned,
    SettingsKey,
    SettingsPin,
    SettingsSource,
    StoredSignIn,
    Telemetry,
    TelemetryVariable,
    Trial,
    Variable,
)
from acp_bridge.launch.channel_table import Channels
from acp_bridge.launch.rows import Row, Table
from acp_bridge.launch.shipped import shipped_file
from acp_bridge.modes import BillingMode, CredentialClass

__all__ = [
    "CHANNELS_FILE",
    "Action",
    "Channels",
    "Kind",
    "LaunchForm",
    "ManagedRule",
    "SettingsPin",
    "Variable",
    "load_channels",
    "parse_channels",
]

CHANNELS_FILE = "credential-channels.toml"
SCHEMA_VERSION = 1
_BLANK = "$blank"


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
        moved=tuple(_moved(row) for row in table.rows("moved")),
        settings_keys=tuple(_settings_key(row) for row in table.rows("settings")),
        managed_rules=tuple(_managed_rule(row) for row in table.rows("managed")),
        managed_folders={
            row.text("platform"): row.text("path") for row in table.rows("managed_folders")
        },
        sources=tuple(
            SettingsSource(
                row.text("name"), row.text("path"), row.text("scope"), row.optional_text("option")
            )
            for row in table.rows("files")
        ),
        stored=tuple(_stored(row) for row in table.rows("stored")),
        message_fields=tuple(
            MessageField(row.text("field"), row.text("action"), row.text("why"))
            for row in table.rows("acp")
        ),
        launch_forms=tuple(_launch_form(row) for row in table.rows("launch")),
        common_sets=table.row("common").texts("set"),
        adapter_sets=table.row("common").texts("adapter_set"),
        suggestions_off=table.row("suggestions").texts("off"),
        roles=table.row("roles").all_texts(),
        trial=_trial(table.row("trial")),
        telemetry=_telemetry(table),
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


def _moved(row: Row) -> Moved:
    return Moved(
        name=row.text("from"),
        to=tuple(row.list_of_texts("to")),
        unless=row.text("unless"),
        why=row.text("why"),
        seen=row.text("seen"),
    )


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


def _stored(row: Row) -> StoredSignIn:
    return StoredSignIn(
        name=row.text("name"),
        path=row.text("path"),
        key=row.text("key"),
        contradicts=frozenset(row.modes("contradicts")),
        fix=row.text("fix"),
        why=row.text("why"),
        seen=row.text("seen"),
    )


def _launch_form(row: Row) -> LaunchForm:
    return LaunchForm(
        mode=row.member("mode", BillingMode),
        form=row.text("form"),
        credential_class=row.member("credential_class", CredentialClass),
        sets=row.texts("set"),
        settings=row.texts("settings") if "settings" in row else {},
    )


def _trial(row: Row) -> Trial:
    return Trial(
        arguments=tuple(row.list_of_texts("arguments")),
        environment=row.texts("environment"),
        env=row.texts("env"),
        field=row.text("field"),
        loaded=row.text("loaded"),
    )


def _telemetry(table: Table) -> Telemetry:
    rules = table.row("telemetry_rules")
    return Telemetry(
        variables=tuple(
            TelemetryVariable(
                name=name,
                part=row.text("part"),
                pins={case: _pinned(row, case) for case in Pinned if case.value in row},
                project=row.optional_text("project"),
                why=row.text("why"),
                seen=row.text("seen"),
            )
            for row in table.rows("telemetry")
            for name in row.list_of_texts("names")
        ),
        switched_on=tuple(rules.list_of_texts("switched_on")),
        exporters=tuple(rules.list_of_texts("exporters")),
        protocols=tuple(rules.list_of_texts("protocols")),
        default=rules.text("default"),
        path=rules.text("path"),
        helper=rules.text("helper"),
        managed=rules.text("managed"),
    )


def _pinned(row: Row, case: Pinned) -> str:
    value = row.text(case.value)
    return "" if value == _BLANK else value


def _check_sets(channels: Channels, table: Table) -> None:
    # A launch that sets a variable which the mode removes would contradict itself silently.
    everywhere = [
        (mode, sets)
        for mode in BillingMode
        for sets in (channels.common_sets, channels.adapter_sets)
    ]
    for mode, sets in everywhere + [(form.mode, form.sets) for form in channels.launch_forms]:
        for name in sets:
            if channels.action(name, mode) is not Action.SET:
                raise table.error("launch", f"sets {name}, which mode {mode.value} does not set")
