"""`acp-bridge budget`: how budgets stand, and how one is set, removed and released."""

import json
import os
import re
import tomllib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from acp_bridge.cli import main
from acp_bridge.ledger.records import ReservationRow, Row
from acp_bridge.ledger.runs import RunDirectory, new_run_id
from acp_bridge.ledger.spending import Spending
from acp_bridge.metering.usage import CostKind, Tokens
from acp_bridge.modes import BillingMode, Bucket
from acp_bridge.policy.billing_rules import POLICY_FILE
from tests.bridge.process import bridge_environment
from tests.cli.usage_command import Said, assert_wrong, write
from tests.ledger.rows import session, spent

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


# How budgets stand


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


# Setting and removing


def test_the_readmes_example_and_command_are_right(budget: Budget, config: Path) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    (example,) = re.findall(r"```toml\n(\[\[budget\]\].*?)```", readme, flags=re.DOTALL)
    configure(config, example)
    assert "25.00 USD (billed estimate) per billing cycle, from day 31" in good(budget())
    (command,) = re.findall(r"`acp-bridge budget (set [^`…]+)`", readme)
    good(budget(*command.split()))
    assert config.read_text() == example.replace('"cycle"', '"month"').replace(
        next(line for line in example.splitlines(keepends=True) if "cycle_day" in line), ""
    )


def test_a_budget_is_set_where_there_was_no_file(budget: Budget, config: Path) -> None:
    told = good(
        budget(
            *("set", "burst", "--window", "5h", "--limit-requests", "200", "--action", "cancel"),
            *("--scope", "mode=api-key", "model=*opus*", "--scope", "bucket=api"),
        )
    )
    assert tables(config) == [
        {
            "name": "burst",
            "scope": {"mode": "api-key", "model": "*opus*", "bucket": "api"},
            "window": "5h",
            "limit_requests": 200,
            "action": "cancel",
        }
    ]
    assert told.startswith(
        "budget burst: for mode api-key, bucket api, model *opus*\n"
        "  limit     200 requests in any 5 hours\n"
    )
    assert str(config) in told
    assert config.stat().st_mode & 0o777 == 0o600


def test_every_option_has_its_key(budget: Budget, config: Path) -> None:
    told = good(
        budget(
            *("set", "cycle", "--window", "cycle", "--cycle-day", "31", "--time-zone", "UTC"),
            *("--limit-usd", "25.5", "--money", "billed_estimate", "--warn-at", "0.95"),
        )
    )
    assert tables(config) == [
        {
            "name": "cycle",
            "window": "cycle",
            "cycle_day": 31,
            "time_zone": "UTC",
            "limit_usd": "25.5",
            "money": "billed_estimate",
            "warn_at": 0.95,
        }
    ]
    assert "25.50 USD (billed estimate) per billing cycle, from day 31 of the month (UTC)" in told
    assert "warns at 95 %" in told


def test_what_is_not_given_stays_and_the_same_again_changes_no_byte(
    budget: Budget, config: Path
) -> None:
    configure(config, MONTH)
    good(budget("set", "month", "--limit-usd", "30.00", "--warn-at", "0.5"))
    assert config.read_text() == MONTH.replace('"25.00"', '"30.00"') + "warn_at = 0.5\n"
    before = config.stat()
    good(budget("set", "month", "--limit-usd", "30.00", "--warn-at", "0.5"))
    assert (config.stat().st_ino, config.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_limit_of_another_unit_takes_the_old_ones_place(budget: Budget, config: Path) -> None:
    configure(config, MONTH + 'money = "list_price_equivalent"\n')
    good(budget("set", "month", "--limit-tokens", "5000000"))
    assert config.read_text() == MONTH.replace('limit_usd = "25.00"', "limit_tokens = 5000000")
    good(budget("set", "month", "--limit-usd", "25.00", "--money", "list_price_equivalent"))
    assert config.read_text() == MONTH + 'money = "list_price_equivalent"\n'


def test_a_window_takes_out_what_does_not_go_with_it(budget: Budget, config: Path) -> None:
    configure(config, MONTH.replace('"month"\ntime', '"cycle"\ncycle_day = 3\ntime'))
    good(budget("set", "month", "--window", "week"))
    assert config.read_text() == MONTH.replace('window = "month"', 'window = "week"')
    good(budget("set", "month", "--window", "session"))
    assert config.read_text() == MONTH.replace(
        'window = "month"\ntime_zone = "Europe/Zurich"\n', 'window = "session"\n'
    )


def test_a_condition_is_added_or_taken_out_of_the_scope(
    budget: Budget, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(config, MONTH)
    (tmp_path / "project" / "below").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "project" / "below")
    good(budget("set", "month", "--scope", "project=.."))
    (table,) = tables(config)
    assert table["scope"] == {"mode": "subscription", "project": str(tmp_path / "project")}
    good(budget("set", "month", "--scope", "project=~/code", "session="))
    (table,) = tables(config)
    assert table["scope"]["project"] == str(tmp_path / "home" / "code")
    good(budget("set", "month", "--scope", "project="))
    assert config.read_text() == MONTH


def test_a_removed_budget_leaves_the_rest(budget: Budget, config: Path) -> None:
    configure(config, "mode = 'B' # so\n\n" + MONTH + "\n# asked\n[endpoint]\n")
    told = good(budget("remove", "month"))
    assert told.startswith(f"Budget month is no longer in {config}.")
    assert config.read_text() == "mode = 'B' # so\n\n# asked\n[endpoint]\n"
    assert_wrong(budget("remove", "month"), "no budget 'month'", "budget set")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["month", "--limit-usd", "free"], "limit_usd cannot be 'free'"),
        (["month", "--limit-usd", "-1"], "limit_usd cannot be '-1'"),
        (["month", "--limit-tokens", "1.5"], "--limit-tokens '1.5' is no whole number"),
        (["month", "--limit-tokens", "0"], "limit_tokens cannot be 0"),
        (["month", "--limit-requests", "many"], "--limit-requests 'many'"),
        (["month", "--limit-usd", "1", "--limit-tokens", "1"], "--limit-tokens"),
        (["month", "--cycle-day", "last"], "--cycle-day 'last'"),
        (["month", "--cycle-day", "3"], 'cycle_day does not go with window "month"'),
        (["month", "--window", "fortnight"], "'fortnight'"),
        (["month", "--window", "5h", "--time-zone", "UTC"], "time_zone does not go"),
        (["month", "--time-zone", "Mars/Base"], "'Mars/Base'"),
        (["month", "--money", "billed_estimate"], "nothing is both"),
        (["month", "--warn-at", "most"], "--warn-at 'most'"),
        (["month", "--warn-at", "1.5"], "warn_at cannot be 1.5"),
        (["month", "--action", "shout"], "'shout'"),
        (["month", "--scope", "mode"], "'mode' is no KEY=VALUE"),
        (["month", "--scope", "=x"], "'=x' is no KEY=VALUE"),
        (["month", "--scope", "a b.c=x"], "scope has no key 'a b.c'"),
        (["month", "--scope", "mode=free"], "scope.mode cannot be 'free'"),
        (["new", "--limit-tokens", "5"], "it has no window"),
        (["new", "--window", "day"], "it has no limit"),
        (["new", "--window", "day", "--limit-usd", "5"], "which money"),
        (["New", "--window", "day", "--limit-tokens", "5"], "name cannot be 'New'"),
        ([os.fsdecode(b"caf\xe9"), "--window", "day"], "not UTF-8"),
        (["month", "extra"], "extra"),
        ([], "NAME"),
    ],
)
def test_what_would_be_wrong_is_not_written(
    budget: Budget, config: Path, arguments: list[str], says: str
) -> None:
    configure(config, MONTH)
    assert_wrong(budget("set", *arguments), says)
    assert config.read_text() == MONTH
    assert [one.name for one in config.parent.iterdir()] == [config.name]


def test_a_wrong_file_is_told_by_its_own_name(budget: Budget, config: Path) -> None:
    configure(config, "moed = 'A'\n")
    assert_wrong(budget("set", "a", "--window", "day", "--limit-tokens", "5"), f"in {config}\n")
    configure(config, "mode = \n")
    assert_wrong(budget("remove", "a"), f"{config} is not valid TOML")


@pytest.mark.parametrize(
    "action", [["set", "a", "--limit-tokens", "1", "--window", "day"], ["remove", "month"]]
)
def test_settings_that_contradict_each_other_are_told_also_here(
    budget: Budget, config: Path, action: list[str]
) -> None:
    configure(config, MONTH)
    assert_wrong(budget(*action, "--endpoint-url", "https://example.com"), "--endpoint-url")
    assert config.read_text() == MONTH


@pytest.mark.parametrize(
    "action",
    [["set", "a", "--limit-tokens", "1", "--window", "day"], ["remove", "month"], ["release"]],
)
def test_inside_a_bridged_session_nothing_is_changed(  # noqa: PLR0913, PLR0917 - fixtures
    budget: Budget,
    config: Path,
    path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    action: list[str],
) -> None:
    configure(config, MONTH)
    reserve(path, "held", DEAD)
    launch = tmp_path / "state" / "runs" / DEAD / "launch"
    (launch / "bin").mkdir(parents=True)
    (launch / "bin" / "claude").write_text("#!/bin/sh\n")
    (launch / "gate.py").write_text("")
    monkeypatch.setenv("PATH", f"{launch / 'bin'}:{os.environ['PATH']}")
    said = budget(*action)
    assert (said.status, said.stdout) == (3, "")
    assert f"acp-bridge budget {action[0]} does not run inside" in said.stderr
    assert config.read_text() == MONTH
    assert len(budget("--json").document["reservations"]) == 1


# Releasing


def test_what_dead_runs_hold_is_released_and_what_live_ones_hold_is_not(
    budget: Budget, config: Path, path: Path, live_run: str
) -> None:
    configure(config, MONTH)
    reserve(path, "a", live_run, requests=2, cost_micros=None)
    reserve(path, "b", DEAD)
    reserve(path, "c", DEAD, at=NOW - timedelta(minutes=5), cost_micros=None)
    document = budget("--json").document
    assert [
        (one["run_id"], one["alive"], one["requests"], one["cost_usd"], one["since"])
        for one in document["reservations"]
    ] == [
        (DEAD, False, 2, None, (NOW - timedelta(minutes=5)).isoformat()),
        (live_run, True, 2, None, NOW.isoformat()),
    ]
    page = good(budget())
    assert f"held by run {live_run}, under way: 2 requests, at most 1,000 tokens" in page
    assert page.count("`acp-bridge budget release` frees it") == 1
    assert good(budget("release")) == "2 reservations of dead runs freed.\n"
    assert [one["run_id"] for one in budget("--json").document["reservations"]] == [live_run]
    assert good(budget("release")) == "No run that is dead has anything reserved.\n"


def test_one_run_is_released_by_its_id(
    budget: Budget, config: Path, path: Path, live_run: str
) -> None:
    configure(config, "")
    other = DEAD.replace("abcdef", "fedcba")
    for number, run_id in enumerate((live_run, DEAD, other)):
        reserve(path, str(number), run_id)
    assert_wrong(budget("release", live_run), f"run {live_run} lives")
    assert good(budget("release", DEAD)) == "1 reservation of dead runs freed.\n"
    left = {one["run_id"] for one in budget("--json").document["reservations"]}
    assert left == {live_run, other}
    assert_wrong(budget("release", DEAD), "has nothing reserved")


def test_without_a_ledger_nothing_is_held(budget: Budget, config: Path, path: Path) -> None:
    configure(config, MONTH)
    assert good(budget("release")) == "No run that is dead has anything reserved.\n"
    assert_wrong(budget("release", DEAD), "has nothing reserved")
    (one,) = budget("--json").document["budgets"]
    assert (one["spent"], one["left"], one["uncounted"]) == ("0.00", "25.00", 0)
    assert not path.exists()


def test_amounts_are_exact(budget: Budget, config: Path, path: Path) -> None:
    configure(config, MONTH)
    write(path, *(spent(str(n), at=NOW, cost_micros=100_001) for n in range(3)))
    (one,) = json.loads(good(budget("--json")))["budgets"]
    assert Decimal(one["spent"]) + Decimal(one["left"]) == 25
    assert one["spent"] == "0.300003"
