"""Each layer of enforcement with the others switched off, so that none hides behind another."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from acp_bridge.proving.cases import MODES, Case
from acp_bridge.proving.client import AcpError
from acp_bridge.proving.kinds import PLANTED_KEY, Kind, plant
from acp_bridge.proving.messages import CREDENTIAL_CONTRADICTION, GATEWAY, MODE_LOCKED, REFUSED
from acp_bridge.proving.payers import Payer
from acp_bridge.proving.scopes import Scope
from acp_bridge.proving.sightings import Outcome, Sighting
from acp_bridge.proving.stage import Stage
from tests.matrix.extent import FULL_PROFILE
from tests.matrix.programs import bridge_with_layers
from tests.matrix.selected import FAST
from tests.support.real import CLAUDE

pytestmark = pytest.mark.agent
Try = Callable[..., Sighting]

GATE, LOCK, EVIDENCE = (bridge_with_layers(layer) for layer in ("gate", "lock", "evidence"))
NO_LAYER = bridge_with_layers()

PLANTED = [case for case in FAST if case.scope.is_of_a_session and case.alone[0] is Outcome.LEAKED]
FROM_A_CLIENT = [case for case in PLANTED if case.scope.name.startswith("META")]
# Claude Code drops the pins together with a value of the wrong type; only the gate tries it out.
FOR_THE_LOCK = [case for case in FROM_A_CLIENT if case.kind is not Kind.WRONG_TYPE]
if not FULL_PROFILE:
    PLANTED = [case for case in PLANTED if case.payer is Payer.LOGIN][::5]
    FOR_THE_LOCK = [case for case in FOR_THE_LOCK if case.payer is Payer.LOGIN][::3]
TRIED = MODES if FULL_PROFILE else (Payer.LOGIN,)
REPORTED = (
    (Kind.OWN_BLANKED, Payer.KEY),
    (Kind.BEDROCK, Payer.LOGIN),
    (Kind.API_KEY, Payer.ENDPOINT),
    (Kind.BEDROCK, Payer.KEY),
    (Kind.BEDROCK, Payer.ENDPOINT),
    (Kind.OWN_BLANKED, Payer.ENDPOINT),
)


def test_without_any_layer_a_plant_leaks_as_it_does_without_the_bridge(attempt: Try) -> None:
    case = Case(Kind.API_KEY, Scope.PROJECT, Payer.LOGIN)

    assert attempt(case, NO_LAYER).outcome is Outcome.LEAKED


@pytest.mark.parametrize("case", PLANTED, ids=str)
def test_the_launch_gate_alone_holds_what_files_and_messages_bring(
    case: Case, attempt: Try
) -> None:
    sighting = attempt(case, GATE)

    assert sighting.outcome is Outcome.HELD, str(sighting)


@pytest.mark.parametrize("case", FOR_THE_LOCK, ids=str)
def test_the_mode_lock_alone_holds_what_a_session_message_brings(case: Case, attempt: Try) -> None:
    sighting = attempt(case, LOCK)

    assert sighting.outcome is Outcome.HELD, str(sighting)


@pytest.mark.parametrize("payer", TRIED)
async def test_the_mode_lock_alone_refuses_every_message_of_its_table(
    tmp_path: Path, payer: Payer
) -> None:
    async with Stage(tmp_path, payer) as stage, stage.run(LOCK) as running:
        for message in REFUSED:
            with pytest.raises(AcpError) as refused:
                await message.say(running)
            assert refused.value.code == MODE_LOCKED, message
        sighting = await running.turn(stage.home.project)

    assert sighting.outcome is Outcome.HELD, str(sighting)


@pytest.mark.parametrize("payer", TRIED)
@pytest.mark.full
async def test_the_launch_gate_alone_keeps_the_sessions_where_a_provider_or_gateway_was_set(
    tmp_path: Path, payer: Payer
) -> None:
    for number, message in enumerate(each for each in REFUSED if each.leaks):
        root = tmp_path / str(number)
        async with Stage(root, payer) as stage, stage.run(GATE) as running:
            await message.try_to_say(running)
            asked_by_the_adapter = len(stage.attacker.seen)
            running.mark()
            sighting = await running.turn(stage.home.project)

        assert sighting.outcome is Outcome.HELD, (message, str(sighting))
        assert all(seen.method == "GET" for seen in stage.attacker.seen[:asked_by_the_adapter])


@pytest.mark.parametrize("payer", TRIED)
async def test_the_evidence_alone_stops_a_session_whose_agent_reports_a_gateway(
    tmp_path: Path, payer: Payer
) -> None:
    async with Stage(tmp_path, payer) as stage, stage.run(EVIDENCE) as running:
        await GATEWAY.say(running)
        sighting = await running.turn(stage.home.project)

    assert (sighting.error, sighting.attacker) == (CREDENTIAL_CONTRADICTION, ()), str(sighting)


@pytest.mark.parametrize(
    ("kind", "payer"),
    REPORTED if FULL_PROFILE else REPORTED[:1],
)
async def test_the_evidence_alone_stops_a_session_whose_agent_reports_another_payer(
    tmp_path: Path, kind: Kind, payer: Payer
) -> None:
    async with Stage(tmp_path, payer) as stage:
        planted = plant(kind, stage.bait(CLAUDE))
        async with stage.run(EVIDENCE, env=planted.env) as running:
            sighting = await running.turn(stage.home.project)

    paid = [request for request in (*sighting.endpoint, *sighting.attacker) if request.model]
    assert (sighting.error, paid) == (CREDENTIAL_CONTRADICTION, []), str(sighting)


async def test_the_evidence_alone_blocks_a_console_login_in_subscription_mode(
    tmp_path: Path,
) -> None:
    world = Stage(tmp_path, Payer.LOGIN, login=False)
    path = world.home.config / ".claude.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "primaryApiKey": PLANTED_KEY}))
    async with world as stage, stage.run(EVIDENCE) as running:
        sighting = await running.turn(stage.home.project)

    assert (sighting.error, sighting.endpoint) == (CREDENTIAL_CONTRADICTION, ()), str(sighting)


async def test_the_evidence_alone_cannot_see_a_projects_key_beside_a_stored_login(
    tmp_path: Path,
) -> None:
    """Why there are three layers: what the agent says of itself is no proof."""
    async with Stage(tmp_path, Payer.LOGIN) as stage, stage.run(EVIDENCE) as running:
        settings = stage.home.project / ".claude" / "settings.json"
        settings.parent.mkdir()
        settings.write_text(json.dumps({"env": {"ANTHROPIC_API_KEY": PLANTED_KEY}}))
        sighting = await running.turn(stage.home.project)

    assert sighting.outcome is Outcome.LEAKED, str(sighting)
