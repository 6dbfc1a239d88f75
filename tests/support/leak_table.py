"""The table of planted leaks at the end of a test run: what held which, counted and in full.

Tests hand in what they saw through the `note` fixture; the numbers therefore are those of the run
that prints them. With ``-v`` or ``ACP_TEST_PROFILE=full`` every plant has a line.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

import pytest
from _pytest.terminal import TerminalReporter

_PROPERTY = "planted leak"
_COUNTED = ("passed", "failed")


class Held(StrEnum):
    """What stood against a plant."""

    BY_NOTHING = "plain adapter"
    BY_STRIPPING = "ANTHROPIC_API_KEY stripped"
    BY_THE_BRIDGE = "acp-bridge"


Note = Callable[[str, str, Held, bool], None]


@dataclass(slots=True)
class Row:
    """One plant: what it is, the mode's letter, and what held it."""

    plant: str
    mode: str
    held: dict[Held, bool] = field(default_factory=dict)

    @property
    def leaks_alone(self) -> bool:
        """Whether it leaked with nothing against it."""
        return self.held.get(Held.BY_NOTHING) is False


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Note:
    """Hand in what was seen: the plant, the mode's letter, what stood against it, if it held."""

    def hand_in(plant: str, mode: str, by: Held, held: bool) -> None:  # noqa: FBT001 - a verdict
        request.node.user_properties.append((_PROPERTY, [plant, mode, by.value, held]))

    return hand_in


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Print the table if any plant was tried."""
    rows = list(_rows(_handed_in(terminalreporter)))
    if not rows:
        return
    terminalreporter.section("planted leaks")
    for line in _counts(rows):
        terminalreporter.write_line(line)
    if terminalreporter.verbosity > 0 or os.environ.get("ACP_TEST_PROFILE") == "full":
        for line in _lines(rows):
            terminalreporter.write_line(line)


def _handed_in(reporter: TerminalReporter) -> Iterator[tuple[str, str, Held, bool]]:
    for outcome in _COUNTED:
        for report in reporter.stats.get(outcome, []):
            if getattr(report, "when", None) == "call":
                for name, value in report.user_properties:
                    if name == _PROPERTY:
                        plant, mode, by, held = value
                        yield plant, mode, Held(by), held


def _rows(handed_in: Iterable[tuple[str, str, Held, bool]]) -> Iterable[Row]:
    rows: dict[tuple[str, str], Row] = {}
    for plant, mode, by, held in handed_in:
        rows.setdefault((plant, mode), Row(plant, mode)).held[by] = held
    return [rows[key] for key in sorted(rows)]


def _counts(rows: list[Row]) -> Iterator[str]:
    count = sum(row.leaks_alone for row in rows)
    yield f"{len(rows)} plants tried, of which {count} leak without the bridge"
    for mode in sorted({row.mode for row in rows}):
        leaking = [row for row in rows if row.mode == mode and row.leaks_alone]
        yield f"  mode {mode}: of {len(leaking)} that leak, held by {_tally(leaking)}"


def _tally(rows: list[Row]) -> str:
    tallies = []
    for by in (Held.BY_STRIPPING, Held.BY_THE_BRIDGE):
        known = [row for row in rows if by in row.held]
        if known:
            held = sum(row.held[by] for row in known)
            tallies.append(f"{by}: {held}" + (f" of {len(known)}" if held < len(known) else ""))
    return ", ".join(tallies) or "nothing that was tried"


def _lines(rows: list[Row]) -> Iterator[str]:
    yield f"| {'plant':<86} | mode    | " + " | ".join(by.value for by in Held) + " |"
    for row in rows:
        cells = (_cell(row.held.get(by)).ljust(len(by.value)) for by in Held)
        yield f"| {row.plant:<86} | {row.mode:<7} | " + " | ".join(cells) + " |"


def _cell(held: bool | None) -> str:  # noqa: FBT001 - a verdict
    match held:
        case None:
            return "-"
        case True:
            return "holds"
        case False:
            return "LEAKS"
