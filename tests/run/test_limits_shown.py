"""The plan's windows: which readings are kept, and how the status shows them."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from acp_bridge.inspect.status import render
from acp_bridge.launch.policy_file import load_policy
from acp_bridge.metering.wire_limits import RateLimits, read_limits
from acp_bridge.modes import BillingMode, Bucket, CredentialClass, Guard
from acp_bridge.policy.billing import Question
from acp_bridge.policy.surface import Surface
from acp_bridge.run.bucket import BucketInForce
from acp_bridge.run.limits import KEPT_WINDOWS, Limits, LimitsSource
from acp_bridge.run.record import RunRecord
from tests.documents import assert_status

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
RESET = NOON + timedelta(hours=2)
WEEK = NOON + timedelta(days=3)
PLAN = {
    "status": "allowed_warning",
    "reset": str(RESET.timestamp()),
    "representative-claim": "five_hour",
    "5h-status": "allowed_warning",
    "5h-reset": str(RESET.timestamp()),
    "5h-utilization": "0.915",
    "7d-utilization": "1e-2",
    "7d-reset": str(WEEK.timestamp()),
    "overage-status": "allowed",
}


def limits(told: dict[str, str]) -> RateLimits:
    return read_limits((f"anthropic-ratelimit-unified-{name}", of) for name, of in told.items())


def seen(*answers: dict[str, str]) -> dict[str, dict[str, Any]]:
    """The windows after these answers, a minute apart."""
    kept = Limits()
    for number, told in enumerate(answers):
        kept.see(limits(told), NOON + timedelta(minutes=number), LimitsSource.WIRE)
    return {one["window"]: one for one in kept.document()}


def test_each_window_is_shown_with_its_use_state_and_reset_and_where_and_when_it_was_read() -> None:
    assert list(seen(PLAN).values()) == [
        {
            "window": "five_hour",
            "used": "0.915",
            "status": "allowed_warning",
            "resets_at": "2026-11-26T14:00:00+00:00",
            "seen_at": "2026-11-26T12:00:00+00:00",
            "source": "wire",
        },
        {
            "window": "seven_day",
            "used": "0.01",
            "status": None,
            "resets_at": "2026-11-29T12:00:00+00:00",
            "seen_at": "2026-11-26T12:00:00+00:00",
            "source": "wire",
        },
        {
            "window": "overage",
            "used": None,
            "status": "allowed",
            "resets_at": None,
            "seen_at": "2026-11-26T12:00:00+00:00",
            "source": "wire",
        },
    ]


def test_the_newest_reading_takes_the_place_of_its_window_alone() -> None:
    windows = seen(PLAN, {"5h-utilization": "0.1"})

    five_hour, seven_day = windows["five_hour"], windows["seven_day"]
    assert (five_hour["used"], five_hour["status"], five_hour["resets_at"]) == ("0.1", None, None)
    assert five_hour["seen_at"] > seven_day["seen_at"]
    assert seven_day["used"] == "0.01"


def test_a_models_own_window_comes_as_the_limit_that_counts() -> None:
    opus = {"representative-claim": "seven_day_opus", "status": "rejected"}
    window = seen(PLAN | opus)["seven_day_opus"]

    assert (window["used"], window["status"]) == (None, "rejected")
    assert window["resets_at"] == RESET.isoformat()


def test_what_a_limit_that_counts_says_does_not_hide_its_own_windows_figures() -> None:
    assert seen(PLAN)["five_hour"]["used"] == "0.915"


@pytest.mark.parametrize("claim", ["overage", None])
def test_extra_usage_is_no_window_of_the_plan(claim: str | None) -> None:
    told = {"status": "allowed", "overage-utilization": "0.5"}
    windows = seen(told | ({"representative-claim": claim} if claim else {}))

    assert list(windows) == ["overage"]
    assert windows["overage"]["used"] == "0.5"


@pytest.mark.parametrize(
    ("header", "used"),
    [("1", "1"), ("1.02", "1.02"), ("10", "10"), ("0", "0"), ("5e300", None)],
)
def test_use_is_decimal_text_and_unknown_if_it_cannot_be(header: str, used: str | None) -> None:
    assert seen({"5h-utilization": header, "5h-status": "allowed"})["five_hour"]["used"] == used


def test_windows_without_end_are_not_kept_without_end_and_the_newest_stay() -> None:
    names = [*range(10, 10 + KEPT_WINDOWS), 10, 99]
    windows = seen(*({f"{name}h-utilization": "0.1"} for name in names))

    assert set(windows) == {f"{name}h" for name in (10, *range(12, 10 + KEPT_WINDOWS), 99)}


@pytest.mark.parametrize(
    ("told", "used_up"),
    [
        ({"5h-status": "rejected", "5h-reset": str(RESET.timestamp())}, "five_hour"),
        ({"5h-status": "allowed", "5h-utilization": "1.0"}, "five_hour"),
        ({"5h-status": "allowed", "5h-utilization": "0.99"}, None),
        ({"5h-status": "rejected", "5h-reset": str(NOON.timestamp())}, None),
        ({"overage-status": "rejected", "overage-utilization": "1"}, None),
        ({"5h-status": "rejected", "5h-reset": str(RESET.timestamp()), "7d-status": "rejected"},
         "seven_day"),
    ],
)  # fmt: skip
def test_a_window_is_used_up_until_its_reset_if_that_is_known(
    told: dict[str, str], used_up: str | None
) -> None:
    kept = Limits()
    kept.see(limits(told), NOON, LimitsSource.WIRE)
    found = kept.used_up(NOON)

    assert (found.window if found else None) == used_up


def record() -> RunRecord:
    """A run of mode B that has seen an answer."""
    run = RunRecord(
        run_id="20261126-120000-abcdef",
        pid=1,
        mode=BillingMode.SUBSCRIPTION,
        credential_class=CredentialClass.SUBSCRIPTION_OAUTH,
        bucket=Bucket.UNKNOWN,
        guard=Guard.OFF,
        clock=lambda: NOON,
        wall_time=lambda _: NOON,
        started_at=NOON,
    )
    question = Question(
        CredentialClass.SUBSCRIPTION_OAUTH, Surface.AGENT_SDK, None, on=date(2026, 11, 26)
    )
    in_force = BucketInForce(load_policy(None), question)
    run.expect(in_force)
    in_force.see_answer(limits(PLAN), NOON, status=200, session_id=None)
    return run


def test_the_status_has_the_windows_and_the_policys_word() -> None:
    run = record().document()

    assert_status({"schema_version": 1, "bridges": [run]})
    assert [one["window"] for one in run["limits"]] == ["five_hour", "seven_day", "overage"]
    assert (run["bucket"], run["policy_version"]) == ("plan_limits", load_policy(None).version)


def test_the_page_shows_each_window_in_a_line_and_leaves_out_what_was_not_told() -> None:
    page = render({"schema_version": 1, "bridges": [record().document()]})

    seen = "(wire, 2026-11-26T12:00:00+00:00)"
    five_hour = f"92 % used, allowed_warning, resets 2026-11-26T14:00:00+00:00 {seen}"
    assert [line.strip() for line in page.splitlines() if "limit  " in line] == [
        f"limit        five_hour: {five_hour}",
        f"limit        seven_day: 1 % used, resets 2026-11-29T12:00:00+00:00 {seen}",
        f"limit        overage: allowed {seen}",
    ]


def test_a_run_of_an_older_bridge_has_no_windows_on_its_page() -> None:
    run = record().document()
    del run["limits"]

    assert "limit  " not in render({"schema_version": 1, "bridges": [run]})
