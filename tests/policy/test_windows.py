from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from acp_bridge.errors import ConfigurationError
from acp_bridge.policy.windows import Span, Window, WindowKind

UTC_ZONE = ZoneInfo("UTC")


def window(text: str, zone: str = "UTC", cycle_day: int | None = None) -> Window:
    return Window.parse(text, cycle_day, ZoneInfo(zone))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def span(text: str, moment: str, zone: str = "UTC", cycle_day: int | None = None) -> Span:
    return window(text, zone, cycle_day).span(at(moment))


def utc(start: str, end: str) -> Span:
    """A span whose ends are written in UTC, without saying so."""
    return Span(at(start + "+00:00"), at(end + "+00:00"))


def test_a_day_goes_from_local_midnight_to_local_midnight_and_is_told_in_utc() -> None:
    found = span("day", "2026-11-26T12:00:00+01:00", "Europe/Zurich")

    assert found == utc("2026-11-25 23:00", "2026-11-26 23:00")
    assert found.start is not None
    assert found.start.tzinfo is UTC


def test_the_start_is_in_and_the_end_is_out() -> None:
    day = utc("2026-11-26 00:00", "2026-11-27 00:00")

    assert span("day", "2026-11-26T00:00:00+00:00") == day
    assert span("day", "2026-11-26T23:59:59.999999+00:00") == day
    assert span("day", "2026-11-27T00:00:00+00:00").start == day.end


def test_a_week_begins_on_monday() -> None:
    week = utc("2026-11-23 00:00", "2026-11-30 00:00")

    assert span("week", "2026-11-23T00:00:00+00:00") == week
    assert span("week", "2026-11-29T23:00:00+00:00") == week


def test_a_week_goes_over_the_end_of_the_year() -> None:
    assert span("week", "2027-01-01T00:00:00+00:00") == utc("2026-12-28 00:00", "2027-01-04 00:00")


@pytest.mark.parametrize(
    ("moment", "start", "end"),
    [
        ("2026-12-31T23:59:00+00:00", "2026-12-01 00:00", "2027-01-01 00:00"),
        ("2027-01-31T00:00:00+00:00", "2027-01-01 00:00", "2027-02-01 00:00"),
        ("2028-02-29T12:00:00+00:00", "2028-02-01 00:00", "2028-03-01 00:00"),
    ],
)
def test_a_month_is_the_calendars(moment: str, start: str, end: str) -> None:
    assert span("month", moment) == utc(start, end)


@pytest.mark.parametrize(
    ("cycle_day", "moment", "start", "end"),
    [
        (15, "2026-11-14T23:59:00+00:00", "2026-10-15 00:00", "2026-11-15 00:00"),
        (15, "2026-11-15T00:00:00+00:00", "2026-11-15 00:00", "2026-12-15 00:00"),
        (15, "2027-01-03T00:00:00+00:00", "2026-12-15 00:00", "2027-01-15 00:00"),
        (31, "2026-11-29T12:00:00+00:00", "2026-10-31 00:00", "2026-11-30 00:00"),
        (31, "2026-11-30T12:00:00+00:00", "2026-11-30 00:00", "2026-12-31 00:00"),
        (31, "2027-02-28T00:00:00+00:00", "2027-02-28 00:00", "2027-03-31 00:00"),
        (30, "2028-02-29T00:00:00+00:00", "2028-02-29 00:00", "2028-03-30 00:00"),
        (30, "2027-03-01T00:00:00+00:00", "2027-02-28 00:00", "2027-03-30 00:00"),
        (29, "2028-02-28T00:00:00+00:00", "2028-01-29 00:00", "2028-02-29 00:00"),
        (29, "2027-02-28T00:00:00+00:00", "2027-02-28 00:00", "2027-03-29 00:00"),
        (1, "2026-12-31T00:00:00+00:00", "2026-12-01 00:00", "2027-01-01 00:00"),
    ],
)
def test_a_cycle_begins_on_its_day_or_on_the_last_of_a_month_that_has_fewer(
    cycle_day: int, moment: str, start: str, end: str
) -> None:
    assert span("cycle", moment, cycle_day=cycle_day) == utc(start, end)


@pytest.mark.parametrize(
    ("zone", "moment", "start", "end"),
    [
        # Clocks go forward and back in the middle of the day: 23 and 25 hours.
        (
            "Europe/Zurich",
            "2026-03-29T12:00:00+02:00",
            "2026-03-28 23:00",
            "2026-03-29 22:00",
        ),
        (
            "Europe/Zurich",
            "2026-10-25T12:00:00+01:00",
            "2026-10-24 22:00",
            "2026-10-25 23:00",
        ),
        # No midnight: the clock goes from 24:00 to 01:00.
        (
            "America/Sao_Paulo",
            "2018-11-04T12:00:00-02:00",
            "2018-11-04 03:00",
            "2018-11-05 02:00",
        ),
        ("Africa/Cairo", "2024-04-26T12:00:00+03:00", "2024-04-25 22:00", "2024-04-26 21:00"),
        # No midnight, in the middle of the gap: from 23:30 to 00:30 of the next day.
        ("America/Toronto", "1919-03-31T12:00:00-04:00", "1919-03-31 04:30", "1919-04-01 04:00"),
        # Two midnights: the clock goes back from 01:00 to 00:00.
        ("America/Havana", "2026-11-01T12:00:00-05:00", "2026-11-01 04:00", "2026-11-02 05:00"),
        # Two midnights: from 00:01 back to 23:01 of the day before.
        ("America/St_Johns", "2010-11-07T12:00:00-03:30", "2010-11-07 02:30", "2010-11-08 03:30"),
        # Half an hour.
        (
            "Australia/Lord_Howe",
            "2026-10-04T12:00:00+11:00",
            "2026-10-03 13:30",
            "2026-10-04 13:00",
        ),
        ("Asia/Kathmandu", "2026-11-26T12:00:00+05:45", "2026-11-25 18:15", "2026-11-26 18:15"),
    ],
)
def test_a_day_begins_at_its_first_moment_whatever_the_clocks_do(
    zone: str, moment: str, start: str, end: str
) -> None:
    assert span("day", moment, zone) == utc(start, end)


def test_the_time_that_clocks_show_twice_over_midnight_is_in_the_later_day() -> None:
    again = "2010-11-07T02:45:00+00:00"  # 23:15 of the 6th, for the second time

    assert span("day", again, "America/St_Johns") == utc("2010-11-07 02:30", "2010-11-08 03:30")


def test_of_a_day_that_a_zone_skipped_there_is_no_span() -> None:
    before = span("day", "2011-12-29T12:00:00-10:00", "Pacific/Apia")
    after = span("day", "2011-12-31T12:00:00+14:00", "Pacific/Apia")

    assert before == utc("2011-12-29 10:00", "2011-12-30 10:00")
    assert after == utc("2011-12-30 10:00", "2011-12-31 10:00")


def test_a_cycle_that_begins_on_a_skipped_day_begins_on_the_next() -> None:
    found = span("cycle", "2011-12-31T12:00:00+14:00", "Pacific/Apia", 30)

    assert found == utc("2011-12-30 10:00", "2012-01-29 10:00")


def test_one_moment_is_in_different_days_and_months_of_two_zones() -> None:
    moment = "2026-11-30T12:00:00+00:00"

    assert span("month", moment, "Pacific/Kiritimati").start == at("2026-11-30T10:00:00+00:00")
    assert span("month", moment, "Pacific/Pago_Pago").start == at("2026-11-01T11:00:00+00:00")


def test_a_zone_without_a_name_will_do() -> None:
    found = Window(WindowKind.DAY, zone=timezone(timedelta(hours=3))).span(at("2026-11-26T12:00Z"))

    assert found == utc("2026-11-25 21:00", "2026-11-26 21:00")


def test_a_rolling_window_goes_back_in_hours_that_pass_and_has_no_end() -> None:
    over_the_change = "2026-03-29T12:00:00+02:00"

    assert span("24h", over_the_change, "Europe/Zurich") == Span(at("2026-03-28T10:00Z"), None)


def test_a_session_has_neither_start_nor_end() -> None:
    assert span("session", "2026-11-26T12:00:00+00:00") == Span(None, None)


@pytest.mark.parametrize("text", ["session", "5h", "day", "week", "month"])
def test_a_moment_without_a_time_zone_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="without a time zone"):
        span(text, "2026-11-26T12:00:00")


@pytest.mark.parametrize("text", ["session", "1h", "5h", "8784h", "day", "week", "month"])
def test_a_window_is_written_as_it_was_read(text: str) -> None:
    assert window(text).text == text
    assert window("cycle", cycle_day=3).text == "cycle"


def test_hours_are_the_length_of_a_rolling_window() -> None:
    assert window("5h") == Window(WindowKind.ROLLING, hours=5, zone=UTC_ZONE)


@pytest.mark.parametrize(
    "text",
    ["", "rolling", "h", "0h", "05h", "5", "5 h", "5H", "-5h", "1.5h", "\u0665h", "5h\n", "Day"],
)
def test_other_words_are_refused_with_those_there_are(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is not known") as refused:
        window(text)
    assert '"session", hours like "5h", "day"' in refused.value.hint


@pytest.mark.parametrize("text", ["8785h", "9999h"])
def test_a_rolling_window_is_at_most_a_leap_year(text: str) -> None:
    with pytest.raises(ConfigurationError, match="too long") as refused:
        window(text)
    assert "8784h" in refused.value.hint


@pytest.mark.parametrize("cycle_day", [0, -1, 32])
def test_a_cycle_day_is_a_day_of_a_month(cycle_day: int) -> None:
    with pytest.raises(ConfigurationError, match=f"cycle_day .* not {cycle_day}$"):
        window("cycle", cycle_day=cycle_day)


def test_a_cycle_needs_its_day_and_nothing_else_takes_one() -> None:
    with pytest.raises(ConfigurationError, match='"cycle" needs cycle_day'):
        window("cycle")
    with pytest.raises(ConfigurationError, match='cycle_day does not go with window "month"'):
        window("month", cycle_day=1)


@pytest.mark.parametrize("text", ["day", "week", "month"])
def test_a_calendar_window_needs_a_zone_and_no_other_does(text: str) -> None:
    with pytest.raises(ConfigurationError, match="time zone") as refused:
        Window.parse(text, None, None)
    assert "time_zone =" in refused.value.hint
    assert Window.parse("5h", None, None).zone is None


@pytest.mark.parametrize(
    ("kind", "hours", "cycle_day", "zone"),
    [
        (WindowKind.ROLLING, None, None, UTC_ZONE),
        (WindowKind.ROLLING, 0, None, UTC_ZONE),
        (WindowKind.ROLLING, 8785, None, UTC_ZONE),
        (WindowKind.DAY, 5, None, UTC_ZONE),
        (WindowKind.DAY, None, None, None),
        (WindowKind.CYCLE, None, None, UTC_ZONE),
        (WindowKind.CYCLE, None, 0, UTC_ZONE),
        (WindowKind.CYCLE, None, 32, UTC_ZONE),
        (WindowKind.MONTH, None, 1, UTC_ZONE),
    ],
)
def test_a_window_that_cannot_be_is_not_made(
    kind: WindowKind, hours: int | None, cycle_day: int | None, zone: ZoneInfo | None
) -> None:
    with pytest.raises(ValueError, match=r"window|cycle"):
        Window(kind, hours, cycle_day, zone)


def test_words_say_since_when_a_window_counts() -> None:
    moment = at("2026-11-26T12:00Z")
    zone = "Europe/Zurich"
    words = {
        text: window(text, zone).since(window(text, zone).span(moment))
        for text in ("month", "5h", "1h", "session")
    }

    assert words == {
        "month": "since 2026-11-01 00:00 +01:00",
        "5h": "in the last 5 hours",
        "1h": "in the last hour",
        "session": "in this session",
    }


def test_words_say_until_when_it_counts_and_what_to_do_meanwhile() -> None:
    end = at("2026-11-30T23:00Z")
    month, rolling, session = (window(text, "Europe/Zurich") for text in ("month", "5h", "session"))

    assert month.until(end) == "it resets on 2026-12-01 00:00 +01:00"
    assert month.otherwise(end) == "wait until then"
    assert rolling.until(end) == "room comes back from 2026-12-01 00:00 +01:00"
    assert rolling.otherwise(end) == "wait until then"
    assert rolling.until(None) == "room comes back as what was spent gets 5 hours old"
    assert rolling.otherwise(None) == "wait"
    assert session.until(None) == "it does not reset"
    assert session.otherwise(None) == "start a new session"


def test_the_minute_that_is_named_is_not_too_early() -> None:
    rolling = Window.parse("5h", None, None)

    assert rolling.until(at("2026-11-26T12:00:00.000001Z")).endswith("2026-11-26 12:01 +00:00")
    assert rolling.until(at("2026-11-26T12:01:00Z")).endswith("2026-11-26 12:01 +00:00")
