"""Text that others told, fit for a page: one line, nothing hidden, no credential, not too long.

A session's id, a model or a folder can hold whatever a client, an agent or an endpoint put there.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from acp_bridge.redaction import redact

LISTED = 3
"""How many ids a sentence names at most."""
_LONGEST = 300
"""Characters of a text that a page shows."""
_TICKS = re.compile("`+")


@dataclass(frozen=True, slots=True)
class Told:
    """Text of somebody else's, as it was told."""

    text: str


def visible(text: str) -> str:
    """The text in one line, with everything that would not show as itself written as an escape."""
    shown = "".join(one if one.isprintable() else _escape(one) for one in text)
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 3] + "..."


def listed(ids: Sequence[str]) -> str:
    """Some ids in a sentence, and how many more there are."""
    more = len(ids) - LISTED
    named = ", ".join(visible(one) for one in ids[:LISTED])
    return f"{named} and {more} more" if more > 0 else named


def without_home(home: str) -> Callable[[str], str]:
    """How to write ``~`` for a home directory, wherever a text names it or what is below it.

    Args:
        home: its path; if it is empty or the root, nothing is changed.
    """
    home = home.rstrip("/")
    if not home:
        return lambda text: text
    named = re.compile(rf"(?<![\w./~-]){re.escape(home)}(?![\w-]|\.\w)")
    return lambda text: named.sub("~", text)


def in_plain(told: Told, shorten: Callable[[str], str]) -> str:
    """As a terminal shows it."""
    return visible(redact(shorten(told.text)))


def in_markdown(told: Told, shorten: Callable[[str], str]) -> str:
    """As a code span, in which nothing is formatted, linked or anybody mentioned.

    It is safe in a table as well.
    """
    text = in_plain(told, shorten).replace("|", _escape("|"))
    if not text.strip():
        return f'"{text}"'
    fence = "`" * (1 + max(map(len, _TICKS.findall(text)), default=0))
    padding = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{padding}{text}{padding}{fence}"


def _escape(character: str) -> str:
    code = ord(character)
    if code <= 0xFF:  # noqa: PLR2004 - two hexadecimal digits
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 - four of them
