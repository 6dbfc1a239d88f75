"""``acp-bridge status``: which runs there are, in which mode, with which evidence."""

import argparse
import json
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from acp_bridge.cli.arguments import Arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's own options."""
    parser.add_argument("--json", action="store_true", help="print the document, not the page")
    parser.add_argument(
        "--watch",
        action="store_true",
        help="the runs that live, drawn anew at each change until Ctrl-C; with --json a document a "
        "line",
    )
    parser.add_argument("--run", metavar="RUN_ID", dest="run_id", help="one run only")


def run(arguments: "Arguments") -> int:
    """Print the runs that the registry holds."""
    from acp_bridge.inspect.status import render, status_document  # noqa: PLC0415 - with its command
    from acp_bridge.settings import load_settings  # noqa: PLC0415 - heavy

    options = arguments.options
    settings = load_settings(arguments.flags)
    if options.watch:
        from acp_bridge.early_signals import exit_on_signal  # noqa: PLC0415 - with its use
        from acp_bridge.inspect.watch import watch  # noqa: PLC0415 - with its use

        exit_on_signal()
        watch(settings.state_dir, options.run_id, sys.stdout, as_json=options.json)
    document = status_document(settings.state_dir, options.run_id)
    if options.json:
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    else:
        sys.stdout.write(render(document, only=options.run_id is not None))
    return 0
