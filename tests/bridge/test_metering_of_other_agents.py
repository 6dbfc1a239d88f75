"""Agents that are no Claude adapter: metered as far as ACP shows, and what it hides is unknown."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest

from acp_bridge.testing import Chunk, End, Fail, ScriptedAgent, Turn, TurnUsage, Update
from tests.bridge.process import Json, bridge_process, run_bridge
from tests.bridge.test_byte_transparency import TEE

TOKENS = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
)
BY = "mode,credential_class,bucket,source,state,model"
USAGE = TurnUsage(12, 7, cached_read_tokens=30, cached_write_tokens=4)
NOBODYS = {
    "mode": "subscription",
    "credential_class": "unknown",
    "bucket": "unknown",
    "source": "acp",
    "state": "live",
}
"""How every row of such an agent is grouped, but for its model."""


def of_model(model: str, **counts: int) -> Json:
    return {"model": model, "token_count": counts}


def quota(*models: Json) -> Json:
    """A response's ``_meta`` that tells the turn by model."""
    return {"quota": {"model_usage": list(models)}}


def cost(amount: float, currency: str = "USD") -> Update:
    """What the session has cost so far."""
    told = {"amount": amount, "currency": currency}
    return Update({"sessionUpdate": "usage_update", "used": 4321, "size": 200_000, "cost": told})


async def used(tmp_path: Path, *turns: Turn) -> Json:
    """Have an agent do its turns behind the bridge; what `usage --json` prints afterwards."""
    log = tmp_path / "bytes"
    agent = (*TEE, str(log), *ScriptedAgent(*turns).command)
    async with bridge_process(tmp_path, agent=agent) as bridge:
        session = await bridge.session()
        for _ in turns:
            await bridge.response(await bridge.send_prompt(session, "hello"))
        bridge.close_stdin()
        assert await bridge.exit_status() == 0
    assert_same_bytes(Path(f"{log}.out"), bytes(bridge.output))
    return await anyio.to_thread.run_sync(printed, bridge.env)


def assert_same_bytes(sent: Path, received: bytes) -> None:
    """All but the answer to `initialize`, to which the bridge adds what it is."""
    initialized, *rest = received.split(b"\n")
    assert rest == sent.read_bytes().split(b"\n")[1:]
    assert json.loads(initialized)["result"]["_meta"]["acp_bridge"]["guarantees"] == "none"


def printed(env: Mapping[str, str]) -> Json:
    done = run_bridge("usage", "--json", "--by", BY, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    document: Json = json.loads(done.stdout)
    return document


def tokens(row: Json) -> tuple[int | None, ...]:
    return tuple(row[name] for name in TOKENS)


def groups(row: Json) -> Json:
    return {name: row[name] for name in BY.split(",")}


def unknown_money(usd: str | None) -> list[dict[str, Any]]:
    return [{"cost_kind": "unknown", "cost_usd": usd}]


async def test_the_usage_of_its_responses_counts_and_nobody_says_who_paid(tmp_path: Path) -> None:
    turn: Turn = [Chunk("Hello."), End(usage=USAGE)]
    document = await used(tmp_path, turn, turn)

    (row,) = document["rows"]
    assert groups(row) == {**NOBODYS, "model": None}
    assert tokens(row) == (24, 14, 60, 8, 0)
    assert row["requests"] is None
    assert row["cost"] == document["totals"]["cost"] == unknown_money(None)
    assert not row["pending"]


async def test_its_quota_counts_by_model_and_its_usage_not_besides(tmp_path: Path) -> None:
    told = quota(
        of_model("gpt-7", inputTokens=100, outputTokens=20, cachedReadTokens=3),
        of_model("gpt-7-mini", inputTokens=10, outputTokens=2, cachedWriteTokens=1),
    )
    turn: Turn = [Chunk("Hello."), End(usage=USAGE, meta=told)]
    document = await used(tmp_path, turn, turn)

    assert [groups(row) for row in document["rows"]] == [
        {**NOBODYS, "model": "gpt-7"},
        {**NOBODYS, "model": "gpt-7-mini"},
    ]
    assert [tokens(row) for row in document["rows"]] == [(200, 40, 6, 0, 0), (20, 4, 0, 2, 0)]
    assert document["totals"]["requests"] is None
    assert document["totals"]["cost"] == unknown_money(None)


COSTS: Sequence[Turn] = ([cost(0.01), Chunk("Hello."), cost(0.0123456)], [cost(0.02)])


async def test_a_cost_alone_counts_what_came_to_it(tmp_path: Path) -> None:
    document = await used(tmp_path, *COSTS)

    (row,) = document["rows"]
    assert groups(row) == {**NOBODYS, "model": None}
    assert row["requests"] is None
    assert row["unknown_requests"] == 2
    assert row["cost"] == document["totals"]["cost"] == unknown_money("0.020000")


async def test_tokens_that_nobody_told_are_null(tmp_path: Path) -> None:
    document = await used(tmp_path, *COSTS)

    assert tokens(document["rows"][0]) == tokens(document["totals"]) == (None,) * len(TOKENS)


@pytest.mark.parametrize(
    "turn",
    [[Chunk("Hello.")], [cost(0.01, "EUR"), Chunk("Hello.")], [Chunk("Hello."), Fail("No.")]],
    ids=["nothing", "another currency", "an error"],
)
async def test_a_turn_that_tells_nothing_is_unknown(tmp_path: Path, turn: Turn) -> None:
    document = await used(tmp_path, turn)

    (row,) = document["rows"]
    assert (row["state"], row["source"], row["requests"]) == ("unknown", "acp", None)
    assert tokens(row) == (None,) * len(TOKENS)
    assert row["cost"] == [{"cost_kind": "unknown", "cost_usd": None}]
