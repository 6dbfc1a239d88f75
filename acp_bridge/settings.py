"""The settings of a run: flag > environment > file > default, each value with its origin.

The variables and their meaning are the contract of the README's settings table. A ``.env`` file
is never read. Unknown names are errors, in the file as in the environment: a mistyped
``ACP_BRIDGE_MODE`` must not leave the payer to a default.
"""

import os
import shlex
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import platformdirs
from pydantic import BeforeValidator, Field, PrivateAttr, SecretStr, ValidationError

from acp_bridge.errors import ConfigurationError
from acp_bridge.importing import imported_late, without_plugins
from acp_bridge.modes import AgentKind, BillingMode, Guard, Metering, OnOverage, OnViolation, Plan

# The agent is started before an event loop is needed; pydantic-settings has a use for one only in
# a command line of its own.
with imported_late("asyncio"), without_plugins():
    from pydantic_settings import (
        BaseSettings,
        EnvSettingsSource,
        NoDecode,
        PydanticBaseSettingsSource,
        SettingsConfigDict,
        SettingsError,
    )

PREFIX = "ACP_BRIDGE_"
ANTHROPIC_API = "https://api.anthropic.com"
SECRETS = frozenset({"api_key", "endpoint_token", "endpoint_api_key", "endpoint_headers"})
"""Settings that hold a credential: they have no flag and no default, and are never shown."""

_TABLES = ("endpoint", "budget")
"""What the file may hold beside settings: tables, which have no variable and no flag."""
_LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


def _command_line(value: object) -> object:
    return tuple(shlex.split(value)) if isinstance(value, str) else value


def _mode(value: object) -> object:
    return BillingMode.parse(value) if isinstance(value, str) else value


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


CommandLine = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_command_line)]


class Settings(BaseSettings):
    """What the user asked for. Build it with `load_settings`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        env_file=None,
        defer_build=True,  # until there are no plugins, below
    )

    mode: Annotated[BillingMode, BeforeValidator(_mode)] = Field(
        BillingMode.SUBSCRIPTION, description="who pays: api-key, subscription, endpoint (A, B, C)"
    )
    agent: CommandLine | None = Field(None, description="command line of the ACP agent")
    agent_kind: AgentKind | None = Field(None, description="claude or other; default recognised")
    claude: Path | None = Field(None, description="the Claude Code executable behind the gate")
    api_key: SecretStr | None = Field(None, description="Mode A's key")
    api_key_file: Path | None = Field(None, description="a file that holds Mode A's key")
    api_key_command: str | None = Field(None, description="a command that prints Mode A's key")
    api_key_keyring: str | None = Field(None, description="keyring entry, SERVICE or SERVICE/USER")
    endpoint_url: str | None = Field(None, description="Mode C's base URL")
    endpoint_token: SecretStr | None = Field(None, description="Mode C's bearer token")
    endpoint_api_key: SecretStr | None = Field(None, description="Mode C's x-api-key")
    endpoint_headers: dict[str, SecretStr] | None = Field(None, description="Mode C's headers")
    endpoint_no_auth: bool = Field(default=False, description="Mode C without a credential")
    upstream_url: str | None = Field(None, description="where modes A and B send model requests")
    guard: Guard | None = Field(
        None, description="the wire guard: enforce, observe or off; default enforce, in Mode B off"
    )
    on_violation: OnViolation = Field(OnViolation.BLOCK, description="block or warn")
    on_overage: OnOverage = Field(
        OnOverage.WARN, description="warn or block, when extra usage pays in place of the plan"
    )
    metering: Metering = Field(
        Metering.BUDGETED,
        description="prompts where nothing can be counted: budgeted refuses those under a budget, "
        "required all, best-effort none",
    )
    suggestions: Literal["keep", "off"] = Field(
        "keep", description="keep, or off: no prompt suggestions, which nobody typed"
    )
    plan: Plan | None = Field(
        None, description="your plan: pro, max-5x, max-20x, team, enterprise; default unknown"
    )
    max_line_bytes: int = Field(
        256 * 1024 * 1024, ge=1024, description="the longest ACP line that is passed on"
    )
    status_wait_seconds: float = Field(
        5.0, ge=0, le=600, description="how long the first prompt waits for the first auth status"
    )
    state_dir: Path = Field(
        default_factory=lambda: platformdirs.user_state_path("acp-bridge"),
        description="where runs are recorded",
    )
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_upper)] = (
        Field("WARNING", description="debug, info, warning or error")
    )
    log_file: Path | None = Field(None, description="log there instead of stderr")
    log_format: Literal["text", "json"] = Field("text", description="text or json")

    _origins: dict[str, str] = PrivateAttr(default_factory=dict)
    _config_file: Path | None = PrivateAttr(default=None)
    _tables: dict[str, Any] = PrivateAttr(default_factory=dict)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the hook's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - load_settings reads it
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - never read
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - never read
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take values from the caller alone: `load_settings` merges the sources it can name."""
        return (init_settings,)

    @property
    def config_file(self) -> Path:
        """The user's configuration file, whether or not it exists."""
        return self._config_file or config_path(os.environ)

    @property
    def wire_guard(self) -> Guard:
        """What the wire guard is to do: as asked, else by the mode.

        A login is looked at only where the user asked for that.
        """
        if self.guard is not None:
            return self.guard
        return Guard.OFF if self.mode is BillingMode.SUBSCRIPTION else Guard.ENFORCE

    def origin(self, name: str) -> str:
        """Where a value came from, in words for an error message."""
        return self._origins.get(name, "the default")

    def is_default(self, name: str) -> bool:
        """Whether nobody asked for this value."""
        return name not in self._origins

    @property
    def tables(self) -> Mapping[str, Any]:
        """The tables of the file that are no settings, decoded; those that it has.

        ``endpoint`` is checked, and its one key is ``prices``; ``budget`` is as the user wrote it.
        """
        return self._tables

    def secrets(self) -> tuple[str, ...]:
        """The credentials among the values, for taking them out of text."""
        headers = (self.endpoint_headers or {}).values()
        single = (self.api_key, self.endpoint_token, self.endpoint_api_key)
        given = (secret for secret in (*single, *headers) if secret is not None)
        return tuple(secret.get_secret_value() for secret in given)


with without_plugins():
    Settings.model_rebuild()


def config_path(environ: Mapping[str, str]) -> Path:
    """The user's configuration file, whether or not it exists."""
    named = environ.get(PREFIX + "CONFIG")
    if named:
        return Path(named).expanduser()
    return platformdirs.user_config_path("acp-bridge") / "config.toml"


def load_settings(
    flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
) -> Settings:
    """Read the settings of this run.

    Args:
        flags: values from the command line, by setting name; ``None`` values count as not given.
        environ: the environment to read; default ``os.environ``.

    Raises:
        ConfigurationError: a value is wrong, unknown, or contradicts another.
    """
    env = dict(os.environ if environ is None else environ)
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    path = config_path(env)
    in_file, tables = _read_file(path, required=PREFIX + "CONFIG" in env)
    in_env = _environment_values(env)
    origins: dict[str, str] = {}
    origins.update({name: f"{name} in {path}" for name in in_file})
    origins.update({name: PREFIX + name.upper() for name in in_env})
    origins.update({name: "--" + name.replace("_", "-") for name in given})
    merged = {**in_file, **_from_environment(env), **given}
    try:
        settings = Settings(**merged)
    except ValidationError as exc:
        raise _explained(exc, origins) from None
    settings._config_file = path  # noqa: SLF001 - as below
    settings._origins.update(origins)  # noqa: SLF001 - the loader fills what the model keeps
    settings._tables.update(tables)  # noqa: SLF001 - as above
    _check(settings)
    return settings


def read_tables(path: Path) -> Mapping[str, Any]:
    """The tables of a configuration file that are no settings, as `Settings.tables` has them.

    Raises:
        ConfigurationError: the file is not there, or something in it is wrong.
    """
    return _read_file(path, required=True)[1]


def _from_environment(env: Mapping[str, str]) -> dict[str, Any]:
    """The environment's values by setting name, JSON decoded where the type asks for it."""
    source = EnvSettingsSource(Settings)
    source.env_vars = {key.lower(): value for key, value in env.items() if value}
    try:
        return source()
    except SettingsError as exc:
        name = str(exc).split('"')[1] if '"' in str(exc) else "endpoint_headers"
        raise ConfigurationError(
            f"{PREFIX}{name.upper()} is not valid JSON",
            hint='write it as one object: {"Header-Name": "value"}',
        ) from None


def _read_file(path: Path, *, required: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """The file's settings, and its tables that are none."""
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        if required:
            raise ConfigurationError(
                f"the configuration file {path} does not exist",
                hint=f"create it, or unset {PREFIX}CONFIG",
            ) from None
        return {}, {}
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8"
        raise ConfigurationError(
            f"cannot read the configuration file {path}: {reason}",
            hint=f"make it readable, or name another in {PREFIX}CONFIG",
        ) from exc
    except tomllib.TOMLDecodeError as exc:
        raise ConfigurationError(
            f"the configuration file {path} is not valid TOML: {exc}",
            hint="correct that line; keys are setting names in lower case",
        ) from exc
    tables = {name: values.pop(name) for name in _TABLES if name in values}
    for name in values:
        if name not in Settings.model_fields:
            known = (*Settings.model_fields, *_TABLES)
            raise ConfigurationError(f"unknown key {name!r} in {path}", hint=_nearest(name, known))
    if "endpoint" in tables:
        from acp_bridge.metering.endpoint_prices import endpoint_prices  # noqa: PLC0415 - few have

        endpoint_prices(tables, origin=str(path))
    return values, tables


def _environment_values(env: Mapping[str, str]) -> list[str]:
    names = []
    for variable, value in env.items():
        if not variable.startswith(PREFIX) or variable == PREFIX + "CONFIG" or not value:
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name not in Settings.model_fields:
            raise ConfigurationError(
                f"unknown setting {variable} in the environment",
                hint=_nearest(name, Settings.model_fields, render=lambda n: PREFIX + n.upper()),
            )
        names.append(name)
    return names


def _nearest(name: str, known: Any, render: Any = str) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - only an error needs it

    close = get_close_matches(name, list(known), n=1)
    if close:
        return f"did you mean {render(close[0])}?"
    return "the settings are listed by acp-bridge --help"


def _explained(exc: ValidationError, origins: Mapping[str, str]) -> ConfigurationError:
    """The first mistake, in one line. A secret's value is never part of it."""
    first = exc.errors(include_url=False, include_input=False, include_context=False)[0]
    name = str(first["loc"][0]) if first["loc"] else "settings"
    message = first["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    return ConfigurationError(
        f"{origins.get(name, name)}: {message}", hint="see acp-bridge --help for the values"
    )


def _check(settings: Settings) -> None:
    """Refuse settings that contradict one another, naming where each came from."""
    mode = settings.mode
    mode_said = f"mode {mode} ({settings.origin('mode')})"
    endpoint_names = ("endpoint_url", "endpoint_token", "endpoint_api_key", "endpoint_headers")
    given = [name for name in endpoint_names if getattr(settings, name) is not None]
    if settings.endpoint_no_auth:
        given.append("endpoint_no_auth")
    if mode is not BillingMode.ENDPOINT and given:
        raise ConfigurationError(
            f"{mode_said} does not use an endpoint, but {settings.origin(given[0])} is set",
            hint="set the mode to endpoint, or remove the endpoint settings",
        )
    key_names = ("api_key", "api_key_file", "api_key_command", "api_key_keyring")
    keys = [name for name in key_names if getattr(settings, name) is not None]
    if mode is not BillingMode.API_KEY and keys:
        raise ConfigurationError(
            f"{mode_said} does not use an API key, but {settings.origin(keys[0])} is set",
            hint="set the mode to api-key, or remove the key setting",
        )
    if len(keys) > 1:
        raise ConfigurationError(
            f"two sources for the API key: {settings.origin(keys[0])} and "
            f"{settings.origin(keys[1])}",
            hint="keep one of them",
        )
    if mode is BillingMode.ENDPOINT:
        _check_endpoint(settings, given)
    if settings.upstream_url is not None:
        _check_upstream(settings)


def _check_endpoint(settings: Settings, given: list[str]) -> None:
    if settings.endpoint_url is None:
        raise ConfigurationError(
            f"mode endpoint ({settings.origin('mode')}) has no endpoint to go to",
            hint=f"set {PREFIX}ENDPOINT_URL",
        )
    parts = urlsplit(settings.endpoint_url)
    loopback = parts.hostname in _LOOPBACK_HOSTS
    if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and loopback)):
        raise ConfigurationError(
            f"{settings.origin('endpoint_url')} must be an https URL, or http on loopback",
            hint="a credential is not sent over plain http to another machine",
        )
    if parts.username or parts.password:
        raise ConfigurationError(
            f"{settings.origin('endpoint_url')} carries a user name or password",
            hint=f"put the credential into {PREFIX}ENDPOINT_TOKEN or {PREFIX}ENDPOINT_HEADERS",
        )
    credentials = [name for name in given if name not in ("endpoint_url", "endpoint_headers")]
    if not credentials and settings.endpoint_headers is None:
        raise ConfigurationError(
            f"mode endpoint ({settings.origin('mode')}) has no credential for "
            f"{settings.origin('endpoint_url')}",
            hint=f"set {PREFIX}ENDPOINT_TOKEN, _ENDPOINT_API_KEY or _ENDPOINT_HEADERS, "
            f"or {PREFIX}ENDPOINT_NO_AUTH=1",
        )
    if len(credentials) > 1:
        raise ConfigurationError(
            f"two credentials for the endpoint: {settings.origin(credentials[0])} and "
            f"{settings.origin(credentials[1])}",
            hint="keep one of them",
        )


def _check_upstream(settings: Settings) -> None:
    url = settings.upstream_url or ""
    origin = settings.origin("upstream_url")
    if settings.mode is BillingMode.ENDPOINT:
        raise ConfigurationError(
            f"mode endpoint ({settings.origin('mode')}) does not use {origin}",
            hint=f"its destination is {PREFIX}ENDPOINT_URL",
        )
    parts = urlsplit(url)
    anthropic = url.rstrip("/") == ANTHROPIC_API
    loopback = parts.scheme in ("http", "https") and parts.hostname in _LOOPBACK_HOSTS
    if not (anthropic or loopback):
        raise ConfigurationError(
            f"{origin} is neither {ANTHROPIC_API} nor a loopback address",
            hint="for any other destination use mode endpoint, with a credential of its own",
        )
