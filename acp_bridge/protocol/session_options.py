"""Takes payer-changing options out of the requests that open a session.

The Claude adapter turns ``params._meta.claudeCode.options`` into the environment and the arguments
of Claude Code. Only that path is opened; every other value keeps the bytes it was written with.
Where the adapter would ignore what stands on the path (an array, a text), it counts as absent here
too, so that the pinned settings are always put in their place.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from acp_bridge.protocol import json_text
from acp_bridge.protocol.json_text import Members


@dataclass(frozen=True, slots=True)
class SessionPolicy:
    """What may not come in through a session's options; supplied by whoever knows the channels.

    Attributes:
        is_channel: whether an environment variable can reach payer, endpoint or credential.
        pins: settings that win over the client's; objects in it are merged member by member.
        read_settings: reads a settings file that a client names, relative to the session's cwd;
            None if it cannot be read.
        is_settings_channel: whether a settings key, beside the pinned ones, has to go.
    """

    is_channel: Callable[[str], bool]
    pins: Mapping[str, Any]
    read_settings: Callable[[str, str | None], Mapping[str, Any] | None]
    is_settings_channel: Callable[[str], bool] = field(default=lambda _key: False)


@dataclass(frozen=True, slots=True)
class Rewritten:
    """New params, and the names of what is no longer in them."""

    params: bytes
    removed: tuple[str, ...]


# Options that choose the program or its arguments, or stand for a callback that JSON cannot carry
# but whose mere presence switches Claude Code's credential handling (`getOAuthToken` sets
# CLAUDE_CODE_SDK_HAS_OAUTH_REFRESH, `getHostAuthToken` CLAUDE_CODE_SDK_HAS_HOST_AUTH_REFRESH).
# `workload` is the attribution tag of the billing header.
REMOVED_OPTIONS = frozenset(
    {
        "executable",
        "executableArgs",
        "pathToClaudeCodeExecutable",
        "spawnClaudeCodeProcess",
        "getOAuthToken",
        "getHostAuthToken",
        "workload",
    }
)

# Flags of Claude Code 2.1.316 that change the payer, or take the work to a process or service that
# the bridge does not see. `bare` ignores the login; `host-auth-is-org-sign-in` says what kind of
# login a bearer is; `client-data-url` loads configuration from elsewhere; `workload` as above.
# `replay-user-messages` is harmless: the adapter always sets it itself, after the client's flags,
# and there it must stay, or a flag without its value could swallow the settings that follow.
# Kept: `betas`, `model` and the like change what the same payer is charged, not who pays.
REMOVED_FLAGS = frozenset(
    {
        "bare",
        "host-auth-is-org-sign-in",
        "client-data-url",
        "workload",
        "sdk-url",
        "cloud",
        "remote",
        "environment",
        "pool",
        "teleport",
        "attach-serve",
        "remote-control",
        "rc",
        "bg",
        "background",
        "desktop",
        "tmux",
        "replay-user-messages",
        "",
        "__proto__",
    }
)

_SETTINGS_FLAG, _MANAGED_FLAG = "settings", "managed-settings"
_META, _CLAUDE, _OPTIONS = "_meta", "claudeCode", "options"
_NAME_LIMIT = 80


def rewrite_params(params: bytes, policy: SessionPolicy) -> Rewritten | None:
    """Clean the params of session/new, load, resume or fork.

    Args:
        params: as the client wrote them; empty if absent.
        policy: what has to go and what is pinned.

    Returns:
        The new params, or None if they are no object, which the agent refuses by itself.
    """
    top = json_text.members(params) if params else None
    if top is None:
        return None
    cleaning = _Cleaning(policy, json_text.string(top.get("cwd")))
    meta = cleaning.opened(top, _META)
    claude = cleaning.opened(meta, _CLAUDE)
    options = cleaning.opened(claude, _OPTIONS)
    claude[_OPTIONS] = json_text.encode_members(cleaning.options(options))
    meta[_CLAUDE] = json_text.encode_members(claude)
    top[_META] = json_text.encode_members(meta)
    return Rewritten(json_text.encode_members(top), tuple(cleaning.removed))


class _Cleaning:
    """One request being cleaned; collects the names of what went."""

    def __init__(self, policy: SessionPolicy, cwd: str | None) -> None:
        self._policy = policy
        self._cwd = cwd
        self.removed: list[str] = []

    def opened(self, parent: Members, name: str) -> Members:
        """The members of a member; empty where the adapter would ignore what stands there."""
        raw = parent.get(name)
        found = json_text.members(raw) if raw is not None else None
        if found is None and raw is not None and not json_text.is_null(raw):
            self.removed.append(name)
        return {key: value for key, value in (found or {}).items() if key != "__proto__"}

    def options(self, options: Members) -> Members:
        kept = {name: raw for name, raw in options.items() if name not in REMOVED_OPTIONS}
        self.removed += [name for name in options if name not in kept]
        if "env" in kept:
            kept["env"] = self._environment(kept["env"], "env")
        flags = self._flags(kept)
        settings = kept.get("settings")
        # The Agent SDK lets `settings` replace `extraArgs.settings` where both are given.
        if settings is None or json_text.is_null(settings):
            settings = flags.settings
        elif flags.settings is not None:
            self.removed.append("extraArgs.settings")
        kept["settings"] = self._under_the_pins(settings, "settings")
        if "managedSettings" in kept and not json_text.is_null(kept["managedSettings"]):
            managed = kept["managedSettings"]
            kept["managedSettings"] = self._under_the_pins(managed, "managedSettings")
        return kept

    def _environment(self, raw: bytes, where: str) -> bytes:
        found = json_text.members(raw)
        if found is None:
            if not json_text.is_null(raw):
                self.removed.append(where)
            return b"{}"
        kept = {name: value for name, value in found.items() if self._is_harmless(name)}
        self.removed += [f"{where}.{_short(name)}" for name in found if name not in kept]
        return json_text.encode_members(kept)

    def _is_harmless(self, name: str) -> bool:
        # A child's environment is a list of NAME=VALUE: a name with "=" in it is another name.
        if "=" in name or "\0" in name or name == "__proto__":
            return False
        return not self._policy.is_channel(name)

    def _flags(self, kept: Members) -> "_Flags":
        raw = kept.get("extraArgs")
        found = json_text.members(raw) if raw is not None else None
        if found is None:
            if raw is not None and not json_text.is_null(raw):
                self.removed.append("extraArgs")
                del kept["extraArgs"]
            return _Flags()
        flags = _Flags()
        passed: Members = {}
        for name, value in found.items():
            flag = _flag_name(name)
            if flag == _SETTINGS_FLAG:
                flags.settings = _flag_value(name, value)
            elif flag == _MANAGED_FLAG:
                managed = self._under_the_pins(
                    _flag_value(name, value), "extraArgs.managed-settings"
                )
                passed[_MANAGED_FLAG] = json_text.quoted(managed.decode("utf-8", "replace"))
            elif flag not in REMOVED_FLAGS:
                passed[name] = value
            elif flag != "replay-user-messages":
                self.removed.append(f"extraArgs.{_short(flag)}")
        kept["extraArgs"] = json_text.encode_members(passed)
        return flags

    def _under_the_pins(self, raw: bytes | None, where: str) -> bytes:
        found = self._settings_members(raw, where)
        kept = {name: value for name, value in found.items() if not self._is_settings_channel(name)}
        self.removed += [f"{where}.{_short(name)}" for name in found if name not in kept]
        if "env" in kept:
            kept["env"] = self._environment(kept["env"], f"{where}.env")
        return json_text.encode_members(merge_under(kept, self._policy.pins))

    def _is_settings_channel(self, name: str) -> bool:
        if name == "env":
            return False
        pinned = name in self._policy.pins and not isinstance(self._policy.pins[name], Mapping)
        return pinned or name == "__proto__" or self._policy.is_settings_channel(name)

    def _settings_members(self, raw: bytes | None, where: str) -> Members:
        """The members of settings given as an object, as JSON in a text, or as a file's path."""
        if raw is None or json_text.is_null(raw):
            return {}
        found = json_text.members(raw)
        if found is None:
            found = self._from_text(json_text.string(raw))
        if found is None:
            self.removed.append(where)
        return found or {}

    def _from_text(self, text: str | None) -> Members | None:
        if text is None:
            return None
        try:
            return json_text.members(text.encode("utf-8", "surrogatepass"))
        except json_text.NotJSONError:
            read = self._policy.read_settings(text, self._cwd)
        return None if read is None else merge_under({}, read)


@dataclass(slots=True)
class _Flags:
    settings: bytes | None = None


def merge_under(values: Members, pins: Mapping[str, Any]) -> Members:
    """Put pins over raw values; where both have an object, member by member."""
    merged = dict(values)
    for name, pin in pins.items():
        if isinstance(pin, Mapping):
            below = json_text.members(merged[name]) if name in merged else None
            merged[name] = json_text.encode_members(merge_under(below or {}, pin))
        else:
            merged[name] = json.dumps(pin, allow_nan=False).encode()
    return merged


def _flag_name(key: str) -> str:
    """The flag that a key of extraArgs becomes: ``--settings={…}`` written as one key too."""
    return key.split("=", 1)[0].strip().strip("-").strip().casefold()


def _flag_value(key: str, raw: bytes) -> bytes:
    _, written, value = key.partition("=")
    return json_text.quoted(value) if written else raw


def _short(name: str) -> str:
    return name.split("=", 1)[0][:_NAME_LIMIT]
