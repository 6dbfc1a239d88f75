"""What the launch gate understands of a command line. The standard library only."""
# ruff: noqa: PTH123 — importing pathlib would add half to the gate's time

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    Settings = dict[str, Any]

SETTINGS = "--settings"
MANAGED = "--managed-settings"
SOURCES = "--setting-sources"
TAKES_NO_VALUE = ("-p", "--print")


class GateError(Exception):
    """Why the gate does not start Claude Code: one sentence without values."""


def split_arguments(arguments: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """Take the settings options out of a command line.

    Returns:
        The remaining arguments, the ``--settings`` values and the ``--managed-settings`` values, in
        the order in which they came.

    Raises:
        GateError: an option has no value, or cannot be told from a prompt.
    """
    remaining: list[str] = []
    settings: list[str] = []
    managed: list[str] = []
    found = {SETTINGS: settings, MANAGED: managed}
    position = 0
    while position < len(arguments):
        argument = arguments[position]
        if argument == "--":
            _check_terminator(remaining, arguments[position + 1 :])
            remaining.extend(arguments[position:])
            break
        option, equals, value = argument.partition("=")
        if option in found:
            if not equals:
                position += 1
                if position == len(arguments):
                    raise GateError(f"{option} has no value")
                value = arguments[position]
            found[option].append(value)
        else:
            remaining.append(argument)
        position += 1
    return remaining, settings, managed


def _check_terminator(before: Sequence[str], after: Sequence[str]) -> None:
    # An option that takes a value also takes `--` for it, and Claude Code then reads on: settings
    # behind such a `--` would be options again.
    hidden = any(argument.partition("=")[0] in (SETTINGS, MANAGED) for argument in after)
    if hidden and before and before[-1].startswith("-") and before[-1] not in TAKES_NO_VALUE:
        raise GateError(f"{SETTINGS} behind `{before[-1]} --` cannot be told from a prompt")


def read_settings(value: str, option: str = SETTINGS) -> Settings:
    """One settings value: inline JSON, or the path of a JSON file relative to the working folder.

    Raises:
        GateError: it is neither, or no JSON object.
    """
    text = value
    if not value.strip():
        return {}
    if not value.lstrip().startswith("{"):
        try:
            with open(value, encoding="utf-8-sig") as file:
                text = file.read()
        except (OSError, ValueError):
            raise GateError(f"the file that {option} names cannot be read") from None
    try:
        settings = json.loads(text)
    except (ValueError, RecursionError):
        raise GateError(f"{option} is not valid JSON") from None
    if not isinstance(settings, dict):
        raise GateError(f"{option} is not a JSON object")
    if not isinstance(settings.get("env") or {}, dict):
        raise GateError(f"env in {option} is not a JSON object")
    return settings


def setting_sources(arguments: Sequence[str]) -> list[str] | None:
    """The kinds of settings file that Claude Code is told to read; None for all."""
    chosen = None
    for position, argument in enumerate(arguments):
        if argument == "--":
            break
        option, equals, value = argument.partition("=")
        if option == SOURCES:
            chosen = value if equals else "".join(arguments[position + 1 : position + 2])
    return None if chosen is None else [word.strip() for word in chosen.split(",")]
