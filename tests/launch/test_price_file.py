"""The shipped price list: where it comes from, and what is wrong with a wrong one."""

import json
import subprocess
from collections.abc import Callable
from copy import deepcopy
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from acp_bridge.errors import ConfigurationError
from acp_bridge.launch.price_file import load_prices
from acp_bridge.launch.shipped import shipped_file
from acp_bridge.metering.prices import PRICES_FILE, PriceTable

ROOT = Path(__file__).parents[2]
TEXT = shipped_file(PRICES_FILE).read_text(encoding="utf-8")
DOCUMENT: dict[str, Any] = json.loads(TEXT)


def run_script(*arguments: str) -> None:
    subprocess.run([str(ROOT / "scripts" / "prices"), *arguments], cwd=ROOT, check=True)


def test_the_script_writes_the_shipped_file_again_to_the_byte(tmp_path: Path) -> None:
    again = tmp_path / "again.json"
    run_script("--output", str(again))
    assert again.read_text(encoding="utf-8") == TEXT


def test_written_for_another_day_nothing_but_the_day_differs(tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    run_script("--output", str(other), "--date", "2026-01-02")
    written = json.loads(other.read_text(encoding="utf-8"))
    assert written["source"]["date"] == "2026-01-02"
    written["source"]["date"] = DOCUMENT["source"]["date"]
    assert written == DOCUMENT


def test_the_file_says_where_its_prices_are_from() -> None:
    source = load_prices().source
    pinned = (ROOT / "scripts" / "requirements.txt").read_text(encoding="utf-8")
    assert f"\n{source.package}=={source.version} " in pinned
    assert source.provider == "anthropic"
    assert source.date == date.fromisoformat(DOCUMENT["source"]["date"])


def _set(path: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        *folders, last = path.split(".")
        place: Any = document
        for folder in folders:
            place = place[int(folder)] if isinstance(place, list) else place[folder]
        place[last] = value

    return change


def _row(**changes: object) -> dict[str, object]:
    return {"input": "1", "output": "2", **changes}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_set("schema_version", 2), "schema_version"),
        (_set("source.version", None), "source.version"),
        (_set("prompt_tokens", ["thoughts"]), "prompt_tokens"),
        (_set("models.0.standard", [_row(input=1.5)]), r"models\[0\]\.standard\[0\]\.input"),
        (_set("models.0.standard", [_row(input="-1")]), "claude-2.standard: '-1'"),
        (_set("models.0.standard", [_row(input="1e3")]), "claude-2.standard: '1e3'"),
        (_set("models.0.standard", [_row(output="NaN")]), "claude-2.standard: 'NaN'"),
        (_set("models.0.standard", [{"input": "1"}]), "output"),
        (_set("models.0.standard", [_row(cache_raed="1")]), "cache_raed"),
        (_set("models.0.standard", [_row(valid_from="yesterday")]), "valid_from"),
        (_set("models.0.standard", [_row(), _row()]), "claude-2.standard: two rows"),
        (
            _set("models.0.fast", [_row(valid_from="2026-02-01", valid_until="2026-01-01")]),
            "claude-2.fast: a row ends",
        ),
        (
            _set(
                "models.0.standard",
                [_row(valid_until="2026-02-02"), _row(valid_from="2026-02-01")],
            ),
            "claude-2.standard: two rows",
        ),
        (
            _set(
                "models.0.standard",
                [_row(tiers=[_row(above_prompt_tokens=9), _row(above_prompt_tokens=9)])],
            ),
            "claude-2.standard: tiers",
        ),
        (_set("models.0.patterns", ["("]), r"claude-2: '\('"),
        (_set("models.0.names", ["claude-opus-5-5"]), "claude-opus-5-5"),
        (_set("speeds", {"fast": "faster"}), "speeds"),
        (_set("inference_geo.multipliers", {"us": "x"}), "inference_geo: 'x'"),
        (_set("models", "many"), "models"),
    ],
)
def test_a_wrong_file_is_an_error_that_names_the_place(
    change: Callable[[dict[str, Any]], None], named: str
) -> None:
    document = deepcopy(DOCUMENT)
    change(document)
    with pytest.raises(ConfigurationError, match=named) as caught:
        PriceTable.parse(document)
    assert caught.value.message.startswith(f"{PRICES_FILE}: ")
    assert caught.value.hint


@pytest.mark.parametrize("document", [None, [], "prices", 7])
def test_what_is_no_price_list_at_all_is_an_error(document: object) -> None:
    with pytest.raises(ConfigurationError, match=PRICES_FILE):
        PriceTable.parse(document)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff"])
def test_a_file_that_is_no_json_is_an_error(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"mine\.json is not valid JSON"):
        load_prices(path)


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_prices(tmp_path / "absent.json")


def test_a_list_of_ones_own_is_read_from_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    document = deepcopy(DOCUMENT)
    document["models"] = [{"id": "mine", "names": ["mine"], "standard": [_row()]}]
    path.write_text(json.dumps(document), encoding="utf-8")
    assert load_prices(path).models == ("mine",)
