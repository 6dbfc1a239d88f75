"""Any calendar window at any moment in zones whose clocks do odd things, 1990 to 2040."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from acp_bridge.policy.windows import Span, Window, WindowKind, day_begins

UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
ZONES = [
    "UTC",
    "Europe/Zurich",
    "Europe/Dublin",
    "America/New_York",
    "America/Sao_Paulo",  # no midnight on the first day of summer time
    "America/Havana",  # no midnight, and two
    "America/St_Johns",  # two midnights: from 00:01 back to 23:01
    "America/Nuuk",
    "America/Scoresbysund",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Asia/Amman",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Kathmandu",
    "Asia/Pyongyang",
    "Asia/Tehran",
    "Antarctica/Casey",
    "Antarctica/Troll",
    "Australia/Lord_Howe",
    "Pacific/Apia",  # no 30 December 2011
    "Pacific/Chatham",
    "Pacific/Fakaofo",  # no 30 December 2011
    "Pacific/Kiritimati",  # no 31 December 1994
    "Pacific/Kwajalein",  # no 21 August 1993
    "Pacific/Marquesas",
]
APIA = ZoneInfo("Pacific/Apia")
SECOND = timedelta(seconds=1)
MICROSECOND = timedelta(microseconds=1)
LONGEST = {
    WindowKind.DAY: timedelta(days=1),
    WindowKind.WEEK: timedelta(weeks=1),
    WindowKind.MONTH: timedelta(days=31),
    WindowKind.CYCLE: timedelta(days=31),
}

zones = st.sampled_from(ZONES).map(ZoneInfo)
windows = st.builds(
    lambda kind, day, zone: Window(
        kind, cycle_day=day if kind is WindowKind.CYCLE else None, zone=zone
    ),
    st.sampled_from([kind for kind in WindowKind if kind.is_calendar]),
    st.one_of(st.integers(1, 31), st.sampled_from([29, 30, 31])),
    zones,
)
days = st.dates(date(1990, 1, 1), date(2040, 12, 31))
_anywhen = st.datetimes(datetime(1990, 1, 1), datetime(2040, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone


@st.composite
def windows_and_moments(draw: st.DrawFn) -> tuple[Window, datetime]:
    """A window and a moment: any, or within two hours of a change of the clocks in its zone."""
    window = draw(windows)
    moment = draw(_anywhen)
    if draw(st.booleans()):
        moment = _next_change(moment, zone_of(window))
        moment += timedelta(seconds=draw(st.integers(-7200, 7200)))
    return window, moment


def _next_change(moment: datetime, zone: ZoneInfo) -> datetime:
    """Some change of the offset within the two years that follow, or the moment itself."""
    offset = moment.astimezone(zone).utcoffset()
    after = next(
        (
            later
            for later in (moment + timedelta(days=30 * months) for months in range(1, 25))
            if later.astimezone(zone).utcoffset() != offset
        ),
        None,
    )
    if after is None:
        return moment
    before = moment
    while after - before > SECOND:
        middle = before + (after - before) / 2
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after.replace(microsecond=0)


def zone_of(window: Window) -> ZoneInfo:
    assert isinstance(window.zone, ZoneInfo)
    return window.zone


def ends(span: Span) -> tuple[datetime, datetime]:
    assert span.start is not None
    assert span.end is not None
    return span.start, span.end


def local(moment: datetime, window: Window) -> datetime:
    return moment.astimezone(window.zone).replace(tzinfo=None)


@UNTIMED
@given(windows_and_moments())
def test_a_span_has_its_moment_and_is_no_longer_than_its_kind(
    drawn: tuple[Window, datetime],
) -> None:
    window, moment = drawn
    start, end = ends(window.span(moment))

    assert start <= moment < end
    # Clocks go back by at most an hour, or by three in Casey.
    assert end - start <= LONGEST[window.kind] + timedelta(hours=3)


@UNTIMED
@given(windows_and_moments())
def test_every_moment_of_a_span_has_that_span(drawn: tuple[Window, datetime]) -> None:
    window, moment = drawn
    span = window.span(moment)
    start, end = ends(span)

    assert window.span(start) == span
    assert window.span(end - MICROSECOND) == span
    assert window.span(start + (end - start) / 2) == span


@UNTIMED
@given(windows_and_moments())
def test_spans_follow_one_another_without_gap_or_overlap(drawn: tuple[Window, datetime]) -> None:
    window, moment = drawn
    start, end = ends(window.span(moment))

    assert window.span(start - MICROSECOND).end == start
    assert window.span(end).start == end


@UNTIMED
@given(windows, _anywhen, _anywhen)
def test_a_later_moment_is_in_no_earlier_span(
    window: Window, one: datetime, other: datetime
) -> None:
    first, last = sorted((one, other))

    assert ends(window.span(first)) <= ends(window.span(last))


@UNTIMED
@given(windows_and_moments())
def test_a_moment_is_the_same_in_whatever_zone_it_is_told(drawn: tuple[Window, datetime]) -> None:
    window, moment = drawn

    assert window.span(moment.astimezone(APIA)) == window.span(moment)
    assert window.span(moment.astimezone(window.zone)) == window.span(moment)


@UNTIMED
@given(windows_and_moments())
def test_a_span_begins_at_midnight_or_right_after_the_gap_that_swallowed_it(
    drawn: tuple[Window, datetime],
) -> None:
    window, moment = drawn
    start, _ = ends(window.span(moment))
    shown = local(start, window)
    last = local(start - SECOND, window)

    midnight = datetime(shown.year, shown.month, shown.day)  # noqa: DTZ001 - what clocks show
    assert shown == midnight or last + SECOND < midnight < shown or last + SECOND == midnight
    assert last < midnight


@UNTIMED
@given(windows_and_moments())
def test_a_span_begins_on_the_day_that_its_kind_says(drawn: tuple[Window, datetime]) -> None:
    window, moment = drawn
    start, _ = ends(window.span(moment))
    day = local(start, window).date()
    # A day that was skipped as a whole: what was to begin on it begins on the next.
    assume(local(start - SECOND, window).date() == day - timedelta(days=1))

    match window.kind:
        case WindowKind.WEEK:
            assert day.weekday() == 0
        case WindowKind.MONTH:
            assert day.day == 1
        case WindowKind.CYCLE:
            is_last = (day + timedelta(days=1)).day == 1
            assert window.cycle_day is not None
            assert day.day == window.cycle_day or (is_last and day.day < window.cycle_day)
        case _:
            assert local(moment, window).date() in (day, day - timedelta(days=1))


@UNTIMED
@given(zones, days)
@example(APIA, date(2011, 12, 30))
def test_a_day_begins_where_its_date_or_a_later_one_is_first_shown(
    zone: ZoneInfo, day: date
) -> None:
    begins = day_begins(day, zone)
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    quarters = [midnight + timedelta(minutes=15 * n) for n in range(-4 * 48, 4 * 48)]

    assert begins.astimezone(zone).date() >= day
    assert all(one.astimezone(zone).date() < day for one in quarters if one < begins)
    assert (begins - MICROSECOND).astimezone(zone).date() < day


@settings(UNTIMED, max_examples=15)  # a year has many days
@given(zones, st.integers(1990, 2039))
@example(APIA, 2011)
def test_the_days_of_a_year_tile_it(zone: ZoneInfo, year: int) -> None:
    first = date(year, 1, 1)
    length = (date(year + 1, 1, 1) - first).days
    begins = [day_begins(first + timedelta(days=n), zone) for n in range(length + 1)]
    day = Window(WindowKind.DAY, zone=zone)

    found = [day.span(start) for start, end in pairwise(begins) if start < end]
    assert found == [Span(start, end) for start, end in pairwise(begins) if start < end]


@UNTIMED
@given(_anywhen, st.integers(0, 86_400), st.integers(1, 31))
def test_two_zones_agree_on_no_more_than_the_moment(
    moment: datetime, seconds: int, cycle_day: int
) -> None:
    """Where it is another day, the cycle of one begins when the other's has begun long ago."""
    east = Window(WindowKind.CYCLE, cycle_day=cycle_day, zone=ZoneInfo("Pacific/Kiritimati"))
    west = Window(WindowKind.CYCLE, cycle_day=cycle_day, zone=ZoneInfo("Pacific/Pago_Pago"))
    assume(moment.year >= 1996)  # Kiritimati was west of the date line before

    turn, _ = ends(east.span(moment))
    in_between = turn + timedelta(seconds=seconds)
    assert east.span(in_between).start == turn
    assert west.span(in_between).end == turn + timedelta(hours=25)


@UNTIMED
@given(_anywhen, st.integers(1, 8784), st.sampled_from([*ZONES, None]))
def test_a_rolling_window_has_that_many_hours_whatever_the_clocks_do(
    moment: datetime, hours: int, zone: str | None
) -> None:
    window = Window.parse(f"{hours}h", None, ZoneInfo(zone) if zone else None)
    span = window.span(moment)

    assert span.start == moment - timedelta(hours=hours)
    assert span.end is None
