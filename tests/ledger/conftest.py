"""Fixtures of the tests of the ledger."""

from tests.ledger.exported import path

__all__ = ["path"]
