"""Every planted leak, through the bridge and without it, with the real adapter and Claude Code."""

from collections.abc import Callable

import pytest

from acp_bridge.proving.cases import Case
from acp_bridge.proving.payers import Payer
from acp_bridge.proving.sightings import Outcome, Sighting
from acp_bridge.proving.stage import Program
from tests.matrix.extent import FULL_PROFILE
from tests.matrix.programs import ALONE, STRIPPED, THROUGH_THE_BRIDGE, WITH_THE_GUARD
from tests.matrix.selected import CASES
from tests.support.leak_table import Held, Note

pytestmark = pytest.mark.agent
Try = Callable[[Case, Program], Sighting]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_through_the_bridge_only_the_modes_own_credential_is_seen_and_only_at_its_place(
    case: Case, attempt: Try, note: Note
) -> None:
    sighting = attempt(case, THROUGH_THE_BRIDGE)
    held = sighting.outcome in case.held_by
    note(case.plant, case.payer.value, Held.BY_THE_BRIDGE, held)

    assert held, str(sighting)


OF_A_LOGIN = [case for case in CASES if case.payer in (Payer.LOGIN, Payer.SETUP_TOKEN)]


@pytest.mark.parametrize("case", OF_A_LOGIN if FULL_PROFILE else OF_A_LOGIN[::8], ids=str)
def test_with_the_guard_only_the_login_is_seen_and_only_at_its_place(
    case: Case, attempt: Try
) -> None:
    sighting = attempt(case, WITH_THE_GUARD)

    assert sighting.outcome in case.held_by, str(sighting)


@pytest.mark.parametrize("case", CASES if FULL_PROFILE else CASES[::4], ids=str)
def test_without_the_bridge_the_same_plant_does_what_the_table_says(
    case: Case, attempt: Try, note: Note
) -> None:
    expected, why = case.alone
    sighting = attempt(case, ALONE)
    held = sighting.outcome is not Outcome.LEAKED
    note(case.plant, case.payer.value, Held.BY_NOTHING, held)
    if case.can_be_stripped and not case.has_the_one_variable:
        note(case.plant, case.payer.value, Held.BY_STRIPPING, held)

    assert sighting.outcome is expected, f"{why}; {sighting}"


@pytest.mark.parametrize(
    "case", [c for c in CASES if c.can_be_stripped and c.has_the_one_variable], ids=str
)
def test_stripping_the_one_variable_holds_a_plant_that_consists_of_it(
    case: Case, attempt: Try, note: Note
) -> None:
    sighting = attempt(case, STRIPPED)
    note(case.plant, case.payer.value, Held.BY_STRIPPING, sighting.outcome is not Outcome.LEAKED)

    assert sighting.outcome is not Outcome.LEAKED, str(sighting)
