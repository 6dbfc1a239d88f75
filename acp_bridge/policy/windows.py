"""The stretch of time over which a budget counts. Pure: the moment is always an argument.

    window = Window.parse("cycle", cycle_day=31, zone=ZoneInfo("Europe/Zurich"))
    span = window.span(at)

The spans of a calendar window follow one another without gap or overlap, whatever the clocks of its
zone do: a day begins at the first moment whose local date is that day or a later one. So it begins
after the gap where clocks skip midnight, at the first midnight where there are two, and a day that
a zone skipped as a whole has no moment at all.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Self

from acp_bridge.errors import ConfigurationError

MOST_HOURS = 8784
"""The longest rolling window: the hours of a leap year."""

_ROLLING = re.compile(r"([1-9]\d{0,3})h", re.ASCII)
_WORDS = 'write "session", hours like "5h", "day", "week", "month" or "cycle"'
_SECOND = timedelta(seconds=1)
_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)
_WEEK = timedelta(weeks=1)
_LAST_CYCLE_DAY = 31
_DECEMBER = 12


class WindowKind(StrEnum):
    """How a window is laid: by session, rolling, or by the calendar (the last four)."""

    SESSION = "session"
    ROLLING = "rolling"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    CYCLE = "cycle"

    @property
    def is_calendar(self) -> bool:
        """Whether it begins and ends at a local midnight."""
        return self not in (WindowKind.SESSION, WindowKind.ROLLING)


@dataclass(frozen=True, slots=True)
class Span:
    """From the start, inclusive, to the end, exclusive; aware UTC. None where it has no such."""

    start: datetime | None
    end: datetime | None


@dataclass(frozen=True, slots=True)
class Window:
    """Over which time a budget counts.

    Attributes:
        kind: how it is laid.
        hours: the length of a rolling window; None for the others.
        cycle_day: the day of the month on which a billing cycle begins, 1 to 31, or the month's
            last where it has fewer; None for the others.
        zone: whose midnight begins a calendar window; for the others only where times are shown,
            None for UTC.

    Raises:
        ValueError: these do not go together.
    """

    kind: WindowKind
    hours: int | None = None
    cycle_day: int | None = None
    zone: tzinfo | None = None

    def __post_init__(self) -> None:
        if (self.hours is not None) is not (self.kind is WindowKind.ROLLING):
            raise ValueError("hours are for a rolling window, which needs them")
        if (self.cycle_day is not None) is not (self.kind is WindowKind.CYCLE):
            raise ValueError("a cycle day is for a billing cycle, which needs it")
        if self.kind.is_calendar and self.zone is None:
            raise ValueError("a calendar window needs a time zone")
        if self.hours is not None and not 1 <= self.hours <= MOST_HOURS:
            raise ValueError(f"a rolling window has 1 to {MOST_HOURS} hours")
        if self.cycle_day is not None and not 1 <= self.cycle_day <= _LAST_CYCLE_DAY:
            raise ValueError("a cycle day is 1 to 31")

    @classmethod
    def parse(cls, text: str, cycle_day: int | None, zone: tzinfo | None) -> Self:
        """Read a window as it stands in the user's file.

        Args:
            text: ``session``, hours such as ``5h``, ``day``, ``week``, ``month`` or ``cycle``.
            cycle_day: with ``cycle`` and only there.
            zone: needed by calendar windows.

        Raises:
            ConfigurationError: it is none of these, or the other two do not go with it.
        """
        kind, hours = _read(text)
        if (cycle_day is not None) is not (kind is WindowKind.CYCLE):
            raise ConfigurationError(
                'window "cycle" needs cycle_day'
                if cycle_day is None
                else f'cycle_day does not go with window "{text}"',
                hint='give both window = "cycle" and cycle_day, or none of the two',
            )
        if cycle_day is not None and not 1 <= cycle_day <= _LAST_CYCLE_DAY:
            raise ConfigurationError(
                f"cycle_day must be from 1 to 31, not {cycle_day}",
                hint="31 is the last day of every month, however many days it has",
            )
        if kind.is_calendar and zone is None:
            raise ConfigurationError(
                f'window "{text}" needs a time zone, and that of this system is not known',
                hint='name it, as in time_zone = "Europe/Zurich"',
            )
        return cls(kind, hours, cycle_day, zone)

    @property
    def text(self) -> str:
        """The window as `parse` reads it."""
        return self.kind.value if self.hours is None else f"{self.hours}h"

    def span(self, at: datetime) -> Span:
        """The span that a moment is in.

        A session's has neither start nor end here: it counts what the session has spent. A rolling
        one goes back from the moment and has no end: what is oldest in it goes out first.

        Raises:
            ValueError: the moment is naive.
        """
        if at.tzinfo is None:
            raise ValueError("a moment without a time zone has no day")
        moment = at.astimezone(UTC)
        if self.hours is not None:
            return Span(moment - timedelta(hours=self.hours), None)
        if self.zone is None or not self.kind.is_calendar:
            return Span(None, None)
        first = self._first_day(moment.astimezone(self.zone).date())
        after = self._next_first_day(first)
        # Clocks that go back over midnight show the date of a day that is already over, and a
        # day that the zone skipped has no moment: go on to the span that has this one.
        while (end := day_begins(after, self.zone)) <= moment:
            first, after = after, self._next_first_day(after)
        return Span(day_begins(first, self.zone), end)

    def since(self, span: Span) -> str:
        """In words, over what one of its spans goes: ``since …``, ``in the last 5 hours``."""
        if self.hours is not None:
            return f"in the last {_hours(self.hours)}"
        return "in this session" if span.start is None else f"since {self.shown(span.start)}"

    def until(self, resets_at: datetime | None) -> str:
        """In words, when there is room again; None if nobody said."""
        if resets_at is None:
            if self.hours is None:
                return "it does not reset"
            return f"room comes back as what was spent gets {_hours(self.hours)} old"
        # A time is shown in minutes: in the minute that is named, the moment has come.
        at = self.shown(resets_at + _MINUTE - timedelta.resolution)
        return f"it resets on {at}" if self.hours is None else f"room comes back from {at}"

    def otherwise(self, resets_at: datetime | None) -> str:
        """In words, what there is to do at a limit beside raising it."""
        if resets_at is not None:
            return "wait until then"
        return "start a new session" if self.hours is None else "wait"

    def shown(self, moment: datetime) -> str:
        """A moment by the clocks of the zone: ``2026-11-01 00:00 +01:00``."""
        text = moment.astimezone(self.zone or UTC).isoformat(" ", "minutes")
        return f"{text[:16]} {text[16:]}"

    def _first_day(self, day: date) -> date:
        """The first day of the period that a day is in."""
        match self.kind:
            case WindowKind.WEEK:
                return day - timedelta(days=day.weekday())
            case WindowKind.MONTH:
                return day.replace(day=1)
            case WindowKind.CYCLE:
                begins = self._cycle_begins(day.year, day.month)
                return begins if begins <= day else self._cycle_begins(*_month_before(day))
            case _:
                return day

    def _next_first_day(self, first: date) -> date:
        match self.kind:
            case WindowKind.WEEK:
                return first + _WEEK
            case WindowKind.MONTH:
                return date(*_month_after(first), 1)
            case WindowKind.CYCLE:
                return self._cycle_begins(*_month_after(first))
            case _:
                return first + _DAY

    def _cycle_begins(self, year: int, month: int) -> date:
        last = date(*_month_after(date(year, month, 1)), 1) - _DAY
        return last.replace(day=min(self.cycle_day or 1, last.day))


def day_begins(day: date, zone: tzinfo) -> datetime:
    """The first moment, in UTC, whose date in a zone is that day or a later one."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    found = midnight.astimezone(UTC)
    if found.astimezone(zone).replace(tzinfo=None) == midnight.replace(tzinfo=None):
        return found
    # Midnight is in a gap. Read by the clock after it (fold 1), it is a moment before the gap; by
    # the clock before it, one after. Clocks change on whole seconds.
    early = midnight.replace(fold=1).astimezone(UTC)
    while found - early > _SECOND:
        middle = early + (found - early) // (2 * _SECOND) * _SECOND
        if middle.astimezone(zone).date() < day:
            early = middle
        else:
            found = middle
    return found


def _read(text: str) -> tuple[WindowKind, int | None]:
    rolling = _ROLLING.fullmatch(text)
    if rolling:
        hours = int(rolling[1])
        if hours > MOST_HOURS:
            raise ConfigurationError(
                f'window "{text}" is too long', hint=f"a rolling window has at most {MOST_HOURS}h"
            )
        return WindowKind.ROLLING, hours
    for kind in WindowKind:
        if kind.value == text and kind is not WindowKind.ROLLING:
            return kind, None
    raise ConfigurationError(f"window {text!r} is not known", hint=_WORDS)


def _hours(hours: int) -> str:
    return "hour" if hours == 1 else f"{hours} hours"


def _month_before(day: date) -> tuple[int, int]:
    return (day.year - 1, _DECEMBER) if day.month == 1 else (day.year, day.month - 1)


def _month_after(day: date) -> tuple[int, int]:
    return (day.year + 1, 1) if day.month == _DECEMBER else (day.year, day.month + 1)
