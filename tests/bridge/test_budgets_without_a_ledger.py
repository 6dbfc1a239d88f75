"""Where nothing can be counted a session under a budget stops, says why, and goes on after it."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.bridge.process import bridge_process
from tests.bridge.test_ledger_obstacles import (
    AGENT,
    BEFORE,
    BOUND_BY_PERMISSIONS,
    OBSTACLES,
    Obstacle,
    holds,
    ledger_of_before,
    prompt,
)
from tests.matrix.extent import FULL_PROFILE
from tests.support.waiting import until

BUDGET = '[[budget]]\nname = "month"\nwindow = "month"\nlimit_requests = 1000\n'


def budget(tmp_path: Path) -> dict[str, str]:
    config = tmp_path / "config.toml"
    config.write_text(BUDGET)
    config.chmod(0o644)
    return {"config": str(config)}


@pytest.mark.parametrize(
    "obstacle", OBSTACLES if FULL_PROFILE else OBSTACLES[2:4], ids=lambda one: one.put.__name__
)
async def test_a_prompt_under_a_budget_is_refused_until_it_can_be_counted(
    tmp_path: Path, obstacle: Obstacle
) -> None:
    path = ledger_of_before(tmp_path)
    settings = budget(tmp_path)
    with ExitStack() as obstacles:
        obstacles.enter_context(obstacle.put(path))
        async with bridge_process(
            tmp_path, settings, agent=AGENT, under=BOUND_BY_PERMISSIONS
        ) as bridge:
            session = await bridge.session()
            error = await bridge.error(await bridge.send_prompt(session, "hello"))
            assert error["code"] == -32011
            assert error["message"].startswith("What is spent cannot be counted: the ledger ")
            assert obstacle.says in error["message"]
            data = error["data"]["acp_bridge"]
            assert data["reason"] == "metering_failed"
            assert obstacle.hint in data["hint"].lower()
            assert b"Hello." not in bridge.output
            obstacles.close()
            await prompt(bridge, session)
            await until(holds(path, BEFORE + 1))


async def test_with_best_effort_a_session_goes_on_uncounted(tmp_path: Path) -> None:
    path = ledger_of_before(tmp_path)
    (_, _, _, _, garbage, _) = OBSTACLES
    with garbage.put(path):
        settings = {"metering": "best-effort", **budget(tmp_path)}
        async with bridge_process(tmp_path, settings, agent=AGENT) as bridge:
            await prompt(bridge, await bridge.session())


async def test_where_metering_is_required_a_prompt_without_a_budget_is_refused_too(
    tmp_path: Path,
) -> None:
    path = ledger_of_before(tmp_path)
    (_, _, _, _, garbage, _) = OBSTACLES
    with garbage.put(path):
        async with bridge_process(tmp_path, {"metering": "required"}, agent=AGENT) as bridge:
            session = await bridge.session()
            await bridge.wait_for_stderr("is no database")
            error = await bridge.error(await bridge.send_prompt(session, "hello"))
    assert error["data"]["acp_bridge"]["reason"] == "metering_failed"
