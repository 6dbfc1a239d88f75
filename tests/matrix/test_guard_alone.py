"""The wire guard with every other layer off: what reaches it is refused, what goes round is told.

Without launch gate and mode lock a plant takes effect: another credential comes to the guard, or
the request goes elsewhere. The first must not reach the provider. The second the guard cannot stop,
but Claude Code's own telemetry tells of usage that the wire did not see.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from acp_bridge.proving.cases import Case
from acp_bridge.proving.client import AcpError
from acp_bridge.proving.kinds import Kind, plant
from acp_bridge.proving.messages import CREDENTIAL_CONTRADICTION
from acp_bridge.proving.payers import Payer
from acp_bridge.proving.scopes import Scope, place
from acp_bridge.proving.sightings import Outcome, Sighting
from acp_bridge.proving.stage import Running, Stage
from tests.matrix.extent import FULL_PROFILE
from tests.matrix.programs import bridge_with_layers
from tests.matrix.selected import FAST
from tests.support.real import CLAUDE

pytestmark = pytest.mark.agent

GUARD = bridge_with_layers("guard")
SECONDS = 30.0
A, B, C = Payer.KEY, Payer.LOGIN, Payer.ENDPOINT
# To the guard a login is a login: it compares no tokens, and keeps nothing of one.
ANOTHER_LOGIN = frozenset({Kind.OAUTH_TOKEN, Kind.CONFIG_FOLDER, Kind.LOGIN_FOLDER})
LEAKING = [
    case
    for case in FAST
    if case.alone[0] is Outcome.LEAKED and not (case.payer is B and case.kind in ANOTHER_LOGIN)
]
SOME = (
    Case(Kind.API_KEY, Scope.PROJECT, A),
    Case(Kind.HEADERS_ADD, Scope.LOCAL, B),
    Case(Kind.HELPER, Scope.META_SETTINGS, B),
    Case(Kind.API_KEY, Scope.USER, C),
    Case(Kind.BASE_URL, Scope.PROJECT, A),
    Case(Kind.BASE_URL, Scope.META_ENV, B),
    Case(Kind.BASE_URL, Scope.USER, C),
    Case(Kind.PROXY, Scope.META_ENV, C),
)


def answered_elsewhere(sighting: Sighting) -> bool:
    """Whether the attacker's endpoint answered a model request: then somebody paid."""
    return any(seen.usage is not None for seen in sighting.attacker)


async def violations(running: Running) -> list[dict[str, Any]]:
    """Those of the run so far."""
    status = await running.client.request("_acp_bridge/status", {})
    return list(status["bridges"][0]["violations"])


async def violations_with(running: Running, reason: str) -> list[dict[str, Any]]:
    """Those of the run, once there is one for that reason; telemetry takes a moment."""
    with anyio.move_on_after(SECONDS):
        while reason not in reasons(await violations(running)):  # noqa: ASYNC110 - asks the bridge
            await anyio.sleep(0.1)
    return await violations(running)


def reasons(found: Sequence[dict[str, Any]]) -> set[str]:
    return {one["reason"] for one in found}


@pytest.mark.parametrize("case", LEAKING if FULL_PROFILE else SOME, ids=str)
async def test_a_wrong_credential_is_refused_and_a_way_round_the_guard_is_reported(
    tmp_path: Path, case: Case
) -> None:
    async with Stage(tmp_path, case.payer) as stage:
        project = stage.home.project
        made = plant(case.kind, stage.bait(CLAUDE))
        placed = place(case.scope, made, home=stage.home, project=project)
        async with stage.run(GUARD, env=placed.env) as running:
            sighting = await running.turn(project, options=placed.options, opening=case.opening)
            elsewhere = answered_elsewhere(sighting)
            if elsewhere:
                found = await violations_with(running, "guard_bypassed")
            else:
                found = await violations(running)
            if found:
                with pytest.raises(AcpError) as refused:
                    await running.client.prompt(await running.client.new_session(project), "again")

    terms = case.payer.terms
    came = {(one.credential.credential_class, one.credential.label) for one in sighting.endpoint}
    assert came <= {terms.credential}, str(sighting)
    if elsewhere:
        assert "guard_bypassed" in reasons(found), str(sighting)
    elif sighting.outcome is not Outcome.HELD and not (sighting.trap or sighting.attacker):
        assert reasons(found) == {"credential_contradiction"}, str(sighting)
    if found:
        assert refused.value.code == CREDENTIAL_CONTRADICTION


def test_some_of_them_reach_the_guard_and_some_go_round_it() -> None:
    kinds = {case.kind for case in SOME}
    assert {Kind.API_KEY, Kind.HELPER, Kind.BASE_URL} <= kinds
    assert {case.payer for case in SOME} == {A, B, C}
