"""The options of ``acp-bridge budget set``, and what they change in a budget's table."""

import argparse
import os
import re
from pathlib import Path

from acp_bridge.errors import ConfigurationError

_LIMITS = ("limit_usd", "limit_tokens", "limit_requests")
_WHOLE = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_DECIMAL = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)
_CYCLE = "cycle"
_CALENDAR = ("day", "week", "month", _CYCLE)


def declare_set(parser: argparse.ArgumentParser) -> None:
    """Declare what ``set`` takes."""
    parser.usage = "acp-bridge budget set NAME [options]"  # --scope takes every word after it
    parser.add_argument("name", metavar="NAME", help="the budget's: a-z, 0-9 and . _ -")
    limits = parser.add_mutually_exclusive_group()
    limits.add_argument("--limit-usd", metavar="USD", help="as 25.00; see --money")
    limits.add_argument("--limit-tokens", metavar="N", help="tokens of all kinds together")
    limits.add_argument("--limit-requests", metavar="N", help="API requests")
    parser.add_argument(
        "--money",
        metavar="KIND",
        help="billed_estimate, list_price_equivalent or endpoint_price; default by the scope",
    )
    parser.add_argument(
        "--window", metavar="WINDOW", help="session, hours like 5h, day, week, month or cycle"
    )
    parser.add_argument(
        "--cycle-day", metavar="DAY", help="the day of the month on which a cycle begins"
    )
    parser.add_argument("--time-zone", metavar="ZONE", help="as Europe/Zurich; default this one's")
    parser.add_argument(
        "--scope",
        metavar="KEY=VALUE",
        nargs="+",
        action="extend",
        default=[],
        help="whom it is for: mode, bucket, project, model, session; KEY= takes one out",
    )
    parser.add_argument("--warn-at", metavar="SHARE", help="a part of the limit; default 0.8")
    parser.add_argument(
        "--action",
        dest="at_limit",
        metavar="ACTION",
        help="at the limit: warn, block (default) or cancel",
    )


def changes(options: argparse.Namespace) -> dict[str, object]:
    """The keys of a ``[[budget]]`` that the options change; None takes one out.

    A limit of another unit takes the old one out, and the money with it; a window takes out what
    does not go with it.

    Args:
        options: of `declare_set`.

    Raises:
        ConfigurationError: an option has no value of its kind.
    """
    given: dict[str, object] = {
        "scope": _scope(options.scope),
        "window": options.window,
        "cycle_day": _whole(options.cycle_day, "--cycle-day"),
        "time_zone": options.time_zone,
        "limit_usd": options.limit_usd,
        "limit_tokens": _whole(options.limit_tokens, "--limit-tokens"),
        "limit_requests": _whole(options.limit_requests, "--limit-requests"),
        "money": options.money,
        "warn_at": _share(options.warn_at),
        "action": options.at_limit,
    }
    changed = {key: value for key, value in given.items() if value not in (None, {})}
    limit = next((key for key in _LIMITS if key in changed), None)
    gone = [] if limit is None else [key for key in _LIMITS if key != limit]
    if limit not in (None, "limit_usd"):
        gone.append("money")
    if options.window is not None:
        gone += [] if options.window == _CYCLE else ["cycle_day"]
        gone += [] if options.window in _CALENDAR else ["time_zone"]
    return {**dict.fromkeys(gone), **changed}


def _scope(written: list[str]) -> dict[str, str | None]:
    scope: dict[str, str | None] = {}
    for condition in written:
        key, equals, value = condition.partition("=")
        if not key or not equals:
            raise ConfigurationError(
                f"--scope: {condition!r} is no KEY=VALUE",
                hint="write it like --scope mode=api-key project=.",
            )
        scope[key] = _value(key, value)
    return scope


def _value(key: str, value: str) -> str | None:
    if not value:
        return None
    if key == "project":
        try:
            return os.path.abspath(Path(value).expanduser())  # noqa: PTH100 - links stay as written
        except (OSError, RuntimeError) as exc:
            raise ConfigurationError(
                f"--scope: project={value} cannot be found from here",
                hint="write it from / on, as in project=/srv/code",
            ) from exc
    return value


def _whole(written: str | None, flag: str) -> int | None:
    if written is None:
        return None
    if not _WHOLE.fullmatch(written):
        raise ConfigurationError(
            f"{flag} {written!r} is no whole number", hint=f"write it as {flag} 20"
        )
    return int(written)


def _share(written: str | None) -> float | None:
    if written is None:
        return None
    if not _DECIMAL.fullmatch(written):
        raise ConfigurationError(
            f"--warn-at {written!r} is no share of the limit", hint="write it as --warn-at 0.8"
        )
    return float(written)
