"""Changing one ``[[budget]]`` in the text of a configuration file; every other byte stays.

The text is taken apart into pieces: a blank line, a comment, a table's header or a statement, each
the fewest lines that are TOML by themselves. So a line in a long string is never taken for a
header. Only pieces of the budget in question are touched, and `tomlkit` writes what is new in them.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import tomlkit
from tomlkit.items import InlineTable

from acp_bridge.errors import ConfigurationError

Changes = Mapping[str, object]
"""New values by key; None takes a key out; ``scope`` holds a mapping of the same kind."""

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_INDENT = re.compile(r"[ \t]*")
_Path = tuple[str, ...]


class _Kind(Enum):
    BLANK = auto()
    COMMENT = auto()
    HEADER = auto()
    STATEMENT = auto()


@dataclass(slots=True)
class _Piece:
    """A part of the text.

    Attributes:
        text: with its line ends.
        kind: what it is.
        values: what it says as TOML by itself.
        budget: the number of the budget it is a part of; None for all else.
        below: in which table of that budget it stands: empty for the budget itself.
    """

    text: str
    kind: _Kind
    values: dict[str, Any]
    budget: int | None = None
    below: _Path = ()


def budget_tables(text: str, origin: str) -> list[dict[str, Any]]:
    """The budgets of a configuration file, unchecked.

    Args:
        text: the file's.
        origin: its name, for errors.

    Raises:
        ConfigurationError: it is not TOML, or its budgets are not ``[[budget]]`` tables.
    """
    try:
        tables = tomllib.loads(text).get("budget", [])
    except tomllib.TOMLDecodeError as exc:
        raise ConfigurationError(
            f"the configuration file {origin} is not valid TOML: {exc}", hint="correct that line"
        ) from exc
    heads = [one for one in _pieces(text) if one.kind is _Kind.HEADER and one.budget is not None]
    if "budget" in tomllib.loads(text) and (not isinstance(tables, list) or not heads):
        raise ConfigurationError(
            f"the budgets in {origin} are not written as tables of their own",
            hint="begin each budget with [[budget]], in two pairs of brackets",
        )
    return list(tables)


def set_budget(text: str, name: str, changes: Changes, *, origin: str) -> str:
    """The text with a budget changed, or added at the end if there is none of that name.

    Args:
        text: of the configuration file.
        name: the budget's.
        changes: its new values; keys that are not named stay.
        origin: the file's name, for errors.

    Raises:
        ConfigurationError: as `budget_tables`.
    """
    number = _number(budget_tables(text, origin), name)
    if number is None:
        return _with_new(text, {"name": name, **changes})
    pieces = _pieces(text)
    newline = _newline(text)
    for path, value in _leaves(changes):
        _put(pieces, number, path, value, newline)
    return _joined(pieces)


def remove_budget(text: str, name: str, *, origin: str) -> str:
    """The text without a budget, the comments right above and in it, and one blank line.

    Args:
        text: of the configuration file.
        name: the budget's.
        origin: the file's name, for errors.

    Raises:
        ConfigurationError: there is no such budget; or as `budget_tables`.
    """
    tables = budget_tables(text, origin)
    number = _number(tables, name)
    if number is None:
        raise unknown_budget(name, [str(table.get("name")) for table in tables], origin)
    pieces = _pieces(text)
    kept: list[_Piece] = []
    for place, piece in enumerate(pieces):
        if piece.budget != number:
            follows = place > 0 and pieces[place - 1].budget == number
            if not (follows and _is_blank(piece) and (not kept or _is_blank(kept[-1]))):
                kept.append(piece)
        elif place == len(pieces) - 1 and kept and _is_blank(kept[-1]):
            kept.pop()
    return _joined(kept)


def unknown_budget(name: str, known: list[str], origin: str) -> ConfigurationError:
    """That there is no budget of a name, and which there are."""
    hint = (
        f"the budgets are {', '.join(known)}" if known else "set one: acp-bridge budget set --help"
    )
    return ConfigurationError(f"{origin} has no budget {name!r}", hint=hint)


def _pieces(text: str) -> list[_Piece]:
    pieces = []
    begun = ""
    for line in _LINE.findall(text):
        begun += line
        try:
            values = tomllib.loads(begun)
        except tomllib.TOMLDecodeError:
            continue  # a string or list of several lines: the whole text is TOML
        pieces.append(_Piece(begun, _kind(begun, values), values))
        begun = ""
    _tell_owners(pieces)
    return pieces


def _kind(text: str, values: Mapping[str, Any]) -> _Kind:
    if text.lstrip(" \t").startswith("["):
        return _Kind.HEADER
    if values:
        return _Kind.STATEMENT
    return _Kind.COMMENT if text.strip() else _Kind.BLANK


def _tell_owners(pieces: list[_Piece]) -> None:
    """Say of each piece to which budget it belongs.

    A comment belongs to the table whose header follows it at once, else to what it follows at once.
    Behind a budget's last statement a blank line ends it.
    """
    number = -1
    inside: tuple[int, _Path] | None = None
    for place, piece in enumerate(pieces):
        if piece.kind is _Kind.HEADER:
            path = _header(piece.values)
            number += path == ("budget",)
            inside = (number, path[1:]) if path[0] == "budget" else None
            for other in _comments_above(pieces, place):
                other.budget, other.below = inside or (None, ())
        if inside is not None:
            piece.budget, piece.below = inside
    following: int | None = None
    for place in range(len(pieces) - 1, -1, -1):
        piece = pieces[place]
        if piece.kind in (_Kind.HEADER, _Kind.STATEMENT):
            following = piece.budget
        elif piece.budget != following and not _is_attached(pieces, place):
            piece.budget = None


def _is_attached(pieces: list[_Piece], place: int) -> bool:
    """Whether only comments are between a piece and the statement or header before it."""
    while place >= 0 and pieces[place].kind is _Kind.COMMENT:
        place -= 1
    return place >= 0 and not _is_blank(pieces[place])


def _comments_above(pieces: list[_Piece], place: int) -> Iterator[_Piece]:
    while place > 0 and pieces[place - 1].kind is _Kind.COMMENT:
        place -= 1
        yield pieces[place]


def _header(values: Mapping[str, Any]) -> _Path:
    """The path that a header names; that of a list of tables begins another one."""
    path: list[str] = []
    inner: Any = values
    while inner:
        ((key, inner),) = inner.items()
        path.append(key)
        inner = inner[0] if isinstance(inner, list) else inner
    return tuple(path)


def _number(tables: list[dict[str, Any]], name: str) -> int | None:
    return next((at for at, table in enumerate(tables) if table.get("name") == name), None)


def _leaves(changes: Changes) -> Iterator[tuple[_Path, object]]:
    for key, value in changes.items():
        if isinstance(value, Mapping):
            for inner, leaf in value.items():
                yield (key, inner), leaf
        else:
            yield (key,), value


def _with_new(text: str, values: Changes) -> str:
    newline = _newline(text)
    lines = ["[[budget]]"]
    for key, value in values.items():
        given = _given(value) if isinstance(value, Mapping) else value
        if given is not None and given != {}:
            lines.append(f"{key} = {_toml(given)}")
    ended = text if not text or text.endswith("\n") else text + newline
    blank = newline if text else ""
    return ended + blank + "".join(line + newline for line in lines)


def _given(values: Changes) -> dict[str, object]:
    return {key: value for key, value in values.items() if value is not None}


def _put(pieces: list[_Piece], number: int, path: _Path, value: object, newline: str) -> None:
    """Set a value of a budget, or with None take it out."""
    own = [one for one in pieces if one.budget == number and one.kind is _Kind.STATEMENT]
    for piece in own:
        rest = path[len(piece.below) :]
        if path[: len(piece.below)] != piece.below or not _has(piece.values, rest):
            continue
        if value is None:
            _take_out(pieces, piece, rest)
        elif _at(piece.values, rest) != value:
            _rewrite(piece, rest, value)
        return
    if value is not None:
        _add(pieces, number, path, value, newline)


def _take_out(pieces: list[_Piece], piece: _Piece, path: _Path) -> None:
    """Take a value out of a statement, and the statement too if nothing is left of it."""
    *outer, key = path
    table = _at(piece.values, tuple(outer))
    left = {name: value for name, value in table.items() if name != key}
    if outer and left:
        _rewrite(piece, tuple(outer), left)
    else:
        del pieces[_place(pieces, piece)]


def _add(pieces: list[_Piece], number: int, path: _Path, value: object, newline: str) -> None:
    """Write a value that the budget does not have yet where its like stand."""
    own = [one for one in pieces if one.budget == number and _says(one)]
    outer, key = path[:-1], path[-1]
    main = [one for one in own if not one.below]
    written = f"{_key(key)} = {_toml(value)}"
    if not outer:
        _insert(pieces, main[-1], written, newline)
        return
    like = [one for one in main if outer[0] in one.values]
    inside = [one for one in own if one.below == outer]
    if like and not _is_dotted(like[-1], outer[0]):
        known = like[-1].values[outer[0]]
        _rewrite(like[-1], outer, {**(known if isinstance(known, dict) else {}), key: value})
    elif inside:
        _insert(pieces, inside[-1], written, newline)
    elif like:
        _insert(pieces, like[-1], f"{outer[0]}.{written}", newline)
    else:
        _insert(pieces, main[-1], f"{outer[0]} = {_toml({key: value})}", newline)


def _is_dotted(piece: _Piece, key: str) -> bool:
    """Whether a statement is one of a table's values: ``key.other = …``, not ``key = {…}``."""
    item = tomlkit.parse(piece.text)[key]
    return isinstance(item, dict) and not isinstance(item, InlineTable)


def _insert(pieces: list[_Piece], after: _Piece, written: str, newline: str) -> None:
    indent = _INDENT.match(after.text)
    text = f"{indent[0] if indent else ''}{written}"
    if after.text.endswith("\n"):
        text += newline
    else:
        after.text += newline
    piece = _Piece(text, _Kind.STATEMENT, tomllib.loads(text), after.budget, after.below)
    pieces.insert(_place(pieces, after) + 1, piece)


def _place(pieces: list[_Piece], wanted: _Piece) -> int:
    return next(at for at, one in enumerate(pieces) if one is wanted)


def _rewrite(piece: _Piece, path: _Path, value: object) -> None:
    """Put a value in place of the one at a path of a statement; what stands around it stays."""
    document = tomlkit.parse(piece.text)
    table: Any = document
    for key in path[:-1]:
        table = table[key]
    table[path[-1]] = tomlkit.parse(f"_ = {_toml(value)}")["_"]
    piece.text = document.as_string()
    piece.values = tomllib.loads(piece.text)


def _has(values: Any, path: _Path) -> bool:
    for key in path:
        if not isinstance(values, dict) or key not in values:
            return False
        values = values[key]
    return bool(path)


def _at(values: Any, path: _Path) -> Any:
    for key in path:
        values = values[key]
    return values


def _toml(value: object) -> str:
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(key)} = {_toml(one)}" for key, one in value.items())
        return f"{{ {inner} }}"
    return tomlkit.item(value).as_string()


def _key(name: str) -> str:
    return tomlkit.key(name).as_string()


def _is_blank(piece: _Piece) -> bool:
    return piece.kind is _Kind.BLANK


def _says(piece: _Piece) -> bool:
    return piece.kind in (_Kind.HEADER, _Kind.STATEMENT)


def _newline(text: str) -> str:
    return "\r\n" if text.partition("\n")[0].endswith("\r") else "\n"


def _joined(pieces: list[_Piece]) -> str:
    return "".join(piece.text for piece in pieces)
