"""`acp-bridge budget`: how budgets stand, on the page, in the document and as a plot."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from acp_bridge.metering.usage import CostKind, Tokens
from acp_bridge.modes import BillingMode, Bucket
from acp_bridge.policy.billing_rules import POLICY_FILE
from tests.cli.budget_command import (
    DEAD,
    MONTH,
    NOW,
    Budget,
    configure,
    good,
    reserve,
    tables,
)
from tests.cli.usage_command import assert_wrong, write
from tests.ledger.rows import session, spent

if TYPE_CHECKING:
    from acp_bridge.ledger.records import Row


def test_without_budgets_it_names_a_command_that_sets_one(budget: Budget, config: Path) -> None:
    configure(config, "mode = 'B'\n")
    page = good(budget())
    assert page.startswith("No budget is set. This sets one:\n  acp-bridge budget set ")
    good(budget(*page.splitlines()[1].split()[2:]))
    assert [table["name"] for table in tables(config)] == ["month"]
    assert not (config.parent.parent / "state").exists()


def test_the_document_says_how_a_budget_stands(budget: Budget, config: Path, path: Path) -> None:
    configure(config, MONTH)
    write(
        path,
        spent("one", at=NOW, cost_micros=20_500_000),
        spent("two", at=NOW, cost_micros=None, tokens=None),
        spent("before", at=NOW - timedelta(days=40), cost_micros=9_000_000),
        spent("other money", at=NOW, mode=BillingMode.API_KEY, cost_kind=CostKind.BILLED_ESTIMATE),
    )
    reserve(path, "held", DEAD)
    document = budget("show", "--json").document
    assert document == {
        "schema_version": 1,
        "budgets": [
            {
                "name": "month",
                "scope": {"mode": "subscription"},
                "window": "month",
                "cycle_day": None,
                "time_zone": "Europe/Zurich",
                "starts_at": "2026-10-31T23:00:00+00:00",
                "resets_at": "2026-11-30T23:00:00+00:00",
                "session_id": None,
                "limit": {
                    "unit": "usd",
                    "amount": "25.00",
                    "cost_kind": "list_price_equivalent",
                },
                "spent": "20.50",
                "reserved": "0.25",
                "left": "4.25",
                "uncounted": 1,
                "share": 0.82,
                "level": "warned",
                "action": "block",
                "warn_at": 0.8,
            }
        ],
        "pools": [],
        "reservations": [
            {
                "run_id": DEAD,
                "alive": False,
                "requests": 1,
                "tokens": 1000,
                "cost_usd": "0.25",
                "cost_kind": "list_price_equivalent",
                "since": NOW.isoformat(),
            }
        ],
    }
    assert budget("--json").document == document
    assert budget("--json", "show").document == document


def test_the_page_says_the_same_in_the_budgets_own_time(
    budget: Budget, config: Path, path: Path
) -> None:
    configure(config, MONTH)
    write(
        path,
        spent("one", at=NOW, cost_micros=20_500_000),
        spent("two", at=NOW, cost_micros=None, tokens=None),
    )
    reserve(path, "held", DEAD)
    page = good(budget())
    head, _, held = page.partition("\n\n")
    assert head == (
        "budget month: for mode subscription\n"
        "  limit     25.00 USD (list-price equivalent) per month (Europe/Zurich)\n"
        "  at limit  block: refuses further requests; warns at 80 %\n"
        "  spent     at least 20.50 (82 %), near the limit\n"
        "            beside 1 request that nobody could count\n"
        "  reserved  0.25\n"
        "  left      4.25\n"
        "  counts    since 2026-11-01 00:00 +01:00\n"
        "  resets    on 2026-12-01 00:00 +01:00"
    )
    assert held.startswith(
        f"held by run {DEAD}, which was killed under way: 1 request, at most 1,000 tokens and"
        " 0.25 USD (list price equivalent), since "
    )
    assert held.endswith("\n            `acp-bridge budget release` frees it\n")


def test_tokens_and_requests_are_numbers(budget: Budget, config: Path, path: Path) -> None:
    configure(
        config,
        "[[budget]]\nname = 'a'\nwindow = '5h'\nlimit_tokens = 100\naction = 'cancel'\n"
        "[[budget]]\nname = 'b'\nwindow = '1h'\nlimit_requests = 2\naction = 'warn'\n",
    )
    write(path, spent("one", at=NOW - timedelta(hours=2), tokens=Tokens(output=100)))
    one, other = budget("--json").document["budgets"]
    assert one["limit"] == {"unit": "tokens", "amount": 100, "cost_kind": None}
    assert (one["spent"], one["left"], one["level"]) == (100, 0, "reached")
    assert (one["starts_at"] is None, one["resets_at"]) == (
        False,
        (NOW + timedelta(hours=3)).isoformat(),
    )
    assert (other["spent"], other["left"], other["share"]) == (0, 2, 0)
    page = good(budget())
    assert "100 tokens in any 5 hours" in page
    assert "spent     100 (100 %), the limit is reached\n" in page
    assert "cancel: refuses further requests and cancels the turn under way" in page
    assert "2 requests in any hour" in page
    assert "warn: only tells" in page


def test_one_budget_is_shown_by_its_name(budget: Budget, config: Path) -> None:
    configure(config, MONTH + MONTH.replace('"month"\nscope', '"other"\nscope'))
    assert [one["name"] for one in budget("show", "other", "--json").document["budgets"]] == [
        "other"
    ]
    assert_wrong(budget("show", "third"), "no budget 'third'", "the budgets are month, other")


def test_a_budget_by_session_shows_the_clients_session_that_used_most(
    budget: Budget, config: Path, path: Path
) -> None:
    configure(
        config,
        "[[budget]]\nname = 'each'\nscope = { project = '/project', model = 'opus' }\n"
        "window = 'session'\nlimit_requests = 10\n",
    )
    assert "spent     nothing in any session yet" in good(budget())
    rows: list[Row] = [session("raw-1"), session("raw-2")]  # both of the session "client"
    rows += [spent(f"c{n}", session_id=f"raw-{n % 2 + 1}") for n in range(5)]
    rows += [spent(f"o{n}", session_id="other") for n in range(4)]
    rows += [spent(f"e{n}", session_id="elsewhere", project="/projects") for n in range(9)]
    rows += [spent(f"h{n}", session_id="haiku", model="haiku") for n in range(9)]
    write(path, *rows)
    (one,) = budget("--json").document["budgets"]
    assert (one["session_id"], one["spent"], one["left"]) == ("client", 5, 5)
    assert (one["starts_at"], one["resets_at"]) == (None, None)
    page = good(budget())
    assert "limit     10 requests per session\n" in page
    assert "most      session client\n  spent     5 (50 %)\n" in page


def test_a_budget_of_one_session_is_of_that_session(
    budget: Budget, config: Path, path: Path
) -> None:
    configure(
        config,
        "[[budget]]\nname = 'this'\nscope = { session = 's-1' }\nwindow = 'session'\n"
        "limit_requests = 10\n",
    )
    write(path, spent("a", session_id="s-1"), spent("b", session_id="s-2"))
    (one,) = budget("--json").document["budgets"]
    assert (one["session_id"], one["spent"]) == (None, 1)


def test_a_pool_that_is_not_in_force_counts_nothing(budget: Budget, config: Path) -> None:
    configure(config, "plan = 'max-20x'\n")
    page = good(budget())
    assert "plan max-20x: 200.00 USD a month programmatic credit, no rollover: not in force" in page
    assert "(paused 2026-06-15)" in page
    assert budget("--json").document["pools"] == [
        {
            "plan": "max-20x",
            "usd": "200",
            "bucket": "programmatic_credit",
            "window": "month",
            "rolls_over": False,
            "in_force": False,
            "status": "paused",
            "since": "2026-06-15",
            "rule": "programmatic-credit",
            "budget": None,
        }
    ]


def test_a_pool_in_force_is_a_budget_that_comes_ready_made(
    budget: Budget, config: Path, path: Path
) -> None:
    configure(config, "plan = 'max-20x'\n" + MONTH)
    config.with_name(POLICY_FILE).write_text(
        'schema_version = 1\nextends = "shipped"\n[[rules]]\nid = "programmatic-credit"\n'
        'history = [{ from = 2026-10-01, status = "in_force" }]\n'
    )
    write(path, spent("a", at=NOW, cost_micros=50_000_000, bucket=Bucket.PROGRAMMATIC_CREDIT))
    document = budget("--json").document
    (pool,) = document["pools"]
    assert [one["name"] for one in document["budgets"]] == ["month"]
    assert (pool["in_force"], pool["status"]) == (True, "in_force")
    assert (pool["budget"]["spent"], pool["budget"]["left"]) == ("50.00", "150.00")
    assert pool["budget"]["scope"] == {"bucket": "programmatic_credit"}
    page = good(budget())
    assert "programmatic credit, no rollover: in force\n  limit     200.00 USD" in page
    assert "spent     50.00 (25 %)\n  left      150.00\n" in page
    assert "budget plan:max-20x: 200.0000 USD\n" in good(budget("--plot"))
    assert "budget plan" not in good(budget("show", "month", "--plot"))


def test_a_plot_burns_a_budget_down_by_days_of_its_zone(
    budget: Budget, config: Path, path: Path
) -> None:
    configure(config, MONTH.replace('window = "month"', 'window = "week"'))
    write(
        path,
        spent("before", at=datetime(2026, 11, 22, 22, 59, tzinfo=UTC), cost_micros=9_000_000),
        spent("monday", at=datetime(2026, 11, 22, 23, 0, tzinfo=UTC), cost_micros=4_000_000),
        spent("monday, late", at=datetime(2026, 11, 23, 22, 59, tzinfo=UTC), cost_micros=1_000_000),
        spent("tuesday", at=datetime(2026, 11, 23, 23, 0, tzinfo=UTC), cost_micros=4_000_000),
        spent("other money", at=NOW, mode=BillingMode.API_KEY),
    )
    page = good(budget("--plot"))
    lines = [line.split() for line in page.splitlines()]
    assert page.startswith("budget month: 25.0000 USD\n")
    assert [(line[0], line[-1]) for line in lines[2:4]] == [
        ("2026-11-23", "20.0000"),
        ("2026-11-24", "16.0000"),
    ]
    assert "\n9.0000 USD spent, 16.0000 left\n" in page
    assert page.endswith("at this rate used up on 2026-11-27, 3 days before it resets\n")


def test_a_plot_of_tokens_counts_tokens(budget: Budget, config: Path, path: Path) -> None:
    configure(config, "[[budget]]\nname = 'a'\nwindow = 'day'\nlimit_tokens = 1000\n")
    write(path, spent("a", at=NOW, tokens=Tokens(input=10, cache_read=90)))
    assert "\n100 tokens spent, 900 left\n" in good(budget("show", "a", "--plot"))


def test_what_has_no_days_has_no_plot(budget: Budget, config: Path) -> None:
    configure(config, "[[budget]]\nname = 'a'\nwindow = '5h'\nlimit_tokens = 1000\n")
    assert_wrong(budget("--plot"), "no budget to plot")
    assert_wrong(budget("show", "a", "--plot"), "budget a has no days", "day, week, month or cycle")
    assert_wrong(budget("--plot", "--json"), "--json and --plot")


def test_a_wrong_budget_is_told_and_can_be_taken_out(budget: Budget, config: Path) -> None:
    configure(config, MONTH.replace("25.00", "free"))
    assert_wrong(budget(), "budget month in", "limit_usd")
    good(budget("remove", "month"))
    assert config.read_text() == ""


def test_amounts_are_exact(budget: Budget, config: Path, path: Path) -> None:
    configure(config, MONTH)
    write(path, *(spent(str(n), at=NOW, cost_micros=100_001) for n in range(3)))
    (one,) = json.loads(good(budget("--json")))["budgets"]
    assert Decimal(one["spent"]) + Decimal(one["left"]) == 25
    assert one["spent"] == "0.300003"
