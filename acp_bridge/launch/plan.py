"""The launch plan: one decision for one run, made from values that are handed in.

The plan says what the agent's environment is, which settings are pinned over every file, what was
taken away and where it came from. `acp_bridge.launch.launcher` writes it down for the launch gate.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from acp_bridge.errors import ConfigurationError
from acp_bridge.launch.channels import Action, Channels, LaunchForm, SettingsPin
from acp_bridge.launch.credentials import Credential, oauth_token
from acp_bridge.launch.gate import merge_settings
from acp_bridge.launch.settings_files import Survey
from acp_bridge.modes import BillingMode, CredentialClass

__all__ = ["LaunchPlan", "Removal", "make_plan", "merge_settings"]

LOOPBACK_NAMES = ("127.0.0.1", "localhost")
NO_AUTH = "no-auth"
_RUN_SLOTS = ("$empty_folder", "$launcher", "$shell_file", "$search_path")


@dataclass(frozen=True, slots=True)
class Removal:
    """A channel that was taken away: its name and where it was, never its value."""

    channel: str
    origin: str


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """The sealed decision for one run.

    Args:
        channels: the channels it was made from.
        mode: the billing mode.
        form: the form of credential: ``login``, ``oauth_token``, ``api_key``, ``bearer``…
        credential_class: what every model request has to carry.
        upstream: the base URL model requests go to; None for Anthropic's own.
        agent_environment: the environment of the adapter, without what depends on the run's folder
            (`acp_bridge.launch.launcher.Launcher.environment` is complete); may hold secrets.
        pins: the settings object that is pinned over every settings file. It may appear in argv:
            it holds no credential and no proxy password; the launch gate adds those from a file.
        removed: what was taken away.
        api_key_found: an API key was among it, in a mode that does not use one.
        inherited: the environment the bridge was started with; may hold secrets.
        own: the user's own values that are put back at each start; may hold secrets.
        sets: what the plan sets; may hold secrets. Values of ``run_sets`` are slots of the run.
        own_pins: the user's own values for the settings tier; may hold secrets.
        telemetry_url: the address of the bridge's telemetry receiver, with its token; None leaves
            Claude Code's telemetry alone.
    """

    channels: Channels = field(repr=False)
    mode: BillingMode
    form: str
    credential_class: CredentialClass
    upstream: str | None = field(repr=False)
    agent_environment: Mapping[str, str] = field(repr=False)
    pins: Mapping[str, Any] = field(repr=False)
    removed: tuple[Removal, ...]
    api_key_found: bool
    inherited: Mapping[str, str] = field(repr=False)
    own: Mapping[str, str] = field(repr=False)
    sets: Mapping[str, str] = field(repr=False)
    run_sets: Mapping[str, str] = field(repr=False)
    own_pins: Mapping[str, str] = field(repr=False)
    telemetry_url: str | None = field(repr=False)

    @property
    def uses_stored_login(self) -> bool:
        """Whether the claude.ai login that Claude Code stored pays."""
        return self.form == "login"


def make_plan(  # noqa: PLR0913 — each argument is one part of the decision
    channels: Channels,
    *,
    mode: BillingMode,
    inherited: Mapping[str, str],
    credential: Credential | None = None,
    upstream: str | None = None,
    upstream_is_secret: bool = False,
    stands_in: bool = False,
    files: Survey | None = None,
    telemetry_url: str | None = None,
    suggestions: bool = True,
) -> LaunchPlan:
    """Decide a run. Nothing is read or written here.

    Args:
        channels: the channels.
        mode: the billing mode.
        inherited: the environment the bridge was started with.
        credential: modes A and C need one. In mode B, without one the token in ``inherited`` is
            used if there is one, else the stored login.
        upstream: the base URL; None for Anthropic's own. Mode C needs one.
        upstream_is_secret: whether the URL has an unguessable path, which must not show in argv.
        stands_in: whether the upstream forwards to Anthropic, so that Claude Code should treat it
            as Anthropic's own. Host-managed, it then also calls Anthropic's own address directly.
        files: what the settings files hold.
        telemetry_url: ``http://127.0.0.1:PORT/TOKEN`` of the bridge's telemetry receiver; None
            leaves Claude Code's telemetry alone. It is never in argv.
        suggestions: whether Claude Code may ask for prompt suggestions, if the user lets it.

    Raises:
        ConfigurationError: mode, credential and upstream do not go together.
    """
    survey = files if files is not None else Survey()
    inherited = channels.with_moves(inherited)
    credential = credential or _inherited_login(channels, mode, inherited)
    launch = _launch_form(channels, mode, credential)
    if mode is BillingMode.ENDPOINT and not upstream:
        raise ConfigurationError(
            "mode endpoint has no endpoint URL", hint="Set ACP_BRIDGE_ENDPOINT_URL to its base URL."
        )
    own_pins = _own_pins(channels, inherited, survey)
    sets, run_sets = _sets(
        channels, launch, _slots(credential, upstream, stands_in=stands_in), own_pins
    )
    asked_for = {} if suggestions else dict(channels.suggestions_off)
    sets.update(asked_for)
    own = _own(channels, mode, inherited)
    secrets = set(credential.slots.values() if credential else ())
    if upstream_is_secret and upstream:
        secrets.add(upstream)
    removed = _removed(channels, mode, inherited, {**sets, **run_sets}, survey)
    kept = {name: value for name, value in inherited.items() if _kept(channels, name, mode)}
    return LaunchPlan(
        channels=channels,
        mode=mode,
        form=launch.form,
        credential_class=launch.credential_class,
        upstream=upstream,
        agent_environment={**kept, **own, **sets, **channels.adapter_sets},
        pins={**_pins(channels, sets, own_pins, secrets, asked_for), **launch.settings},
        removed=removed,
        api_key_found=mode is not BillingMode.API_KEY
        and any(item.channel == channels.roles["api_key"] for item in removed),
        inherited=dict(inherited),
        own=own,
        sets=sets,
        run_sets=run_sets,
        own_pins=own_pins,
        telemetry_url=telemetry_url,
    )


def _inherited_login(
    channels: Channels, mode: BillingMode, inherited: Mapping[str, str]
) -> Credential | None:
    name = channels.roles["oauth_token"]
    if mode is not BillingMode.SUBSCRIPTION or not inherited.get(name):
        return None
    return oauth_token(inherited[name], source=name)


def _launch_form(
    channels: Channels, mode: BillingMode, credential: Credential | None
) -> LaunchForm:
    if credential is not None:
        return channels.launch_form(mode, credential.form)
    if mode is BillingMode.SUBSCRIPTION:
        return channels.launch_form(mode, "login")
    raise ConfigurationError(
        f"mode {mode.value} has no credential", hint="Give one, or use mode subscription."
    )


def _slots(
    credential: Credential | None, upstream: str | None, *, stands_in: bool
) -> dict[str, str]:
    slots = {f"${name}": value for name, value in (credential.slots if credential else {}).items()}
    slots["$no_auth"] = NO_AUTH
    if upstream:
        slots["$upstream"] = upstream
    if upstream and stands_in:
        slots["$stands_in"] = "1"
    return slots


def _sets(
    channels: Channels,
    launch: LaunchForm,
    slots: Mapping[str, str],
    own_pins: Mapping[str, str],
) -> tuple[dict[str, str], dict[str, str]]:
    sets: dict[str, str] = {}
    run_sets: dict[str, str] = {}
    for name, value in {**channels.common_sets, **launch.sets}.items():
        if value in _RUN_SLOTS:
            run_sets[name] = value
        elif value == "$loopback":
            sets[name] = _with_loopback(own_pins.get(name, ""))
        elif not value.startswith("$"):
            sets[name] = value
        elif value in slots:
            sets[name] = slots[value]
    return sets, run_sets


def _with_loopback(value: str) -> str:
    entries = [entry.strip() for entry in value.split(",") if entry.strip()]
    return ",".join([*entries, *(name for name in LOOPBACK_NAMES if name not in entries)])


def _kept(channels: Channels, name: str, mode: BillingMode) -> bool:
    return channels.action(name, mode) is Action.KEEP


def _own(channels: Channels, mode: BillingMode, inherited: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in inherited.items()
        if channels.action(name, mode) is Action.PIN
    }


def _own_pins(channels: Channels, inherited: Mapping[str, str], survey: Survey) -> dict[str, str]:
    # Claude Code writes the user's settings over the environment, so they come first here too.
    values = channels.with_moves({**inherited, **survey.own})
    return {name: value for name, value in values.items() if channels.is_users_to_choose(name)}


def _pins(
    channels: Channels,
    sets: Mapping[str, str],
    own_pins: Mapping[str, str],
    secrets: set[str],
    asked_for: Mapping[str, str],
) -> dict[str, Any]:
    env = dict(asked_for)
    for row in channels.variables:
        if row.is_pattern:
            continue
        match row.settings:
            case SettingsPin.BLANK:
                env[row.name] = ""
            case SettingsPin.SET:
                value = sets.get(row.name, "")
                if value not in secrets and not _has_password(value):
                    env[row.name] = value
            case SettingsPin.OWN:
                value = own_pins.get(row.name, "")
                if not _has_password(value):
                    env[row.name] = value
            case SettingsPin.OWN_IF_NAMED | SettingsPin.NONE:
                pass
    pins: dict[str, Any] = {key.key: key.pin for key in channels.settings_keys}
    return {**pins, "env": env}


def _has_password(value: str) -> bool:
    return "@" in value


def _removed(
    channels: Channels,
    mode: BillingMode,
    inherited: Mapping[str, str],
    sets: Mapping[str, str],
    survey: Survey,
) -> tuple[Removal, ...]:
    removed = []
    for name, value in sorted(inherited.items()):
        row = channels.variable(name)
        if row is None or not value or not row.kind.moves_the_payer:
            continue
        action = row.environment[mode]
        overwritten = action is Action.SET and sets.get(name) != value
        if action is Action.REMOVE or overwritten:
            removed.append(Removal(name, "environment"))
    removed.extend(Removal(found.channel, found.origin) for found in survey.findings)
    return tuple(removed)
