"""Which prices a run goes by, and which money its costs are: one of three kinds, by its mode."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import anyio
import pytest

from acp_bridge.ledger.queries import Ledger
from acp_bridge.log import Log
from acp_bridge.loopback.bound import BoundAddress
from acp_bridge.metering.endpoint_prices import EndpointPrices
from acp_bridge.metering.meter import Meter
from acp_bridge.metering.prices import Prices
from acp_bridge.metering.readings import Reading
from acp_bridge.metering.usage import CostKind, Source, State, Tokens, UsageEntry
from acp_bridge.metering.wire_books import WireBooks
from acp_bridge.metering.wire_exchange import AnswerBegan, WireExchange
from acp_bridge.modes import BillingMode
from acp_bridge.policy.surface import Surface
from acp_bridge.protocol.facts import SessionOpened
from acp_bridge.run.guarded import GuardedRun
from acp_bridge.run.meter import RunMeter
from acp_bridge.run.metered import MeteredRun
from acp_bridge.run.payer import Payer, in_its_money
from acp_bridge.run.preparation import Addresses, Surroundings, prepare
from acp_bridge.run.record import RunRecord
from acp_bridge.run.settlement import Settler, rows_of
from acp_bridge.run.usage import DEFAULT_GROUPS
from acp_bridge.settings import load_settings
from tests.ledger.children import SECONDS
from tests.ledger.rows import NOON, run, session, spent
from tests.metering.test_wire_exchanges import ANSWER, EXCHANGE, REQUEST
from tests.run.test_run_meter import ID, Desk, telemetry, totals

A, B, C = BillingMode.API_KEY, BillingMode.SUBSCRIPTION, BillingMode.ENDPOINT
OPUS = EndpointPrices({"opus": {"input": "3", "output": "4"}})
SETTINGS = {
    A: 'mode = "A"\napi_key = "sk-ant-api03-FAKE"\n',
    B: 'mode = "B"\nguard = "enforce"\n',
    C: 'mode = "C"\nendpoint_url = "http://127.0.0.1:9"\nendpoint_token = "FAKE"\n',
}
TABLE = '[endpoint.prices."claude-*"]\ninput = "1"\noutput = "2"\n'
"""For a million of input and 100,000 of output: 1.20 USD; by the list of Anthropic 6.00 USD."""

Money = tuple[CostKind, int | None]


class ModeDesk(Desk):
    """A run's meter in a mode, with prices, and with a wire guard or without."""

    def __init__(
        self,
        folder: Path,
        prices: Prices | None,
        *,
        mode: BillingMode = C,
        wire: WireBooks | None = None,
    ) -> None:
        super().__init__(folder)
        self.meter = RunMeter(
            replace(run("run"), mode=mode),
            Meter("run"),
            self.writer,
            Settler(folder / "config", self.path, lambda run_id: run_id == "run"),
            clock=lambda: NOON + timedelta(hours=1),
            wire=wire,
        )
        self.meter.prices = prices

    async def money(self) -> dict[tuple[Source, State], Money]:
        """What kind and amount each entry is, when everything has been counted."""
        await self.entries()
        with Ledger(self.path) as ledger:
            rows = ledger.entries()
            return {
                (row.entry.source, row.entry.state): (row.cost_kind, row.entry.cost_micros)
                for row in rows
            }


def exchange(**answer: object) -> WireExchange:
    """A request of a million tokens of input, as the wire shows it."""
    said = replace(ANSWER, tokens=Tokens(1_000_000), model="opus", **answer)  # type: ignore[arg-type]
    return replace(EXCHANGE, request=replace(REQUEST, session_id=ID), answer=said)


def entry(**other: object) -> UsageEntry:
    """One request of ten tokens of input that telemetry told of, at Claude Code's price."""
    return replace(spent("key", tokens=Tokens(10)).entry, **other)  # type: ignore[arg-type]


def listed_telemetry(spent: int) -> bytes:
    """A request, as Claude Code tells it, with its own price."""
    body = json.loads(telemetry(spent))
    (record,) = body["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
    record["attributes"].append({"key": "cost_usd_micros", "value": {"stringValue": "1500"}})
    return json.dumps(body).encode()


def listed_totals(spent: int) -> str:
    """The line that a process writes at its end, with Claude Code's own price."""
    line = json.loads(totals(spent))
    line["modelUsage"]["opus"]["costUSD"] = 0.5
    return json.dumps(line)


def row_of(mode: BillingMode, told: UsageEntry, *, guaranteed: bool = True) -> Money:
    """Whose money an entry is in a mode, with the endpoint's prices."""
    payer = Payer.of(replace(run(), mode=mode), guaranteed=guaranteed)
    (priced,) = in_its_money(mode, [told], OPUS)
    row = payer.spent(priced, project=None, surface=Surface.AGENT_SDK)
    return row.cost_kind, row.entry.cost_micros


# Whose money an entry is


@pytest.mark.parametrize(
    ("mode", "money"),
    [
        (A, (CostKind.BILLED_ESTIMATE, 1500)),
        (B, (CostKind.LIST_PRICE_EQUIVALENT, 1500)),
        (C, (CostKind.ENDPOINT_PRICE, 30)),
    ],
)
def test_each_mode_has_its_kind_of_money(mode: BillingMode, money: Money) -> None:
    assert row_of(mode, entry(cost_micros=1500)) == money


@pytest.mark.parametrize(
    "told",
    [
        entry(model="sonnet"),
        entry(model=None),
        entry(tokens=Tokens(10, cache_read=1)),
        entry(tokens=None, state=State.UNKNOWN),
        entry(requests=2),
        entry(requests=None),
        entry(requests=None, state=State.SETTLED, source=Source.TRANSCRIPT),
    ],
    ids=[
        *("other model", "no model", "unpriced kind", "no tokens"),
        *("two requests", "some requests", "difference"),
    ],
)
def test_what_the_endpoint_has_no_price_of_is_of_no_known_kind(told: UsageEntry) -> None:
    assert told.cost_micros == 1500
    assert row_of(C, told) == (CostKind.UNKNOWN, None)


def test_where_nobody_knows_who_pays_the_endpoint_asks_nothing() -> None:
    assert row_of(C, entry(), guaranteed=False) == (CostKind.UNKNOWN, None)
    wire = entry(source=Source.WIRE)
    assert row_of(C, wire, guaranteed=False) == (CostKind.UNKNOWN, None)


def test_what_something_else_spent_keeps_the_list_price_and_is_of_no_known_kind() -> None:
    outside = entry(state=State.OUTSIDE, source=Source.TRANSCRIPT)
    for mode in BillingMode:
        assert row_of(mode, outside) == (CostKind.UNKNOWN, 1500)


def test_what_the_wire_shows_is_priced_once() -> None:
    assert row_of(C, entry(source=Source.WIRE, cost_micros=7)) == (CostKind.ENDPOINT_PRICE, 7)


# A run's meter in mode C


async def test_what_the_wire_shows_costs_what_the_endpoint_asks(tmp_path: Path) -> None:
    desk = ModeDesk(tmp_path, OPUS, wire=WireBooks())
    desk.meter.see(SessionOpened(ID, "/w", None))
    desk.meter.watch(exchange())
    assert await desk.money() == {(Source.WIRE, State.LIVE): (CostKind.ENDPOINT_PRICE, 3_000_000)}


async def test_what_the_answer_says_beside_its_tokens_can_make_it_unknown(tmp_path: Path) -> None:
    desk = ModeDesk(tmp_path, OPUS, wire=WireBooks())
    desk.meter.watch(exchange(server_tools=(("web_search_requests", 1),)))
    assert await desk.money() == {(Source.WIRE, State.LIVE): (CostKind.UNKNOWN, None)}


async def test_what_went_round_the_guard_is_at_no_price_of_the_endpoint(tmp_path: Path) -> None:
    desk = ModeDesk(tmp_path, OPUS, wire=WireBooks())
    desk.meter.see(SessionOpened(ID, "/w", None))
    desk.meter.watch(AnswerBegan(ANSWER.request_id))
    desk.meter.watch(exchange())
    desk.meter.hear(telemetry(90))
    money = await desk.money()
    assert money[Source.TELEMETRY, State.LIVE] == (CostKind.UNKNOWN, None)


@pytest.mark.parametrize(
    ("prices", "live"), [(OPUS, (CostKind.ENDPOINT_PRICE, 30)), (None, (CostKind.UNKNOWN, None))]
)
async def test_without_a_guard_each_request_of_telemetry_is_priced_and_no_difference(
    tmp_path: Path, prices: Prices | None, live: Money
) -> None:
    desk = ModeDesk(tmp_path, prices)
    desk.meter.see(SessionOpened(ID, "/w", None))
    desk.meter.hear(listed_telemetry(10))
    desk.write(listed_totals(14))
    assert await desk.money() == {
        (Source.TELEMETRY, State.LIVE): live,
        (Source.TRANSCRIPT, State.SETTLED): (CostKind.UNKNOWN, None),
    }
    (kinds,) = [row.cost for row in desk.meter.usage.report(()).rows]
    assert kinds == {CostKind.UNKNOWN: None} | {live[0]: live[1]}


async def test_of_a_dead_run_nobody_knows_what_the_endpoint_asked(tmp_path: Path) -> None:
    desk = ModeDesk(tmp_path, OPUS, mode=B)
    desk.writer.record(replace(run("dead"), mode=C))
    desk.writer.record(session(ID, run_id="dead"))
    for reading in rows_of(Reading(ID), "dead", NOON):
        desk.writer.record(reading)
    assert desk.writer.flush(SECONDS)
    desk.write(listed_totals(14))

    desk.meter.see(SessionOpened(ID, "/w", None, continued=True))
    assert await desk.money() == {(Source.TRANSCRIPT, State.SETTLED): (CostKind.UNKNOWN, None)}


# Which prices a whole run has


@asynccontextmanager
async def metered_run(
    folder: Path, mode: BillingMode, tables: str = ""
) -> AsyncIterator[MeteredRun]:
    """A run with a wire guard that has begun to serve, and no agent."""
    config = folder / "config.toml"
    config.write_text(SETTINGS[mode] + f"state_dir = '{folder / 'state'}'\n" + tables)
    settings = load_settings({"claude": "/bin/sh"}, {"ACP_BRIDGE_CONFIG": str(config)})
    address = BoundAddress.reserve()
    preparation = prepare(
        settings,
        Surroundings(environ={"HOME": str(folder)}, own_cwd=folder),
        agent=("/bin/sh",),
        addresses=Addresses(guard=address.url),
    )
    record, log = RunRecord.of(preparation), Log.of(settings)
    with closing(preparation.directory), anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as tasks:
            metered = MeteredRun(preparation, record, None, log)
            guarded = GuardedRun(
                preparation, record, address, metered=metered, found=lambda _: None, log=log
            )
            async with metered.metering(tasks):
                async with guarded.guarding(tasks):
                    pass
                yield metered


@pytest.mark.parametrize(
    ("mode", "tables", "cost"),
    [
        (A, "", {"cost_kind": "billed_estimate", "cost_usd": "6.000000"}),
        (A, TABLE, {"cost_kind": "billed_estimate", "cost_usd": "6.000000"}),
        (B, TABLE, {"cost_kind": "list_price_equivalent", "cost_usd": "6.000000"}),
        (C, TABLE, {"cost_kind": "endpoint_price", "cost_usd": "1.200000"}),
        (C, "", {"cost_kind": "unknown", "cost_usd": None}),
    ],
)
async def test_a_run_goes_by_the_prices_of_its_mode(
    tmp_path: Path, mode: BillingMode, tables: str, cost: dict[str, str | None]
) -> None:
    async with metered_run(tmp_path, mode, tables) as metered:
        metered.watch(EXCHANGE)
    assert metered.usage(DEFAULT_GROUPS)["totals"]["cost"] == [cost]
