"""What moves the bucket of a run, what does not, and what entries are charged to."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from acp_bridge.errors import ConfigurationError
from acp_bridge.launch.policy_file import load_policy
from acp_bridge.metering.usage import Source, State, UsageEntry
from acp_bridge.metering.wire_limits import RateLimits, read_limits
from acp_bridge.modes import BillingMode, Bucket, CredentialClass
from acp_bridge.policy.billing import Question
from acp_bridge.policy.surface import Surface
from acp_bridge.run.bucket import (
    EVENT_LAG,
    KEPT_CHANGES,
    BucketChange,
    BucketInForce,
    bucket_in_force,
)
from acp_bridge.run.limits import LimitsSource
from acp_bridge.settings import load_settings

POLICY = load_policy(None)
NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
RESET, WEEK = NOON + timedelta(hours=2), NOON + timedelta(days=3)
PLAN_PAYS = {
    "status": "allowed",
    "representative-claim": "five_hour",
    "overage-status": "allowed",
    "5h-status": "allowed",
    "5h-reset": str(RESET.timestamp()),
    "7d-status": "allowed",
}
OVERAGE_PAYS = PLAN_PAYS | {
    "status": "rejected",
    "overage-in-use": "true",
    "5h-status": "rejected",
}


def limits(told: dict[str, str]) -> RateLimits:
    return read_limits((f"anthropic-ratelimit-unified-{name}", of) for name, of in told.items())


class Watched:
    """The bucket in force of a run, and all that it told."""

    def __init__(self, credential: CredentialClass = CredentialClass.SUBSCRIPTION_OAUTH) -> None:
        self.in_force = BucketInForce(
            POLICY, Question(credential, Surface.AGENT_SDK, None, on=date(2026, 11, 26))
        )
        self.changes: list[BucketChange] = []
        self.told: list[str] = []
        self.in_force.changed = self.changes.append
        self.in_force.overage_seen = lambda: self.told.append("overage")
        self.in_force.plan_seen = lambda: self.told.append("plan")

    def answer(self, told: dict[str, str], at: datetime = NOON, status: int = 200) -> Bucket | None:
        return self.in_force.see_answer(limits(told), at, status=status, session_id="client")

    def event(self, at: datetime = NOON, **info: Any) -> None:
        message = {"type": "rate_limit_event", "rate_limit_info": info}
        self.in_force.see_message(json.dumps(message).encode(), at, session_id="client")

    @property
    def moves(self) -> list[Bucket]:
        return [change.bucket for change in self.changes]


def entry(at: datetime, **more: Any) -> UsageEntry:
    told: dict[str, Any] = {"source": Source.TELEMETRY, "state": State.LIVE} | more
    return UsageEntry(key="key", run_id="run", session_id="s", at=at, **told)


def test_a_run_begins_with_what_the_policy_decides_for_it() -> None:
    in_force = Watched().in_force

    assert in_force.bucket is Bucket.PLAN_LIMITS
    assert in_force.policy_version == POLICY.version


def test_an_answer_that_extra_usage_paid_for_moves_the_bucket_and_is_charged_to_it() -> None:
    run = Watched()

    assert run.answer(PLAN_PAYS) is Bucket.PLAN_LIMITS
    assert run.changes == []
    assert run.answer(OVERAGE_PAYS, NOON + SECOND) is Bucket.EXTRA_USAGE
    assert run.in_force.bucket is Bucket.EXTRA_USAGE
    (change,) = run.changes
    assert (change.at, change.previous) == (NOON + SECOND, Bucket.PLAN_LIMITS)
    assert (change.session_id, change.source) == ("client", LimitsSource.WIRE)
    assert change.why == "the plan's five-hour window is used up"
    assert change.used_up is not None
    assert change.used_up.resets_at == RESET


def test_a_change_is_told_once_and_evidence_each_time() -> None:
    run = Watched()
    for told in (OVERAGE_PAYS, OVERAGE_PAYS, PLAN_PAYS, PLAN_PAYS):
        run.answer(told)

    assert run.moves == [Bucket.EXTRA_USAGE, Bucket.PLAN_LIMITS]
    assert run.told == ["overage", "overage", "plan", "plan"]
    assert (run.changes[1].why, run.changes[1].used_up) == ("the plan pays again", None)


@pytest.mark.parametrize(
    ("told", "status", "moved"),
    [
        pytest.param(OVERAGE_PAYS, 200, True, id="in use"),
        pytest.param(OVERAGE_PAYS, 429, True, id="in use, though refused"),
        pytest.param(PLAN_PAYS | {"representative-claim": "overage"}, 200, True, id="claim"),
        pytest.param({"status": "rejected", "overage-status": "allowed"}, 200, True, id="served"),
        pytest.param(
            {"status": "rejected", "overage-status": "allowed_warning"}, 200, True, id="warning"
        ),
        pytest.param({"status": "rejected", "overage-status": "allowed"}, 429, False, id="refused"),
        pytest.param(
            {"status": "rejected", "overage-status": "allowed", "overage-in-use": "false"},
            200,
            False,
            id="said not to be in use",
        ),
        pytest.param({"status": "rejected", "overage-status": "rejected"}, 429, False, id="none"),
        pytest.param({"overage-status": "allowed"}, 200, False, id="only possible"),
        pytest.param({}, 200, False, id="nothing told"),
    ],
)
def test_only_what_shows_that_extra_usage_pays_moves_the_bucket(
    told: dict[str, str], status: int, *, moved: bool
) -> None:
    run = Watched()
    run.answer(told, status=status)

    assert run.moves == [Bucket.EXTRA_USAGE] * moved


@pytest.mark.parametrize(
    ("told", "back"),
    [
        pytest.param(PLAN_PAYS, True, id="the plan's own claim"),
        pytest.param({"status": "allowed", "overage-in-use": "false"}, True, id="not in use"),
        pytest.param(
            {"status": "allowed_warning", "representative-claim": "five_hour"}, True, id="warning"
        ),
        pytest.param({"status": "allowed"}, False, id="nobody named"),
        pytest.param({"status": "rejected", "overage-in-use": "false"}, False, id="nobody pays"),
        pytest.param({}, False, id="nothing told"),
    ],
)
def test_only_what_shows_that_the_plan_pays_moves_it_back(
    told: dict[str, str], *, back: bool
) -> None:
    run = Watched()
    run.answer({"status": "allowed", "overage-in-use": "true"})
    charged = run.answer(told)

    assert run.moves == [Bucket.EXTRA_USAGE] + [Bucket.PLAN_LIMITS] * back
    assert charged is (Bucket.PLAN_LIMITS if back else Bucket.EXTRA_USAGE)


def test_an_api_keys_limits_say_nothing_of_the_plan() -> None:
    run = Watched()
    run.in_force.see_answer(
        read_limits([("anthropic-ratelimit-requests-limit", "50")]), NOON, status=200,
        session_id=None,
    )  # fmt: skip

    assert (run.changes, run.in_force.limits.document()) == ([], [])


def test_a_model_that_the_plan_still_pays_for_does_not_end_the_overage_of_another() -> None:
    run = Watched()
    opus = {"representative-claim": "seven_day_opus", "reset": str(WEEK.timestamp())}
    five_hours = {"5h-status": "allowed"}
    run.answer(OVERAGE_PAYS | opus | five_hours)

    assert run.answer(PLAN_PAYS) is Bucket.PLAN_LIMITS
    assert run.in_force.bucket is Bucket.EXTRA_USAGE
    assert run.answer(PLAN_PAYS, WEEK) is Bucket.PLAN_LIMITS
    assert run.moves == [Bucket.EXTRA_USAGE, Bucket.PLAN_LIMITS]


def test_of_several_windows_that_are_used_up_the_last_to_reset_counts() -> None:
    run = Watched()
    run.answer(OVERAGE_PAYS | {"7d-status": "rejected", "7d-reset": str(WEEK.timestamp())})

    assert run.changes[0].why == "the plan's seven-day window is used up"
    assert run.changes[0].used_up is not None
    assert run.changes[0].used_up.resets_at == WEEK


def test_without_a_window_that_is_used_up_the_providers_word_is_the_reason() -> None:
    run = Watched()
    run.answer({"status": "allowed", "representative-claim": "overage"})

    assert run.changes[0].why == "the provider says that extra usage pays"
    assert run.changes[0].used_up is None


def test_an_event_moves_it_as_an_answer_does() -> None:
    run = Watched()
    window = {"five_hour": {"status": "rejected", "resetsAt": RESET.timestamp()}}
    run.event(
        status="rejected", rateLimitType="five_hour", isUsingOverage=True, unifiedWindows=window
    )
    run.event(status="allowed", isUsingOverage=False)  # an answer without headers, so 2.1.316

    (change,) = run.changes
    assert (change.bucket, change.source) == (Bucket.EXTRA_USAGE, LimitsSource.RATE_LIMIT_EVENT)
    assert change.used_up is not None
    assert change.used_up.resets_at == RESET
    run.event(status="allowed", rateLimitType="five_hour", isUsingOverage=False)
    assert run.moves == [Bucket.EXTRA_USAGE, Bucket.PLAN_LIMITS]


@pytest.mark.parametrize(
    ("credential", "bucket"),
    [
        (CredentialClass.API_KEY, Bucket.API),
        (CredentialClass.ENDPOINT_CREDENTIAL, Bucket.ENDPOINT),
    ],
)
def test_what_is_not_the_plans_is_moved_by_nothing(
    credential: CredentialClass, bucket: Bucket
) -> None:
    run = Watched(credential)

    assert run.answer(OVERAGE_PAYS) is None
    run.event(status="rejected", rateLimitType="overage", overageInUse=True)
    assert (run.changes, run.in_force.bucket) == ([], bucket)
    assert run.in_force.limits.document() == []


def test_of_an_agent_of_another_kind_nobody_knows_what_is_charged() -> None:
    run = Watched()
    run.in_force.disclaim()

    assert run.answer(OVERAGE_PAYS) is None
    run.event(status="rejected", rateLimitType="overage", overageInUse=True)
    assert (run.changes, run.in_force.bucket) == ([], Bucket.UNKNOWN)


def test_the_policys_own_rule_says_which_bucket_overage_is(tmp_path: Path) -> None:
    own = tmp_path / "billing-policy.toml"
    rule = 'id = "extra-usage-seen"\nbucket = "programmatic_credit"\n'
    own.write_text(f'schema_version = 1\nextends = "shipped"\n[[rules]]\n{rule}')
    settings = load_settings({"mode": "B"}, {})
    in_force = bucket_in_force(settings, tmp_path / "config.toml", NOON)

    assert in_force.policy_version.startswith(f"{POLICY.version}+user-")
    paid_from = in_force.see_answer(limits(OVERAGE_PAYS), NOON, status=200, session_id=None)
    assert paid_from is Bucket.PROGRAMMATIC_CREDIT


@pytest.mark.parametrize(
    ("mode", "bucket"),
    [("A", Bucket.API), ("B", Bucket.PLAN_LIMITS), ("C", Bucket.ENDPOINT)],
)
def test_each_mode_has_its_bucket(tmp_path: Path, mode: str, bucket: Bucket) -> None:
    flags: dict[str, Any] = {"mode": BillingMode.parse(mode)}
    if mode == "C":
        flags |= {"endpoint_url": "https://endpoint.example", "endpoint_no_auth": True}
    in_force = bucket_in_force(load_settings(flags, {}), tmp_path / "config.toml", NOON)

    assert in_force.bucket is bucket


def test_the_plan_and_the_day_are_part_of_the_question(tmp_path: Path) -> None:
    own = tmp_path / "billing-policy.toml"
    history = 'history = [{ from = 2027-01-01, status = "in_force" }]'
    own.write_text(
        'schema_version = 1\nextends = "shipped"\n'
        f'[[rules]]\nid = "programmatic-credit"\n{history}\n'
    )
    config = tmp_path / "config.toml"
    on_a_plan = load_settings({"mode": "B", "plan": "max-20x"}, {})
    later = datetime(2027, 2, 1, tzinfo=UTC)

    assert bucket_in_force(on_a_plan, config, NOON).bucket is Bucket.PLAN_LIMITS
    assert bucket_in_force(on_a_plan, config, later).bucket is Bucket.PROGRAMMATIC_CREDIT
    unknown = load_settings({"mode": "B"}, {})
    assert bucket_in_force(unknown, config, later).bucket is Bucket.UNKNOWN


def test_a_policy_that_is_wrong_is_the_users_to_mend(tmp_path: Path) -> None:
    (tmp_path / "billing-policy.toml").write_text("rules = 3")
    with pytest.raises(ConfigurationError, match=r"billing-policy\.toml"):
        bucket_in_force(load_settings({"mode": "B"}, {}), tmp_path / "config.toml", NOON)


def test_while_nothing_has_changed_an_entry_is_charged_to_what_the_run_began_with() -> None:
    assert Watched().in_force.charged(entry(NOON)) is None


def test_what_the_answer_itself_says_counts_for_its_entry() -> None:
    run = Watched()
    run.answer(OVERAGE_PAYS)
    on_the_wire = entry(NOON + SECOND, source=Source.WIRE, bucket=Bucket.PLAN_LIMITS)

    assert run.in_force.charged(on_the_wire) is Bucket.PLAN_LIMITS


def test_by_telemetry_a_request_is_charged_to_what_was_known_at_its_end() -> None:
    run = Watched()
    run.answer(OVERAGE_PAYS)
    assert run.in_force.charged(entry(NOON - 2 * SECOND)) is Bucket.PLAN_LIMITS
    run.answer(PLAN_PAYS, NOON + 60 * SECOND)
    ended_before = entry(NOON - 10 * SECOND, duration_ms=8000)
    told_a_moment_later = entry(NOON - 10 * SECOND, duration_ms=9500)

    assert ended_before.at + 8 * SECOND < NOON - EVENT_LAG
    assert run.in_force.charged(ended_before) is Bucket.PLAN_LIMITS
    assert run.in_force.charged(told_a_moment_later) is Bucket.EXTRA_USAGE
    assert run.in_force.charged(entry(NOON + 30 * SECOND)) is Bucket.EXTRA_USAGE
    assert run.in_force.charged(entry(NOON + 61 * SECOND)) is Bucket.PLAN_LIMITS


@pytest.mark.parametrize(
    "more",
    [
        {"state": State.SETTLED},
        {"state": State.OUTSIDE},
        {"state": State.UNKNOWN, "source": Source.TRANSCRIPT},
    ],
)
def test_what_is_found_afterwards_stays_with_what_the_run_began_with(more: dict[str, Any]) -> None:
    run = Watched()
    run.answer(OVERAGE_PAYS)

    assert run.in_force.charged(entry(NOON + 5 * SECOND, **more)) is None


def test_changes_without_end_are_not_kept_without_end() -> None:
    run = Watched()
    for number in range(KEPT_CHANGES):
        run.answer(OVERAGE_PAYS, NOON + 2 * number * SECOND)
        run.answer(PLAN_PAYS, NOON + (2 * number + 1) * SECOND)
    last = replace(entry(NOON), at=NOON + 2 * KEPT_CHANGES * SECOND)

    assert len(run.changes) == 2 * KEPT_CHANGES
    assert run.in_force.charged(last) is Bucket.PLAN_LIMITS
    # Of the first change, to extra usage, nothing is known any more.
    assert run.in_force.charged(entry(NOON - SECOND / 2)) is Bucket.PLAN_LIMITS
