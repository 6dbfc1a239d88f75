"""What Claude Code says that real turns cost, beside what the shipped price list says."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import anyio
import pytest

from acp_bridge.launch.price_file import load_prices
from acp_bridge.loopback.script import Usage
from acp_bridge.metering.prices import Terms
from acp_bridge.metering.usage import UsageEntry
from tests.metering.priced import PricedTurn, play

pytestmark = pytest.mark.agent

PRICES = load_prices()

PLAIN = {
    "no cache": Usage(11_003, 211),
    "cache read": Usage(1_009, 223, 30_011),
    "five-minute writes": Usage(1_013, 227, 0, 4_001),
    "one-hour writes": Usage(1_019, 229, 0, 0, 5_003),
    "all of them": Usage(1_021, 233, 30_013, 4_003, 5_009),
}
# The border of haiku is 100,000 tokens of prompt, cached or not.
BORDER = {
    "on the border": Usage(60_000, 240, 20_000, 15_000, 5_000),
    "one token of input above it": Usage(60_001, 241, 20_000, 15_000, 5_000),
    "one token read above it": Usage(60_000, 251, 20_001, 15_000, 5_000),
    "one five-minute write above it": Usage(60_000, 257, 20_000, 15_001, 5_000),
    "one one-hour write above it": Usage(60_000, 263, 20_000, 15_000, 5_001),
    "output does not count": Usage(99_000, 2_003),
}
FAR = {"far above it": Usage(60_007, 269, 320_007, 15_013, 5_023)}
TERMS: dict[str, Terms] = {
    "fast mode": {"speed": "fast"},
    "standard speed": {"speed": "standard"},
    "in the United States": {"inference_geo": "us"},
    "anywhere": {"inference_geo": "global"},
    "web searches": {"server_tools": {"web_search_requests": 3, "web_fetch_requests": 2}},
    "all at once": {
        "speed": "fast",
        "inference_geo": "us",
        "server_tools": {"web_search_requests": 7},
    },
}


def words(terms: Terms) -> dict[str, object]:
    """What the usage of an answer says."""
    told: dict[str, object] = dict(terms)
    if "server_tools" in told:
        told["server_tool_use"] = told.pop("server_tools")
    return told


def list_price(model: str | None, told: UsageEntry, terms: Terms | None = None) -> int | None:
    """Our cost of what an entry tells, in micro-dollars."""
    assert told.tokens is not None
    return PRICES.cost_micros(model, told.tokens, told.at, **(terms or {}))


MODELS = ("opus", "sonnet", "fable", "haiku")
# 24,194.5 micro-dollars, exactly.
ON_A_HALF = PricedTurn("haiku", Usage(60_000, 30_239, 20_000, 15_000, 5_000))
ANSWERED_BY_ANOTHER = PricedTurn("opus", Usage(1_061, 317), answered="claude-haiku-5-5")
PRIORITY = PricedTurn("opus", Usage(1_063, 331), {"service_tier": "priority"})
FAST_HAIKU = PricedTurn("haiku", Usage(1_069, 337), {"speed": "fast"})
# No two turns say the same, so that each can be told apart.
PLAIN_TURNS = {
    (model, name): PricedTurn(model, replace(usage, output_tokens=usage.output_tokens + more))
    for model, more in zip(MODELS, range(0, 40_000, 10_000), strict=True)
    for name, usage in (PLAIN | (BORDER if model == "haiku" else FAR)).items()
}
TERMS_TURNS = {
    name: PricedTurn("opus", Usage(1_031 + place, 311, 30_029, 4_007, 5_011), words(terms))
    for place, (name, terms) in enumerate(TERMS.items())
}
TURNS = [
    *PLAIN_TURNS.values(),
    *TERMS_TURNS.values(),
    ON_A_HALF,
    ANSWERED_BY_ANOTHER,
    PRIORITY,
    FAST_HAIKU,
]

Told = Mapping[Usage, UsageEntry]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """What Claude Code said of every turn, all taken in one session: starting it is what lasts."""
    entries = anyio.run(play, tmp_path_factory.mktemp("priced"), TURNS)
    return {turn.usage: entry for turn, entry in zip(TURNS, entries, strict=True)}


def test_our_cost_of_every_turn_is_claude_codes_to_the_micro_dollar(told: Told) -> None:
    entries = {turn: told[priced.usage] for turn, priced in PLAIN_TURNS.items()}
    assert {model: entries[model, "no cache"].model for model in MODELS} == {
        "opus": "claude-opus-5-5",
        "sonnet": "claude-sonnet-5-5",
        "haiku": "claude-haiku-5-5",
        "fable": "claude-fable-5-1",
    }
    ours = {turn: list_price(entry.model, entry) for turn, entry in entries.items()}
    assert ours == {turn: entry.cost_micros for turn, entry in entries.items()}


def test_what_else_an_answer_says_changes_both_prices_alike(told: Told) -> None:
    entries = {name: told[priced.usage] for name, priced in TERMS_TURNS.items()}
    ours = {name: list_price(one.model, one, TERMS[name]) for name, one in entries.items()}
    assert ours == {name: entry.cost_micros for name, entry in entries.items()}
    usual = {name: list_price(entry.model, entry) for name, entry in entries.items()}
    assert {name for name in TERMS if ours[name] == usual[name]} == {"standard speed", "anywhere"}


def test_on_half_a_micro_dollar_claude_codes_binary_sum_may_round_the_other_way(
    told: Told,
) -> None:
    """The only difference in arithmetic that was seen."""
    entry = told[ON_A_HALF.usage]
    assert entry.tokens is not None
    assert PRICES.cost(entry.model, entry.tokens, entry.at) == Decimal("0.0241945")
    assert (list_price(entry.model, entry), entry.cost_micros) == (24_195, 24_194)


def test_claude_code_prices_the_model_it_asked_for_and_names_the_one_that_answered(
    told: Told,
) -> None:
    entry = told[ANSWERED_BY_ANOTHER.usage]
    assert entry.model == "claude-haiku-5-5"
    assert entry.cost_micros == list_price("claude-opus-5-5", entry)
    assert entry.cost_micros != list_price("claude-haiku-5-5", entry)


@pytest.mark.parametrize("turn", [PRIORITY, FAST_HAIKU], ids=["priority", "fast haiku"])
def test_what_the_list_has_no_price_for_claude_code_prices_as_usual(
    turn: PricedTurn, told: Told
) -> None:
    entry = told[turn.usage]
    assert entry.cost_micros == list_price(entry.model, entry)
    unlisted: Terms = {"service_tier": "priority"} if turn is PRIORITY else {"speed": "fast"}
    assert list_price(entry.model, entry, unlisted) is None


@pytest.mark.parametrize("unknown", ["claude-fable-5-2", "claude-nobody-1"])
async def test_claude_code_prices_a_model_it_does_not_know_like_its_default_model(
    unknown: str, tmp_path: Path
) -> None:
    """Fable 5.2 is younger than Claude Code 2.1.316, and in the list at twice the price."""
    turn = PricedTurn(None, PLAIN["all of them"])
    (entry,) = await play(tmp_path, [turn], {"ANTHROPIC_MODEL": unknown})

    assert entry.model == unknown
    assert entry.cost_micros == list_price("claude-opus-5-5", entry)
    assert entry.cost_micros != list_price(unknown, entry)
