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
    from acp_bridge.own_process import (  # noqa: PLC0415 - with its use
        forget_environment,
        hide_from_others,
    )
    from acp_bridge.settings import load_settings  # noqa: PLC0415 - heavy

    options = arguments.options
    settings = load_settings(arguments.flags)
    cwd = Path(options.cwd).resolve()
    if not cwd.is_dir():
        raise ConfigurationError(f"{cwd} is not a folder", hint="name an existing one in --cwd")
    prompt = _prompt(options.prompt)
    forget_environment()
    hide_from_others()
    return ask(
        settings,
        prompt,
        agent=arguments.after_dashes,
        cwd=cwd,
        model=options.model,
        approve=options.approve,
    )


def _prompt(argument: str) -> str:
    """The text of the prompt: the argument, or stdin.

    Raises:
        ConfigurationError: there is none, or it is not text.
    """
    try:
        text = argument
        if argument == "-":
            text = sys.stdin.buffer.read().decode() if sys.stdin is not None else ""
        # An argument that is not UTF-8 reaches Python with lone surrogates, which this refuses.
        text.encode()
    except UnicodeError as error:
        raise ConfigurationError(
            "the prompt is not UTF-8", hint="convert it, for example with iconv -t utf-8"
        ) from error
    if not text.strip():
        raise ConfigurationError(
            "the prompt is empty", hint="write it as one argument, or - to read it from stdin"
        )
    return text
