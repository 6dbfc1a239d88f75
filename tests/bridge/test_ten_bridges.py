"""Ten real bridges at once against one budget: together they pass it by one request at most."""

import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
import pytest

from acp_bridge.launch.price_file import load_prices
from acp_bridge.ledger import ledger_path
from acp_bridge.ledger.queries import Ledger
from acp_bridge.loopback.asked import Asked, RequestKind
from acp_bridge.loopback.script import Answer, Usage, say, slow, use
from acp_bridge.loopback.seen import SeenRequest
from tests.bridge.budgeted import BUDGET_EXHAUSTED, BudgetedWorld, budgeted_world
from tests.matrix.extent import FULL_PROFILE
from tests.metering.numbered import tokens_of
from tests.support.acp import AcpClient, AcpError

pytestmark = [pytest.mark.agent, pytest.mark.timeout(600)]

BRIDGES = 10
BE_KILLED = "be killed"
Limited = tuple[str, int, Callable[[SeenRequest], int]]
"""A limit as the file says it, its amount, and what a request counts of it."""
USAGE = Usage(input_tokens=60_000, output_tokens=20_000)
PRICES = load_prices()
EACH = USAGE.input_tokens + USAGE.output_tokens
SHARED = '[[budget]]\nname = "shared"\nwindow = "day"\ntime_zone = "UTC"\n'


def tools_and_text(asked: Asked) -> Answer:
    """Turns of two requests, slow enough for ten sessions to meet."""
    if asked.prompt == BE_KILLED:
        return slow(say("A long answer. " * 20), pause_seconds=5)
    answer = use("Bash", command="true") if asked.prompt else say("Done.")
    return slow(answer, pause_seconds=0.05)


@asynccontextmanager
async def ten(world: BudgetedWorld) -> AsyncIterator[list[AcpClient]]:
    """That many bridges, each with its agent and Claude Code."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(world.bridge()) for _ in range(BRIDGES)]


async def spend_all(world: BudgetedWorld, client: AcpClient) -> AcpError:
    """Prompt until the budget says no."""
    session = await world.open(client)
    while True:
        try:
            await client.prompt(session, "go on")
        except AcpError as error:
            return error


async def spend_together(world: BudgetedWorld, clients: list[AcpClient]) -> list[AcpError]:
    errors: list[AcpError] = []

    async def spend(client: AcpClient) -> None:
        errors.append(await spend_all(world, client))

    async with anyio.create_task_group() as tasks:
        for client in clients:
            tasks.start_soon(spend, client)
    return errors


def requests(_: SeenRequest) -> int:
    return 1


def tokens(_: SeenRequest) -> int:
    return EACH


def micros(seen: SeenRequest) -> int:
    """Its list price; titles ask a cheaper model."""
    cost = PRICES.cost_micros(seen.answered, tokens_of(USAGE), seen.at)
    assert cost is not None
    return cost


REQUESTS = ("limit_requests = 25", 25, requests)
TOKENS = ("limit_tokens = 2500000", 2_500_000, tokens)
USD = ('limit_usd = "12.00"\nmoney = "billed_estimate"', 12_000_000, micros)
# What a killed request may have cost is held back: at most the whole prompt and the longest answer.
HELD = {TOKENS: 700_000, USD: 5_000_000}
CASES = [
    pytest.param(USD, True, id="usd, one killed"),
    pytest.param(TOKENS, True, id="tokens, one killed"),
    pytest.param(USD, False, id="usd"),
    pytest.param(TOKENS, False, id="tokens"),
    pytest.param(REQUESTS, False, id="requests"),
]


@pytest.mark.parametrize(("limited", "killed"), CASES if FULL_PROFILE else CASES[:1])
async def test_ten_bridges_pass_a_limit_by_less_than_one_request(
    tmp_path: Path,
    limited: Limited,
    killed: bool,  # noqa: FBT001 - whether one is killed within a turn
) -> None:
    limit, amount, cost = limited
    async with budgeted_world(tmp_path, SHARED + limit, tools_and_text, usage=USAGE) as world:
        async with ten(world) as (first, *others):
            if killed:
                await kill_within_a_turn(world, first)
            errors = await spend_together(world, others if killed else [first, *others])
        costs = [cost(one) for one in world.offline.endpoint.seen if one.usage]
        with Ledger(ledger_path(world.state)) as ledger:
            counted = ledger.report().totals.requests or 0
    assert {error.code for error in errors} == {BUDGET_EXHAUSTED}
    assert sum(costs) < amount + max(costs)
    if killed:
        assert sum(costs) > amount - HELD[limited]
        assert any("budget release" in error.data["acp_bridge"]["hint"] for error in errors)
    else:
        assert sum(costs) >= amount
        assert counted == len(costs)


async def kill_within_a_turn(world: BudgetedWorld, client: AcpClient) -> None:
    """Kill a bridge hard while its model answers."""
    session = await world.open(client)
    prompt = [{"type": "text", "text": BE_KILLED}]
    await client.send_request("session/prompt", {"sessionId": session, "prompt": prompt})
    await world.offline.endpoint.wait_for(
        lambda one: one.kind is RequestKind.MAIN and one.prompt == BE_KILLED, 60
    )
    os.kill(client.process.pid, signal.SIGKILL)
