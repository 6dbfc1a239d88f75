"""``acp-bridge ledger``: take entries out, back them up, check them, delete old ones.

Nothing in the ledger expires by itself; ``prune`` is the only thing that deletes from it.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acp_bridge.errors import ConfigurationError

if TYPE_CHECKING:
    from acp_bridge.cli.arguments import Arguments
    from acp_bridge.ledger.pruning import Doomed
    from acp_bridge.ledger.verifying import Verified

SCHEMA_VERSION = 1
UNSOUND = 1
"""The exit status for a ledger that is not what it should be."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions and their options."""
    from acp_bridge.cli.arguments import add_actions  # noqa: PLC0415 - it imports this module

    add_actions(parser, "ledger", _ACTIONS, required=True)


def run(arguments: "Arguments") -> int:
    """Do what was asked; returns the exit status."""
    from acp_bridge.settings import load_settings  # noqa: PLC0415 - heavy

    options = arguments.options
    state_dir = load_settings(arguments.flags).state_dir
    match options.action:
        case "export":
            return _export(options, state_dir)
        case "backup":
            return _back_up(options, state_dir)
        case "verify":
            return _verify(options, state_dir)
        case _:
            return _prune(options, state_dir)


def _declare_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--since", metavar="WHEN", help="2026-01-31, 2026-01-31T12:00, 12h, 7d or 2w"
    )
    parser.add_argument("--until", metavar="WHEN", help="the same; the moment itself is left out")
    parser.add_argument("--run", metavar="RUN_ID", dest="run_id", help="one run only")
    parser.add_argument(
        "--format",
        metavar="FORMAT",
        choices=("jsonl", "csv"),
        default="jsonl",
        help="jsonl (a line of JSON each, the default) or csv",
    )
    parser.add_argument(
        "--everything",
        action="store_true",
        help="also runs, sessions, evidence, violations, readings, witnesses and reservations",
    )
    parser.add_argument("--output", metavar="FILE", type=Path, help="a file instead of stdout")
    parser.add_argument("--force", action="store_true", help="replace the file if it is there")


def _declare_backup(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, help="a file that is not there yet")


def _declare_verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the document, not the page")


def _declare_prune(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--before", metavar="DATE", required=True, help="delete what is before this day"
    )
    parser.add_argument("--yes", action="store_true", help="do it; without, only say what would go")
    parser.add_argument(
        "--export",
        metavar="FILE",
        type=Path,
        help="where to keep a copy of what goes; default beside the ledger",
    )
    parser.add_argument("--no-export", action="store_true", help="keep no copy")


_ACTIONS = {
    "export": ("every entry, for programs and spreadsheets", _declare_export),
    "backup": ("a copy of the whole ledger, also while bridges write", _declare_backup),
    "verify": ("whether the file, its words and its sums are sound", _declare_verify),
    "prune": ("delete what is before a day", _declare_prune),
}


def _export(options: argparse.Namespace, state_dir: Path) -> int:
    from acp_bridge.cli.usage import period, refuse_unknown_run  # noqa: PLC0415 - with its action
    from acp_bridge.ledger import ledger_path  # noqa: PLC0415
    from acp_bridge.ledger.exporting import (  # noqa: PLC0415
        Format,
        export_ledger,
        new_file,
        part,
        refuse_ledger,
    )
    from acp_bridge.ledger.queries import Ledger  # noqa: PLC0415

    form = Format(options.format)
    if form is Format.CSV and options.everything:
        raise ConfigurationError(
            "--everything does not go with csv, which has one kind of rows",
            hint="leave out one of them",
        )
    if options.force and options.output is None:
        raise ConfigurationError("--force is for a file", hint="name one with --output")
    since, until = period(options)
    asked = part(since=since, until=until, run_id=options.run_id, everything=options.everything)
    path = ledger_path(state_dir)
    with Ledger(path) as ledger:
        refuse_unknown_run(ledger, options.run_id)
    if options.output is None:
        export_ledger(path, asked, form, sys.stdout)
        return 0
    refuse_ledger(options.output, path)
    with (
        new_file(options.output, force=options.force) as file,
        file.open("w", encoding="utf-8", newline="") as stream,
    ):
        written = export_ledger(path, asked, form, stream)
    rows = "1 row is" if written == 1 else f"{written:,} rows are"
    sys.stdout.write(f"{rows} in {options.output}\n")
    return 0


def _back_up(options: argparse.Namespace, state_dir: Path) -> int:
    from acp_bridge.ledger import ledger_path  # noqa: PLC0415 - with its action
    from acp_bridge.ledger.exporting import back_up  # noqa: PLC0415

    back_up(ledger_path(state_dir), options.file)
    size = options.file.stat().st_size
    sys.stdout.write(f"{options.file} is a sound copy of the ledger, {size:,} bytes\n")
    return 0


def _verify(options: argparse.Namespace, state_dir: Path) -> int:
    from acp_bridge.ledger import ledger_path  # noqa: PLC0415 - with its action
    from acp_bridge.ledger.runs import is_alive  # noqa: PLC0415
    from acp_bridge.ledger.verifying import verify  # noqa: PLC0415

    path = ledger_path(state_dir)
    found = verify(path, partial(is_alive, state_dir))
    if options.json:
        sys.stdout.write(json.dumps(_verified(found, path), indent=2) + "\n")
    else:
        sys.stdout.write("\n".join(_verified_page(found, path)) + "\n")
    return 0 if found.is_sound else UNSOUND


def _verified(found: "Verified", path: Path) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "ledger": str(path),
        "sound": found.is_sound,
        "problems": found.problems,
        "ledger_schema": found.schema,
        "entries": found.entries,
        "first_at": None if found.first is None else found.first.isoformat(),
        "last_at": None if found.last is None else found.last.isoformat(),
        "reservations": {
            "all": found.reservations,
            "of_dead_runs": found.orphaned,
        },
    }


def _verified_page(found: "Verified", path: Path) -> Iterator[str]:
    if found.schema == 0 and found.is_sound:
        yield f"There is no ledger at {path} yet; nothing is lost."
        return
    yield f"{path} is {'sound' if found.is_sound else 'NOT sound'} (schema {found.schema})"
    for problem in found.problems:
        yield f"  {problem}"
    if found.entries:
        yield (
            f"{found.entries:,} entries since {found.first:%Y-%m-%d}, "
            f"the last on {found.last:%Y-%m-%d}"
        )
    elif found.entries == 0:
        yield "no entries"
    if found.orphaned:
        yield (
            f"reservations of dead runs, which hold a part of a budget: {found.orphaned:,}; "
            "`acp-bridge budget release` frees them"
        )
    if not found.is_sound:
        yield (
            "What can still be read is worth keeping: copy the file, and try `acp-bridge ledger "
            "export --everything`."
        )


def _prune(options: argparse.Namespace, state_dir: Path) -> int:
    from acp_bridge.ledger import ledger_path  # noqa: PLC0415 - with its action
    from acp_bridge.ledger.pruning import Pruning  # noqa: PLC0415
    from acp_bridge.ledger.runs import is_alive  # noqa: PLC0415

    _refuse_inside("ledger prune")
    if options.no_export and options.export is not None:
        raise ConfigurationError(
            "--export and --no-export contradict each other", hint="leave out one of them"
        )
    now = datetime.now(UTC)
    day = _day(options.before)
    before = _midnight(day)
    if before > now:
        raise ConfigurationError(
            f"--before {day} is yet to come", hint="what is deleted must be over: name a day past"
        )
    path = ledger_path(state_dir)
    pruning = Pruning(path, before, partial(is_alive, state_dir))
    doomed = pruning.look()
    if doomed.is_nothing:
        sys.stdout.write(f"Nothing in the ledger is before {day}.\n")
        return 0
    into = None
    if not options.no_export:
        name = f"pruned-before-{day}-at-{now:%Y%m%dT%H%M%SZ}.jsonl"
        into = options.export or path.with_name(name)
    if not options.yes:
        copy = f"A copy would be in {into}." if into else "No copy would be kept."
        sys.stdout.write(
            f"Before {day}: {_in_words(doomed)}.\n{copy} Reports and budgets lose "
            "these entries for good.\nNothing was deleted; --yes does it.\n"
        )
        return 0
    pruned = pruning.prune(into)
    copy = f"A copy is in {into}." if into else "No copy was kept."
    sys.stdout.write(f"Deleted {_in_words(pruned.doomed)}.\n{copy}\n")
    if pruned.kept_size is not None:
        sys.stdout.write(
            f"The file keeps its size: {pruned.kept_size}. New entries use the room.\n"
        )
    return 0


def _in_words(doomed: "Doomed") -> str:
    since = "" if doomed.first is None else f" (the first of {doomed.first:%Y-%m-%d})"
    others = [
        _counted(count, table)
        for table, count in doomed.rows.items()
        if count and table not in _NOT_TOLD
    ]
    entries = _counted(doomed.rows["usage"], "entries")
    return ", ".join([entries + since, *others])


def _counted(count: int, words: str) -> str:
    """A number of rows, by the plural of what they are."""
    one = _ONE.get(words, words.removesuffix("s"))
    return f"{count:,} {one if count == 1 else words}"


_ONE = {"entries": "entry", "evidence": "piece of evidence", "witnesses": "witness"}

_NOT_TOLD = ("usage", "place_quarters", "charge_quarters", "places")


def _day(written: str) -> date:
    try:
        return date.fromisoformat(written)
    except ValueError as exc:
        raise ConfigurationError(
            f"--before {written!r} is no day", hint="write 2026-01-31"
        ) from exc


def _midnight(day: date) -> datetime:
    try:
        return datetime(day.year, day.month, day.day).astimezone()
    except (ValueError, OverflowError) as exc:
        raise ConfigurationError(
            f"--before {day} is out of range", hint="write a day like 2026-01-31"
        ) from exc


def _refuse_inside(what: str) -> None:
    from acp_bridge.run.inside import refuse_inside_a_session  # noqa: PLC0415 - with its use

    refuse_inside_a_session(os.environ, f"acp-bridge {what}")
