"""Rate-limit evidence in the headers of an answer."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acp_bridge.metering.wire_limits import ApiLimit, LimitsKind, RateLimits, Window, read_limits

PREFIX = "anthropic-ratelimit-"
PLAN = {
    "unified-status": "allowed",
    "unified-reset": "1790814600",
    "unified-representative-claim": "five_hour",
    "unified-5h-status": "allowed",
    "unified-5h-reset": "1790814600",
    "unified-5h-utilization": "0.05",
    "unified-7d-status": "allowed_warning",
    "unified-7d-reset": "1791158400",
    "unified-7d-utilization": "0.8",
    "unified-7d-surpassed-threshold": "0.75",
    "unified-overage-status": "rejected",
    "unified-overage-disabled-reason": "org_level_disabled",
}
FIRST, SECOND = datetime.fromtimestamp(1790814600, UTC), datetime.fromtimestamp(1791158400, UTC)


def limits(*told: dict[str, str]) -> RateLimits:
    return read_limits([(PREFIX + name, value) for one in told for name, value in one.items()])


def test_a_plan_tells_its_windows_and_which_of_them_counts() -> None:
    found = limits(PLAN)
    assert (found.kind, found.status, found.claim) == (LimitsKind.PLAN, "allowed", "five_hour")
    assert found.resets_at == FIRST
    assert found.windows == (
        Window("5h", "allowed", FIRST, 0.05, None),
        Window("7d", "allowed_warning", SECOND, 0.8, 0.75),
    )
    assert (found.overage_status, found.overage_disabled_reason) == (
        "rejected",
        "org_level_disabled",
    )
    assert not found.overage


def test_overage_is_paid_when_it_is_in_use_or_the_claim() -> None:
    assert limits(PLAN, {"unified-overage-in-use": "true"}).overage
    assert limits(PLAN | {"unified-representative-claim": "overage"}).overage
    assert not limits(PLAN, {"unified-overage-in-use": "false"}).overage


def test_that_overage_would_be_allowed_is_no_sign_that_it_is_paid() -> None:
    assert not limits(PLAN | {"unified-overage-status": "allowed"}).overage


def test_an_api_key_tells_its_own_limits() -> None:
    found = limits(
        {
            "requests-limit": "50",
            "requests-remaining": "49",
            "requests-reset": "2026-11-25T18:00:00Z",
            "input-tokens-limit": "30000",
        }
    )
    assert found.kind is LimitsKind.API
    assert found.api == (
        ApiLimit("input-tokens", 30000, None, None),
        ApiLimit("requests", 50, 49, datetime(2026, 11, 25, 18, tzinfo=UTC)),
    )


def test_an_answer_without_limits_tells_none() -> None:
    found = read_limits([("content-type", "application/json"), (PREFIX + "new-limit", "1")])
    assert (found.kind, found.status, found.windows, found.api) == (LimitsKind.NONE, None, (), ())


def test_names_are_read_in_any_case() -> None:
    found = read_limits([("Anthropic-RateLimit-Unified-5h-Utilization", " 0.5 ")])
    assert found.windows == (Window("5h", None, None, 0.5, None),)


@pytest.mark.parametrize("value", ["", "soon", "NaN", "inf", "-1", "1_0", "9" * 40, "1e999"])
def test_garbled_figures_are_unknown(value: str) -> None:
    found = limits(
        {name: value for name in PLAN if name.endswith(("-reset", "-utilization"))},
        {"requests-limit": value, "requests-reset": value},
    )
    assert found.resets_at is None
    assert {(w.resets_at, w.utilization) for w in found.windows} == {(None, None)}
    assert found.api == (ApiLimit("requests", None, None, None),)


def test_garbled_words_are_unknown() -> None:
    found = limits({"unified-status": "allowed, allowed", "unified-overage-in-use": "maybe"})
    assert (found.status, found.overage_in_use) == (None, None)


def test_a_header_that_contradicts_itself_is_unknown() -> None:
    twice = {"unified-status": "allowed"}
    assert limits(twice, twice).status == "allowed"
    assert limits(twice, {"unified-status": "rejected"}).status is None
    assert limits(twice, {"unified-status": "rejected"}, twice).status is None


NAMES = st.sampled_from(
    [*PLAN, "requests-reset", "tokens-limit", "unified-overage-in-use", "unified-99z_x-reset"]
)


@given(st.lists(st.tuples(st.one_of(NAMES, st.text()).map(PREFIX.__add__), st.text())))
def test_whatever_the_headers_nothing_is_raised(headers: list[tuple[str, str]]) -> None:
    read_limits(headers)
