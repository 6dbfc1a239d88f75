"""Plots in the terminal: spend per day by bucket, and a budget that burns down."""

import io
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acp_bridge.inspect.plots import Allowance, DaySpending, burn_down, projection, spend_by_day
from acp_bridge.inspect.screen import Pattern, Screen
from acp_bridge.metering.usage import CostKind
from acp_bridge.modes import BillingMode, Bucket
from tests.bridge.process import bridge_environment
from tests.cli.usage_command import Usage, write
from tests.ledger.rows import spent

NARROW, ASCII = Screen(40), Screen(40, has_blocks=False)


def day(number: int, **buckets: str | None) -> DaySpending:
    known = {name: None if cost is None else Decimal(cost) for name, cost in buckets.items()}
    return DaySpending(date(2026, 11, number), known)


SPENDING = [
    day(2, plan_limits="3", extra_usage="1"),
    day(3, plan_limits="0.01"),
    day(5, plan_limits=None),
    day(6, plan_limits="-0.5", unknown="2"),
]


def test_each_day_is_a_bar_stacked_by_bucket() -> None:
    assert spend_by_day("Spent", SPENDING, date(2026, 11, 7), NARROW) == (
        "Spent\n"
        "\n"
        "2026-11-02  ███████████████▓▓▓▓▓  4.0000\n"
        "2026-11-03  █                     0.0100\n"
        "2026-11-04                             -\n"
        "2026-11-05                             ?\n"
        "2026-11-06  ░░░░░░░░░░            1.5000\n"
        "2026-11-07                             -\n"
        "\n"
        "██ plan_limits  2.5100 USD\n"
        "▓▓ extra_usage  1.0000 USD\n"
        "░░ unknown  2.0000 USD\n"
        "total  5.5100 USD\n"
    )


def test_a_terminal_without_block_elements_gets_ascii() -> None:
    page = spend_by_day("Spent", SPENDING, date(2026, 11, 2), ASCII)
    assert page.isascii()
    assert "2026-11-02  ###############=====  4.0000\n" in page
    assert "## plan_limits" in page


def test_colour_repeats_the_pattern() -> None:
    page = spend_by_day("Spent", [day(2, api="1")], date(2026, 11, 2), Screen(40, has_colour=True))
    assert f"2026-11-02  \033[32m{'▚' * 20}\033[0m  1.0000\n" in page
    assert "\033[32m▚▚\033[0m api  1.0000 USD\n" in page


def test_of_one_bucket_there_is_no_total() -> None:
    page = spend_by_day("Spent", [day(2, api="1")], date(2026, 11, 2), NARROW)
    assert page.endswith("\n▚▚ api  1.0000 USD\n")


def test_every_bucket_has_a_pattern_of_its_own() -> None:
    spending = [DaySpending(date(2026, 11, 2), dict.fromkeys(Bucket, Decimal(1)))]
    legend = spend_by_day("Spent", spending, date(2026, 11, 2), NARROW).splitlines()[4:-1]
    assert len({line[:2] for line in legend}) == len(Bucket) == len(legend)


@given(
    st.dictionaries(st.sampled_from(Bucket), st.decimals(0, 1000, places=6), min_size=1),
    st.dictionaries(st.sampled_from(Bucket), st.decimals(0, 1000, places=6), min_size=1),
)
def test_bars_fit_and_are_as_long_as_their_sums(
    one: dict[str, Decimal], other: dict[str, Decimal]
) -> None:
    spending = [DaySpending(date(2026, 11, 2), one), DaySpending(date(2026, 11, 3), other)]
    lines = spend_by_day("", spending, date(2026, 11, 3), ASCII).splitlines()[2:4]
    assert {len(line) for line in lines} == {40}
    bars = [len(line[12:].split(" ")[0]) for line in lines]
    sums = [sum(of.values(), Decimal(0)) for of in (one, other)]
    most = max(sums)
    for bar, total, of in zip(bars, sums, (one, other), strict=True):
        room = 40 - 12 - 2 - max(len(f"{each:,.4f}") for each in sums)
        parts = sum(cost > 0 for cost in of.values())
        assert (bar > 0) == (total > 0)
        assert abs(bar - total * room / (most or 1)) <= max(1, parts)


def test_small_parts_have_a_cell_each_which_the_longest_gives() -> None:
    costs = {"plan_limits": "999", "extra_usage": "0.1", "programmatic_credit": "0.1"}
    page = spend_by_day("Spent", [day(2, **costs)], date(2026, 11, 2), NARROW)
    assert f"2026-11-02  {'█' * 16}▓▒  999.2000\n" in page


def test_the_command_draws_each_kind_of_money_apart(path: Path, usage: Usage) -> None:
    today = datetime.now(UTC)
    api = {"mode": BillingMode.API_KEY, "bucket": Bucket.API}
    write(
        path,
        spent("a", at=today),
        spent("b", at=today - timedelta(days=1), bucket=Bucket.EXTRA_USAGE),
        spent("c", at=today, cost_kind=CostKind.BILLED_ESTIMATE, **api),  # type: ignore[arg-type]
        spent("d", at=today, cost_micros=None),
        spent("old", at=today - timedelta(days=40), cost_micros=9_000_000),
    )
    page = usage("--plot").stdout
    billed, listed, unpriced = page.split("\n\nSpent")[0], page, page.splitlines()[-1]
    assert ", estimated bill, USD" in billed.splitlines()[0]
    assert ", at list price, used on a subscription, USD" in listed
    assert "api  0.0015 USD" in billed
    assert "plan_limits  0.0015 USD" in listed
    assert "extra_usage  0.0015 USD" in listed
    assert "total  0.0030 USD" in listed
    assert unpriced == "entries without a known cost, which are in no bar: 1"
    first, last = (datetime.now().astimezone().date() - timedelta(days=ago) for ago in (29, 0))
    assert page.startswith(f"Spent from {first} to {last}, estimated bill")
    assert "9.0" not in page


def test_the_period_may_be_another(path: Path, usage: Usage) -> None:
    write(
        path,
        *(spent(str(day), at=datetime(2026, 3, day, 12, tzinfo=UTC)) for day in (1, 3, 4, 9)),
    )
    page = usage("--plot", "--since", "2026-03-02", "--until", "2026-03-06").stdout
    head, _, *bars = page.splitlines()
    assert head.startswith("Spent from 2026-03-02 to 2026-03-05,")
    assert [line[:10] for line in bars[:3]] == ["2026-03-03", "2026-03-04", "2026-03-05"]
    assert bars[3] == ""
    assert usage("--plot", "--until", "2026-03-06").stdout.startswith("Spent from 2026-02-04 to ")


def test_where_nothing_was_spent_the_command_says_so(path: Path, usage: Usage) -> None:
    assert usage("--plot").stdout.startswith("Nothing is recorded for that.")
    assert not path.exists()


def test_in_a_pipe_without_utf_8_the_plot_is_ascii_and_has_no_colour(tmp_path: Path) -> None:
    env = bridge_environment(tmp_path, state_dir=str(tmp_path))
    write(tmp_path / "ledger.sqlite3", spent("a", at=datetime.now(UTC)))
    argv = [sys.executable, "-m", "acp_bridge", "usage", "--plot"]
    env |= {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "COLUMNS": "50", "TERM": "xterm"}
    done = subprocess.run(argv, env=env, capture_output=True, check=True, timeout=60)
    assert done.stdout.isascii()
    assert f"  {'#' * 30}  0.0015\n".encode() in done.stdout


class Terminal(io.TextIOWrapper):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


def terminal(encoding: str = "utf-8") -> Terminal:
    return Terminal(io.BytesIO(), encoding=encoding)


def test_colour_is_for_terminals_that_have_it_and_users_who_want_it() -> None:
    assert Screen.of(terminal(), {"TERM": "xterm"}, 80) == Screen(80, has_colour=True)
    assert not Screen.of(terminal(), {"NO_COLOR": "1"}, 80).has_colour
    assert Screen.of(terminal(), {"NO_COLOR": ""}, 80).has_colour
    assert Screen.of(terminal(), {"TERM": "dumb"}, 80) == ASCII_80
    pipe = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    assert Screen.of(pipe, {"TERM": "xterm"}, 80) == Screen(80)


ASCII_80 = Screen(80, has_blocks=False)


def test_block_elements_are_for_encodings_that_have_them() -> None:
    assert not Screen.of(terminal("latin-1"), {}, 80).has_blocks
    assert Screen.of(terminal(), {}, 80).has_blocks
    assert not Screen.of(io.StringIO(), {}, 80).has_blocks


def test_a_wide_terminal_is_not_filled() -> None:
    assert Screen.of(terminal(), {}, 400).columns == 120


def test_each_pattern_is_told_apart_without_colour() -> None:
    for screen in (NARROW, ASCII):
        assert len({screen.bar([(pattern, 1)]) for pattern in Pattern}) == len(Pattern)


BERLIN = timezone(timedelta(hours=1))
BEGIN = datetime(2026, 12, 1, tzinfo=BERLIN)
END = datetime(2026, 12, 11, tzinfo=BERLIN)
TEN = Allowance("pool", Decimal(10), "USD", BEGIN, END)


def december(**spent: str) -> dict[date, Decimal]:
    return {date(2026, 12, int(name[1:])): Decimal(cost) for name, cost in spent.items()}


def at(number: float) -> datetime:
    return BEGIN + timedelta(days=number)


def test_a_budget_that_will_be_used_up_burns_down_to_the_day() -> None:
    page = burn_down(TEN, december(d1="1", d3="4.4"), at(3), NARROW)
    assert page == (
        "pool: 10.0000 USD\n"
        "\n"
        "2026-12-01  █████████████████     9.0000\n"
        "2026-12-02  █████████████████     9.0000\n"
        "2026-12-03  █████████             4.6000\n"
        "2026-12-04  █████████             4.6000\n"
        "2026-12-05  ░░                   ~1.0000\n"
        "2026-12-06                       ~0.0000\n"
        "\n"
        "██ left at the end of the day, today so far  ░░ at this rate\n"
        "5.4000 USD spent, 4.6000 left\n"
        "at this rate used up on 2026-12-06, 5 days before it resets\n"
    )


def test_a_budget_that_lasts_is_projected_to_its_reset() -> None:
    page = burn_down(TEN, december(d1="1"), at(2), ASCII)
    assert page.splitlines()[-1] == "at this rate it lasts until it resets on 2026-12-11"
    assert "2026-12-10  ..........           ~5.0000\n" in page
    assert "2026-12-11  " not in page


def test_of_an_overspent_budget_nothing_is_left() -> None:
    page = burn_down(TEN, december(d1="6", d2="5"), at(2.5), NARROW)
    lines = page.splitlines()
    assert lines[3].split() == ["2026-12-02", "-1.0000"]
    assert lines[-1] == "used up on 2026-12-02"
    assert lines[-2] == "11.0000 USD spent, -1.0000 left"
    assert "at this rate" not in page


def test_tokens_are_whole_numbers() -> None:
    allowance = Allowance("tokens a month", Decimal(2_000_000), "tokens", BEGIN, None)
    page = burn_down(allowance, december(d1="500000"), at(0.5), NARROW)
    assert "500,000 tokens spent, 1,500,000 left" in page
    assert page.startswith("tokens a month: 2,000,000 tokens\n")
    assert "." not in page


@pytest.mark.parametrize(
    ("spent", "now", "said"),
    [
        ({}, 3, "nothing spent yet"),
        ({"d1": "0"}, 3, "nothing spent yet"),
        ({"d1": "-1"}, 3, "nothing spent yet"),
        ({"d1": "1"}, 0, "too early to tell the rate"),
        ({"d1": "1"}, -1, "too early to tell the rate"),
        ({"d1": "10"}, 1, "used up on 2026-12-01"),
        ({"d1": "9.999999", "d2": "0.000001"}, 2, "used up on 2026-12-02"),
        ({"d1": "5"}, 1, "at this rate used up on 2026-12-03, 8 days before it resets"),
        ({"d1": "6"}, 5.5, "at this rate used up on 2026-12-10, 1 day before it resets"),
        ({"d1": "1"}, 1, "at this rate it lasts until it resets on 2026-12-11"),
        ({"d1": "1"}, 0.999, "at this rate used up on 2026-12-10, 1 day before it resets"),
    ],
)
def test_the_projection_goes_by_the_rate_since_the_window_began(
    spent: dict[str, str], now: float, said: str
) -> None:
    assert projection(TEN, december(**spent), at(now)) == said


def test_a_budget_may_be_used_up_on_the_day_it_resets() -> None:
    noon = Allowance("", Decimal(10), "USD", BEGIN, datetime(2026, 12, 11, 12, tzinfo=BERLIN))
    assert projection(noon, december(d1="5"), at(5.1)) == (
        "at this rate used up on 2026-12-11, the day it resets"
    )


@pytest.mark.parametrize(
    ("spent", "said"),
    [
        ("5", "at this rate used up on 2026-12-03"),
        ("0.000001", "at this rate it lasts for thousands of years"),
    ],
)
def test_a_budget_that_never_resets_has_no_days_before_it(spent: str, said: str) -> None:
    limit = Decimal(10)
    assert projection(Allowance("", limit, "USD", BEGIN, None), december(d1=spent), at(1)) == said


def test_a_budget_of_nothing_admits_nothing() -> None:
    nothing = Allowance("none", Decimal(0), "USD", BEGIN, END)
    assert projection(nothing, {}, at(1)) == "nothing may be spent"
    assert burn_down(nothing, {}, at(1), NARROW).endswith("nothing may be spent\n")


def test_the_last_day_is_projected_to_the_moment_of_the_reset() -> None:
    noon = Allowance("", Decimal(10), "USD", BEGIN, datetime(2026, 12, 11, 12, tzinfo=BERLIN))
    page = burn_down(noon, december(d1="4"), at(5), NARROW)
    assert [line.split()[-1] for line in page.splitlines() if "-11 " in line] == ["~1.6000"]


def test_a_day_is_one_of_the_zone_of_now() -> None:
    end = datetime(2026, 12, 10, 23, tzinfo=UTC)  # midnight there
    utc = Allowance("pool", Decimal(10), "USD", BEGIN.astimezone(UTC), end)
    spent = december(d1="1", d3="5")
    assert burn_down(utc, spent, at(3), NARROW) == burn_down(TEN, spent, at(3), NARROW)


def test_of_a_long_window_only_some_days_are_shown_with_today_among_them() -> None:
    year = Allowance("year", Decimal(1000), "USD", BEGIN, BEGIN + timedelta(days=365))
    lines = burn_down(year, december(d1="1"), at(101), NARROW).splitlines()
    shown = [line[:10] for line in lines if line.startswith("202")]
    assert len(shown) <= 64
    assert str(at(101).date()) in shown
    assert shown[-1] == "2027-11-30"


def test_a_window_that_has_not_begun_has_no_days() -> None:
    page = burn_down(TEN, {}, at(-1), NARROW)
    assert page.endswith("0.0000 USD spent, 10.0000 left\nnothing spent yet\n")
