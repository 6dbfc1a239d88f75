"""A row taken out of the channels file opens its channel: no row is held up by another one.

Each name of the file is the business of tests/launch; here a few rows are taken out of what the
real program runs under. ``ACP_TEST_PROFILE=full`` runs all of them.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from acp_bridge.launch.channels import CHANNELS_FILE
from acp_bridge.launch.shipped import shipped_file
from tests.matrix.cases import Case
from tests.matrix.extent import FULL_PROFILE
from tests.matrix.kinds import Kind, plant
from tests.matrix.payers import Payer
from tests.matrix.scopes import Scope, place
from tests.matrix.sightings import Outcome, Sighting
from tests.matrix.stage import Program, Stage, bridge_with_layers

pytestmark = pytest.mark.agent


@dataclass(frozen=True, slots=True)
class Missing:
    """Rows that were taken out, and a case that they hold.

    Attributes:
        rows: a piece of text that only the row has, for each row.
        case: what leaks, or ends without an answer, without them.
    """

    rows: tuple[str, ...]
    case: Case

    def __str__(self) -> str:
        return str(self.case)


def _missing(kind: Kind, scope: Scope, payer: Payer, *rows: str) -> Missing:
    return Missing(rows, Case(kind, scope, payer))


ROWS = (
    _missing(Kind.HELPER, Scope.PROJECT, Payer.LOGIN, 'key = "apiKeyHelper"'),
    _missing(Kind.CONFIG_FOLDER, Scope.META_ENV, Payer.LOGIN, '"CLAUDE_CONFIG_DIR", '),
    _missing(Kind.PROXY, Scope.META_SETTINGS, Payer.LOGIN, '\n  "HTTP_PROXY",'),
    _missing(Kind.FEDERATION, Scope.META_SETTINGS, Payer.LOGIN, '"ANTHROPIC_FEDERATION_RULE_ID",'),
    _missing(Kind.SIMPLE, Scope.META_ENV, Payer.LOGIN, '"CLAUDE_CODE_SIMPLE"]'),
    # Two rows speak of these: by name, and by a pattern for the names of later versions.
    _missing(
        Kind.BEDROCK,
        Scope.PROJECT,
        Payer.LOGIN,
        '"CLAUDE_CODE_USE_BEDROCK",',
        "'CLAUDE_CODE_USE_(?!",
    ),
    _missing(
        Kind.UNIX_SOCKET, Scope.META_ENV, Payer.KEY, '"ANTHROPIC_UNIX_SOCKET",', "|UNIX_SOCKET|"
    ),
)
CASES = ROWS if FULL_PROFILE else ROWS[:1]


@pytest.mark.parametrize("missing", CASES, ids=str)
async def test_without_its_row_a_channel_is_open(tmp_path: Path, missing: Missing) -> None:
    whole = bridge_with_layers("gate", "lock", "evidence")
    lacking = replace(whole, argv=(*whole.argv, "--channels", _without(missing.rows, tmp_path)))

    held = await _turn(tmp_path / "whole", missing.case, whole)
    open_ = await _turn(tmp_path / "lacking", missing.case, lacking)

    assert held.outcome is Outcome.HELD, str(held)
    assert open_.outcome is not Outcome.HELD, str(open_)


async def _turn(root: Path, case: Case, program: Program) -> Sighting:
    async with Stage(root, case.payer) as stage, stage.run(program) as running:
        made = plant(case.kind, stage.bait())
        placed = place(case.scope, made, home=stage.home, project=stage.home.project)
        return await running.turn(stage.home.project, options=placed.options)


def _without(rows: tuple[str, ...], folder: Path) -> str:
    """The path of a copy of the channels file that lacks the tables with these pieces."""
    text = shipped_file(CHANNELS_FILE).read_text(encoding="utf-8")
    tables = re.split(r"(?m)^(?=\[)", text)
    wanted = [table for table in tables if not any(row in table for row in rows)]
    assert len(tables) - len(wanted) == len(rows), "each piece is in one table"
    copy = folder / CHANNELS_FILE
    copy.write_text("".join(wanted), encoding="utf-8")
    return str(copy)
