"""``acp-bridge usage``: what was used, grouped as asked."""

import argparse
import re
import sys
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from acp_bridge.errors import ConfigurationError

if TYPE_CHECKING:
    from acp_bridge.cli.arguments import Arguments
    from acp_bridge.ledger.report import GroupKey

_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_AGO = re.compile(r"([0-9]{1,5})([hdw])")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's own options."""
    parser.add_argument(
        "--by",
        metavar="KEY,…",
        action="append",
        help="group by mode, credential_class, bucket, surface, model, asked_by, source, state, "
        "run, session, project, subagent, hour, day, week or month; default mode,model",
    )
    parser.add_argument(
        "--since", metavar="WHEN", help="2026-01-31, 2026-01-31T12:00, 12h, 7d or 2w"
    )
    parser.add_argument("--until", metavar="WHEN", help="the same; the moment itself is left out")
    parser.add_argument("--run", metavar="RUN_ID", dest="run_id", help="one run only")
    parser.add_argument("--json", action="store_true", help="print the document, not the page")


def run(arguments: "Arguments") -> int:
    """Print what the ledger holds."""
    from acp_bridge.inspect.local_time import LocalZone  # noqa: PLC0415 - with its command
    from acp_bridge.inspect.usage import render  # noqa: PLC0415
    from acp_bridge.ledger import ledger_path  # noqa: PLC0415
    from acp_bridge.ledger.queries import Ledger  # noqa: PLC0415
    from acp_bridge.run.usage_document import usage_document  # noqa: PLC0415
    from acp_bridge.settings import load_settings  # noqa: PLC0415 - heavy

    options = arguments.options
    now = datetime.now().astimezone()
    by = groups(options.by)
    since, until = moment(options.since, now, "--since"), moment(options.until, now, "--until")
    if since is not None and until is not None and since >= until:
        raise ConfigurationError(
            "--since is not before --until", hint="exchange them, or leave one out"
        )
    settings = load_settings(arguments.flags)
    with Ledger(ledger_path(settings.state_dir)) as ledger:
        if options.run_id is not None and ledger.run(options.run_id) is None:
            raise ConfigurationError(
                f"the ledger has no run {options.run_id!r}",
                hint="acp-bridge usage --by run lists the runs there are",
            )
        found = ledger.report(by, since=since, until=until, run_id=options.run_id, zone=LocalZone())
    document = usage_document(found)
    sys.stdout.write(_json(document) if options.json else render(document))
    return 0


def _json(document: dict[str, Any]) -> str:
    import msgspec  # noqa: PLC0415 - with its use

    # Ten times as fast as the standard library's with an indentation, which is all in Python.
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def groups(written: list[str] | None) -> "tuple[GroupKey, ...]":
    """What to group by.

    Args:
        written: the values of ``--by``; each may name several, with commas.

    Raises:
        ConfigurationError: nothing can be grouped by that.
    """
    from acp_bridge.ledger.report import GroupKey  # noqa: PLC0415 - with its command

    if not written:
        return GroupKey.MODE, GroupKey.MODEL
    words = [word.strip().replace("-", "_") for one in written for word in one.split(",")]
    known = {key.value for key in GroupKey}
    for word in words:
        if word not in known:
            raise ConfigurationError(
                f"--by: usage cannot be grouped by {word!r}", hint=f"use {', '.join(GroupKey)}"
            )
    return tuple(GroupKey(word) for word in dict.fromkeys(words))


def moment(written: str | None, now: datetime, flag: str) -> datetime | None:
    """A moment, aware: a date, a date with a time, or how long ago.

    Args:
        written: the flag's value; None if it was not given.
        now: the present, in the zone that is meant.
        flag: for the error.

    Raises:
        ConfigurationError: it is no moment.
    """
    if written is None:
        return None
    ago = _AGO.fullmatch(written)
    try:
        if ago:
            return now - int(ago[1]) * _UNITS[ago[2]]
        found = datetime.fromisoformat(written)
        return found if found.tzinfo is not None else found.astimezone()
    except (ValueError, OverflowError) as exc:
        raise ConfigurationError(
            f"{flag} {written!r} is no moment", hint="write 2026-01-31, 2026-01-31T12:00, 12h or 7d"
        ) from exc
