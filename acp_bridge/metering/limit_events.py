"""Rate-limit evidence without a wire guard: what Claude Code tells of a plan's limits. Pure.

It is the raw message ``rate_limit_event`` of the Agent SDK. So does Claude Code 2.1.316 (ran): it
reads the headers of each answer and tells when something in them has changed, after the answer and
before the turn's ``result``. An answer without such headers, as to a request for a title, it tells
as ``{"status": "allowed", "isUsingOverage": false}``; so it does when the reset of a window has
passed. That is no sign of a payer, and is read as one that tells nothing. ``isUsingOverage`` is its
own conclusion (the plan rejects and extra usage is allowed), ``overageInUse`` the provider's word.
"""

from typing import Annotated

import msgspec

from acp_bridge.metering.moments import from_seconds
from acp_bridge.metering.wire_limits import LimitsKind, RateLimits, Window

_MOST_WINDOWS = 16
_OVERAGE = "overage"
_Word = Annotated[str, msgspec.Meta(pattern=r"^[\w-]{1,64}\Z")]
_CANNOT = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Window(msgspec.Struct, rename="camel"):
    status: _Word | None = None
    resets_at: float | None = None
    utilization: float | None = None
    surpassed_threshold: float | None = None


class _Info(msgspec.Struct, rename="camel"):
    status: _Word | None = None
    resets_at: float | None = None
    rate_limit_type: _Word | None = None
    utilization: float | None = None
    surpassed_threshold: float | None = None
    unified_windows: dict[_Word, _Window] = {}
    overage_status: _Word | None = None
    overage_resets_at: float | None = None
    overage_disabled_reason: _Word | None = None
    is_using_overage: bool | None = None
    overage_in_use: bool | None = None


class _Event(msgspec.Struct, tag_field="type", tag="rate_limit_event"):
    rate_limit_info: _Info


def read_limit_event(message: bytes) -> RateLimits | None:
    """Read a raw message of the Agent SDK, as JSON.

    Windows have the names that Claude Code gives them: ``five_hour``, ``seven_day``, …

    Returns:
        None if it is another message, cannot be read, or names no limit.
    """
    try:
        info = _EVENT.decode(message).rate_limit_info
    except _CANNOT:
        return None
    claim = info.rate_limit_type
    told = info.overage_in_use
    uses_overage = info.is_using_overage is True if told is None else told
    if claim is None and not uses_overage:
        return None
    windows = dict(list(info.unified_windows.items())[:_MOST_WINDOWS])
    overage = windows.pop(_OVERAGE, _Window())
    if claim is not None and claim != _OVERAGE and claim not in windows:
        windows[claim] = _Window(
            info.status, info.resets_at, info.utilization, info.surpassed_threshold
        )
    return RateLimits(
        kind=LimitsKind.PLAN,
        status=info.status,
        resets_at=from_seconds(info.resets_at),
        claim=claim,
        windows=tuple(_window(name, of) for name, of in sorted(windows.items())),
        overage_status=info.overage_status,
        overage_in_use=True if uses_overage else told,
        overage_disabled_reason=info.overage_disabled_reason,
        overage_resets_at=from_seconds(info.overage_resets_at or overage.resets_at),
        overage_utilization=overage.utilization,
        api=(),
    )


def _window(name: str, of: _Window) -> Window:
    return Window(
        name,
        of.status,
        from_seconds(of.resets_at),
        of.utilization,
        of.surpassed_threshold,
    )


_EVENT = msgspec.json.Decoder(_Event)
