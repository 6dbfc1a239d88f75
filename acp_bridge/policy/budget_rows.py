"""Budgets as they stand in the user's file, as ``[[budget]]`` tables. Pure.

    [[budget]]
    name = "month"
    scope = { mode = "api-key" }
    window = "cycle"
    cycle_day = 31
    time_zone = "Europe/Zurich"
    limit_usd = "25.00"

`acp_bridge.policy.budgets` says what the values mean.
"""

import re
from collections.abc import Callable, Container, Iterable, Mapping
from datetime import tzinfo
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise
from typing import TypeVar
from zoneinfo import ZoneInfo

from acp_bridge.errors import ConfigurationError
from acp_bridge.metering.usage import CostKind
from acp_bridge.modes import BillingMode, Bucket
from acp_bridge.policy.budgets import (
    MONEY_OF_MODE,
    Action,
    Budget,
    Limit,
    LimitUnit,
    Scope,
)
from acp_bridge.policy.windows import Window, WindowKind

WARN_AT = Decimal("0.8")
"""The share of the limit at which a warning is due, unless the budget says another."""

MOST = 10**15
"""The largest limit of tokens or requests; in micro-dollars, a billion US dollars."""

_A = TypeVar("_A")
_B = TypeVar("_B")
_Word = TypeVar("_Word", bound=StrEnum)
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}", re.ASCII)
_USD = re.compile(r"\d{1,9}(\.\d{1,6})?", re.ASCII)
_SHARE = re.compile(r"[01](\.\d{1,4})?", re.ASCII)
_MOST_SHOWN = 60
_EXAMPLES = {"name": 'name = "month"', "window": 'window = "month"'}
_LIMITS = {f"limit_{unit.value}": unit for unit in LimitUnit}
_KEYS = (
    *("name", "scope", "window", "cycle_day", "time_zone"),
    *(*_LIMITS, "money", "warn_at", "action"),
)
_SCOPE_KEYS = ("mode", "bucket", "project", "model", "session")
_MONEY = tuple(kind for kind in CostKind if kind is not CostKind.UNKNOWN)
_MONEY_OF_BUCKET = {
    Bucket.PLAN_LIMITS: CostKind.LIST_PRICE_EQUIVALENT,
    Bucket.EXTRA_USAGE: CostKind.LIST_PRICE_EQUIVALENT,
    Bucket.PROGRAMMATIC_CREDIT: CostKind.LIST_PRICE_EQUIVALENT,
    Bucket.API: CostKind.BILLED_ESTIMATE,
    Bucket.ENDPOINT: CostKind.ENDPOINT_PRICE,
}


def read_budgets(
    tables: object, *, origin: str, default_zone: str | tzinfo | None
) -> tuple[Budget, ...]:
    """Check and read the user's budgets.

    Args:
        tables: the list under ``budget``, as a TOML decoder gives it. ``~`` in ``scope.project`` is
            for the caller to expand.
        origin: the file's name, for errors.
        default_zone: of calendar windows that name none, and for showing times; None if unknown.

    Raises:
        ConfigurationError: something is wrong; the message names the budget and the key.
    """
    if not isinstance(tables, list):
        raise ConfigurationError(
            f"budget in {origin} is not a list of tables",
            hint="begin each budget with [[budget]], in two pairs of brackets",
        )
    zone = _known_zone(default_zone) if isinstance(default_zone, str) else default_zone
    budgets: list[Budget] = []
    for number, table in enumerate(tables, 1):
        try:
            budgets.append(_budget(table, zone, taken={other.name for other in budgets}))
        except ConfigurationError as error:
            where = f"budget {_called(table, number)} in {origin}"
            raise ConfigurationError(f"{where}: {error.message}", hint=error.hint) from None
    return tuple(budgets)


def pool_budget(
    name: str, bucket: Bucket, usd: Decimal, *, in_force: bool, zone: tzinfo
) -> Budget | None:
    """The ready-made budget of a pool that a plan gives each month; None while it gives nothing.

    It only warns: what is left of a pool, only its provider knows.

    Args:
        name: what to call it.
        bucket: the pool.
        usd: what it holds; whole micro-dollars, more than 0.
        in_force: whether it is given now.
        zone: whose midnight begins the month.
    """
    if not in_force:
        return None
    return Budget(
        name=name,
        scope=Scope(bucket=bucket),
        window=Window(WindowKind.MONTH, zone=zone),
        limit=Limit(LimitUnit.USD, int(usd.scaleb(6)), CostKind.LIST_PRICE_EQUIVALENT),
        warn_at=WARN_AT,
        action=Action.WARN,
    )


def _budget(table: object, default_zone: tzinfo | None, taken: Container[str]) -> Budget:
    values = _table(table, "it", _KEYS)
    name = _required(values, "name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"name cannot be {_shown(name)}",
            hint="use 1 to 40 of a-z, 0-9 and . _ - and begin with a letter or digit",
        )
    if name in taken:
        raise ConfigurationError(
            "there is another budget of that name", hint="give each a name of its own"
        )
    scope = _scope(values.get("scope", {}))
    return Budget(
        name=name,
        scope=scope,
        window=_window(values, default_zone),
        limit=_limit(values, scope),
        warn_at=_warn_at(values.get("warn_at", str(WARN_AT))),
        action=_word(Action, values.get("action", Action.BLOCK), "action"),
    )


def _scope(table: object) -> Scope:
    values = _table(table, "scope", _SCOPE_KEYS)
    texts = {key: _text(values[key], f"scope.{key}") for key in values}
    project = texts.get("project")
    if project is not None and (not project.startswith("/") or ".." in project.split("/")):
        raise ConfigurationError(
            f"scope.project must be an absolute directory, not {_shown(project)}",
            hint="write it from / on, without ..",
        )
    return Scope(
        mode=_if_given(texts.get("mode"), _mode),
        bucket=_if_given(texts.get("bucket"), lambda text: _word(Bucket, text, "scope.bucket")),
        project=project,
        model=texts.get("model"),
        session=texts.get("session"),
    )


def _window(values: Mapping[str, object], default_zone: tzinfo | None) -> Window:
    text = _text(_required(values, "window"), "window")
    cycle_day = _if_given(values.get("cycle_day"), lambda value: _whole(value, "cycle_day"))
    zone = _if_given(values.get("time_zone"), _zone)
    window = Window.parse(text, cycle_day, default_zone if zone is None else zone)
    if zone is not None and not window.kind.is_calendar:
        raise ConfigurationError(
            f'time_zone does not go with window "{text}"',
            hint='it says when a "day", "week", "month" or "cycle" begins: remove it',
        )
    return window


def _limit(values: Mapping[str, object], scope: Scope) -> Limit:
    given = [key for key in _LIMITS if key in values]
    if len(given) != 1:
        raise ConfigurationError(
            f"{given[0]} and {given[1]} are both given" if given else "it has no limit",
            hint=f"give one of {_listed(_LIMITS)}",
        )
    key = given[0]
    unit = _LIMITS[key]
    amount = (_micros if unit is LimitUnit.USD else _whole)(values[key], key)
    if not 0 < amount <= MOST:
        raise ConfigurationError(
            f"{key} cannot be {_shown(values[key])}",
            hint="a limit is more than 0; to have none, remove the budget"
            if amount <= 0
            else f"the largest is {MOST}",
        )
    return Limit(unit, amount, _money(values, scope, unit))


def _money(values: Mapping[str, object], scope: Scope, unit: LimitUnit) -> CostKind | None:
    """The kind of money: as given, else as the scope implies. They may not contradict."""
    given = _if_given(values.get("money"), lambda value: _word(_MONEY, value, "money"))
    if given is not None and unit is not LimitUnit.USD:
        raise ConfigurationError(
            f"money does not go with limit_{unit.value}", hint="it goes with limit_usd: remove it"
        )
    named = {
        "scope.mode": _if_given(scope.mode, MONEY_OF_MODE.get),
        "scope.bucket": _if_given(scope.bucket, _MONEY_OF_BUCKET.get),
        "money": given,
    }
    kinds = {key: kind for key, kind in named.items() if kind is not None}
    for (key, kind), (other_key, other) in pairwise(kinds.items()):
        if kind is not other:
            raise ConfigurationError(
                f"{key} goes with {kind.value} and {other_key} with {other.value}: nothing is both",
                hint="change or remove one of the two",
            )
    if unit is not LimitUnit.USD:
        return None
    if not kinds:
        raise ConfigurationError(
            "limit_usd does not say which money",
            hint=f"give money as one of {_listed(_MONEY)}, or a scope with a mode",
        )
    return next(iter(kinds.values()))


def _micros(value: object, key: str) -> int:
    if isinstance(value, float):
        raise ConfigurationError(
            f"{key} is a binary fraction, which is not exact", hint=f'quote it: {key} = "{value}"'
        )
    text = value if isinstance(value, str) else str(_whole(value, key))
    if not _USD.fullmatch(text):
        raise ConfigurationError(
            f"{key} cannot be {_shown(value)}",
            hint=f'write US dollars with at most six decimals, as in {key} = "25.00"',
        )
    dollars, _, part = text.partition(".")
    return int(dollars) * 10**6 + int(part.ljust(6, "0"))


def _warn_at(value: object) -> Decimal:
    text = str(value)  # of a float, the shortest that is the same: 0.8
    share = Decimal(text) if _SHARE.fullmatch(text) else None
    if share is None or not 0 < share <= 1:
        raise ConfigurationError(
            f"warn_at cannot be {_shown(value)}",
            hint="write a share of the limit, more than 0, at most 1, as in warn_at = 0.8",
        )
    return share


def _mode(text: str) -> BillingMode:
    try:
        return BillingMode.parse(text)
    except ValueError:
        return _word(BillingMode, text, "scope.mode")


def _zone(value: object) -> ZoneInfo:
    zone = _known_zone(_text(value, "time_zone"))
    if zone is None:
        raise ConfigurationError(
            f"time_zone {_shown(value)} is not known here",
            hint='use a name of the IANA list, as in time_zone = "Europe/Zurich"',
        )
    return zone


def _known_zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # the last: a folder of the tzdata package
        return None


def _word(words: Iterable[_Word], value: object, key: str) -> _Word:
    known = {word.value: word for word in words}
    found = known.get(value) if isinstance(value, str) else None
    if found is None:
        raise ConfigurationError(f"{key} cannot be {_shown(value)}", hint=_nearest(value, known))
    return found


def _whole(value: object, key: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigurationError(
            f"{key} must be a whole number, not {_shown(value)}",
            hint=f"write it without quotes and without a fraction, as in {key} = 20",
        )
    return value


def _text(value: object, key: str) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigurationError(
            f"{key} must be text, not {_shown(value)}",
            hint="write a name in quotes, or leave the key out",
        )
    return value


def _table(value: object, what: str, keys: Iterable[str]) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise ConfigurationError(
            f"{what} must be a table, not {_shown(value)}",
            hint='write it like scope = { mode = "api-key" }',
        )
    for key in value:
        if key not in keys:
            raise ConfigurationError(f"{what} has no key {_shown(key)}", hint=_nearest(key, keys))
    return value


def _required(values: Mapping[str, object], key: str) -> object:
    if key not in values:
        raise ConfigurationError(f"it has no {key}", hint=f"give one, as in {_EXAMPLES[key]}")
    return values[key]


def _if_given(value: _A | None, read: Callable[[_A], _B]) -> _B | None:
    return None if value is None else read(value)


def _nearest(value: object, known: Iterable[str]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - only an error needs it

    names = list(known)
    close = get_close_matches(str(value), names, n=1)
    return f"did you mean {close[0]}?" if close else f"use one of {_listed(names)}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def _called(table: object, number: int) -> str:
    name = table.get("name") if isinstance(table, dict) else None
    return name if isinstance(name, str) and _NAME.fullmatch(name) else f"number {number}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"
