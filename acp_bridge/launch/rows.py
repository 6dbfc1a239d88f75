"""Reading rows of a TOML data file with errors that name the line and the key."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeVar

from acp_bridge.errors import ConfigurationError
from acp_bridge.modes import BillingMode

_Member = TypeVar("_Member", bound=StrEnum)


def _error(origin: str, line: int, key: str, problem: str) -> ConfigurationError:
    return ConfigurationError(
        f"{origin}, line {line}, {key}: {problem}",
        hint="Mend the file, or install acp-billing-bridge again.",
    )


class Row:
    """One table of the file: typed access to its keys."""

    def __init__(
        self, content: Mapping[str, Any], origin: str, line: int, prefix: str = ""
    ) -> None:
        self._content = content
        self._origin = origin
        self._line = line
        self._prefix = prefix

    def __contains__(self, key: str) -> bool:
        return key in self._content

    def error(self, key: str, problem: str) -> ConfigurationError:
        """The error for one key of this row."""
        return _error(self._origin, self._line, self._prefix + key, problem)

    def get(self, key: str) -> Any:
        """A value of any type.

        Raises:
            ConfigurationError: the key is missing.
        """
        if key not in self._content:
            raise self.error(key, "is missing")
        return self._content[key]

    def text(self, key: str) -> str:
        """A text that is not empty."""
        value = self.get(key)
        if not isinstance(value, str) or not value:
            raise self.error(key, "must be a text")
        return value

    def optional_text(self, key: str) -> str | None:
        """A text, or None where the key is missing."""
        return self.text(key) if key in self else None

    def flag(self, key: str) -> bool:
        """True or false; false where the key is missing."""
        value = self._content.get(key, False)
        if not isinstance(value, bool):
            raise self.error(key, "must be true or false")
        return value

    def choice(self, key: str, choices: tuple[str, ...]) -> str:
        """One of a few words."""
        value = self.text(key)
        if value not in choices:
            raise self.error(key, f"{value!r} is none of {', '.join(choices)}")
        return value

    def member(self, key: str, members: type[_Member]) -> _Member:
        """A word of an enumeration."""
        return members(self.choice(key, tuple(member.value for member in members)))

    def list_of_texts(self, key: str) -> list[str]:
        """A list of texts."""
        value = self.get(key)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.error(key, "must be a list of texts")
        return value

    def modes(self, key: str) -> list[BillingMode]:
        """A list of billing modes."""
        try:
            return [BillingMode(item) for item in self.list_of_texts(key)]
        except ValueError as exc:
            raise self.error(key, str(exc)) from exc

    def sub(self, key: str) -> "Row":
        """A table under a key."""
        value = self.get(key)
        if not isinstance(value, dict):
            raise self.error(key, "must be a table")
        return Row(value, self._origin, self._line, f"{self._prefix}{key}.")

    def texts(self, key: str) -> dict[str, str]:
        """A table of texts under a key."""
        return self.sub(key).all_texts()

    def all_texts(self) -> dict[str, str]:
        """This row as a table of texts."""
        return {key: self.text(key) for key in self._content}


class Table:
    """A whole file. Lines are those of the ``[[table]]`` headers in its text."""

    def __init__(self, document: Mapping[str, Any], text: str, origin: str) -> None:
        self._document = document
        self._lines = text.splitlines()
        self._origin = origin

    def expect_version(self, version: int) -> None:
        """Check ``schema_version``."""
        if self._document.get("schema_version") != version:
            raise self.error("schema_version", f"must be {version}")

    def error(self, key: str, problem: str) -> ConfigurationError:
        """The error for a key of the file; the line is that of the first place that names it."""
        line = next((n for n, text in enumerate(self._lines, 1) if key in text), 1)
        return _error(self._origin, line, key, problem)

    def row(self, name: str) -> Row:
        """The table of a name."""
        content = self._document.get(name)
        if not isinstance(content, dict):
            raise self.error(name, "must be a table")
        return Row(content, self._origin, self._headers(f"[{name}]")[0], f"{name}.")

    def rows(self, name: str) -> list[Row]:
        """The array of tables of a name."""
        contents = self._document.get(name)
        headers = self._headers(f"[[{name}]]")
        if not isinstance(contents, list) or len(contents) != len(headers):
            raise self.error(name, "must be a list of tables, each under its own header")
        return [
            Row(content, self._origin, line, f"{name}.")
            for content, line in zip(contents, headers, strict=True)
        ]

    def _headers(self, header: str) -> list[int]:
        return [n for n, text in enumerate(self._lines, 1) if text.split("#")[0].strip() == header]
