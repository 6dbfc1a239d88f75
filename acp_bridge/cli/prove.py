"""``acp-bridge prove``: whether the mode holds with the agent and Claude Code installed here.

Nothing of the user's is touched: home and state are scratch folders, credentials are fake, and the
model is the embedded endpoint on loopback.
"""

import argparse
from typing import TYPE_CHECKING

from acp_bridge.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from acp_bridge.cli.arguments import Arguments
    from acp_bridge.modes import BillingMode


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's own options."""
    parser.add_argument(
        "--full",
        action="store_true",
        help="every kind of channel in every place in every mode, which takes half an hour or "
        "more; default is quick: every kind once, modes and places taking turns (with --mode, "
        "every kind in that mode); both try what only the wire guard holds where it is in enforce",
    )
    parser.add_argument(
        "--only",
        metavar="TEXT",
        action="append",
        default=[],
        help="only channels with this in their name; may be given again",
    )
    parser.add_argument("--json", action="store_true", help="print the document, not the table")


def run(arguments: "Arguments") -> int:
    """Prove; 0 if every channel was held, 1 if one was not.

    Raises:
        ConfigurationError: an option makes no sense here, or leaves nothing to try.
    """
    from acp_bridge.cli.proving import Asked, show_proof  # noqa: PLC0415 - heavy
    from acp_bridge.modes import BillingMode, Guard, OnViolation  # noqa: PLC0415 - with its use
    from acp_bridge.own_process import (  # noqa: PLC0415 - with its use
        forget_environment,
        hide_from_others,
    )
    from acp_bridge.proving.selection import Profile, select  # noqa: PLC0415 - heavy
    from acp_bridge.proving.subject import APPLIED, guards_of  # noqa: PLC0415 - heavy
    from acp_bridge.settings import load_settings  # noqa: PLC0415 - heavy

    options, flags = arguments.options, dict(arguments.flags)
    modes = _modes(flags.pop("mode", None)) or tuple(BillingMode)
    used = ("agent", "claude", *APPLIED)
    unused = next((name for name in flags if name not in used), None)
    if unused is not None:
        raise ConfigurationError(
            f"prove does not use --{unused.replace('_', '-')}: it brings its own",
            hint="leave it out; --mode, --agent, --claude and --guard are used",
        )
    settings = load_settings(flags)
    profile = Profile.FULL if options.full else Profile.QUICK
    guards = guards_of(settings)
    trials = select(
        profile,
        modes,
        options.only,
        guarded=[mode for mode, guard in guards.items() if guard is Guard.ENFORCE],
        is_told_only=settings.on_violation is OnViolation.WARN,
    )
    if not trials:
        raise _nothing_to_try(options.only)
    forget_environment()
    hide_from_others()
    agent = arguments.after_dashes or None
    return show_proof(Asked(settings, profile, trials, agent, as_json=options.json))


def _nothing_to_try(only: "Sequence[str]") -> ConfigurationError:
    return ConfigurationError(
        f"no channel that would be tried has {' or '.join(map(repr, only))} in its name",
        hint="name a part of it, as in: acp-bridge prove --only BASE_URL; what only the wire"
        " guard holds is tried where it is in enforce",
    )


def _modes(named: str | None) -> "tuple[BillingMode, ...]":
    from acp_bridge.modes import BillingMode  # noqa: PLC0415 - with its use

    try:
        return () if named is None else (BillingMode.parse(named),)
    except ValueError as error:
        raise ConfigurationError(
            str(error), hint="for example: acp-bridge prove --mode subscription"
        ) from error
