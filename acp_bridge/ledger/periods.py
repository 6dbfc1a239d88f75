"""Hours, days, weeks and months of a time zone, as SQL over seconds and as words for people."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from enum import StrEnum

HOUR = 3600
DAY = 24 * HOUR
QUARTER_SECONDS = 900

_EPOCH_DAY = date(1970, 1, 1)
_PROBE = DAY // 2  # no zone changes its offset twice within half a day


class Period(StrEnum):
    """A span of the calendar."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class LocalTime:
    """A time zone between two moments.

    Args:
        zone: the time zone; parts of a second in its offset are ignored.
        first: seconds since the epoch; offsets before it are taken as there.
        last: likewise for the end.
    """

    def __init__(self, zone: tzinfo, first: int, last: int) -> None:
        self._zone = zone
        self._changes = _changes(zone, first, last)

    @property
    def is_whole_quarters(self) -> bool:
        """Whether each local hour begins with a quarter of an hour of UTC."""
        return all(
            since % QUARTER_SECONDS == 0 and offset % QUARTER_SECONDS == 0
            for since, offset in self._changes
        )

    def number_sql(self, period: Period, seconds: str) -> str:
        """SQL for the number of the hour or (for all longer periods) of the day.

        Args:
            period: the shortest that is asked for.
            seconds: SQL for seconds since the epoch.
        """
        offset = self._offset_sql(seconds)
        if period is Period.HOUR:
            # An hour that the clocks repeat is two: the number is the second it begins with.
            return f"(({seconds} + {offset}) / {HOUR} * {HOUR} - {offset})"
        return f"(({seconds} + {offset}) / {DAY})"

    def words(self, number: int, shortest: Period, wanted: Sequence[Period]) -> tuple[str, ...]:
        """A number of `number_sql` in words: ISO 8601, hours with their offset from UTC."""
        if shortest is Period.HOUR:
            begin = datetime.fromtimestamp(number, UTC).astimezone(self._zone)
            return tuple(
                begin.isoformat(timespec="minutes")
                if period is Period.HOUR
                else _day_words(begin.date(), period)
                for period in wanted
            )
        day = _EPOCH_DAY + timedelta(days=number)
        return tuple(_day_words(day, period) for period in wanted)

    def _offset_sql(self, seconds: str) -> str:
        *earlier, (_, last) = self._changes
        if not earlier:
            return str(last)
        ends = [since for since, _ in self._changes[1:]]
        cases = " ".join(
            f"WHEN {seconds} < {end} THEN {offset}"
            for end, (_, offset) in zip(ends, earlier, strict=True)
        )
        return f"(CASE {cases} ELSE {last} END)"


def _day_words(day: date, period: Period) -> str:
    if period is Period.WEEK:
        year, week, _ = day.isocalendar()
        return f"{year}-W{week:02}"
    return day.isoformat()[:7] if period is Period.MONTH else day.isoformat()


def _changes(zone: tzinfo, first: int, last: int) -> list[tuple[int, int]]:
    """The offset (seconds) at first, then each change: (second of UTC, offset from there on)."""
    changes = [(first - first % DAY, _offset(zone, first))]
    low = first
    while low < last:
        high = min(low + _PROBE, last)
        if _offset(zone, high) != changes[-1][1]:
            changes.append((_change_between(zone, low, high), _offset(zone, high)))
        low = high
    return changes


def _change_between(zone: tzinfo, low: int, high: int) -> int:
    before = _offset(zone, low)
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(zone, middle) == before:
            low = middle
        else:
            high = middle
    return high


def _offset(zone: tzinfo, second: int) -> int:
    offset = datetime.fromtimestamp(second, UTC).astimezone(zone).utcoffset()
    return 0 if offset is None else int(offset.total_seconds())
