"""Fixtures of the tests with editors' files."""

from tests.editors.user import user

__all__ = ["user"]
