"""Reading ``config/billing-policy.toml``, and what a user's file changes in it. Pure.

Every mistake is an error that names file, line and key. A user's file may replace the shipped one,
or change it key by key (``extends = "shipped"``).
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from itertools import pairwise
from typing import Any, TypeVar

import msgspec

from acp_bridge.errors import ConfigurationError
from acp_bridge.modes import Bucket, Plan
from acp_bridge.policy.billing_rules import (
    BucketRow,
    PlanRow,
    PolicyRules,
    Rule,
    Source,
    StatusChange,
    SurfaceRow,
)
from acp_bridge.policy.surface import Surface

SCHEMA_VERSION = 1
SHIPPED = "shipped"

_KEYS = frozenset({"schema_version", "version", "extends", "rules", "plans", "buckets", "surfaces"})
_Fields = tuple[msgspec.structs.FieldInfo, ...]
_Word = TypeVar("_Word", bound=StrEnum)
_AnyRow = TypeVar("_AnyRow", Rule, PlanRow, BucketRow, SurfaceRow)


@dataclass(frozen=True, slots=True)
class PolicyText:
    """One file, decoded.

    Attributes:
        content: its tables.
        text: as it is written, for the lines of errors and for its digest.
        origin: its name, for errors.
    """

    content: Mapping[str, Any]
    text: str
    origin: str

    @property
    def extends(self) -> bool:
        """Whether it changes the shipped file instead of replacing it."""
        return "extends" in self.content


def read_rules(shipped: PolicyText, user: PolicyText | None = None) -> PolicyRules:
    """Read the shipped file, as the user's changes or replaces it.

    Raises:
        ConfigurationError: one of them is wrong; the message names file, line and key.
    """
    version = _version(shipped)
    if user is None:
        return _whole(_Reading((shipped,)), version)
    if not user.extends:
        own = _version(user)
        return _whole(_Reading((user,)), own, older_than=version if own < version else None)
    _check_overlay(user)
    digest = hashlib.sha256(user.text.encode()).hexdigest()[:8]
    return _whole(_Reading((shipped, user)), f"{version}+user-{digest}")


def _whole(reading: "_Reading", version: str, older_than: str | None = None) -> PolicyRules:
    rules = reading.rows("rules", Rule, check=_check_rule)
    by_id = {rule.id: rule for rule in rules}
    return PolicyRules(
        version,
        older_than,
        tuple(rules),
        reading.all_of("plans", PlanRow, Plan, check=lambda row, at: _check_plan(row, at, by_id)),
        reading.all_of("buckets", BucketRow, Bucket),
        reading.all_of("surfaces", SurfaceRow, Surface),
    )


@dataclass(frozen=True, slots=True)
class _Place:
    """A row of a file: where its keys stand."""

    file: PolicyText
    table: str
    line: int

    def error(self, key: str, problem: str) -> ConfigurationError:
        lines = self.file.text.splitlines()
        name = key.partition(".")[0].partition("[")[0]
        at = self.line
        for number, line in enumerate(lines[self.line :], self.line + 1):
            if line.startswith("[["):
                break
            if line.split("=")[0].strip() == name:
                at = number
                break
        return _error(self.file, at, f"{self.table}.{key}", problem)


class _Reading:
    """The rows of a file, or of two: the second changes the first."""

    def __init__(self, files: Sequence[PolicyText]) -> None:
        self._files = files
        for file in files:
            for key in file.content:
                if key not in _KEYS:
                    raise _file_error(file, key, "is not a key of this file")
            if file.content.get("schema_version") != SCHEMA_VERSION:
                raise _file_error(file, "schema_version", f"must be {SCHEMA_VERSION}")

    def rows(
        self,
        table: str,
        kind: type[_AnyRow],
        *,
        check: Callable[[_AnyRow, _Place], None] = lambda _row, _at: None,
    ) -> list[_AnyRow]:
        """The rows of a table in their order; those that only the second file has come first."""
        fields = msgspec.structs.fields(kind)
        found: dict[str, tuple[_AnyRow, _Place]] = {}
        for file in self._files:
            new: dict[str, tuple[_AnyRow, _Place]] = {}
            seen: set[str] = set()
            for content, at in _tables(file, table):
                values = _values(content, fields, at)
                row_id = values["id"]
                if row_id in seen:
                    raise at.error("id", f"{str(row_id)!r} is there twice")
                seen.add(row_id)
                if row_id in found:
                    found[row_id] = _changed(found[row_id][0], values), at
                else:
                    new[row_id] = _complete(kind, fields, values, at), at
            found = new | found
        for row, at in found.values():
            check(row, at)
        return [row for row, _ in found.values()]

    def all_of(
        self,
        table: str,
        kind: type[_AnyRow],
        words: type[_Word],
        *,
        check: Callable[[_AnyRow, _Place], None] = lambda _row, _at: None,
    ) -> dict[_Word, _AnyRow]:
        """The rows of a table that must have one for every word."""
        found = {words(row.id): row for row in self.rows(table, kind, check=check)}
        missing = next((word for word in words if word not in found), None)
        if missing is not None:
            raise _file_error(self._files[0], table, f"has no row {missing.value!r}")
        return found


def _tables(file: PolicyText, table: str) -> list[tuple[Mapping[str, Any], _Place]]:
    header = f"[[{table}]]"
    lines = [
        number
        for number, line in enumerate(file.text.splitlines(), 1)
        if line.split("#")[0].strip() == header
    ]
    contents = file.content.get(table, [])
    if not isinstance(contents, list) or len(contents) != len(lines):
        raise _file_error(file, table, f"must be tables, each under its own {header}")
    places = (_Place(file, table, line) for line in lines)
    return list(zip(contents, places, strict=True))


def _values(content: Mapping[str, Any], fields: _Fields, at: _Place) -> dict[str, Any]:
    """The keys of a row as the values of its fields; a row may leave out all but its id."""
    types = {field.name: field.type for field in fields}
    values: dict[str, Any] = {}
    for key, value in content.items():
        if key not in types:
            raise at.error(key, f"is not a key here; use {', '.join(types)}")
        try:
            values[key] = msgspec.convert(value, types[key])
        except msgspec.ValidationError as exc:
            problem, _, path = str(exc).partition(" - at `$")
            raise at.error(key + path.rstrip("`"), problem[:1].lower() + problem[1:]) from exc
    if "id" not in values:
        raise at.error("id", "is missing")
    if "history" in values:
        _check_order(values["history"], at)
    return values


def _complete(kind: type[_AnyRow], fields: _Fields, values: dict[str, Any], at: _Place) -> _AnyRow:
    for field in fields:
        if field.required and field.name not in values:
            raise at.error(field.name, "is missing")
    return kind(**values)


def _changed(row: _AnyRow, values: dict[str, Any]) -> _AnyRow:
    """The row with the user's keys in it; the history is merged by its days."""
    before: object = row
    if isinstance(before, Rule) and "history" in values:
        asserted = Source(title="the user's own billing-policy.toml")
        days = {change.since: change for change in before.history}
        for change in values["history"]:
            source = change.source or asserted
            days[change.since] = msgspec.structs.replace(change, source=source)
        merged = sorted(days.values(), key=lambda change: change.since or date.min)
        values = {**values, "history": tuple(merged)}
    return msgspec.structs.replace(row, **values)


def _check_order(history: tuple[StatusChange, ...], at: _Place) -> None:
    for number, (before, after) in enumerate(pairwise(history), 1):
        if after.since is None or (before.since is not None and before.since >= after.since):
            raise at.error(f"history[{number}].from", "is not later than the entry before")


def _check_rule(rule: Rule, at: _Place) -> None:
    for plan in rule.plans_unclear:
        if rule.plans == "any" or plan in rule.plans:
            raise at.error("plans_unclear", f"{plan.value!r} is among the plans already")


def _check_plan(row: PlanRow, at: _Place, rules: Mapping[str, Rule]) -> None:
    if row.pool is None:
        return
    rule = rules.get(row.pool.rule)
    if rule is None:
        raise at.error("pool.rule", f"no rule has the id {row.pool.rule!r}")
    if rule.plans != "any" and row.id not in rule.plans:
        raise at.error("pool.rule", f"{rule.id!r} does not name the plan {row.id.value!r}")


def _check_overlay(file: PolicyText) -> None:
    if file.content["extends"] != SHIPPED:
        raise _file_error(file, "extends", f"must be {SHIPPED!r}, or not there")
    if "version" in file.content:
        raise _file_error(file, "version", "does not go with extends: the shipped file has it")


def _version(file: PolicyText) -> str:
    if file.extends:
        raise _file_error(file, "extends", "is for a file of the user's")
    version = file.content.get("version")
    if not isinstance(version, str) or not _is_day(version):
        raise _file_error(file, "version", 'must be a day as text, as "2026-01-31"')
    return version


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _file_error(file: PolicyText, key: str, problem: str) -> ConfigurationError:
    lines = file.text.splitlines()
    line = next((n for n, text in enumerate(lines, 1) if text.strip(" \t[").startswith(key)), 1)
    return _error(file, line, key, problem)


def _error(file: PolicyText, line: int, key: str, problem: str) -> ConfigurationError:
    return ConfigurationError(
        f"{file.origin}, line {line}, {key}: {problem}",
        hint="mend the file; the head of the shipped config/billing-policy.toml explains the words",
    )
