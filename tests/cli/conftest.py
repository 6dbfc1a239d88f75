"""Fixtures of the tests of the commands."""

from tests.cli.budget_command import budget, config, live_run
from tests.cli.receipt_command import receipt
from tests.cli.usage_command import path, usage

__all__ = ["budget", "config", "live_run", "path", "receipt", "usage"]
