"""Writes config/model-prices.json from the prices that the package genai-prices knows.

    scripts/prices [--output PATH] [--date YYYY-MM-DD]

Anthropic's own models only. The same package gives the same file: the date is that of the day on
which the prices were first written as they are, and is kept as long as nothing else changes.
What the source could say and this script does not understand is an error, never left out.

`genai-prices` matches models by prefix, which would price a model that nobody knows yet like the
one whose name it begins with. Here a prefix becomes a name that only a date, ``-latest`` or the
like may follow, so fewer names are known, and no name is known otherwise.
"""

import argparse
import json
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

from genai_prices import types
from genai_prices.data import providers

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ROOT / "config" / "model-prices.json"
PACKAGE, PROVIDER = "genai-prices", "anthropic"

KINDS = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write_5m": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
}
WEB_SEARCH = "web_searches_kcount"
TARIFFS = {("speed", "fast"): "fast", ("processing", "batch"): "batch"}

ABOUT = """
List prices of Anthropic's models. Written by scripts/prices: change that, not this file.
Prices are in US dollars, as decimal texts: per million tokens; web searches per 1,000.
A row holds from the start of valid_from to before valid_until, UTC; null is open. \
A row that does not name a kind of token has no price for it.
A request whose prompt has more tokens than above_prompt_tokens is priced by that tier as a \
whole, its output included. prompt_tokens names the kinds that make up its prompt.
A model is known by its names, by a pattern, or by one of its dated_names with nothing or one \
of the suffixes behind it, once an ignored suffix is taken off. All else is unknown.
standard, fast and batch are lists of their own; speeds and service_tiers say which word of an \
answer's usage means which. A word that is not here has no known price.
inference_geo multiplies the price of tokens, not of server tools.
""".strip().splitlines()
NAMES = {
    "ignored_suffixes": ["[1m]"],
    "suffixes": ["-latest", r"-20\d{6}", r"-20\d\d-\d\d-\d\d", r"@20\d{6}", "@default"],
}
# What the source does not say; each with where it is known from.
BESIDES = {
    "speeds": {"standard": "standard", "normal": "standard", "fast": "fast"},
    "service_tiers": {"standard": "standard", "batch": "batch"},
    "inference_geo": {
        "multipliers": {"global": "1", "not_available": "1", "us": "1.1"},
        "source": "Anthropic, Data residency (platform.claude.com); measured with Claude Code"
        " 2.1.316",
    },
    "free_server_tools": {
        "names": ["web_fetch_requests"],
        "source": "Anthropic, Web fetch tool (platform.claude.com); measured with Claude Code"
        " 2.1.316",
    },
}


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, default=SHIPPED)
    parser.add_argument("--date", type=date.fromisoformat, default=None)
    options = parser.parse_args()
    models = [_model(model) for model in _provider().models]
    text = _text(options.date or _date_before(models), models)
    options.output.write_text(text, encoding="utf-8")


def _provider() -> types.Provider:
    return next(provider for provider in providers if provider.id == PROVIDER)


def _date_before(models: list[dict[str, Any]]) -> date:
    today = datetime.now(UTC).date()
    if not SHIPPED.exists():
        return today
    text = SHIPPED.read_text(encoding="utf-8")
    before = date.fromisoformat(json.loads(text)["source"]["date"])
    return before if _text(before, models) == text else today


def _model(model: types.ModelInfo) -> dict[str, Any]:
    found: dict[str, Any] = {"id": model.id, **_names(model), "standard": _standard_rows(model)}
    for variant in model.price_variants or ():
        ((when, tariff),) = ((pair, TARIFFS[pair]) for pair in variant.when.items())
        if tariff in found:
            raise SystemExit(f"{model.id}: more than one variant for {when}")
        found[tariff] = _variant_rows(variant, found["standard"])
    return found


def _names(model: types.ModelInfo) -> dict[str, list[str]]:
    names: list[str] = []
    dated: list[str] = []
    patterns: list[str] = []
    for clause in _clauses(model.match):
        match clause:
            case types.ClauseEquals(equals=name) | types.ClauseContains(contains=name):
                names.append(name)
            case types.ClauseRegex(regex=regex) if regex.startswith("^") and regex.endswith("$"):
                patterns.append(regex)
            case types.ClauseStartsWith(starts_with=prefix) if re.search(r"-20\d\d$", prefix):
                patterns.append(f"^{prefix}\\d{{4}}$")
            case types.ClauseStartsWith(starts_with=prefix) if prefix.endswith("@"):
                patterns.append(f"^{prefix}(default|20\\d{{6}})$")
            case types.ClauseStartsWith(starts_with=prefix):
                dated.append(prefix)
            case _:
                raise SystemExit(f"{model.id}: a rule that this script does not know: {clause}")
    # A dot that came into a pattern with a name would stand for any character.
    if any("." in pattern for pattern in patterns):
        raise SystemExit(f"{model.id}: a pattern with a dot in it")
    return {"names": names, "dated_names": dated, "patterns": patterns}


def _clauses(match: types.MatchLogic) -> Iterator[types.MatchLogic]:
    if isinstance(match, types.ClauseOr):
        for clause in match.or_:
            yield from _clauses(clause)
    else:
        yield match


def _standard_rows(model: types.ModelInfo) -> list[dict[str, Any]]:
    if isinstance(model.prices, types.ModelPrice):
        return [_row(None, None, model.prices)]
    starts = [_start(conditional.constraint) for conditional in model.prices]
    if starts[0] is not None or starts[1:] != sorted(start for start in starts[1:] if start):
        raise SystemExit(f"{model.id}: rows that are not in the order of their dates")
    return [
        _row(start, until, conditional.prices)
        for start, until, conditional in zip(starts, [*starts[1:], None], model.prices, strict=True)
    ]


def _variant_rows(
    variant: types.PriceVariant, standard: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    row = _row(_start(variant.constraint), None, variant.prices)
    # A variant says what it changes; the rest is as in the standard row of the time.
    searches = {one["web_search_per_1000"] for one in standard if "web_search_per_1000" in one}
    if "web_search_per_1000" not in row and len(searches) == 1:
        row["web_search_per_1000"] = searches.pop()
    if not row.keys() >= KINDS.keys():
        raise SystemExit(f"a variant that leaves prices to the standard row: {variant}")
    return [row]


def _start(constraint: object) -> date | None:
    match constraint:
        case None:
            return None
        case types.StartDateConstraint(start_date=start):
            return start
        case _:
            raise SystemExit(f"a constraint that this script does not know: {constraint}")


def _row(start: date | None, until: date | None, prices: types.ModelPrice) -> dict[str, Any]:
    given = {key: price for key, price in vars(prices).items() if price is not None}
    if unknown := given.keys() - set(KINDS.values()) - {WEB_SEARCH}:
        raise SystemExit(f"prices that this script does not know: {sorted(unknown)}")
    row: dict[str, Any] = {"valid_from": _iso(start), "valid_until": _iso(until)}
    kinds = {kind: given[key] for kind, key in KINDS.items() if key in given}
    row |= {kind: _base(price) for kind, price in kinds.items()}
    if WEB_SEARCH in given:
        row["web_search_per_1000"] = _base(given[WEB_SEARCH])
    if tiers := _tiers(kinds):
        row["tiers"] = tiers
    return row


def _tiers(kinds: dict[str, Any]) -> list[dict[str, Any]]:
    borders = {
        kind: {tier.start: tier.price for tier in price.tiers}
        for kind, price in kinds.items()
        if isinstance(price, types.TieredPrices)
    }
    if not borders:
        return []
    starts = {tuple(sorted(tiers)) for tiers in borders.values()}
    if borders.keys() != kinds.keys() or len(starts) != 1:
        raise SystemExit("tiers that do not hold for every kind of token")
    return [
        {"above_prompt_tokens": start}
        | {kind: _text_of(tiers[start]) for kind, tiers in borders.items()}
        for start in starts.pop()
    ]


def _base(price: Decimal | types.TieredPrices) -> str:
    return _text_of(price.base if isinstance(price, types.TieredPrices) else price)


def _text_of(price: Decimal) -> str:
    return format(price.normalize(), "f")


def _iso(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def _text(day: date, models: list[dict[str, Any]]) -> str:
    head = {
        "schema_version": 1,
        "about": ABOUT,
        "source": {
            "package": PACKAGE,
            "version": version(PACKAGE),
            "provider": PROVIDER,
            "date": day.isoformat(),
        },
        "prompt_tokens": [kind for kind in KINDS if kind != "output"],
        **NAMES,
        **BESIDES,
    }
    parts = [_member(key, value) for key, value in head.items()]
    parts.append('  "models": [\n' + ",\n".join(map(_model_text, models)) + "\n  ]")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _member(key: str, value: object) -> str:
    text = json.dumps(value, indent=2, ensure_ascii=False) if key == "about" else json.dumps(value)
    return f'  "{key}": ' + text.replace("\n", "\n  ")


def _model_text(model: dict[str, Any]) -> str:
    lines = []
    for key, value in model.items():
        if key in ("standard", *TARIFFS.values()):
            rows = ",\n".join(f"        {json.dumps(row)}" for row in value)
            lines.append(f'      "{key}": [\n{rows}\n      ]')
        else:
            lines.append(f'      "{key}": {json.dumps(value)}')
    return "    {\n" + ",\n".join(lines) + "\n    }"


if __name__ == "__main__":
    main()
