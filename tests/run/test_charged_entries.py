"""Entries on their way to the ledger: which bucket they carry, and by which policy's word."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from acp_bridge.ledger.queries import Ledger
from acp_bridge.ledger.records import SpentRow
from acp_bridge.loopback.guard import RequestFacts
from acp_bridge.metering.meter import Meter
from acp_bridge.metering.usage import Source, State
from acp_bridge.metering.wire_books import WireBooks
from acp_bridge.metering.wire_exchange import AnswerBegan, WireExchange
from acp_bridge.metering.wire_limits import RateLimits
from acp_bridge.modes import BillingMode, Bucket, CredentialClass
from acp_bridge.policy.judgement import Judge
from acp_bridge.policy.surface import Surface
from acp_bridge.protocol.facts import SessionOpened
from acp_bridge.run.meter import RunMeter
from acp_bridge.run.payer import Payer
from acp_bridge.run.settlement import Settler
from acp_bridge.run.wire import Tell, WireWatch
from tests.ledger.rows import NOON, run, spent
from tests.run.test_run_meter import ID, Desk, telemetry
from tests.run.test_wire_in_the_meter import exchange
from tests.run.test_wire_watch import JSON, LOGIN, MESSAGE, OVERAGE

ENTRY = spent("key").entry


class ChargedDesk(Desk):
    """A run's meter; what the wire does not tell is charged to extra usage."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.meter = RunMeter(
            run("run"),
            Meter("run"),
            self.writer,
            Settler(folder / "config", self.path, lambda run_id: run_id == "run"),
            clock=lambda: NOON + timedelta(hours=1),
            wire=WireBooks(),
            charged=lambda entry: entry.bucket or Bucket.EXTRA_USAGE,
        )

    async def rows(self) -> dict[Source, SpentRow]:
        await self.entries()
        with Ledger(self.path) as ledger:
            return {row.entry.source: row for row in ledger.entries()}


async def test_an_entry_of_the_wire_is_stored_with_what_its_own_answer_says(tmp_path: Path) -> None:
    desk = ChargedDesk(tmp_path)
    desk.meter.see(SessionOpened(ID, "/w", None))
    desk.meter.watch(AnswerBegan("req_7"))
    desk.meter.watch(replace(exchange(7), bucket=Bucket.PROGRAMMATIC_CREDIT))

    row = (await desk.rows())[Source.WIRE]
    assert (row.bucket, row.policy_version) == (Bucket.PROGRAMMATIC_CREDIT, "2026-11-26")


async def test_what_went_round_the_guard_is_charged_to_nobody_knows_what(tmp_path: Path) -> None:
    desk = ChargedDesk(tmp_path)
    desk.meter.see(SessionOpened(ID, "/w", None))
    desk.meter.hear(telemetry(90))

    row = (await desk.rows())[Source.TELEMETRY]
    assert (row.bucket, row.policy_version) == (Bucket.UNKNOWN, None)


@pytest.mark.parametrize("bucket", [None, Bucket.EXTRA_USAGE])
def test_what_the_plans_login_paid_for_can_have_another_bucket(bucket: Bucket | None) -> None:
    row = Payer.of(run()).spent(ENTRY, project=None, surface=Surface.AGENT_SDK, bucket=bucket)

    assert row.bucket is (bucket or Bucket.PLAN_LIMITS)
    assert row.policy_version == run().policy_version


@pytest.mark.parametrize("mode", [BillingMode.API_KEY, BillingMode.ENDPOINT])
def test_what_the_plan_does_not_pay_for_has_no_other_bucket(mode: BillingMode) -> None:
    keyed = replace(run(), mode=mode, credential_class=CredentialClass.API_KEY, bucket=Bucket.API)
    row = Payer.of(keyed).spent(
        ENTRY, project=None, surface=Surface.AGENT_SDK, bucket=Bucket.EXTRA_USAGE
    )

    assert row.bucket is Bucket.API


def test_what_something_else_spent_in_the_session_is_told_by_no_policy() -> None:
    outside = replace(ENTRY, state=State.OUTSIDE)
    row = Payer.of(run()).spent(
        outside, project=None, surface=Surface.AGENT_SDK, bucket=Bucket.EXTRA_USAGE
    )

    assert (row.bucket, row.policy_version) == (Bucket.UNKNOWN, None)


def test_the_guard_asks_with_the_head_of_each_answer_and_the_exchange_has_the_bucket() -> None:
    asked: list[tuple[bool, int, str | None]] = []
    metered: list[AnswerBegan | WireExchange] = []

    def limits(told: RateLimits, status: int, session_id: str | None) -> Bucket:
        asked.append((told.overage, status, session_id))
        return Bucket.EXTRA_USAGE

    def ask(target: str, *headers: tuple[str, str]) -> None:
        request = (*LOGIN, ("x-claude-code-session-id", "raw"))
        verdict = Judge(BillingMode.SUBSCRIPTION, None)("POST", target, request)
        seen = watch.request(RequestFacts("POST", target, verdict, True, request, b"{}"))
        seen.response(200, (JSON, *headers))
        seen.chunk(MESSAGE)
        seen.end(complete=True)

    tell = Tell(
        count=lambda *_: None,
        evidence=lambda _: None,
        found=lambda _: None,
        meter=metered.append,
        limits=limits,
    )
    watch = WireWatch(
        "run", BillingMode.SUBSCRIPTION, CredentialClass.SUBSCRIPTION_OAUTH, tell, lambda: NOON
    )
    ask("/v1/messages", OVERAGE)
    ask("/v1/messages/count_tokens", OVERAGE)

    assert asked == [(True, 200, "raw")]
    exchanges = [one for one in metered if isinstance(one, WireExchange)]
    assert [one.bucket for one in exchanges] == [Bucket.EXTRA_USAGE, None]
