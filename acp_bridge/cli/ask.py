"""``acp-bridge ask``: one prompt through the bridge, without an editor."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from acp_bridge.errors import ConfigurationError

if TYPE_CHECKING:
    from acp_bridge.cli.arguments import Arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's own options."""
    parser.add_argument("prompt", metavar="PROMPT", help="the text; - reads it from stdin")
    parser.add_argument("--cwd", metavar="DIR", default=".", help="the session's folder")
    parser.add_argument("--model", metavar="NAME", help="the session's model")
    parser.add_argument(
        "--approve", action="store_true", help="grant permission requests; default is to decline"
    )


def run(arguments: "Arguments") -> int:
    """Answer on stdout, then mode and evidence on stderr."""
    from acp_bridge.cli.headless import ask  # noqa: PLC0415 - heavy
    from acp_bridge.settings import load_settings  # noqa: PLC0415 - heavy

    options = arguments.options
    prompt = sys.stdin.read() if options.prompt == "-" else options.prompt
    if not prompt.strip():
        raise ConfigurationError("the prompt is empty", hint="write it as one argument")
    cwd = Path(options.cwd).resolve()
    if not cwd.is_dir():
        raise ConfigurationError(f"{cwd} is not a folder", hint="name an existing one in --cwd")
    settings = load_settings(arguments.flags)
    return ask(
        settings,
        prompt,
        agent=arguments.after_dashes,
        cwd=cwd,
        model=options.model,
        approve=options.approve,
    )
