"""The clients that are known, and what each is to be told; from ``config/clients.toml``."""

import json
import os
import shlex
import shutil
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acp_bridge.errors import ConfigurationError
from acp_bridge.launch.shipped import shipped_file

CLIENTS_FILE = "clients.toml"


@dataclass(frozen=True, slots=True)
class Client:
    """One client.

    Attributes:
        name: as on the command line.
        title: as people call it.
        documentation: the address of what shows the shape.
        programs: it is there if one of these is on ``PATH``,
        folders: or if one of these is there.
        files: where it may be configured, the usual one first; none for one that is only told what
            to write.
        member: where in the file: keys from the outermost object.
        value: what stands there.
        text: what is shown where there is no file.
        language: of the text: ``lua``, ``lisp``, ``shell`` or ``plain``.
        wrapper: how a small program in front of Claude Code is called: with the real one's path
            (``prefix``), or in its place (``claude``); empty for none.
    """

    name: str
    title: str
    documentation: str
    programs: tuple[str, ...]
    folders: tuple[Path, ...]
    files: tuple[Path, ...] = ()
    member: tuple[str, ...] = ()
    value: Any = None
    text: str = ""
    language: str = "plain"
    wrapper: str = ""

    @property
    def file(self) -> Path | None:
        """The file to edit: the first that is there, else the usual one."""
        return next((file for file in self.files if file.exists()), next(iter(self.files), None))

    def is_there(self, search_path: str) -> bool:
        """Whether it seems to be installed."""
        programs = (shutil.which(program, path=search_path) for program in self.programs)
        return any(programs) or any(folder.exists() for folder in self.folders)


@dataclass(frozen=True, slots=True)
class Entry:
    """What a client is to start.

    Attributes:
        title: the agent's name in the client.
        name: the same as a word.
        argv: the bridge's command line.
        wrapper: the path of the program in front of Claude Code, for clients that want one.
    """

    title: str
    name: str
    argv: tuple[str, ...]
    wrapper: Path

    def member_of(self, client: Client) -> tuple[str, ...]:
        """Where the client's file has it."""
        own = {"$entry": self.title, "$name": self.name}
        return tuple(own.get(key, key) for key in client.member)

    def value_for(self, client: Client) -> Any:
        """What stands there."""
        return self._filled(client.value)

    def text_for(self, client: Client) -> str:
        """What a client without a file is told."""
        write = _LANGUAGES[client.language]
        command, *arguments = self.argv
        filled = client.text.lstrip("\n")
        for name, words in (("$argv", self.argv), ("$arguments", arguments)):
            filled = filled.replace(name, write(words))
        string = json.dumps(command, ensure_ascii=False)
        return filled.replace("$command", string).replace("$wrapper", str(self.wrapper))

    def _filled(self, value: Any) -> Any:
        command, *arguments = self.argv
        words = {
            "$command": command,
            "$arguments": arguments,
            "$argv": list(self.argv),
            "$wrapper": str(self.wrapper),
        }
        if isinstance(value, dict):
            return {key: self._filled(of) for key, of in value.items()}
        return words.get(value, value)


def known_clients(environ: Mapping[str, str], platform: str) -> tuple[Client, ...]:
    """The clients, with the places of this user.

    Args:
        environ: ``HOME`` and ``XDG_CONFIG_HOME`` are looked at.
        platform: ``sys.platform``.
    """
    rows = tomllib.loads(shipped_file(CLIENTS_FILE).read_text("utf-8"))["client"]
    key = "macos" if platform == "darwin" else "linux"
    return tuple(
        Client(
            name=row["name"],
            title=row["title"],
            documentation=row["documentation"],
            programs=tuple(row["programs"]),
            folders=tuple(_place(folder, environ) for folder in row["folders"]),
            files=tuple(_place(file, environ) for file in row.get(key, ())),
            member=tuple(row.get("member", ())),
            value=row.get("value"),
            text=row.get("text", ""),
            language=row.get("language", "plain"),
            wrapper=row.get("wrapper", ""),
        )
        for row in rows
    )


def client_named(name: str, clients: Sequence[Client]) -> Client:
    """The client of that name.

    Raises:
        ConfigurationError: there is none.
    """
    for client in clients:
        if client.name == name:
            return client
    raise ConfigurationError(
        f"no client is called {name}",
        hint=f"known are {', '.join(client.name for client in clients)}",
    )


def _place(words: str, environ: Mapping[str, str]) -> Path:
    home = Path(environ.get("HOME") or os.path.expanduser("~"))  # noqa: PTH111 - without a HOME
    config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    if words.startswith("$config"):
        return config / words.removeprefix("$config/")
    return home / words.removeprefix("~/")


def _lua(words: Sequence[str]) -> str:
    return f"{{ {', '.join(json.dumps(word, ensure_ascii=False) for word in words)} }}"


def _lisp(words: Sequence[str]) -> str:
    return f"({' '.join(json.dumps(word, ensure_ascii=False) for word in words)})"


def _shell(words: Sequence[str]) -> str:
    return shlex.quote(shlex.join(words))


_LANGUAGES = {"lua": _lua, "lisp": _lisp, "shell": _shell, "plain": shlex.join}
