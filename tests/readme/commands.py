"""The commands that the README tells its reader, and those of the help pages."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from acp_bridge.cli.arguments import COMMANDS
from acp_bridge.cli.examples import examples_of

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text("utf-8")
_OPEN = re.compile(r"…|\[|\||RUN_ID|PROMPT")
"""What a command has where the reader puts something of their own."""


def in_blocks() -> Iterator[str]:
    """Each line of the blocks for the shell, in their order."""
    for block in re.findall(r"^```sh\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE):
        for line in block.splitlines():
            yield line.partition(" #")[0].strip()


def in_sentences() -> Iterator[str]:
    """Each command that stands within a sentence or a table, as it is to be typed."""
    prose = re.sub(r"^```.*?^```", "", README, flags=re.DOTALL | re.MULTILINE)
    for span in re.findall(r"`((?:acp-bridge|scripts/)[^`]*)`", prose):
        if not _OPEN.search(span):
            yield span


def in_help() -> Iterator[str]:
    """Each example of each command."""
    for command in ("", *COMMANDS):
        for example in examples_of(command):
            yield example.line


def of_command(lines: Iterable[str], command: str) -> list[str]:
    """Those that begin, or pipe into, this command; ``""`` is the bare bridge."""
    return [line for line in dict.fromkeys(lines) if name_of(line) == command]


def name_of(line: str) -> str:
    """The command of a line, ``""`` for the bare bridge, or the script it starts."""
    found = re.search(r"(?:^|\| )(?:acp-bridge(?: ([a-z]+))?|(\S+))", line)
    assert found is not None
    program, command = found[2], found[1]
    return program or (command if command in COMMANDS else "")
