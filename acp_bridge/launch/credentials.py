"""The credential of a run: where it comes from, checked once, never shown.

Sources come in as plain arguments; which settings they stem from is the caller's business. No error
here repeats a value.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from acp_bridge.errors import ConfigurationError

COMMAND_TIMEOUT_SECONDS = 30.0
_SUBSCRIPTION_START = "sk-ant-oat"
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@dataclass(frozen=True, slots=True)
class Credential:
    """What the plan hands to Claude Code.

    Args:
        form: which launch of ``credential-channels.toml`` it is for: ``api_key``, ``oauth_token``,
            ``bearer``, ``headers`` or ``no_auth``.
        slots: the values by slot name (``api_key``, ``bearer``, ``headers``); secret.
        source: where it came from, for people.
    """

    form: str
    slots: Mapping[str, str] = field(repr=False)
    source: str


def api_key(value: str, *, source: str) -> Credential:
    """An API key that goes out as ``x-api-key``.

    Raises:
        ConfigurationError: it cannot be an API key.
    """
    key = _token(value, what="API key", source=source)
    if key.startswith(_SUBSCRIPTION_START):
        raise ConfigurationError(
            f"the API key from {source} is a subscription token, which is no API key",
            hint="Use mode subscription for it, or give a Console API key.",
        )
    return Credential("api_key", {"api_key": key}, source)


def oauth_token(value: str, *, source: str) -> Credential:
    """A token of ``claude setup-token``, which the plan pays for.

    Raises:
        ConfigurationError: it cannot be such a token.
    """
    token = _token(value, what="subscription token", source=source)
    if not token.startswith(_SUBSCRIPTION_START):
        raise ConfigurationError(
            f"the value from {source} is not a subscription token",
            hint="Run `claude setup-token` for one, or unset it to use the stored login.",
        )
    return Credential("oauth_token", {"oauth_token": token}, source)


def endpoint_credential(
    *,
    token: str | None = None,
    key: str | None = None,
    headers: Mapping[str, str] | None = None,
    no_auth: bool = False,
) -> Credential:
    """The credential of mode C: a bearer token, an ``x-api-key``, headers, or none at all.

    Headers may come beside a token or a key.

    Raises:
        ConfigurationError: none or several were given, or a value cannot go into a header.
    """
    chosen = [name for name, given in (("token", token), ("key", key)) if given]
    if len(chosen) > 1 or (no_auth and (chosen or headers)):
        raise ConfigurationError(
            "several credentials were given for the endpoint",
            hint="Keep one of ACP_BRIDGE_ENDPOINT_TOKEN, _ENDPOINT_API_KEY and _ENDPOINT_NO_AUTH.",
        )
    slots = {"headers": header_lines(headers)} if headers else {}
    if token:
        slots["bearer"] = _token(token, what="token", source="ACP_BRIDGE_ENDPOINT_TOKEN")
        return Credential("bearer", slots, "ACP_BRIDGE_ENDPOINT_TOKEN")
    if key:
        slots["api_key"] = _token(key, what="API key", source="ACP_BRIDGE_ENDPOINT_API_KEY")
        return Credential("api_key", slots, "ACP_BRIDGE_ENDPOINT_API_KEY")
    if headers:
        return Credential("headers", slots, "ACP_BRIDGE_ENDPOINT_HEADERS")
    if no_auth:
        return Credential("no_auth", {}, "ACP_BRIDGE_ENDPOINT_NO_AUTH")
    raise ConfigurationError(
        "mode endpoint has no credential",
        hint="Set ACP_BRIDGE_ENDPOINT_TOKEN, _ENDPOINT_API_KEY or _ENDPOINT_HEADERS,"
        " or ACP_BRIDGE_ENDPOINT_NO_AUTH=1.",
    )


def header_lines(headers: Mapping[str, str]) -> str:
    """Headers the way Claude Code takes them: one ``Name: value`` a line.

    Raises:
        ConfigurationError: a name or value cannot be a header.
    """
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ConfigurationError(
                "ACP_BRIDGE_ENDPOINT_HEADERS has a name that cannot be a header",
                hint="Use letters, digits and hyphens.",
            )
        if any(ord(letter) < ord(" ") for letter in value):
            raise ConfigurationError(
                f"ACP_BRIDGE_ENDPOINT_HEADERS has a line break in {name}",
                hint="Give the value on one line.",
            )
    return "\n".join(f"{name}: {value}" for name, value in headers.items())


@dataclass(frozen=True, slots=True)
class Source:
    """Where a run's credential is read from, when it is needed.

    Args:
        form: the form of what it gives.
        read: gives the credential; may block.

    Attributes:
        renewable: whether reading it again may give another one.
    """

    form: str
    read: Callable[[], Credential] = field(repr=False)
    renewable: bool = False

    @classmethod
    def of(cls, credential: Credential) -> "Source":
        """The source of a credential that is there."""
        return cls(credential.form, lambda: credential)


def stand_in(form: str, placeholder: str) -> Credential:
    """What the agent gets in place of a credential that stays with the bridge.

    Args:
        form: of the credential that stays.
        placeholder: what the agent's requests carry.
    """
    slot = {"api_key": "api_key", "headers": "api_key"}.get(form, "bearer")
    return Credential(slot, {slot: placeholder}, "the bridge")


def as_headers(credential: Credential) -> tuple[tuple[str, str], ...]:
    """The headers by which a credential goes out; a header of the user's own takes precedence."""
    slots = credential.slots
    found = {}
    if "api_key" in slots:
        found["x-api-key"] = ("x-api-key", slots["api_key"])
    if "bearer" in slots:
        found["authorization"] = ("Authorization", f"Bearer {slots['bearer']}")
    for line in filter(None, slots.get("headers", "").split("\n")):
        name, _, value = line.partition(":")
        found[name.lower()] = (name, value.strip())
    return tuple(found.values())


def api_key_source(
    *,
    value: str | None = None,
    file: Path | None = None,
    command: str | None = None,
    keyring: str | None = None,
    inherited: str | None = None,
) -> Source:
    """Where mode A's key comes from: the one source that was given, else the environment.

    A value is checked here. A file or a program only has to be there: `Source.read` asks it.

    Args:
        value: the key itself (``API_KEY``).
        file: a file that holds it (``API_KEY_FILE``).
        command: a command line that prints it (``API_KEY_COMMAND``); no shell is involved.
        keyring: ``service/account`` in the system's keyring (``API_KEY_KEYRING``).
        inherited: the key in the environment the bridge was started with.

    Raises:
        ConfigurationError: no source, several, or a value that can be no API key.
    """
    given = {
        "ACP_BRIDGE_API_KEY": value,
        "ACP_BRIDGE_API_KEY_FILE": file,
        "ACP_BRIDGE_API_KEY_COMMAND": command,
        "ACP_BRIDGE_API_KEY_KEYRING": keyring,
    }
    chosen = [name for name, source in given.items() if source is not None]
    if len(chosen) > 1:
        raise ConfigurationError(
            f"the API key has several sources: {', '.join(chosen)}", hint="Keep one of them."
        )
    if value is not None:
        return Source.of(api_key(value, source="ACP_BRIDGE_API_KEY"))
    if file is not None:
        name = "ACP_BRIDGE_API_KEY_FILE"
        if not os.access(file.expanduser(), os.R_OK):
            raise _unreadable(file)
        return Source("api_key", lambda: api_key(_read(file), source=name), renewable=True)
    if command is not None:
        return _printed(_words(command), "ACP_BRIDGE_API_KEY_COMMAND")
    if keyring is not None:
        return _printed(_lookup(keyring), "ACP_BRIDGE_API_KEY_KEYRING")
    if inherited:
        return Source.of(api_key(inherited, source="the environment"))
    raise ConfigurationError(
        "mode api-key has no API key",
        hint="Set ACP_BRIDGE_API_KEY_FILE, _API_KEY_COMMAND, _API_KEY_KEYRING or _API_KEY.",
    )


def _printed(command: list[str], source: str) -> Source:
    if shutil.which(command[0]) is None:
        raise _missing_program(command[0], source)
    return Source("api_key", lambda: api_key(_run(command, source), source=source), renewable=True)


def _token(value: str, *, what: str, source: str) -> str:
    token = value.strip()
    if not token:
        raise ConfigurationError(f"the {what} from {source} is empty", hint="Check the source.")
    if any(not "!" <= letter <= "~" for letter in token):
        raise ConfigurationError(
            f"the {what} from {source} has blanks or other characters that no {what} has",
            hint="Make sure that the source holds the value and nothing else.",
        )
    return token


def _read(file: Path) -> str:
    try:
        return file.expanduser().read_text(encoding="utf-8")
    except (OSError, ValueError) as exc:
        raise _unreadable(file) from exc


def _unreadable(file: Path) -> ConfigurationError:
    return ConfigurationError(
        f"the file {file} that ACP_BRIDGE_API_KEY_FILE names cannot be read",
        hint="Check the path and its permissions.",
    )


def _missing_program(program: str, source: str) -> ConfigurationError:
    return ConfigurationError(
        f"the program {program} that {source} needs is not there", hint="Install it."
    )


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as exc:
        raise ConfigurationError(
            "ACP_BRIDGE_API_KEY_COMMAND has an open quote", hint="Close it; no shell is involved."
        ) from exc
    if not words:
        raise ConfigurationError("ACP_BRIDGE_API_KEY_COMMAND is empty", hint="Give a command line.")
    return words


def _lookup(keyring: str) -> list[str]:
    service, slash, account = keyring.partition("/")
    if not slash or not service or not account:
        raise ConfigurationError(
            "ACP_BRIDGE_API_KEY_KEYRING does not name an entry", hint="Write it as SERVICE/ACCOUNT."
        )
    if sys.platform == "darwin":
        return ["security", "find-generic-password", "-s", service, "-a", account, "-w"]
    return ["secret-tool", "lookup", "service", service, "username", account]


def _run(command: list[str], source: str) -> str:
    try:
        result = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=COMMAND_TIMEOUT_SECONDS,
            check=True,
            text=True,
        )
    except FileNotFoundError as exc:
        raise _missing_program(command[0], source) from exc
    except subprocess.TimeoutExpired as exc:
        raise ConfigurationError(
            f"{source} did not answer within {COMMAND_TIMEOUT_SECONDS:.0f} s",
            hint="Use one that asks nothing.",
        ) from exc
    except (OSError, ValueError, subprocess.CalledProcessError) as exc:
        raise ConfigurationError(
            f"{source} did not give a key", hint=f"Run {command[0]} by hand to see why."
        ) from exc
    return result.stdout
