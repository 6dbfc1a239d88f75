"""Extra usage in a run of the real agent: what is charged to it, who is told, and the block.

The headers are those that Anthropic's answers to a plan's requests carry; the events are what
Claude Code makes of them.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from acp_bridge.ledger import ledger_path
from acp_bridge.ledger.queries import Ledger
from acp_bridge.loopback.script import Answer, Script, say, use
from acp_bridge.metering.usage import AskedBy
from tests.bridge.process import BRIDGE
from tests.documents import assert_error_data, assert_status
from tests.matrix.extent import FULL_PROFILE
from tests.support.acp import AcpClient, AcpError, acp_client
from tests.support.offline import offline

pytestmark = pytest.mark.agent

BUDGET_EXHAUSTED = -32011
GUARDS = pytest.mark.parametrize("guard", ["enforce", "off"] if FULL_PROFILE else ["off"])


def paid_by_the_plan(answer: Answer) -> Answer:
    return _limited(answer, "allowed", resets_in=timedelta(hours=2))


def paid_by_extra_usage(answer: Answer, resets_in: timedelta = timedelta(hours=2)) -> Answer:
    return _limited(answer, "rejected", ("overage-in-use", "true"), resets_in=resets_in)


def _limited(answer: Answer, status: str, *more: tuple[str, str], resets_in: timedelta) -> Answer:
    reset = str((datetime.now(UTC) + resets_in).timestamp())
    told = (
        ("status", status),
        ("reset", reset),
        ("representative-claim", "five_hour"),
        ("overage-status", "allowed"),
        ("5h-status", status),
        ("5h-reset", reset),
        ("5h-utilization", "1.0" if status == "rejected" else "0.5"),
        ("7d-utilization", "0.25"),
        ("7d-reset", reset),
        *more,
    )
    headers = tuple((f"anthropic-ratelimit-unified-{name}", value) for name, value in told)
    return replace(answer, headers=headers)


@dataclass
class Run:
    """A session behind the bridge in mode B."""

    client: AcpClient
    session: str
    state: Path

    async def ask(self) -> str:
        return (await self.client.prompt(self.session, "hello")).stop_reason

    async def status(self) -> dict[str, Any]:
        document = await self.client.request("_acp_bridge/status", {})
        assert_status(document)
        return dict(document["bridges"][0])

    async def counted(self, requests: int) -> None:
        """Wait until so many requests are counted: without a guard, some time after the turn."""
        with anyio.fail_after(60):
            while True:
                usage = await self.client.request("_acp_bridge/usage", {})
                if (usage["totals"]["requests"] or 0) >= requests:
                    return
                await anyio.sleep(0.05)

    @property
    def notices(self) -> list[Any]:
        return self.client.requests_of("_acp_bridge/bucket_changed")


@asynccontextmanager
async def run_of(tmp_path: Path, script: Script, guard: str, **more: str) -> AsyncIterator[Run]:
    async with offline(tmp_path, script, login=True) as world:
        state = tmp_path / "state"
        settings = {
            "MODE": "B",
            "UPSTREAM_URL": world.endpoint.url,
            "GUARD": guard,
            "SUGGESTIONS": "off",
            "STATE_DIR": str(state),
            **more,
        }
        env = {name: of for name, of in world.env.items() if name != "ANTHROPIC_BASE_URL"}
        env |= {f"ACP_BRIDGE_{name}": value for name, value in settings.items()}
        async with acp_client(BRIDGE, env=env, cwd=world.home.project) as client:
            await client.initialize()
            yield Run(client, await client.new_session(world.home.project), state)


def charged(state: Path) -> dict[int | None, set[str]]:
    """The buckets of each turn's requests, as the ledger has them."""
    found: dict[int | None, set[str]] = {}
    with Ledger(ledger_path(state)) as ledger:
        for row in ledger.entries():
            assert row.policy_version is not None
            if row.entry.asked_by is AskedBy.MAIN:
                found.setdefault(row.entry.turn, set()).add(row.bucket.value)
    return found


@GUARDS
async def test_from_the_request_that_extra_usage_paid_for_entries_are_charged_to_it(
    tmp_path: Path, guard: str
) -> None:
    script = [
        paid_by_the_plan(say("One.")),
        paid_by_extra_usage(say("Two.")),
        paid_by_extra_usage(say("Three.")),
        paid_by_the_plan(say("Four.")),
    ]
    async with run_of(tmp_path, script, guard) as run:
        buckets = []
        for turn in range(4):
            assert await run.ask() == "end_turn"
            await run.counted(turn + 2)  # one request is for the title
            buckets.append((await run.status())["bucket"])
        status, stderr = await run.status(), run.client.stderr
        notices = run.notices

    assert buckets == ["plan_limits", "extra_usage", "extra_usage", "plan_limits"]
    assert charged(run.state) == {
        1: {"plan_limits"},
        2: {"extra_usage"},
        3: {"extra_usage"},
        4: {"plan_limits"},
    }
    assert [(one["previous"], one["bucket"]) for one in notices] == [
        ("plan_limits", "extra_usage"),
        ("extra_usage", "plan_limits"),
    ]
    assert {one["session_id"] for one in notices} == {run.session}
    assert "charged to plan_limits (policy " in stderr
    assert (
        "acp-bridge: now charged to extra_usage: the plan's five-hour window is used up; it resets"
        in stderr
    )
    assert stderr.count("bucket_changed") == 2
    windows = {one["window"]: one["used"] for one in status["limits"]}
    assert (windows["five_hour"], windows["seven_day"]) == ("0.5", "0.25")
    seen_by = {"enforce": "wire", "off": "rate_limit_event"}[guard]
    assert {one["source"] for one in status["limits"]} == {seen_by}
    with Ledger(ledger_path(run.state)) as ledger:
        (stored,) = ledger.runs()
    assert stored.bucket.value == "plan_limits"


@GUARDS
async def test_with_block_the_turn_stops_prompts_are_refused_and_pass_after_the_reset(
    tmp_path: Path, guard: str
) -> None:
    asked = 0

    def script(_: object) -> Answer:
        nonlocal asked
        asked += 1
        if asked == 1:
            wait = use("Bash", command=f"{sys.executable} -c 'import time; time.sleep(60)'")
            return paid_by_extra_usage(wait, resets_in=timedelta(seconds=6))
        return paid_by_the_plan(say("The plan pays."))

    async with run_of(tmp_path, script, guard, ON_OVERAGE="block") as run:
        for _ in range(2):  # the turn under way, and the prompt after it
            with pytest.raises(AcpError, match="five-hour window is used up; it resets at") as no:
                await run.ask()
            assert no.value.code == BUDGET_EXHAUSTED
            assert_error_data(no.value.data["acp_bridge"])
            assert no.value.data["acp_bridge"]["reason"] == "budget_exhausted"
        assert (asked, (await run.status())["bucket"]) == (1, "extra_usage")
        with anyio.fail_after(60):
            while True:
                try:
                    assert await run.ask() == "end_turn"
                except AcpError as error:
                    assert error.code == BUDGET_EXHAUSTED  # noqa: PT017 - until it passes
                    await anyio.sleep(0.2)
                else:
                    break
        await run.counted(3)
        status = await run.status()

    assert asked == 2
    assert status["bucket"] == "plan_limits"
