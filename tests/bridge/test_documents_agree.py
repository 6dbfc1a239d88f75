"""Every way to ask says the same of a run, and it is what the model's endpoint saw."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from acp_bridge import __version__
from acp_bridge.bridge import Bridge
from acp_bridge.ledger import ledger_path
from acp_bridge.ledger.queries import Ledger
from acp_bridge.ledger.report import GroupKey
from acp_bridge.loopback.scratch import FAKE_SECRETS, make_scratch_home
from acp_bridge.loopback.seen import SeenRequest
from acp_bridge.loopback.sink import ProxySink
from acp_bridge.metering.usage import total
from acp_bridge.modes import BillingMode
from acp_bridge.run.receipt_document import run_receipt
from acp_bridge.settings import load_settings
from acp_bridge.testing import Chunk, End, OfflineWorld, ScriptedAgent, TurnUsage
from tests.bridge.asking import Asking, Client, Library, answered, assert_same, printed
from tests.bridge.process import BRIDGE, SECONDS, Json, bridge_process
from tests.documents import TOKENS, assert_card, assert_receipt, assert_status, assert_usage
from tests.metering.numbered import NumberedEndpoint, tokens_of
from tests.support.acp import acp_client

MONEY: Mapping[BillingMode, str] = {
    BillingMode.API_KEY: "billed_estimate",
    BillingMode.SUBSCRIPTION: "list_price_equivalent",
    BillingMode.ENDPOINT: "unknown",
}
SAID_TWICE = ("run_id", "mode", "mode_letter", "guarantees", "guard", "bucket")


@asynccontextmanager
async def numbered_world(tmp_path: Path) -> AsyncIterator[OfflineWorld]:
    """A closed world in which every answer costs something else."""
    home = make_scratch_home(tmp_path / "home", login=True)
    endpoint = NumberedEndpoint((), suggestion=None, known=FAKE_SECRETS)
    async with endpoint, ProxySink() as sink:
        yield OfflineWorld(endpoint, sink, home)


def environment(world: OfflineWorld, mode: BillingMode) -> dict[str, str]:
    """Of suggestions nobody could tell how many the end of a run has aborted."""
    return {**world.environment(mode), "ACP_BRIDGE_SUGGESTIONS": "off"}


def assert_figures_are(figures: Json, seen: Sequence[SeenRequest]) -> None:
    """Fail unless the figures are exactly these requests."""
    assert figures["requests"] == len(seen)
    tokens = total(tokens_of(one.usage) for one in seen if one.usage is not None)
    assert tuple(figures[name] for name in TOKENS) == tokens.counts
    assert figures["unknown_requests"] == 0


def assert_money_is(figures: Json, mode: BillingMode) -> None:
    """Fail unless all of it is the mode's kind of money, known but at a custom endpoint."""
    (cost,) = figures["cost"]
    assert cost["cost_kind"] == MONEY[mode]
    if mode is BillingMode.ENDPOINT:
        assert cost["cost_usd"] is None
    else:
        assert Decimal(cost["cost_usd"]) > 0


def assert_the_payer_was_seen(run: Json, card: Json, world: OfflineWorld) -> None:
    """Fail unless status and ``initialize`` name the payer that the endpoint saw."""
    assert {name: card[name] for name in SAID_TWICE} == {name: run[name] for name in SAID_TWICE}
    expected = run["expected_credential_class"]
    assert card["credential_class"] == expected
    seen = {one.credential.credential_class for one in answered(world)}
    assert {one.value for one in seen} == {expected}
    assert [item for item in run["evidence"] if item["verdict"] == "contradiction"] == []
    assert run["violations"] == []


def evidence_in_the_ledger(env: Mapping[str, str], run_id: str) -> list[Json]:
    """A run's evidence in the words of the status document."""
    with Ledger(ledger_path(Path(env["ACP_BRIDGE_STATE_DIR"]))) as ledger:
        rows = [asdict(row) for row in ledger.evidence(run_id)]
    return [
        {name: value for name, value in row.items() if name != "run_id"}
        | {"at": row["at"].isoformat()}
        for row in rows
    ]


def settled(document: Any) -> Any:
    """The same document with nothing pending."""
    match document:
        case dict():
            return {
                key: False if key == "pending" else settled(value)
                for key, value in document.items()
            }
        case list():
            return [settled(item) for item in document]
        case _:
            return document


@pytest.mark.agent
@pytest.mark.parametrize("mode", BillingMode)
async def test_commands_and_requests_agree_with_each_other_and_with_the_endpoint(
    tmp_path: Path, mode: BillingMode
) -> None:
    async with numbered_world(tmp_path) as world:
        env, project = environment(world, mode), world.home.project
        async with acp_client(BRIDGE, env=env, cwd=project) as client:
            card = (await client.initialize())["_meta"]["acp_bridge"]
            run_id = card["run_id"]
            session = await client.new_session(project)
            for text in ("one", "two"):
                await client.prompt(session, text)
            asking = Asking(client)
            await asking.everything_is_counted(world)
            live_status = await assert_same(
                asking.status, partial(printed, env, "status", "--json", "--run", run_id)
            )
            live_usage = await assert_same(
                asking.usage, partial(printed, env, "usage", "--json", "--run", run_id)
            )
        assert client.process.returncode == 0
        status = await printed(env, "status", "--json", "--run", run_id)
        usage = await printed(env, "usage", "--json", "--run", run_id)
        by_model, by_state, by_session = [
            await printed(env, "usage", "--json", "--run", run_id, "--by", key)
            for key in ("model", "state", "session")
        ]

    assert_card(card)
    for document in (live_status, status):
        assert_status(document)
    for document in (live_usage, usage, by_model, by_state, by_session):
        assert_usage(document)
    assert live_usage["totals"]["pending"] is True
    assert settled(live_usage) == usage
    (run,) = status["bridges"]
    assert_the_payer_was_seen(run, card, world)
    seen = answered(world)
    assert len(seen) == 3
    assert_figures_are(usage["totals"], seen)
    assert_money_is(usage["totals"], mode)
    assert [row["mode"] for row in usage["rows"]] == [mode.value] * len(usage["rows"])
    assert {row["model"] for row in usage["rows"]} == {one.model for one in seen}
    (of_session,) = by_session["rows"]
    assert of_session.pop("session") == session
    assert run["sessions"][0]["usage"] == of_session == usage["totals"]
    receipt = run_receipt(run, by_model=by_model, by_state=by_state, bridge_version=__version__)
    assert_receipt(receipt)
    assert receipt["usage"]["totals"] == usage["totals"]
    assert receipt["run"].items() <= run.items()


@pytest.mark.agent
async def test_the_librarys_properties_agree_with_requests_commands_and_the_endpoint(
    tmp_path: Path,
) -> None:
    async with numbered_world(tmp_path) as world:
        env, project = environment(world, BillingMode.SUBSCRIPTION), world.home.project
        bridge = Bridge(load_settings(environ=env), environ=env, cwd=project)
        async with bridge:
            client = Client(bridge)
            card = (await client.initialize())["_meta"]["acp_bridge"]
            sessions = [await client.new_session(project), await client.new_session(project)]
            for session, text in ((sessions[0], "one"), (sessions[1], "two"), (sessions[0], "3")):
                await client.prompt(session, text)
            asking, library, run_id = Asking(client), Library(bridge), bridge.run_id
            await asking.everything_is_counted(world, sessions=2)
            await assert_same(asking.usage, library.usage)
            await assert_same(asking.status, library.status)
            await assert_same(
                library.usage, partial(printed, env, "usage", "--json", "--run", run_id)
            )
            live = bridge.receipt
            assert live["usage"]["totals"] == bridge.usage["totals"]
        run = bridge.status
        status = await printed(env, "status", "--json", "--run", run_id)
        usage = await printed(env, "usage", "--json", "--run", run_id)
        by = {
            keys: await printed(env, "usage", "--json", "--run", run_id, "--by", keys)
            for keys in ("model", "state", "bucket", "source", "session,model", "session,state")
        }

    assert status == {"schema_version": 1, "bridges": [run]}
    assert usage == bridge.usage
    assert_status(status)
    assert_usage(usage)
    assert bridge.evidence == run["evidence"]
    assert evidence_in_the_ledger(env, run_id) == run["evidence"]
    assert_the_payer_was_seen(run, card, world)
    assert_figures_are(bridge.usage["totals"], answered(world))
    assert by["session,model"] == bridge.usage_by(GroupKey.SESSION, GroupKey.MODEL)

    receipt = bridge.receipt
    assert_receipt(receipt)
    assert receipt["versions"]["bridge"] == card["version"]
    assert receipt["usage"] == settled(live["usage"])
    assert receipt == run_receipt(
        run,
        by_model=by["model"],
        by_state=by["state"],
        by_bucket=by["bucket"],
        by_source=by["source"],
        bridge_version=__version__,
    )
    for session in sessions:
        of_session = bridge.receipt_of(session)
        assert_receipt(of_session)
        assert of_session["session"]["cwd"] == str(project)
        assert_figures_are(of_session["usage"]["totals"], answered(world, session))
        assert_money_is(of_session["usage"]["totals"], BillingMode.SUBSCRIPTION)
        rows = [one for one in by["session,model"]["rows"] if one["session"] == session]
        assert of_session["usage"]["by_model"] == [without(one, "session") for one in rows] != []
    with pytest.raises(KeyError):
        bridge.receipt_of("no session")


def without(row: Json, name: str) -> Json:
    """A row without what it is grouped by."""
    return {key: value for key, value in row.items() if key != name}


SPENT = TurnUsage(input_tokens=31, output_tokens=17, cached_read_tokens=5)


def assert_nobody_is_said_to_pay(run: Json, usage: Json, by_payer: Json) -> None:
    """Fail unless usage is told as the agent told it, and of its payer nothing."""
    assert run["guarantees"] == "none"
    (row,) = by_payer["rows"]
    assert (row["credential_class"], row["bucket"]) == ("unknown", "unknown")
    totals = usage["totals"]
    assert totals["cost"] == [{"cost_kind": "unknown", "cost_usd": None}]
    assert (totals["input_tokens"], totals["output_tokens"]) == (31, 17)
    assert totals["cache_read_tokens"] == 5
    assert totals["requests"] is None


@pytest.mark.parametrize("forced", [True, False], ids=["set", "recognised"])
async def test_of_an_agent_that_is_no_claude_adapter_no_document_says_who_pays(
    tmp_path: Path, *, forced: bool
) -> None:
    agent = ScriptedAgent([Chunk(), End(usage=SPENT)])
    settings = {"agent_kind": "other"} if forced else {"agent_kind": "", "claude": "/bin/true"}
    async with bridge_process(tmp_path, settings, agent=agent.command) as bridge:
        card = (await bridge.initialize())["_meta"]["acp_bridge"]
        session = await bridge.new_session(tmp_path)
        await bridge.response(await bridge.send_prompt(session, "go"))
        bridge.close_stdin()
        assert await bridge.exit_status() == 0
        run_id, env = card["run_id"], bridge.env
        status = await printed(env, "status", "--json", "--run", run_id)
        usage = await printed(env, "usage", "--json", "--run", run_id)
        payers = ("--by", "credential_class,bucket")
        by_payer = await printed(env, "usage", "--json", "--run", run_id, *payers)

    assert_card(card)
    assert_status(status)
    assert_usage(usage)
    assert_usage(by_payer)
    assert card["guarantees"] == "none"
    (run,) = status["bridges"]
    assert run["sessions"][0]["usage"] == usage["totals"]
    assert_nobody_is_said_to_pay(run, usage, by_payer)


async def test_of_an_agent_in_memory_the_library_says_what_the_commands_say(
    tmp_path: Path,
) -> None:
    agent = ScriptedAgent([Chunk(), End(usage=SPENT)])
    env = {
        "HOME": str(tmp_path),
        "ACP_BRIDGE_CONFIG": "/dev/null",
        "ACP_BRIDGE_STATE_DIR": str(tmp_path / "state"),
    }
    bridge = Bridge(load_settings(environ=env), agent=agent, environ=env, cwd=tmp_path)
    async with bridge:
        client = Client(bridge)
        await client.initialize()
        session = await client.new_session(tmp_path)
        await client.prompt(session, "go")
    run_id = bridge.run_id
    assert (await printed(env, "status", "--json", "--run", run_id))["bridges"] == [bridge.status]
    assert await printed(env, "usage", "--json", "--run", run_id) == bridge.usage
    payers = ("--by", "credential_class,bucket")
    by_payer = await printed(env, "usage", "--json", "--run", run_id, *payers)
    assert_nobody_is_said_to_pay(bridge.status, bridge.usage, by_payer)
    receipt = bridge.receipt_of(session)
    assert_receipt(receipt)
    assert receipt["run"]["guarantees"] == "none"
    assert receipt["usage"]["totals"] == bridge.usage["totals"]


@pytest.mark.agent
async def test_what_is_pending_is_the_same_everywhere_after_a_session_was_closed(
    tmp_path: Path,
) -> None:
    async with numbered_world(tmp_path) as world:
        env, project = environment(world, BillingMode.SUBSCRIPTION), world.home.project
        bridge = Bridge(load_settings(environ=env), environ=env, cwd=project)
        async with bridge:
            client, library, run_id = Client(bridge), Library(bridge), bridge.run_id
            asking = Asking(client)
            command = partial(printed, env, "usage", "--json", "--run", run_id)
            await client.initialize()
            closed = await client.new_session(project)
            await client.prompt(closed, "one")
            await asking.everything_is_counted(world)
            await client.request("session/close", {"sessionId": closed})
            with anyio.fail_after(SECONDS):
                while bridge.usage["totals"]["pending"]:  # noqa: ASYNC110 - settling has no event
                    await anyio.sleep(0.05)
            await assert_same(library.usage, command)
            other = await client.new_session(project)
            await client.prompt(other, "two")
            await asking.everything_is_counted(world, sessions=2)
            await assert_same(library.usage, command)
            assert bridge.receipt_of(closed)["usage"]["totals"]["pending"] is False
            assert bridge.receipt_of(other)["usage"]["totals"]["pending"] is True
