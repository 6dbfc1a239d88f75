"""What follows a change of bucket: who is told, and the block that ON_OVERAGE=block puts up."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from acp_bridge.errors import Reason
from acp_bridge.launch.policy_file import load_policy
from acp_bridge.ledger.records import EvidenceRow, ViolationRow
from acp_bridge.log import Log
from acp_bridge.metering.wire_limits import read_limits
from acp_bridge.modes import AgentKind, BillingMode, Bucket, CredentialClass, Guard, OnOverage
from acp_bridge.policy.billing import Question
from acp_bridge.policy.surface import Surface
from acp_bridge.protocol.facts import AgentIdentified, RawMessageSeen
from acp_bridge.protocol.names import Code
from acp_bridge.run.bucket import BucketChange, BucketInForce
from acp_bridge.run.overage import Overage, Tell, in_words
from acp_bridge.run.record import RunRecord

if TYPE_CHECKING:
    from acp_bridge.protocol.decisions import Refuse

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
RESET = NOON + timedelta(hours=2)
PLAN_PAYS = {
    "status": "allowed",
    "representative-claim": "five_hour",
    "5h-status": "allowed",
    "5h-reset": str(RESET.timestamp()),
}
OVERAGE_PAYS = PLAN_PAYS | {
    "status": "rejected",
    "overage-in-use": "true",
    "5h-status": "rejected",
}
EVENT = {
    "status": "rejected",
    "rateLimitType": "five_hour",
    "resetsAt": RESET.timestamp(),
    "isUsingOverage": True,
}


class Run:
    """A run of mode B, and all that it told."""

    def __init__(
        self,
        on_overage: OnOverage = OnOverage.BLOCK,
        guard: Guard = Guard.ENFORCE,
        log: Log | None = None,
        *,
        policy: Path | None = None,
        guarantees: str = "enforced",
    ) -> None:
        self.now = NOON
        self.notices: list[tuple[str, Any]] = []
        self.stopped: list[Refuse] = []
        self.shown: list[BucketChange] = []
        self.noted: list[EvidenceRow | ViolationRow] = []
        question = Question(
            CredentialClass.SUBSCRIPTION_OAUTH, Surface.AGENT_SDK, None, on=date(2026, 11, 26)
        )
        self.in_force = BucketInForce(load_policy(policy), question)
        self.record = RunRecord(
            run_id="run",
            pid=1,
            mode=BillingMode.SUBSCRIPTION,
            credential_class=CredentialClass.SUBSCRIPTION_OAUTH,
            bucket=Bucket.UNKNOWN,
            guard=guard,
            clock=lambda: self.now,
            wall_time=lambda _: self.now,
            started_at=NOON,
            noted=self.noted.append,
            guarantees=guarantees,
        )
        self.record.expect(self.in_force)
        self.overage = Overage(
            self.in_force,
            self.record,
            on_overage,
            tell=Tell(
                client=lambda method, params: self.notices.append((method, json.loads(params))),
                stop_turns=self.stopped.append,
                user=self.shown.append,
            ),
            log=log or Log("CRITICAL"),
        )

    def answer(self, told: dict[str, str]) -> None:
        pairs = [(f"anthropic-ratelimit-unified-{name}", of) for name, of in told.items()]
        self.in_force.see_answer(read_limits(pairs), self.now, status=200, session_id="client")


@pytest.mark.parametrize("on_overage", OnOverage)
def test_the_client_is_told_of_each_change(on_overage: OnOverage) -> None:
    run = Run(on_overage)
    for told in (PLAN_PAYS, OVERAGE_PAYS, OVERAGE_PAYS, PLAN_PAYS):
        run.answer(told)

    moved, back = run.notices
    assert moved == (
        "_acp_bridge/bucket_changed",
        {
            "run_id": "run",
            "session_id": "client",
            "bucket": "extra_usage",
            "previous": "plan_limits",
            "why": "the plan's five-hour window is used up",
            "resets_at": "2026-11-26T14:00:00+00:00",
        },
    )
    assert (back[1]["bucket"], back[1]["resets_at"]) == ("plan_limits", None)
    assert [change.bucket for change in run.shown] == [Bucket.EXTRA_USAGE, Bucket.PLAN_LIMITS]


def test_the_status_shows_what_is_charged_now_and_the_ledger_what_was_expected() -> None:
    run = Run()
    run.answer(OVERAGE_PAYS)

    assert run.record.document()["bucket"] == "extra_usage"
    assert run.record.row().bucket is Bucket.PLAN_LIMITS
    assert run.record.row().policy_version == load_policy(None).version
    run.answer(PLAN_PAYS)
    assert run.record.document()["bucket"] == "plan_limits"


@pytest.mark.parametrize(
    ("guard", "kind"), [(Guard.ENFORCE, "on_the_wire"), (Guard.OFF, "self_reported")]
)
def test_each_change_is_evidence_and_says_how_good_it_is(guard: Guard, kind: str) -> None:
    run = Run(guard=guard)
    if guard is Guard.OFF:
        event = {"type": "rate_limit_event", "rate_limit_info": EVENT}
        run.overage.see(RawMessageSeen("client", json.dumps(event).encode()))
    else:
        run.answer(OVERAGE_PAYS)

    (evidence,) = run.record.evidence
    assert (evidence["kind"], evidence["source"]) == (kind, "rate_limit")
    assert (evidence["value"], evidence["verdict"]) == ("extra_usage", "note")
    (row,) = run.noted
    assert isinstance(row, EvidenceRow)


def test_a_change_is_a_warning_in_the_log(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = Log("WARNING", file=path, as_json=True)
    Run(log=log).answer(OVERAGE_PAYS)
    log._output.drain(seconds=60)

    (line,) = map(json.loads, path.read_text().splitlines())
    assert (line["event"], line["level"]) == ("bucket_changed", "warning")
    assert (line["bucket"], line["previous"]) == ("extra_usage", "plan_limits")
    assert line["resets_at"] == "2026-11-26T14:00:00+00:00"


def test_where_the_guard_saw_the_answer_the_event_that_follows_it_says_nothing_new() -> None:
    run = Run(guard=Guard.OBSERVE)
    run.answer(PLAN_PAYS)
    event = {"type": "rate_limit_event", "rate_limit_info": EVENT}
    run.overage.see(RawMessageSeen("client", json.dumps(event).encode()))

    assert run.shown == []


def test_an_agent_of_another_kind_is_charged_to_nobody_knows_what() -> None:
    run = Run()
    fact = AgentIdentified("other", "1", AgentKind.OTHER)
    run.record.see(fact)
    run.overage.see(fact)
    run.answer(OVERAGE_PAYS)

    assert run.record.document()["bucket"] == "unknown"
    assert (run.shown, run.stopped) == ([], [])


def test_where_nothing_is_guaranteed_from_the_start_nothing_moves_either() -> None:
    run = Run(guarantees="none")
    assert run.record.document()["bucket"] == "unknown"
    run.answer(OVERAGE_PAYS)

    assert run.record.document()["bucket"] == "unknown"
    assert (run.shown, run.stopped) == ([], [])


def test_overage_that_the_policy_charges_to_something_else_is_not_blocked(tmp_path: Path) -> None:
    own = tmp_path / "billing-policy.toml"
    rule = 'id = "extra-usage-seen"\nbucket = "programmatic_credit"\n'
    own.write_text(f'schema_version = 1\nextends = "shipped"\n[[rules]]\n{rule}')
    run = Run(policy=own)
    run.answer(OVERAGE_PAYS)

    assert [change.bucket for change in run.shown] == [Bucket.PROGRAMMATIC_CREDIT]
    assert run.stopped == []
    assert run.overage.refusal() is None


def test_with_warn_nothing_is_stopped() -> None:
    run = Run(OnOverage.WARN)
    run.answer(OVERAGE_PAYS)

    assert run.stopped == []
    assert run.overage.refusal() is None


def test_with_block_the_turn_is_stopped_once_and_prompts_are_refused() -> None:
    run = Run()
    run.answer(PLAN_PAYS)
    assert run.overage.refusal() is None
    run.answer(OVERAGE_PAYS)
    run.answer(OVERAGE_PAYS)

    (stopped,) = run.stopped
    assert run.overage.refusal() == stopped
    assert (stopped.code, stopped.reason) == (Code.BUDGET_EXHAUSTED, Reason.BUDGET_EXHAUSTED)
    assert stopped.sentence == (
        "This run does not draw on extra usage (ON_OVERAGE=block): the plan's five-hour window is"
        f" used up; it resets at {in_words(RESET)}."
    )


def test_prompts_pass_again_when_the_window_resets() -> None:
    run = Run()
    run.answer(OVERAGE_PAYS)
    run.now = RESET - timedelta(seconds=1)
    assert run.overage.refusal() is not None
    run.now = RESET
    assert run.overage.refusal() is None


def test_prompts_pass_again_when_the_plan_is_seen_to_pay() -> None:
    run = Run()
    run.answer(OVERAGE_PAYS)
    run.answer(PLAN_PAYS)

    assert run.overage.refusal() is None


def test_a_turn_after_the_reset_that_extra_usage_pays_all_the_same_is_stopped_again() -> None:
    run = Run()
    run.answer(OVERAGE_PAYS)
    run.now = RESET
    week = RESET + timedelta(days=3)
    run.answer(OVERAGE_PAYS | {"7d-status": "rejected", "7d-reset": str(week.timestamp())})

    assert len(run.stopped) == 2
    assert "seven-day window" in run.stopped[1].sentence
    assert len(run.shown) == 1
    run.now = week
    assert run.overage.refusal() is None


def test_a_block_of_which_no_reset_is_known_stands_until_the_plan_pays() -> None:
    run = Run()
    run.answer({"status": "rejected", "overage-in-use": "true", "5h-status": "rejected"})
    run.now = NOON + timedelta(days=30)

    refused = run.overage.refusal()
    assert refused is not None
    assert refused.sentence.endswith("is used up; when it resets is not known.")
    run.answer(PLAN_PAYS)
    assert run.overage.refusal() is None


def test_a_block_for_no_window_says_so() -> None:
    run = Run()
    run.answer({"status": "allowed", "representative-claim": "overage"})

    (stopped,) = run.stopped
    assert stopped.sentence.endswith(
        "the provider charges extra usage; when that ends is not known."
    )
