"""The runs that live, as a table that is drawn anew whenever something has changed."""

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from acp_bridge.inspect.status import status_document
from acp_bridge.inspect.statusline import spent_in_words, tokens_in_words, window_in_words

LOOK_SECONDS = 0.5
"""How often it is looked whether something has changed."""
_HEAD = ("mode", "charged to", "pid", "sessions", "tokens", "spent", "windows")
_ALTERNATE, _BACK, _HOME, _CLEAR_LINE, _CLEAR_REST = (
    "\x1b[?1049h",
    "\x1b[?1049l",
    "\x1b[H",
    "\x1b[K",
    "\x1b[J",
)


def watch(state_dir: Path, run_id: str | None, output: TextIO, *, as_json: bool) -> None:
    """Show the runs until the reader has had enough.

    On a terminal the table is drawn in place; elsewhere it is written again at each change, and
    with `as_json` the document of ``status --json``, one a line.

    Raises:
        KeyboardInterrupt: on Ctrl-C, with the terminal as it was.
        ConfigurationError: the one run that was asked for is not recorded.
    """
    in_place = output.isatty() and os.environ.get("TERM") != "dumb" and not as_json
    with _alternate_screen(output) if in_place else contextlib.nullcontext():
        for _ in _changes(state_dir, _size if in_place else lambda: None):
            document = status_document(state_dir, run_id)
            if as_json:
                output.write(json.dumps(document) + "\n")
            elif in_place:
                _draw(live_table(document, datetime.now().astimezone()), output)
            else:
                output.write(live_table(document, datetime.now().astimezone()) + "\n")
            output.flush()


def live_table(document: Mapping[str, Any], now: datetime) -> str:
    """The runs that live, a line each, and what is wrong with them.

    Args:
        document: from `status_document`.
        now: local time.
    """
    living = [run for run in document["bridges"] if run["alive"]]
    lines = [f"acp-bridge, {now:%H:%M:%S}", ""]
    if not living:
        return "\n".join([*lines, "no bridge is running"]) + "\n"
    rows = [_HEAD, *(_row(run) for run in living)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    for row, run in zip(rows, (None, *living), strict=True):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        lines.append("  ".join(cells).rstrip())
        if run is not None:
            lines += [
                f"  VIOLATION {item['reason']}: {item['detail']}" for item in run["violations"]
            ]
    return "".join(f"{_plain(line)}\n" for line in lines)


def _row(run: Mapping[str, Any]) -> Sequence[str]:
    sessions = run["sessions"]
    windows = [window_in_words(one) for one in run.get("limits", ()) if one["used"] is not None]
    return (
        f"{run['mode']} ({run['mode_letter']})",
        str(run["bucket"]),
        str(run["pid"]),
        str(len(sessions)),
        tokens_in_words(sessions),
        spent_in_words(sessions),
        "; ".join(windows) or "-",
    )


def _changes(state_dir: Path, size: Callable[[], object]) -> Iterator[None]:
    """At once, and then whenever a status was written, a run has ended or the window changed."""
    seen: object = None
    while True:
        now = (_fingerprint(state_dir), size())
        if now != seen:
            seen = now
            yield
        time.sleep(LOOK_SECONDS)


def _fingerprint(state_dir: Path) -> list[tuple[str, int, int]]:
    """The status of each run: its name, when it was written, and whether its folder was changed."""
    found = []
    with contextlib.suppress(OSError):
        for folder in sorted((state_dir / "runs").iterdir()):
            with contextlib.suppress(OSError):
                changed = folder.stat().st_mtime_ns  # a run that ends takes its launch gate away
                found.append((folder.name, (folder / "status.json").stat().st_mtime_ns, changed))
    return found


def _size() -> tuple[int, int]:
    size = os.get_terminal_size()
    return size.columns, size.lines


def _draw(page: str, output: TextIO) -> None:
    columns, rows = _size()
    lines = [line[:columns] for line in page.splitlines()[: rows - 1]]
    drawn = "".join(f"{line}{_CLEAR_LINE}\r\n" for line in lines)
    output.write(f"{_HOME}{drawn}{_CLEAR_REST}")


@contextlib.contextmanager
def _alternate_screen(output: TextIO) -> Iterator[None]:
    output.write(_ALTERNATE)
    try:
        yield
    finally:
        output.write(_BACK)
        output.flush()


def _plain(line: str) -> str:
    """Without what would move the cursor: sentences hold what agents and clients said."""
    return "".join(char if char.isprintable() else " " for char in line)
