"""``acp-bridge usage``: what was used, grouped as asked."""

import argparse
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from acp_bridge.errors import ConfigurationError

if TYPE_CHECKING:
    from acp_bridge.cli.arguments import Arguments
    from acp_bridge.ledger.queries import Ledger
    from acp_bridge.ledger.report import GroupKey

_Found = tuple[dict[str, Any], Callable[[], str]]
"""A document, and how to make its page."""

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
    parser.add_argument(
        "--reconcile",
        action="store_true",
        help="what each witness told of each session, beside what is known best, and missed",
    )
    parser.add_argument("--json", action="store_true", help="print the document, not the page")


@dataclass(frozen=True, slots=True)
class _Asked:
    """What part of the ledger is asked for."""

    since: datetime | None
    until: datetime | None
    run_id: str | None

    @property
    def is_part(self) -> bool:
        return any(one is not None for one in (self.since, self.until, self.run_id))


def run(arguments: "Arguments") -> int:
    """Print what the ledger holds, or with ``--reconcile`` what each witness told of it."""
    from acp_bridge.ledger import ledger_path  # noqa: PLC0415 - with its command
    from acp_bridge.ledger.queries import Ledger  # noqa: PLC0415
    from acp_bridge.settings import load_settings  # noqa: PLC0415 - heavy

    options = arguments.options
    if options.reconcile and options.by:
        raise ConfigurationError(
            "--reconcile has rows of its own, by session and model; --by does not go with it",
            hint="leave out one of them; --run, --since and --until go with both",
        )
    by = groups(options.by)
    asked = _asked(options)
    settings = load_settings(arguments.flags)
    with Ledger(ledger_path(settings.state_dir)) as ledger:
        if asked.run_id is not None and ledger.run(asked.run_id) is None:
            raise ConfigurationError(
                f"the ledger has no run {asked.run_id!r}",
                hint="acp-bridge usage --by run lists the runs there are",
            )
        found = _reconciled(ledger, asked) if options.reconcile else _used(ledger, asked, by)
    document, page = found
    sys.stdout.write(_json(document) if options.json else page())
    return 0


def _asked(options: argparse.Namespace) -> _Asked:
    now = datetime.now().astimezone()
    since, until = moment(options.since, now, "--since"), moment(options.until, now, "--until")
    if since is not None and until is not None and since >= until:
        raise ConfigurationError(
            "--since is not before --until", hint="exchange them, or leave one out"
        )
    return _Asked(since, until, options.run_id)


def _used(ledger: "Ledger", asked: _Asked, by: "tuple[GroupKey, ...]") -> "_Found":
    from acp_bridge.inspect.local_time import LocalZone  # noqa: PLC0415 - with its use
    from acp_bridge.inspect.usage import render  # noqa: PLC0415
    from acp_bridge.run.usage_document import usage_document  # noqa: PLC0415

    report = ledger.report(
        by, since=asked.since, until=asked.until, run_id=asked.run_id, zone=LocalZone()
    )
    document = usage_document(report)
    return document, partial(render, document)


def _reconciled(ledger: "Ledger", asked: _Asked) -> "_Found":
    from acp_bridge.inspect.reconciliation import (  # noqa: PLC0415 - with its use
        reconciliation_document,
    )
    from acp_bridge.inspect.reconciliation_page import render_reconciliation  # noqa: PLC0415
    from acp_bridge.ledger.witnesses import Wanted  # noqa: PLC0415

    wanted = Wanted(asked.run_id, since=asked.since, until=asked.until)
    document = reconciliation_document(ledger.witnessed(wanted))
    return document, partial(render_reconciliation, document, is_part=asked.is_part)


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
