"""The windows of a plan's limits: the newest reading of each, as the status shows them.

A reading is one answer's word, or one event's (`acp_bridge.metering`). It replaces what was read of
that window before, whole: what it leaves out is not known any more.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from acp_bridge.metering.wire_limits import RateLimits

OVERAGE = "overage"
KEPT_WINDOWS = 16
"""Names are the provider's to choose; the windows that were read last are kept."""

_NAMES = {"5h": "five_hour", "7d": "seven_day", "7d_oi": "seven_day_overage_included"}
"""In headers to what Claude Code 2.1.316 and the claim call them."""
_WORDS = {"five_hour": "five-hour", "seven_day": "seven-day"}
_MOST_USED = 1000


class LimitsSource(StrEnum):
    """Where limits were read."""

    WIRE = "wire"
    RATE_LIMIT_EVENT = "rate_limit_event"


@dataclass(frozen=True, slots=True)
class WindowReading:
    """What was last read of a window.

    Attributes:
        window: ``five_hour``, ``seven_day``, ``overage``, or another that the provider names.
        used: what is used of it, 1 being all; None if not told.
        status: ``allowed``, ``allowed_warning``, ``rejected``; None if not told.
        resets_at: aware UTC; None if not told.
        seen_at: when it was read. Aware UTC.
        source: where.
    """

    window: str
    used: Decimal | None
    status: str | None
    resets_at: datetime | None
    seen_at: datetime
    source: LimitsSource

    @property
    def words(self) -> str:
        """The window's name in a sentence."""
        return _WORDS.get(self.window, self.window)

    def is_used_up(self, at: datetime) -> bool:
        """Whether nothing is left of it at that moment, as far as this reading tells."""
        over = self.resets_at is not None and self.resets_at <= at
        full = self.used is not None and self.used >= 1
        return not over and (self.status == "rejected" or full)


class Limits:
    """The windows of one run."""

    def __init__(self) -> None:
        self._readings: dict[str, WindowReading] = {}

    def see(self, limits: RateLimits, at: datetime, source: LimitsSource) -> None:
        """Keep what an answer or event tells."""
        for reading in _readings(limits, at, source):
            self._readings.pop(reading.window, None)
            self._readings[reading.window] = reading
        while len(self._readings) > KEPT_WINDOWS:
            del self._readings[next(iter(self._readings))]

    def used_up(self, at: datetime) -> WindowReading | None:
        """The plan's window that is used up; of several, the one that is so for longest.

        Returns:
            One whose reset is not known if there is such a one; None if nothing tells of any.
        """
        found = [
            one for one in self._readings.values() if one.window != OVERAGE and one.is_used_up(at)
        ]
        return max(found, key=lambda one: (one.resets_at is None, one.resets_at), default=None)

    def document(self) -> list[dict[str, Any]]:
        """As ``bridges[].limits`` of ``status --json``: the plan's windows, then the others."""
        order = [*_WORDS]
        readings = sorted(
            self._readings.values(),
            key=lambda one: (one.window not in order, one.window == OVERAGE, one.window),
        )
        return [
            {
                "window": one.window,
                "used": None if one.used is None else format(one.used, "f"),
                "status": one.status,
                "resets_at": None if one.resets_at is None else one.resets_at.isoformat(),
                "seen_at": one.seen_at.isoformat(),
                "source": one.source.value,
            }
            for one in readings
        ]


def _readings(limits: RateLimits, at: datetime, source: LimitsSource) -> list[WindowReading]:
    found = {
        name: WindowReading(
            name, _used(window.utilization), window.status, window.resets_at, at, source
        )
        for window in limits.windows
        for name in (_NAMES.get(window.name, window.name),)
    }
    claim = limits.claim
    if claim is not None and claim != OVERAGE and claim not in found:
        # A model's own window comes as the limit that counts, and in no header of its own.
        found[claim] = WindowReading(claim, None, limits.status, limits.resets_at, at, source)
    overage = (limits.overage_status, limits.overage_resets_at, limits.overage_utilization)
    if any(told is not None for told in overage):
        status, resets_at, used = overage
        found[OVERAGE] = WindowReading(OVERAGE, _used(used), status, resets_at, at, source)
    return list(found.values())


def _used(utilization: float | None) -> Decimal | None:
    if utilization is None or not 0 <= utilization < _MOST_USED:
        return None
    return Decimal(repr(utilization)).normalize()
