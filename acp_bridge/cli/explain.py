"""``acp-bridge explain``: which bucket is charged, by which rule, and what would change that."""

import argparse
import json
import os
import sys
from datetime import date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from acp_bridge.errors import ConfigurationError
from acp_bridge.modes import CLASS_OF_MODE, CredentialClass

if TYPE_CHECKING:
    from acp_bridge.cli.arguments import Arguments

_Word = TypeVar("_Word", bound=StrEnum)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's own options; the plan is a setting, ``--plan``."""
    parser.add_argument(
        "--credential",
        metavar="CLASS",
        help="api_key, subscription_oauth, endpoint_credential, cloud, none or unknown; "
        "default the mode's",
    )
    parser.add_argument(
        "--surface",
        metavar="SURFACE",
        help="agent-sdk (default: the bridge), print, terminal, github-actions, chat, cowork, "
        "third-party or unknown",
    )
    parser.add_argument("--date", metavar="DAY", help="as 2026-06-15; default today")
    parser.add_argument("--json", action="store_true", help="print the document, not the page")


def run(arguments: "Arguments") -> int:
    """Print what the billing policy says of this configuration, or of one that is asked about.

    Raises:
        ConfigurationError: an option's word is not known, or a policy file is wrong.
    """
    from acp_bridge.inspect.explanation import (  # noqa: PLC0415 - with its command
        explanation_document,
        render,
    )
    from acp_bridge.launch.policy_file import load_policy, users_policy  # noqa: PLC0415
    from acp_bridge.policy.billing import Question  # noqa: PLC0415
    from acp_bridge.policy.surface import Surface  # noqa: PLC0415
    from acp_bridge.settings import config_path, load_settings  # noqa: PLC0415 - heavy

    options = arguments.options
    asked_class = _word("--credential", options.credential, CredentialClass)
    surface = _word("--surface", options.surface, Surface)
    day = _day(options.date)
    settings = load_settings(arguments.flags)
    question = Question(
        credential_class=asked_class or CLASS_OF_MODE[settings.mode],
        surface=surface or Surface.AGENT_SDK,
        plan=settings.plan,
        on=day,
    )
    policy = load_policy(users_policy(config_path(os.environ)))
    document = explanation_document(policy, question)
    sys.stdout.write(json.dumps(document, indent=2) + "\n" if options.json else render(document))
    return 0


def _word(flag: str, written: str | None, words: type[_Word]) -> _Word | None:
    """A word of an enumeration, whichever of ``-`` and ``_`` is written; None if not given."""
    if written is None:
        return None
    wanted = written.strip().lower().replace("_", "-")
    for word in words:
        if word.replace("_", "-") == wanted:
            return word
    raise ConfigurationError(f"{flag}: {written!r} is not known", hint=f"use {', '.join(words)}")


def _day(written: str | None) -> date:
    if written is None:
        return datetime.now().astimezone().date()
    try:
        return date.fromisoformat(written)
    except ValueError as exc:
        raise ConfigurationError(
            f"--date {written!r} is no day", hint="write it as 2026-06-15"
        ) from exc
