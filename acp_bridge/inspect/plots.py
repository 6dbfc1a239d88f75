"""Plots for the terminal: what was spent by day and bucket, and how a budget burns down.

Everything here is given plain values and makes text: days are of the caller's zone, money is
`Decimal`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from acp_bridge.inspect.screen import Pattern, Screen
from acp_bridge.modes import Bucket

MOST_ROWS = 62
"""Rows of a burn-down; of a longer window only every second or third day is shown."""

_NOTHING = Decimal(0)
_NARROWEST = 10
_DAY = timedelta(days=1)
_PATTERNS: Mapping[str, Pattern] = {
    Bucket.PLAN_LIMITS: Pattern.FULL,
    Bucket.EXTRA_USAGE: Pattern.DARK,
    Bucket.PROGRAMMATIC_CREDIT: Pattern.MEDIUM,
    Bucket.UNKNOWN: Pattern.LIGHT,
    Bucket.API: Pattern.CHECKED,
    Bucket.ENDPOINT: Pattern.LOW,
}
_LEFT, _PROJECTED = Pattern.FULL, Pattern.LIGHT


@dataclass(frozen=True, slots=True)
class DaySpending:
    """What a day cost, by bucket; None where no cost of it is known."""

    day: date
    buckets: Mapping[str, Decimal | None]


def spend_by_day(title: str, spending: Sequence[DaySpending], last: date, screen: Screen) -> str:
    """A bar for each day, from the first that anything was spent on, stacked by bucket.

    Args:
        title: which money it is, and of what time.
        spending: of one kind of money, in ascending order of days; at least one.
        last: the last day to show.
        screen: where it is shown.
    """
    by_day = {one.day: one for one in spending}
    first = spending[0].day
    days = [
        first + _DAY * number for number in range((max(last, spending[-1].day) - first).days + 1)
    ]
    amounts = [_amount(by_day[day].buckets) if day in by_day else "-" for day in days]
    widest = max(map(len, amounts))
    room = max(_NARROWEST, screen.columns - len("2026-01-31  ") - len("  ") - widest)
    most = max((_height(one.buckets) for one in spending), default=_NOTHING)
    lines = [title, ""]
    for day, amount in zip(days, amounts, strict=True):
        cells = _stacked(by_day[day].buckets, most, room) if day in by_day else []
        blanks = " " * (room - sum(count for _, count in cells))
        lines.append(f"{day}  {screen.bar(cells)}{blanks}  {amount:>{widest}}")
    return "\n".join([*lines, "", *_legend(spending, screen)]) + "\n"


def _amount(buckets: Mapping[str, Decimal | None]) -> str:
    known = [cost for cost in buckets.values() if cost is not None]
    return f"{sum(known, _NOTHING):,.4f}" if known else "?"


def _positive(cost: Decimal | None) -> Decimal:
    """How long a bar is: corrections may be negative, and have none."""
    return max(cost or _NOTHING, _NOTHING)


def _height(buckets: Mapping[str, Decimal | None]) -> Decimal:
    return sum(map(_positive, buckets.values()), _NOTHING)


def _stacked(
    buckets: Mapping[str, Decimal | None], most: Decimal, room: int
) -> list[tuple[Pattern, int]]:
    """Cells of a bar: each part ends where its sum does, and what is spent has a cell at least."""
    cells, reached, total = [], 0, _NOTHING
    for bucket in _ordered(buckets):
        cost = _positive(buckets[bucket])
        if not cost:
            continue
        total += cost
        end = max(reached + 1, _cells(total, most, room))
        cells.append((_pattern(bucket), end - reached))
        reached = end
    return _cut(cells, room)


def _cut(cells: list[tuple[Pattern, int]], room: int) -> list[tuple[Pattern, int]]:
    """The same where small parts that have a cell each make the bar too long: the longest gives."""
    over = sum(count for _, count in cells) - room
    if over <= 0:
        return cells
    longest = max(range(len(cells)), key=lambda place: cells[place][1])
    pattern, count = cells[longest]
    return [*cells[:longest], (pattern, count - over), *cells[longest + 1 :]]


def _cells(amount: Decimal, most: Decimal, room: int) -> int:
    return int(amount * room / most + Decimal("0.5"))


def _pattern(bucket: str) -> Pattern:
    return _PATTERNS.get(bucket, _PATTERNS[Bucket.UNKNOWN])


def _ordered(buckets: Mapping[str, Decimal | None]) -> list[str]:
    return sorted(buckets, key=lambda bucket: (_pattern(bucket), bucket))


def _legend(spending: Sequence[DaySpending], screen: Screen) -> Iterator[str]:
    totals: dict[str, Decimal | None] = {}
    for one in spending:
        for bucket, cost in one.buckets.items():
            before = totals.setdefault(bucket, None)
            totals[bucket] = before if cost is None else cost + (before or _NOTHING)
    for bucket in _ordered(totals):
        amount = _amount({bucket: totals[bucket]})
        yield f"{screen.bar([(_pattern(bucket), 2)])} {bucket}  {amount} USD"
    if len(totals) > 1:
        yield f"total  {_amount(totals)} USD"


@dataclass(frozen=True, slots=True)
class Allowance:
    """A budget in its window.

    Attributes:
        title: its name, for the head of the page.
        limit: what may be spent.
        unit: of what: ``USD``, ``tokens`` or ``requests``.
        begin: when the window began; aware.
        end: when it resets; aware; None if it never does.
    """

    title: str
    limit: Decimal
    unit: str
    begin: datetime
    end: datetime | None

    def amount(self, value: Decimal) -> str:
        """A number of its unit as people read it."""
        return f"{value:,.4f}" if self.unit == "USD" else f"{value:,.0f}"


def burn_down(
    allowance: Allowance, spent: Mapping[date, Decimal], now: datetime, screen: Screen
) -> str:
    """What is left of a budget at the end of each day, and when it will be used up.

    Days to come are projected from the rate of all that was spent since the window began.

    Args:
        allowance: the budget.
        spent: in this window, by day of the zone of ``now``; days without anything may be missing.
        now: aware.
        screen: where it is shown.
    """
    left = dict(_left(allowance, spent, now))
    shown = _thinned(sorted(left), now.date())
    texts = {day: ("~" if day > now.date() else "") + allowance.amount(left[day]) for day in shown}
    widest = max(map(len, texts.values()), default=0)
    room = max(_NARROWEST, screen.columns - len("2026-01-31  ") - len("  ") - widest)
    lines = [f"{allowance.title}: {allowance.amount(allowance.limit)} {allowance.unit}", ""]
    for day in shown:
        count = _cells(_positive(left[day]), allowance.limit, room) if allowance.limit > 0 else 0
        pattern = _PROJECTED if day > now.date() else _LEFT
        bar = screen.bar([(pattern, count)])
        lines.append(f"{day}  {bar}{' ' * (room - count)}  {texts[day]:>{widest}}")
    lines += ["", f"{screen.bar([(_LEFT, 2)])} left at the end of the day, today so far"]
    if shown and shown[-1] > now.date():
        lines[-1] += f"  {screen.bar([(_PROJECTED, 2)])} at this rate"
    total = sum(spent.values(), _NOTHING)
    rest = allowance.amount(allowance.limit - total)
    lines.append(f"{allowance.amount(total)} {allowance.unit} spent, {rest} left")
    return "\n".join([*lines, projection(allowance, spent, now)]) + "\n"


def projection(allowance: Allowance, spent: Mapping[date, Decimal], now: datetime) -> str:
    """When the budget will be used up, in a sentence."""
    total = sum(spent.values(), _NOTHING)
    if allowance.limit <= total:
        return _used_up(allowance, spent)
    if total <= 0:
        return "nothing spent yet"
    lasting = _lasting(allowance, total, now)
    if lasting is None:
        return "too early to tell the rate"
    return f"at this rate {_at_this_rate(lasting, allowance.end, now)}"


def _at_this_rate(lasting: timedelta, end: datetime | None, now: datetime) -> str:
    if end is not None and lasting >= end - now:
        return f"it lasts until it resets on {_local(end, now)}"
    if lasting > datetime.max.replace(tzinfo=now.tzinfo) - now:
        return "it lasts for thousands of years"
    day = (now + lasting).date()
    if end is None:
        return f"used up on {day}"
    days = (_local(end, now) - day).days
    if days == 0:
        return f"used up on {day}, the day it resets"
    return f"used up on {day}, {days} {'day' if days == 1 else 'days'} before it resets"


def _used_up(allowance: Allowance, spent: Mapping[date, Decimal]) -> str:
    total = _NOTHING
    for day in sorted(spent):
        total += spent[day]
        if total >= allowance.limit:
            return f"used up on {day}"
    return "nothing may be spent"


def _lasting(allowance: Allowance, total: Decimal, now: datetime) -> timedelta | None:
    """How long the rest lasts at the rate so far; None where there is no rate yet."""
    elapsed = now - allowance.begin
    if elapsed <= timedelta(0):
        return None
    seconds = (allowance.limit - total) * Decimal(elapsed / _SECOND) / total
    return timedelta(seconds=min(float(seconds), _LONGEST))


_SECOND = timedelta(seconds=1)
_LONGEST = 1e12  # seconds of more years than a date can have


def _left(
    allowance: Allowance, spent: Mapping[date, Decimal], now: datetime
) -> Iterator[tuple[date, Decimal]]:
    """What is left at the end of each day of the window, so far and as projected."""
    today, total = now.date(), sum(spent.values(), _NOTHING)
    day, left = _local(allowance.begin, now), allowance.limit
    while day <= today:
        left -= spent.get(day, _NOTHING)
        yield day, left
        day += _DAY
    if allowance.end is None or total <= 0:
        return
    rate = total / Decimal((now - allowance.begin) / _SECOND)
    last = (allowance.end.astimezone(now.tzinfo) - timedelta(microseconds=1)).date()
    while day <= last and left > 0:
        midnight = datetime(day.year, day.month, day.day, tzinfo=now.tzinfo) + _DAY
        moment = min(midnight, allowance.end.astimezone(now.tzinfo))
        left = max(allowance.limit - total - rate * Decimal((moment - now) / _SECOND), _NOTHING)
        yield day, left
        day += _DAY


def _local(moment: datetime, now: datetime) -> date:
    return moment.astimezone(now.tzinfo).date()


def _thinned(days: Sequence[date], today: date) -> list[date]:
    """Not many more days than `MOST_ROWS`, today and the last among them."""
    step = -(-len(days) // MOST_ROWS)
    return [day for day in days if (day - today).days % step == 0 or day == days[-1]]
