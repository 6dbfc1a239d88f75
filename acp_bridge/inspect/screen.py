"""What a plot is shown on: how wide it is, which characters it has, and whether it has colour."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TextIO

_WIDEST = 120
_BLOCKS = "█▓▒░▚▄"
_ASCII = "#=+.o%"
_COLOURS = (34, 33, 35, 90, 32, 36)
"""The terminal's blue, yellow, magenta, grey, green and cyan, in the order of the patterns."""


class Pattern(IntEnum):
    """What a part of a bar is filled with; colour only repeats it."""

    FULL = 0
    DARK = 1
    MEDIUM = 2
    LIGHT = 3
    CHECKED = 4
    LOW = 5


@dataclass(frozen=True, slots=True)
class Screen:
    """What the page is shown on.

    Attributes:
        columns: how wide it is.
        has_blocks: it can show Unicode's block elements.
        has_colour: it takes the ANSI sequences for colour.
    """

    columns: int = 80
    has_blocks: bool = True
    has_colour: bool = False

    @classmethod
    def of(cls, stream: TextIO, environ: Mapping[str, str], columns: int) -> "Screen":
        """What a stream leads to.

        Args:
            stream: where the page will be written.
            environ: ``TERM`` and ``NO_COLOR`` are looked at.
            columns: the terminal's width, or what stands for it.
        """
        is_dumb = environ.get("TERM") == "dumb"
        has_colour = stream.isatty() and not environ.get("NO_COLOR") and not is_dumb
        return cls(min(columns, _WIDEST), not is_dumb and _can_show(stream), has_colour)

    def bar(self, cells: Sequence[tuple[Pattern, int]]) -> str:
        """Cells side by side: (pattern, how many) each."""
        return "".join(self._paint(pattern, count) for pattern, count in cells if count)

    def _paint(self, pattern: Pattern, count: int) -> str:
        text = (_BLOCKS if self.has_blocks else _ASCII)[pattern] * count
        return f"\033[{_COLOURS[pattern]}m{text}\033[0m" if self.has_colour else text


def _can_show(stream: TextIO) -> bool:
    try:
        _BLOCKS.encode(stream.encoding or "ascii")
    except (LookupError, UnicodeEncodeError):
        return False
    return True
