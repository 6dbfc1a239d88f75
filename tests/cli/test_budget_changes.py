"""`acp-bridge budget set`, `remove` and `release`: what they change, and what they leave."""

import os
import re
from datetime import timedelta
from pathlib import Path

import pytest

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
from tests.cli.usage_command import assert_wrong


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
