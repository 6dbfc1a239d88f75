"""Every channel and what each mode does with it, as a value that answers questions."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from acp_bridge.errors import ConfigurationError
from acp_bridge.launch.channel_rows import (
    Action,
    LaunchForm,
    ManagedRule,
    MessageField,
    Moved,
    SettingsKey,
    SettingsPin,
    SettingsSource,
    StoredSignIn,
    Telemetry,
    Trial,
    Variable,
)
from acp_bridge.modes import BillingMode


@dataclass(frozen=True, slots=True)
class Channels:
    """Every channel. `acp_bridge.launch.channels.parse_channels` makes it."""

    variables: tuple[Variable, ...]
    moved: tuple[Moved, ...]
    settings_keys: tuple[SettingsKey, ...]
    managed_rules: tuple[ManagedRule, ...]
    managed_folders: Mapping[str, str]
    sources: tuple[SettingsSource, ...]
    stored: tuple[StoredSignIn, ...]
    message_fields: tuple[MessageField, ...]
    launch_forms: tuple[LaunchForm, ...]
    common_sets: Mapping[str, str]
    adapter_sets: Mapping[str, str]
    suggestions_off: Mapping[str, str]
    roles: Mapping[str, str]
    trial: Trial
    telemetry: Telemetry

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

    def with_moves(self, values: Mapping[str, str]) -> dict[str, str]:
        """The user's own values, under the names by which Claude Code shall know them."""
        settled = dict(values)
        for move in self.moved:
            value = settled.get(move.name)
            if not value or re.match(move.unless, value):
                continue
            del settled[move.name]
            taken = {name.upper() for name, own in settled.items() if own}
            settled.update({name: value for name in move.to if name.upper() not in taken})
        return settled

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
