"""Looking at this machine as Claude Code would: environment, settings, logins, and where each is.

Nothing is started or changed. Of logins it is seen that they are there; a token is never kept.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acp_bridge.clients.jsonc import JsoncError, Value, parse
from acp_bridge.inspect.payer import (
    CONSOLE_LOGIN,
    ENVIRONMENT,
    GATEWAY_SIGN_IN,
    Layer,
    Machine,
    Reach,
)
from acp_bridge.launch.channels import Channels
from acp_bridge.launch.managed import managed_folder
from acp_bridge.launch.settings_files import Folders, source_paths

START_FILE = "shell start-up file"
STORED = "stored sign-in"
LOADED = "loaded by some launchers, not by Claude Code"
_ORDER = ("global configuration", "user settings", "project settings", "local settings")
"""From the weakest to the strongest."""
_REACHES = {"user": Reach.USER, "project": Reach.PROJECT, "managed": Reach.MANAGED}
_START_FILES = (
    *(".bashrc", ".bash_profile", ".bash_login", ".profile"),
    *(".zshenv", ".zprofile", ".zshrc", ".zlogin"),
    ".config/fish/config.fish",
)
_LOADED_BY_LAUNCHERS = (".env", ".env.local", ".envrc")
_EXPORT = re.compile(
    r"\s*(?:export\s+|set\s+-\w*x\w*\s+|setenv\s+|declare\s+-x\s+)?(?P<name>[A-Za-z_]\w*)[=\s]"
)
_REPLACED = re.compile(r"\s*(?:alias\s+claude\b|(?:function\s+)?claude\s*\(\)|function\s+claude\b)")
_PROFILES = "ANTHROPIC_CONFIG_DIR"
_MOST_BYTES = 4_000_000


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was found.

    Attributes:
        channel: a variable, a settings key, or what else it is.
        origin: the place's name.
        file: the file; None for the environment.
        line: from 1; None where there is no line to name.
    """

    channel: str
    origin: str
    file: Path | None = None
    line: int | None = None

    def __str__(self) -> str:
        if self.file is None:
            return self.origin
        return f"{self.file}:{self.line}" if self.line else str(self.file)


@dataclass(slots=True)
class Looked:
    """What was found.

    Attributes:
        machine: what Claude Code would see.
        places: every variable and settings key, in the order of the layers.
        hints: what is not read by Claude Code itself but may reach it: shell start-up files and
            files that launchers load.
        broken: files that are there and cannot be read, with the reason.
        logins: which kinds are stored.
    """

    machine: Machine
    places: list[Place] = field(default_factory=list)
    hints: list[Place] = field(default_factory=list)
    broken: list[tuple[Path, str]] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)

    def breaks(self, path: Path, why: str) -> None:
        """Note a file that cannot be read, once however often it is looked into."""
        if (path, why) not in self.broken:
            self.broken.append((path, why))


def look(
    channels: Channels, environ: Mapping[str, str], cwd: Path, *, managed: Path | None = None
) -> Looked:
    """Look at everything that could decide who pays for a session here.

    Args:
        channels: the channels.
        environ: the environment that Claude Code would be started with.
        cwd: the project.
        managed: the administrator's folder; default this platform's.
    """
    folders = Folders.of(channels, environ)
    layers = [Layer(ENVIRONMENT, Reach.PROCESS, dict(environ))]
    found = Looked(Machine(layers))
    found.places += [Place(name, ENVIRONMENT) for name, value in environ.items() if value]
    for origin, reach, path in _files(channels, folders, cwd, managed):
        root = _read(path, found)
        if root is not None:
            layers.append(_layer(origin, reach, path, root, found))
    found.machine = Machine(
        layers,
        login=_login(folders, found),
        console_key=_stored(CONSOLE_LOGIN, channels, folders, found),
        profile=_profile(folders, layers, found),
        gateway=_stored(GATEWAY_SIGN_IN, channels, folders, found),
    )
    found.hints += _hints(channels, folders.home, cwd)
    return found


def _files(
    channels: Channels, folders: Folders, cwd: Path, managed: Path | None
) -> Iterator[tuple[str, Reach, Path]]:
    sources = {source.name: source for source in channels.sources if source.scope in _REACHES}
    ordered = sorted(sources, key=lambda name: (*_ORDER, name).index(name))
    for name in ordered:
        source = sources[name]
        for path in source_paths(source.path, folders, cwd):
            yield name, _REACHES[source.scope], path
    folder = managed if managed is not None else managed_folder(channels)
    if folder is not None:
        drop_ins = sorted((folder / "managed-settings.d").glob("*.json"))
        for path in (folder / "managed-settings.json", *drop_ins):
            yield "managed settings", Reach.MANAGED, path


def _read(path: Path, found: Looked) -> Value | None:
    """A file's JSON with the places in it; None if it is not there or is no object."""
    if path.exists() and not path.is_file():  # a pipe would be waited for
        found.breaks(path, "it is no ordinary file")
        return None
    try:
        text = path.read_text("utf-8-sig")
        json.loads(text)  # Claude Code takes no comments here
        root = parse(text)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, JsoncError, RecursionError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else str(exc)
        found.breaks(path, str(reason))
        return None
    if root.members is None:
        found.breaks(path, "it is no JSON object")
        return None
    return root


def _layer(origin: str, reach: Reach, path: Path, root: Value, found: Looked) -> Layer:
    members = root.members or {}

    def note(channel: str, value: Value) -> None:
        found.places.append(Place(channel, origin, path, _line(path, value)))

    env = members.get("env")
    variables = {} if env is None or env.members is None else dict(env.members)
    for name, value in variables.items():
        if value.value not in ("", None):
            note(name, value)
    for key, value in members.items():
        if key != "env" and value.value not in ("", None):
            note(key, value)
    helper = members.get("apiKeyHelper")
    return Layer(
        origin,
        reach,
        {name: _word(value.value) for name, value in variables.items()},
        helper=helper is not None and bool(helper.value),
    )


def _line(path: Path, value: Value) -> int:
    return path.read_text("utf-8-sig").count("\n", 0, value.start) + 1


def _word(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


def _login(folders: Folders, found: Looked) -> str | None:
    path = folders.logins / ".credentials.json"
    root = _read(path, found)
    members = {} if root is None else root.members or {}
    found.logins += [f"{name} in {path}" for name in members]
    login = members.get("claudeAiOauth")
    if login is not None and (login.members or {}).get("accessToken") is not None:
        return str(path)
    if sys.platform == "darwin":
        found.logins.append("the keychain, which is not looked into")
    return None


def _stored(name: str, channels: Channels, folders: Folders, found: Looked) -> str | None:
    """Where a sign-in of the channels file is stored; it is looked for by its key alone."""
    for row in channels.stored:
        for path in source_paths(row.path, folders, None) if row.name == name else ():
            root = _read(path, found)
            value = None if root is None else (root.members or {}).get(row.key)
            if value is not None and value.value:
                place = Place(name, STORED, path, _line(path, value))
                found.places.append(place)
                if path == folders.state:
                    found.logins.append(f"{row.key} in {place}")
                return str(place)
    return None


def _profile(folders: Folders, layers: Sequence[Layer], found: Looked) -> str | None:
    early = [layer.env for layer in layers if layer.reach is not Reach.PROJECT]
    chosen = next((env[_PROFILES] for env in reversed(early) if env.get(_PROFILES)), None)
    folder = Path(chosen) if chosen else folders.home / ".config" / "anthropic"
    for path in sorted((folder / "configs").glob("*.json")):
        root = _read(path, found)
        if root is not None and "oidc_federation" in json.dumps(root.value):
            found.places.append(Place("profile", "profile", path, 1))
            return str(path)
    return None


def _hints(channels: Channels, home: Path, cwd: Path) -> Iterator[Place]:
    """Lines of files that Claude Code does not read, and that set what it would."""
    for origin, paths in (
        (START_FILE, [home / name for name in _START_FILES]),
        (LOADED, [cwd / name for name in _LOADED_BY_LAUNCHERS]),
    ):
        for path in paths:
            for number, line in enumerate(_lines(path), 1):
                named = _EXPORT.match(line)
                row = channels.variable(named["name"]) if named else None
                if row is not None and row.kind.moves_the_payer and named is not None:
                    yield Place(named["name"], origin, path, number)
                elif _REPLACED.match(line):
                    yield Place("claude", origin, path, number)


def _lines(path: Path) -> Sequence[str]:
    try:
        if not path.is_file():  # some keep a .env in a pipe
            return []
        with path.open("rb") as file:
            return file.read(_MOST_BYTES).decode("utf-8", "replace").splitlines()
    except OSError:
        return []
