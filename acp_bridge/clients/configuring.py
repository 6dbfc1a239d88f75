"""What a client is to be told on this machine, what its file says now, and the change between."""

import codecs
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acp_bridge.clients.changes import FileChange, read
from acp_bridge.clients.jsonc import JsoncError, parse, with_member
from acp_bridge.clients.known import Client, Entry
from acp_bridge.errors import ConfigurationError
from acp_bridge.modes import BillingMode

_PROGRAM = "acp-bridge"
_EXECUTABLE = 0o700
_LINE_BREAK = "\n"


@dataclass(frozen=True, slots=True)
class Configured:
    """An entry of a client's file that starts the bridge.

    Attributes:
        entry: its name in the client.
        mode: the billing mode on its command line; None where the bridge's own settings decide.
    """

    entry: str
    mode: str | None


def configured(client: Client, file: Path) -> list[Configured]:
    """Which entries of a client's file start the bridge.

    Raises:
        ConfigurationError: the file cannot be read, or is no JSON.
    """
    value: Any = _parsed(read(file), file).value
    *path, last = client.member
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    if not isinstance(value, dict):
        return []
    entries = value if last.startswith("$") else {last: value.get(last)}
    found = []
    for name, of in entries.items():
        words = list(_words(of))
        wrapper = next(
            (Path(word).name for word in words if Path(word).name.startswith(_CLAUDE)), ""
        )
        if any(Path(word).name == _PROGRAM for word in words):
            found.append(Configured(name, _mode(words)))
        elif client.wrapper and wrapper:
            found.append(Configured(name, wrapper.removeprefix(_CLAUDE)))
    return found


_CLAUDE = "claude-in-"
"""How the programs in front of Claude Code are called, before the mode."""


def wrapper_path(folder: Path, client: Client, mode: BillingMode) -> Path:
    """Where the program in front of Claude Code is for a client and a mode.

    Args:
        folder: the user's data directory.
        client: one that wants such a program.
        mode: the billing mode.
    """
    return folder / "bin" / (client.wrapper or "none") / f"{_CLAUDE}{mode}"


def wrapper_text(client: Client, entry: Entry, claude: str) -> str:
    """The program in front of Claude Code: a script that hands over to ``exec``.

    Args:
        client: says how it is called.
        entry: with the bridge's command line.
        claude: the path or name of Claude Code, where the script stands in its place.
    """
    command, *options = entry.argv
    words = [command, "exec", *options, "--"]
    if client.wrapper == "claude":
        words.append(claude)
    quoted = " ".join(map(_quoted, words))
    return (
        "#!/bin/sh\n"
        "# Written by `acp-bridge clients`: Claude Code in one billing mode.\n"
        f'exec {quoted} "$@"\n'
    )


def _quoted(word: str) -> str:
    if word and all(char.isalnum() or char in "-_./=:," for char in word):
        return word
    return "'" + word.replace("'", "'\\''") + "'"


def changes(
    client: Client, file: Path | None, entry: Entry, script: str | None
) -> list[FileChange]:
    """What has to be written for a client.

    Args:
        client: whom it is for.
        file: its file; None for a client without one.
        entry: what it is to start.
        script: the text of the program in front of Claude Code; None for clients without.

    Raises:
        ConfigurationError: the file cannot be read, is no JSON, or has something else there.
    """
    found = []
    if script is not None:
        before = read(entry.wrapper)
        found.append(FileChange(entry.wrapper, before, script.encode(), _EXECUTABLE))
    if file is not None:
        before = read(file)
        found.append(FileChange(file, before, _with_entry(client, file, before, entry)))
    return [change for change in found if change.is_change]


def snippet(client: Client, entry: Entry) -> str:
    """What to paste, for a client with a JSON file as the whole document around it."""
    if not client.member:
        return entry.text_for(client)
    return with_member("", entry.member_of(client), entry.value_for(client))


def _with_entry(client: Client, file: Path, before: bytes | None, entry: Entry) -> bytes:
    mark, text = _decoded(before, file)
    try:
        changed = with_member(text, entry.member_of(client), entry.value_for(client))
    except JsoncError as exc:
        raise _no_json(file, exc) from exc
    return mark + changed.encode("utf-8")


def _parsed(content: bytes | None, file: Path) -> Any:
    _, text = _decoded(content, file)
    try:
        return parse(text)
    except JsoncError as exc:
        raise _no_json(file, exc) from exc


def _decoded(content: bytes | None, file: Path) -> tuple[bytes, str]:
    """A byte order mark if there is one, and the text behind it."""
    mark = codecs.BOM_UTF8 if (content or b"").startswith(codecs.BOM_UTF8) else b""
    try:
        return mark, (content or b"")[len(mark) :].decode("utf-8")
    except UnicodeDecodeError as exc:
        raise ConfigurationError(
            f"{file} is not UTF-8, so it was left alone",
            hint="paste what `acp-bridge clients` prints into it",
        ) from exc


def _no_json(file: Path, exc: JsoncError) -> ConfigurationError:
    return ConfigurationError(
        f"{file}: {exc}; it was left alone",
        hint="mend the file, or paste what `acp-bridge clients` prints into it",
    )


def _words(value: Any) -> Sequence[str]:
    """All strings of an entry."""
    if isinstance(value, str):
        return value.split() if " -" in value else [value]
    if isinstance(value, Mapping):
        return [word for of in value.values() for word in _words(of)]
    if isinstance(value, list):
        return [word for of in value for word in _words(of)]
    return []


def _mode(words: Sequence[str]) -> str | None:
    for word, following in zip(words, [*words[1:], ""], strict=True):
        named = following if word == "--mode" else word.removeprefix("--mode=")
        if word == "--mode" or named != word:
            return named
    return None
