"""ACP messages that would change the payer, sent for real: refused, and the mode still holds."""

import json
from pathlib import Path

import pytest

from acp_bridge.proving.cases import MODES
from acp_bridge.proving.client import AcpError
from acp_bridge.proving.kinds import PLANTED_KEY
from acp_bridge.proving.messages import MODE_LOCKED, REFUSED, Message
from acp_bridge.proving.payers import Payer
from acp_bridge.proving.sightings import Outcome
from acp_bridge.proving.stage import Program, Stage
from tests.matrix.extent import FULL_PROFILE
from tests.matrix.programs import ALONE, THROUGH_THE_BRIDGE
from tests.support.leak_table import Held, Note

pytestmark = pytest.mark.agent


@pytest.mark.parametrize("payer", MODES)
async def test_messages_that_change_the_payer_are_refused_and_the_mode_holds(
    tmp_path: Path, payer: Payer, note: Note
) -> None:
    async with Stage(tmp_path, payer) as stage, stage.run(THROUGH_THE_BRIDGE) as running:
        for message in REFUSED:
            with pytest.raises(AcpError) as refused:
                await message.say(running)
            assert refused.value.code == MODE_LOCKED, message
            assert stage.attacker.seen == [], message
        sighting = await running.turn(stage.home.project)
    for message in REFUSED:
        note(message.name, payer.value, Held.BY_THE_BRIDGE, sighting.outcome is Outcome.HELD)

    assert sighting.outcome is Outcome.HELD, str(sighting)


@pytest.mark.parametrize("message", REFUSED if FULL_PROFILE else REFUSED[::2], ids=str)
async def test_the_plain_adapter_takes_the_message_and_what_then_happens(
    tmp_path: Path, message: Message, note: Note
) -> None:
    for payer in MODES if message.leaks and FULL_PROFILE else (Payer.LOGIN,):
        root = tmp_path / payer.value
        leaked = await _leaks_after(root, payer, ALONE, message)
        for by in (Held.BY_NOTHING, Held.BY_STRIPPING)[: 1 if payer is Payer.KEY else 2]:
            note(message.name, payer.value, by, not leaked)

        assert leaked is message.leaks, (message, payer)


async def _leaks_after(root: Path, payer: Payer, program: Program, message: Message) -> bool:
    async with Stage(root, payer) as stage, stage.run(program) as running:
        await message.try_to_say(running)
        at_once = bool(stage.attacker.seen)
        sighting = await running.turn(stage.home.project)
        return at_once or sighting.outcome is Outcome.LEAKED


@pytest.mark.parametrize("payer", [Payer.KEY, Payer.ENDPOINT])
async def test_logout_leaves_a_login_alone_that_the_mode_does_not_use(
    tmp_path: Path, payer: Payer
) -> None:
    async with Stage(tmp_path, payer) as stage, stage.run(THROUGH_THE_BRIDGE) as running:
        with pytest.raises(AcpError) as refused:
            await running.client.request("logout", {})
        sighting = await running.turn(stage.home.project)

        assert refused.value.code == MODE_LOCKED
        assert sighting.outcome is Outcome.HELD, str(sighting)
        assert stage.home.credentials.exists()


async def test_logout_in_subscription_mode_signs_out_and_nobody_else_pays_instead(
    tmp_path: Path,
) -> None:
    async with Stage(tmp_path, Payer.LOGIN) as stage:
        (stage.home.config / "settings.json").write_text(
            json.dumps({"env": {"ANTHROPIC_API_KEY": PLANTED_KEY}})
        )
        async with stage.run(THROUGH_THE_BRIDGE) as running:
            await running.client.request("logout", {})
            sighting = await running.turn(stage.home.project)

        assert sighting.outcome is Outcome.NO_ANSWER, str(sighting)
        assert sighting.endpoint == ()
