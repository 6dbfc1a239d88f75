"""Fixtures of the tests of the commands."""

from tests.cli.usage_command import path, usage

__all__ = ["path", "usage"]
