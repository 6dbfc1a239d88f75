"""``acp-bridge clients``: the editors and programs that can start the bridge, and how each does."""

import argparse
import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acp_bridge.errors import AgentError, BridgeError, ConfigurationError

if TYPE_CHECKING:
    from acp_bridge.cli.arguments import Arguments
    from acp_bridge.clients.known import Client, Entry
    from acp_bridge.settings import Settings

REGISTRY = "registry"
_PROGRAM = "acp-bridge"
_NOT_GIVEN = ("mode", "state_dir")
"""Settings that are not handed on: the mode stands first, and what was kept is for this command."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's own options; the mode is a setting, ``--mode``."""
    parser.add_argument(
        "name",
        nargs="?",
        metavar="NAME",
        help="one client: what to put where; `registry` prints the bridge's own agent.json for the "
        "ACP registry; without NAME all clients are listed",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--write", action="store_true", help="put it there, after showing the diff")
    what.add_argument("--dry-run", action="store_true", help="only show the diff")
    what.add_argument("--undo", action="store_true", help="put back what --write found there")
    parser.add_argument("--file", metavar="FILE", help="the client's file, if it is another")
    parser.add_argument("--entry", metavar="TEXT", help="the agent's name in the client")
    parser.add_argument("--json", action="store_true", help="print the document, not the page")


def run(arguments: "Arguments") -> int:
    """List the clients, or tell, write or take back what one of them needs.

    Raises:
        ConfigurationError: wrong usage, or a client's file cannot be read or written.
    """
    from acp_bridge.clients.known import client_named, known_clients  # noqa: PLC0415
    from acp_bridge.settings import load_settings  # noqa: PLC0415 - heavy

    options = arguments.options
    settings = load_settings(arguments.flags)
    clients = known_clients(os.environ, sys.platform)
    if options.name is None:
        if options.write or options.undo or options.dry_run:
            raise ConfigurationError("which client?", hint="acp-bridge clients lists them")
        return _list(clients, as_json=options.json)
    if options.name == REGISTRY:
        from acp_bridge.clients.registry import registry_entry  # noqa: PLC0415

        sys.stdout.write(json.dumps(registry_entry(), indent=2) + "\n")
        return 0
    client = client_named(options.name, clients)
    if options.undo:
        return _undo(client, settings)
    entry = _entry(client, settings, arguments.flags, options.entry)
    if options.write or options.dry_run:
        return _write(client, entry, settings, options)
    return _tell(client, entry, options)


def _list(clients: "tuple[Client, ...]", *, as_json: bool) -> int:
    from acp_bridge.clients.configuring import configured  # noqa: PLC0415

    search_path = os.environ.get("PATH", os.defpath)
    rows: list[dict[str, Any]] = []
    for client in clients:
        row: dict[str, Any] = {
            "name": client.name,
            "title": client.title,
            "documentation": client.documentation,
            "found": client.is_there(search_path),
            "file": None if client.file is None else str(client.file),
            "configured": [],
            "problem": None,
        }
        if client.file is not None and client.file.exists():
            try:
                entries = configured(client, client.file)
                row["configured"] = [{"entry": one.entry, "mode": one.mode} for one in entries]
            except BridgeError as error:
                row["problem"] = error.message
        rows.append(row)
    if as_json:
        sys.stdout.write(json.dumps({"schema_version": 1, "clients": rows}, indent=2) + "\n")
        return 0
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        found = "found" if row["found"] else "-"
        says = "; ".join(
            f"{one['entry']}: mode {one['mode'] or 'of the settings'}" for one in row["configured"]
        )
        sys.stdout.write(
            f"{row['name']:{width}}  {found:5}  {row['problem'] or says or '-'}  ({row['title']})\n"
        )
    sys.stdout.write("\nacp-bridge clients NAME tells what to put where; --write puts it there.\n")
    return 0


def _entry(
    client: "Client", settings: "Settings", flags: dict[str, str], title: str | None
) -> "Entry":
    """What the client is to start: this bridge by its path, with the settings that were given."""
    import platformdirs  # noqa: PLC0415 - with its command

    from acp_bridge.clients.configuring import wrapper_path  # noqa: PLC0415
    from acp_bridge.clients.known import Entry  # noqa: PLC0415

    words = [_flag(name, value) for name, value in sorted(flags.items()) if name not in _NOT_GIVEN]
    mode = settings.mode
    return Entry(
        title=title or f"Claude ({mode})",
        name=title or f"claude-{mode}",
        argv=(_own_path(), "--mode", str(mode), *words),
        wrapper=wrapper_path(platformdirs.user_data_path(_PROGRAM), client, mode),
    )


def _flag(name: str, value: str) -> str:
    """A setting that was given on the command line, for a command that starts somewhere else."""
    from acp_bridge.settings import Settings  # noqa: PLC0415 - heavy

    flag = f"--{name.replace('_', '-')}"
    kind = str(Settings.model_fields[name].annotation)
    if "bool" in kind:
        return flag
    return f"{flag}={Path(value).expanduser().absolute() if 'Path' in kind else value}"


def _own_path() -> str:
    """The path by which this command can be started from anywhere."""
    beside = Path(sys.executable).with_name(_PROGRAM)
    if beside.exists():
        return str(beside)
    found = shutil.which(sys.argv[0]) or shutil.which(_PROGRAM)
    if found is None:
        raise ConfigurationError(
            "acp-bridge is on no path by which an editor could start it",
            hint="install it with pip, pipx or uv, and start it by its name",
        )
    return str(Path(found).absolute())


def _script(client: "Client", entry: "Entry") -> str | None:
    from acp_bridge.agent.find import find_own_claude  # noqa: PLC0415
    from acp_bridge.clients.configuring import wrapper_text  # noqa: PLC0415

    if not client.wrapper:
        return None
    claude = ""
    if client.wrapper == "claude":
        own = find_own_claude(os.environ.get("PATH", os.defpath), [entry.wrapper.parent])
        if own is None:
            raise AgentError(
                "there is no claude on PATH that the program could stand for",
                hint="install Claude Code, or put its folder on PATH",
            )
        claude = str(own)
    return wrapper_text(client, entry, claude)


def _tell(client: "Client", entry: "Entry", options: argparse.Namespace) -> int:
    """Print what to paste, and where."""
    from acp_bridge.clients.configuring import snippet  # noqa: PLC0415
    from acp_bridge.standard_error import write_stderr  # noqa: PLC0415

    file = Path(options.file) if options.file else client.file
    script = _script(client, entry)
    text = snippet(client, entry)
    if options.json:
        document = {
            "schema_version": 1,
            "name": client.name,
            "documentation": client.documentation,
            "file": None if file is None else str(file),
            "snippet": text,
            "script": None if script is None else {"path": str(entry.wrapper), "text": script},
        }
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
        return 0
    sys.stdout.write(text)
    if script is not None:
        write_stderr(f"\nwhere {entry.wrapper} is this program (--write makes it):\n\n{script}")
    where = "" if file is None else f"goes into {file} (--write puts it there); "
    write_stderr(f"\n{where}see {client.documentation}\n{_about_the_key(entry)}")
    return 0


def _about_the_key(entry: "Entry") -> str:
    if entry.argv[2] != "api-key":
        return ""
    return (
        "The key is never written there: name it in ACP_BRIDGE_API_KEY_FILE, _API_KEY_COMMAND or"
        " _API_KEY_KEYRING, or in the configuration file.\n"
    )


def _write(
    client: "Client", entry: "Entry", settings: "Settings", options: argparse.Namespace
) -> int:
    from acp_bridge.clients.changes import apply  # noqa: PLC0415
    from acp_bridge.clients.configuring import changes  # noqa: PLC0415
    from acp_bridge.standard_error import write_stderr  # noqa: PLC0415

    file = Path(options.file).absolute() if options.file else client.file
    script = _script(client, entry)
    if file is None and script is None:
        raise ConfigurationError(
            f"{client.title} has no file that acp-bridge could edit",
            hint=f"paste what `acp-bridge clients {client.name}` prints",
        )
    found = changes(client, file, entry, script)
    for change in found:
        sys.stdout.write(change.diff)
    if not found:
        write_stderr("nothing to change\n")
    elif options.write:
        apply(found, client.name, settings.state_dir)
        write_stderr(f"written; acp-bridge clients {client.name} --undo puts it back\n")
        write_stderr(_about_the_key(entry))
    return 0


def _undo(client: "Client", settings: "Settings") -> int:
    from acp_bridge.clients.changes import undo  # noqa: PLC0415
    from acp_bridge.standard_error import write_stderr  # noqa: PLC0415

    for change in undo(client.name, settings.state_dir):
        sys.stdout.write(change.diff)
    write_stderr("as it was\n")
    return 0
