"""``acp-bridge setup``: installs the pinned agent, and Node where the machine's is too old."""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from acp_bridge.agent.install import Installed
    from acp_bridge.cli.arguments import Arguments

OUTDATED = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's own options."""
    parser.add_argument(
        "--check", action="store_true", help="say what is installed; exit status 1 if it is old"
    )
    parser.add_argument(
        "--from",
        dest="from_",
        metavar="FOLDER",
        help="use the agent that is installed there: a folder with node_modules, or npm's prefix",
    )
    parser.add_argument("--json", action="store_true", help="print the document, not the page")


def run(arguments: "Arguments") -> int:
    """Install what is missing, check that it answers, and say what was done.

    Raises:
        AgentError: it could not be installed, or does not answer.
        ConfigurationError: the data directory cannot be written, or a setting is wrong.
    """
    import platformdirs  # noqa: PLC0415 - with its command

    from acp_bridge.agent.install import Installation  # noqa: PLC0415 - with its command
    from acp_bridge.launch.shipped import shipped_file  # noqa: PLC0415 - with its command
    from acp_bridge.settings import load_settings  # noqa: PLC0415 - heavy
    from acp_bridge.standard_error import write_stderr  # noqa: PLC0415 - with its command

    load_settings(arguments.flags)
    options = arguments.options
    installation = Installation(
        data_dir=platformdirs.user_data_path("acp-bridge"),
        pinned=shipped_file("agent/package.json").parent,
        environ=dict(os.environ),
        progress=lambda text: write_stderr(f"==> {text}\n"),
    )
    if options.check:
        found, current = installation.look(), installation.is_current
        _print(found, current=current, as_json=options.json)
        return 0 if current else OUTDATED
    if options.from_ is not None:
        found = installation.take_over(Path(options.from_).expanduser().absolute())
    else:
        found = installation.install()
    _print(found, current=installation.is_current, as_json=options.json)
    return 0


def _print(found: "Installed", *, current: bool, as_json: bool) -> None:
    if as_json:
        document = {
            "schema_version": 1,
            "agent": {
                "version": found.version,
                "claude_version": found.claude,
                "path": str(found.entry),
                "current": current,
            },
            "node": {"version": found.node_version, "path": str(found.node)},
            "did": list(found.did),
        }
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
        return
    state = "the pinned one" if current else "not the pinned one"
    sys.stdout.write(
        f"agent   {found.version or 'of unknown version'}, with Claude Code"
        f" {found.claude or 'of unknown version'}; {state}\n"
        f"        {found.entry}\n"
        f"node    {found.node_version}, {found.node}\n"
    )
    for did in found.did or ("nothing had to be done",):
        sys.stdout.write(f"did     {did}\n")
