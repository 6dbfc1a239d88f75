"""A row taken out of the channels file opens its channel: no row is held up by another one.

Each name of the file is the business of tests/launch; here a few rows are taken out of what the
real program runs under. ``ACP_TEST_PROFILE=full`` runs all of them.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from acp_bridge.proving.cases import Case
from acp_bridge.proving.kinds import Kind, plant
from acp_bridge.proving.payers import Payer
from acp_bridge.proving.scopes import Scope, place
from acp_bridge.proving.sightings import Outcome, Sighting
from acp_bridge.proving.stage import Program, Stage
from tests.matrix.extent import FULL_PROFILE
from tests.matrix.programs import bridge_with_layers, channels_without
from tests.support.real import CLAUDE

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
    lacking = replace(
        whole, argv=(*whole.argv, "--channels", channels_without(missing.rows, tmp_path))
    )

    held = await _turn(tmp_path / "whole", missing.case, whole)
    open_ = await _turn(tmp_path / "lacking", missing.case, lacking)

    assert held.outcome is Outcome.HELD, str(held)
    assert open_.outcome is not Outcome.HELD, str(open_)


async def _turn(root: Path, case: Case, program: Program) -> Sighting:
    async with Stage(root, case.payer) as stage, stage.run(program) as running:
        made = plant(case.kind, stage.bait(CLAUDE))
        placed = place(case.scope, made, home=stage.home, project=stage.home.project)
        return await running.turn(stage.home.project, options=placed.options)
