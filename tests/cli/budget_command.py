"""`acp-bridge budget`, run in this process with a configuration and a state of the test's own."""

import os
import tomllib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any

import pytest

from acp_bridge.cli import main
from acp_bridge.ledger.records import ReservationRow
from acp_bridge.ledger.runs import RunDirectory, new_run_id
from acp_bridge.ledger.spending import Spending
from acp_bridge.metering.usage import CostKind
from acp_bridge.modes import BillingMode, Bucket
from tests.bridge.process import bridge_environment
from tests.cli.usage_command import Said

Budget = Callable[..., Said]

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
DEAD = "20260101-000000-abcdef"
MONTH = """\
# mine
[[budget]]
name = "month"
scope = { mode = "subscription" }
window = "month"
time_zone = "Europe/Zurich"
limit_usd = "25.00"
"""


class Clock(datetime):
    """Says that it is always the same time."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return NOW.astimezone(tz)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config" / "config.toml"


@pytest.fixture
def budget(
    tmp_path: Path,
    config: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Budget:
    """Run the command in this process, with a configuration and a state of the test's own."""
    for name in [name for name in os.environ if name.startswith("ACP_BRIDGE_")]:
        monkeypatch.delenv(name)
    for name, value in bridge_environment(tmp_path, config=str(config)).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("acp_bridge.cli.budget.datetime", Clock)

    def budget(*arguments: str) -> Said:
        status = main(["budget", *arguments])
        return Said(status, *capsys.readouterr())

    return budget


def configure(config: Path, text: str) -> None:
    config.parent.mkdir(exist_ok=True)
    config.write_text(text)


def good(said: Said) -> str:
    assert (said.status, said.stderr) == (0, "")
    return said.stdout


def tables(config: Path) -> Any:
    return tomllib.loads(config.read_text())["budget"]


def reserve(path: Path, name: str, run_id: str, **changes: Any) -> None:
    values: dict[str, Any] = {
        "session_id": "s",
        "at": NOW,
        "mode": BillingMode.SUBSCRIPTION,
        "bucket": Bucket.PLAN_LIMITS,
        "cost_kind": CostKind.LIST_PRICE_EQUIVALENT,
        "tokens": 1000,
        "cost_micros": 250_000,
        **changes,
    }
    with Spending(path) as spending:
        row = ReservationRow(reservation_id=name, run_id=run_id, **values)
        assert spending.reserve([], row, lambda _: True)


@pytest.fixture
def live_run(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "state").mkdir()
    directory = RunDirectory.create(tmp_path / "state", new_run_id(NOW))
    yield directory.path.name
    directory.close()
