"""Rate-limit evidence: which limits a provider's answer says it was counted against.

Answers that a plan pays for carry ``anthropic-ratelimit-unified-*``; those that an API key pays for
``anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-*``. The server can move a plan's
session to paid overage at any time, and says so here. Names as Claude Code 2.1.316 reads them.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from acp_bridge.metering.moments import from_iso, from_seconds

_PREFIX = "anthropic-ratelimit-"
_UNIFIED = "unified-"
_WINDOW = re.compile(
    r"unified-(\d+[a-z]\w{0,32})-(?:status|reset|utilization|surpassed-threshold)", re.ASCII
)
_API = re.compile(r"((?:input-|output-)?tokens|requests)-(?:limit|remaining|reset)")
_WORD = re.compile(r"[\w-]{1,64}", re.ASCII)
_NUMBER = re.compile(r"\d{1,16}(?:\.\d{1,20})?(?:[eE]-?\d{1,3})?", re.ASCII)
_WHOLE = re.compile(r"\d{1,15}", re.ASCII)
_MOST_WINDOWS = 16


class LimitsKind(StrEnum):
    """Whose limits an answer tells of."""

    PLAN = "plan"
    API = "api"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Window:
    """One window of a plan's limits.

    Attributes:
        name: ``5h``, ``7d``, or another that the provider names.
        status: ``allowed``, ``allowed_warning``, ``rejected``.
        resets_at: aware UTC.
        utilization: what is used of it, 1.0 being all.
        surpassed: the warning threshold that was passed, in the same unit.
    """

    name: str
    status: str | None
    resets_at: datetime | None
    utilization: float | None
    surpassed: float | None


@dataclass(frozen=True, slots=True)
class ApiLimit:
    """One limit of an API key: ``requests``, ``tokens``, ``input-tokens`` or ``output-tokens``."""

    name: str
    limit: int | None
    remaining: int | None
    resets_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimits:
    """What the headers of an answer tell; what is missing or garbled is None.

    Attributes:
        kind: whose limits; `plan` if both kinds are there.
        status: of the limit that counts: ``allowed``, ``allowed_warning``, ``rejected``.
        resets_at: when that limit resets. Aware UTC.
        claim: the limit that counts: ``five_hour``, ``seven_day``, ``overage``, …
        windows: by name.
        overage_status: whether extra usage would be allowed. No sign that it is drawn on.
        overage_in_use: whether it is drawn on.
        overage_disabled_reason: why it is not allowed.
        overage_resets_at: when its period ends. Aware UTC.
        overage_utilization: what is used of it, 1.0 being all.
        api: the limits of an API key, by name.
    """

    kind: LimitsKind
    status: str | None
    resets_at: datetime | None
    claim: str | None
    windows: tuple[Window, ...]
    overage_status: str | None
    overage_in_use: bool | None
    overage_disabled_reason: str | None
    overage_resets_at: datetime | None
    overage_utilization: float | None
    api: tuple[ApiLimit, ...]

    @property
    def overage(self) -> bool:
        """Whether the answer says that extra usage paid for it."""
        return self.overage_in_use is True or self.claim == "overage"


def read_limits(headers: Iterable[tuple[str, str]]) -> RateLimits:
    """Read the rate limits from the headers of an answer.

    Args:
        headers: names (any case) and values. One that comes twice with different values is
            garbled.
    """
    told = _Told(headers)
    windows = tuple(_window(name, told) for name in told.names(_WINDOW))
    api = tuple(_api_limit(name, told) for name in told.names(_API))
    in_use = {"true": True, "false": False}
    return RateLimits(
        kind=LimitsKind.PLAN if told.unified else LimitsKind.API if api else LimitsKind.NONE,
        status=told.word("unified-status"),
        resets_at=told.moment("unified-reset"),
        claim=told.word("unified-representative-claim"),
        windows=windows,
        overage_status=told.word("unified-overage-status"),
        overage_in_use=in_use.get(told.word("unified-overage-in-use") or ""),
        overage_disabled_reason=told.word("unified-overage-disabled-reason"),
        overage_resets_at=told.moment("unified-overage-reset"),
        overage_utilization=told.number("unified-overage-utilization"),
        api=api,
    )


class _Told:
    """The rate-limit headers, by the rest of their names."""

    def __init__(self, headers: Iterable[tuple[str, str]]) -> None:
        self._values: dict[str, str] = {}
        for name, value in headers:
            name, value = name.lower(), value.strip()  # noqa: PLW2901 - as HTTP compares them
            if name.startswith(_PREFIX):
                rest = name.removeprefix(_PREFIX)
                same = self._values.setdefault(rest, value) == value
                self._values[rest] = value if same else ""

    @property
    def unified(self) -> bool:
        return any(name.startswith(_UNIFIED) for name in self._values)

    def names(self, pattern: re.Pattern[str]) -> list[str]:
        found = {match[1] for name in self._values if (match := pattern.fullmatch(name))}
        return sorted(found)[:_MOST_WINDOWS]

    def word(self, name: str) -> str | None:
        value = self._values.get(name, "")
        return value if _WORD.fullmatch(value) else None

    def number(self, name: str) -> float | None:
        value = self._values.get(name, "")
        if not _NUMBER.fullmatch(value):
            return None
        number = float(value)
        return number if math.isfinite(number) else None

    def whole(self, name: str) -> int | None:
        value = self._values.get(name, "")
        return int(value) if _WHOLE.fullmatch(value) else None

    def moment(self, name: str) -> datetime | None:
        """Seconds since the epoch (a plan's limits) or RFC 3339 (an API key's)."""
        if seconds := self.number(name):
            return from_seconds(seconds)
        value = self._values.get(name, "")
        return from_iso(value) if "-" in value else None


def _window(name: str, told: _Told) -> Window:
    stem = f"unified-{name}-"
    return Window(
        name,
        told.word(stem + "status"),
        told.moment(stem + "reset"),
        told.number(stem + "utilization"),
        told.number(stem + "surpassed-threshold"),
    )


def _api_limit(name: str, told: _Told) -> ApiLimit:
    return ApiLimit(
        name,
        told.whole(f"{name}-limit"),
        told.whole(f"{name}-remaining"),
        told.moment(f"{name}-reset"),
    )
