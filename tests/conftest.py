"""Fixtures and hooks of the whole suite."""

from tests.support.leak_table import note, pytest_terminal_summary

__all__ = ["note", "pytest_terminal_summary"]
