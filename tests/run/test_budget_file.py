"""The user's budgets: read from the file, and anew when it has changed."""

import os
from datetime import date
from pathlib import Path

import pytest

from acp_bridge.errors import ConfigurationError
from acp_bridge.launch.policy_file import load_policy
from acp_bridge.run.budget_file import BudgetFile, plan_pools, users_budgets
from acp_bridge.settings import Settings, load_settings

MONTH = '[[budget]]\nname = "month"\nwindow = "month"\nlimit_requests = {}\n'


def settings_of(path: Path, text: str) -> Settings:
    path.write_text(text)
    return load_settings(environ={"ACP_BRIDGE_CONFIG": str(path), "HOME": "/nowhere"})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def limits(budgets: BudgetFile) -> list[int]:
    return [one.limit.amount for one in budgets.current()]


def test_a_file_without_budgets_has_none(path: Path) -> None:
    assert users_budgets(settings_of(path, 'mode = "api-key"\n')) == ()


def test_a_wrong_budget_is_named_with_its_file(path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"month.*config\.toml") as caught:
        users_budgets(settings_of(path, MONTH.format("0")))
    assert caught.value.hint


def test_the_home_in_a_project_is_expanded(path: Path) -> None:
    text = MONTH.format("5") + 'scope = { project = "~/work" }\n'
    (budget,) = users_budgets(settings_of(path, text))
    assert budget.scope.project == os.path.expanduser("~/work")  # noqa: PTH111 - as it is kept


def test_a_budget_that_is_raised_holds_at_once(path: Path) -> None:
    settings = settings_of(path, MONTH.format("5"))
    budgets = BudgetFile(settings, users_budgets(settings))
    assert limits(budgets) == [5]
    path.write_text(MONTH.format("50"))
    assert limits(budgets) == [50]


def test_what_was_read_last_holds_while_the_file_is_wrong_or_gone(path: Path) -> None:
    settings = settings_of(path, MONTH.format("5"))
    failed: list[ConfigurationError] = []
    budgets = BudgetFile(settings, users_budgets(settings), failed.append)
    path.write_text(MONTH.format("-7"))
    assert [limits(budgets), limits(budgets)] == [[5], [5]]
    assert len(failed) == 1
    path.unlink()
    assert limits(budgets) == [5]
    path.write_text(MONTH.format("6"))
    assert limits(budgets) == [6]
    assert len(failed) == 1


def test_an_editor_that_empties_the_file_before_it_writes_it_lifts_no_limit(path: Path) -> None:
    settings = settings_of(path, MONTH.format("5"))
    budgets = BudgetFile(settings, users_budgets(settings))
    path.write_text("")
    assert limits(budgets) == [5]
    long_ago = path.stat().st_mtime - 60
    os.utime(path, (long_ago, long_ago))
    assert limits(budgets) == []


def test_budgets_that_were_taken_out_hold_no_more(path: Path) -> None:
    settings = settings_of(path, MONTH.format("5"))
    budgets = BudgetFile(settings, users_budgets(settings))
    path.write_text("# none\n")
    assert limits(budgets) == []


@pytest.mark.parametrize("plan", ["", 'plan = "max-20x"\n'])
def test_a_pool_that_is_not_in_force_is_no_budget(path: Path, plan: str) -> None:
    settings = settings_of(path, plan)
    assert plan_pools(settings, load_policy(None), date(2026, 11, 26)) == ()
