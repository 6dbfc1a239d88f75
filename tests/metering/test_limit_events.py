"""What a ``rate_limit_event`` of Claude Code tells; the messages are as 2.1.316 sent them."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from acp_bridge.metering.limit_events import read_limit_event
from acp_bridge.metering.wire_limits import LimitsKind, RateLimits, Window

RESET, WEEK, MONTH = 1_795_674_817, 1_795_757_617, 1_795_681_216
PLAN: dict[str, Any] = {
    "status": "allowed",
    "resetsAt": RESET,
    "rateLimitType": "five_hour",
    "overageStatus": "allowed",
    "isUsingOverage": False,
    "unifiedWindows": {
        "five_hour": {"utilization": 0.5, "resetsAt": RESET, "status": "allowed"},
        "seven_day": {"utilization": 0.25, "resetsAt": WEEK},
    },
}
OVERAGE = PLAN | {
    "status": "rejected",
    "overageResetsAt": MONTH,
    "isUsingOverage": True,
    "overageInUse": True,
}


def moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def event(**info: Any) -> bytes:
    message = {"type": "rate_limit_event", "rate_limit_info": info, "uuid": "u", "session_id": "s"}
    return json.dumps(message).encode()


def read(**info: Any) -> RateLimits:
    limits = read_limit_event(event(**info))
    assert limits is not None
    return limits


def test_the_windows_are_read_by_the_names_that_claude_code_gives_them() -> None:
    limits = read(**PLAN)

    assert (limits.kind, limits.status, limits.claim) == (LimitsKind.PLAN, "allowed", "five_hour")
    assert limits.resets_at == moment(RESET)
    assert limits.windows == (
        Window("five_hour", "allowed", moment(RESET), 0.5, None),
        Window("seven_day", None, moment(WEEK), 0.25, None),
    )


@pytest.mark.parametrize(
    ("info", "overage"),
    [
        (PLAN, False),
        (OVERAGE, True),
        (OVERAGE | {"overageInUse": None}, True),
        (OVERAGE | {"isUsingOverage": False}, True),
        (OVERAGE | {"overageInUse": False}, False),  # the provider's own word
        (PLAN | {"rateLimitType": "overage"}, True),
        (PLAN | {"status": "rejected", "overageStatus": "rejected"}, False),
    ],
)
def test_any_of_its_three_signs_says_that_extra_usage_pays(
    info: dict[str, Any], *, overage: bool
) -> None:
    assert read(**info).overage is overage


def test_the_period_of_extra_usage_is_read() -> None:
    limits = read(**OVERAGE, overageDisabledReason="out_of_credits")

    assert (limits.overage_status, limits.overage_resets_at) == ("allowed", moment(MONTH))
    assert limits.overage_disabled_reason == "out_of_credits"


def test_the_window_of_extra_usage_is_none_of_the_plan() -> None:
    windows = {"overage": {"utilization": 0.1, "resetsAt": MONTH}}
    limits = read(status="allowed", rateLimitType="overage", unifiedWindows=windows)

    assert limits.windows == ()
    assert (limits.overage_utilization, limits.overage_resets_at) == (0.1, moment(MONTH))


def test_a_limit_that_counts_and_is_no_window_is_one_all_the_same() -> None:
    limits = read(status="rejected", rateLimitType="seven_day_opus", resetsAt=WEEK, utilization=1)

    assert limits.windows == (Window("seven_day_opus", "rejected", moment(WEEK), 1.0, None),)


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(event(status="allowed", isUsingOverage=False), id="no headers were seen"),
        pytest.param(event(status="allowed", isUsingOverage=False, unifiedWindows={}), id="reset"),
        pytest.param(event(**PLAN | {"status": 3}), id="a status that is no word"),
        pytest.param(event(**PLAN | {"status": "al lowed\n"}), id="a status with blanks"),
        pytest.param(b'{"type": "result", "rate_limit_info": {}}', id="another message"),
        pytest.param(b'{"type": "rate_limit_event"}', id="without the info"),
        pytest.param(b"[1", id="no JSON"),
        pytest.param(b"\xff", id="no text"),
    ],
)
def test_what_names_no_limit_or_cannot_be_read_tells_nothing(message: bytes) -> None:
    assert read_limit_event(message) is None


def test_windows_without_end_are_cut_off() -> None:
    windows: dict[str, Any] = {f"w{number}": {} for number in range(100)}
    limits = read(status="allowed", rateLimitType="w0", unifiedWindows=windows)

    assert len(limits.windows) == 16


def test_a_moment_that_cannot_be_is_unknown() -> None:
    assert read(**PLAN | {"resetsAt": 1e300}).resets_at is None
