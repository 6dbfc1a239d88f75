"""``acp-bridge receipt``: one session's evidence, usage and decisions in one document."""

import argparse
import json
import os
import sys
from typing import TYPE_CHECKING

from acp_bridge.errors import ConfigurationError

if TYPE_CHECKING:
    from acp_bridge.cli.arguments import Arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's own options."""
    parser.add_argument(
        "session",
        metavar="SESSION",
        nargs="?",
        help="a session's id, or 8 and more characters of its beginning; default the newest",
    )
    parser.add_argument(
        "--run",
        metavar="RUN_ID",
        dest="run_id",
        help="what this run had of the session; without one, the whole run",
    )
    parser.add_argument(
        "--all",
        action="store_true",
        dest="every_run",
        help="what each run had of the session, not the newest alone",
    )
    parser.add_argument("--json", action="store_true", help="print the document, not the page")
    parser.add_argument("--markdown", action="store_true", help="print it to be pasted somewhere")


def run(arguments: "Arguments") -> int:
    """Print a receipt."""
    from acp_bridge.inspect.found_receipts import (  # noqa: PLC0415 - with its command
        Asked,
        receipts_document,
    )
    from acp_bridge.inspect.receipt import render, render_markdown  # noqa: PLC0415
    from acp_bridge.settings import load_settings  # noqa: PLC0415 - heavy

    options = arguments.options
    if options.json and options.markdown:
        raise ConfigurationError(
            "--json and --markdown do not go together", hint="leave out one of them"
        )
    if options.every_run and options.run_id is not None:
        raise ConfigurationError(
            "--all and --run do not go together",
            hint="--run is about one run, --all about each that had the session",
        )
    settings = load_settings(arguments.flags)
    asked = Asked(options.session, options.run_id, options.every_run)
    document = receipts_document(settings.state_dir, asked)
    home = os.environ.get("HOME", "")
    if options.json:
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    elif options.markdown:
        sys.stdout.write(render_markdown(document, home=home))
    else:
        sys.stdout.write(render(document, home=home))
    return 0
