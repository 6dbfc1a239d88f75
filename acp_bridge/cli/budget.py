"""``acp-bridge budget``: how budgets stand; set one, remove one, release what dead runs hold."""

import argparse
import json
import os
import shutil
import sys
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from acp_bridge.cli.budget_options import changes, declare_set
from acp_bridge.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from acp_bridge.cli.arguments import Arguments
    from acp_bridge.inspect.budget_standings import Standings
    from acp_bridge.policy.budgets import Budget
    from acp_bridge.settings import Settings

_RUNNING = "Bridges that began with a budget take it up at once, others when they start again."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions and their options; without an action it is ``show``."""
    from acp_bridge.cli.arguments import add_actions  # noqa: PLC0415 - it imports this module

    _declare_shapes(parser)
    add_actions(parser, "budget", _ACTIONS)


def run(arguments: "Arguments") -> int:
    """Do what was asked; returns the exit status."""
    match arguments.options.action:
        case "set":
            _set(arguments)
        case "remove":
            _remove(arguments)
        case "release":
            _release(arguments)
        case _:
            _show(arguments)
    return 0


def _declare_shapes(parser: argparse.ArgumentParser) -> None:
    # Without a default: an action's own would undo what was given before its name.
    parser.add_argument(
        "--json",
        action="store_true",
        default=argparse.SUPPRESS,
        help="print the document, not the page",
    )
    parser.add_argument(
        "--plot",
        action="store_true",
        default=argparse.SUPPRESS,
        help="draw how budgets of the calendar burn down, and when they will be used up",
    )


def _declare_show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", nargs="?", help="one budget only")
    _declare_shapes(parser)


def _declare_remove(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the budget's")


def _declare_release(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_id", metavar="RUN_ID", nargs="?", help="of this run only")


_ACTIONS = {
    "show": ("how each budget stands (the default action)", _declare_show),
    "set": ("add a budget to the configuration file, or change one", declare_set),
    "remove": ("take a budget out of the configuration file", _declare_remove),
    "release": ("free what runs have reserved that were killed under way", _declare_release),
}


def _show(arguments: "Arguments") -> None:
    from acp_bridge.inspect.budget_standings import look  # noqa: PLC0415 - with its action
    from acp_bridge.inspect.budgets import budgets_document, render  # noqa: PLC0415
    from acp_bridge.launch.policy_file import load_policy, users_policy  # noqa: PLC0415
    from acp_bridge.run.budget_file import users_budgets  # noqa: PLC0415
    from acp_bridge.settings import load_settings  # noqa: PLC0415 - heavy

    options = arguments.options
    as_json, as_plot = (getattr(options, name, False) for name in ("json", "plot"))
    if as_json and as_plot:
        raise ConfigurationError(
            "--json and --plot are different shapes of the same", hint="leave out one of them"
        )
    settings = load_settings(arguments.flags)
    name = getattr(options, "name", None)
    budgets = _named(users_budgets(settings), name, settings)
    now = datetime.now().astimezone()
    policy = load_policy(users_policy(settings.config_file))
    found = look(settings, budgets, policy, now)
    if as_json:
        sys.stdout.write(json.dumps(budgets_document(found), indent=2) + "\n")
    elif as_plot:
        sys.stdout.write(_plotted(found, settings, now, name))
    else:
        sys.stdout.write(render(found, example=_example(settings)))


def _named(budgets: "Sequence[Budget]", name: str | None, settings: "Settings") -> "list[Budget]":
    from acp_bridge.run.budget_edit import unknown_budget  # noqa: PLC0415 - with its action

    named = [one for one in budgets if name in (None, one.name)]
    if name is not None and not named:
        raise unknown_budget(name, [one.name for one in budgets], str(settings.config_file))
    return named


def _example(settings: "Settings") -> str:
    return (
        f"acp-bridge budget set month --window month --limit-usd 25.00 --scope mode={settings.mode}"
    )


def _plotted(found: "Standings", settings: "Settings", now: datetime, name: str | None) -> str:
    from acp_bridge.inspect.budget_standings import allowance, spent_by_day  # noqa: PLC0415
    from acp_bridge.inspect.plots import burn_down  # noqa: PLC0415
    from acp_bridge.inspect.screen import Screen  # noqa: PLC0415

    screen = Screen.of(sys.stdout, os.environ, shutil.get_terminal_size().columns)
    pools = [] if name is not None else [one.shown for one in found.pools if one.shown]
    plots = []
    for shown in (*found.budgets, *pools):
        allowed, budget = allowance(shown.standing), shown.standing.budget
        if allowed is not None:
            spent = spent_by_day(settings, budget, allowed.begin)
            plots.append(burn_down(allowed, spent, now.astimezone(budget.window.zone), screen))
    if not plots:
        raise ConfigurationError(
            f"budget {name} has no days to plot" if name else "there is no budget to plot",
            hint="a budget with a window of day, week, month or cycle has a plot",
        )
    return "\n".join(plots)


def _set(arguments: "Arguments") -> None:
    from acp_bridge.inspect.budgets import described  # noqa: PLC0415 - with its action
    from acp_bridge.run.budget_edit import set_budget  # noqa: PLC0415

    _refuse_inside("set")
    name = arguments.options.name
    path, text = _configuration(arguments)
    new = set_budget(text, name, changes(arguments.options), origin=str(path))
    (budget,) = (one for one in _replace(arguments, path, text, new) if one.name == name)
    sys.stdout.write(f"{described(budget)}It is in {path}. {_RUNNING}\n")


def _remove(arguments: "Arguments") -> None:
    from acp_bridge.run.budget_edit import remove_budget  # noqa: PLC0415 - with its action

    _refuse_inside("remove")
    name = arguments.options.name
    path, text = _configuration(arguments)
    _replace(arguments, path, text, remove_budget(text, name, origin=str(path)))
    sys.stdout.write(f"Budget {name} is no longer in {path}. {_RUNNING}\n")


def _configuration(arguments: "Arguments") -> tuple[Path, str]:
    """The user's configuration file, which is right as it is, and its text; empty without one."""
    from acp_bridge.run.config_file import read_config  # noqa: PLC0415 - with its action
    from acp_bridge.settings import config_path, load_settings  # noqa: PLC0415 - heavy

    path = config_path(os.environ)
    text = read_config(path)
    if path.exists():
        load_settings(arguments.flags)
    return path, text


def _replace(arguments: "Arguments", path: Path, text: str, new: str) -> "tuple[Budget, ...]":
    """Put a new text in place if it is another and right; returns the budgets in it."""
    from acp_bridge.run.budget_file import users_budgets  # noqa: PLC0415 - with its action
    from acp_bridge.run.config_file import replace_config  # noqa: PLC0415
    from acp_bridge.settings import PREFIX, load_settings  # noqa: PLC0415 - heavy

    def budgets(of: Path) -> "tuple[Budget, ...]":
        environ = {**os.environ, PREFIX + "CONFIG": str(of)}
        return users_budgets(load_settings(arguments.flags, environ))

    if new != text:
        replace_config(path, text, new, budgets)
    return budgets(path)


def _release(arguments: "Arguments") -> None:
    from acp_bridge.ledger import ledger_path  # noqa: PLC0415 - with its action
    from acp_bridge.ledger.runs import is_alive  # noqa: PLC0415
    from acp_bridge.ledger.verifying import free_reservations  # noqa: PLC0415
    from acp_bridge.settings import load_settings  # noqa: PLC0415 - heavy

    _refuse_inside("release")
    state_dir = load_settings(arguments.flags).state_dir
    path, run_id = ledger_path(state_dir), arguments.options.run_id
    alive = partial(is_alive, state_dir)
    if run_id is not None and alive(run_id):
        raise ConfigurationError(
            f"run {run_id} lives, and what it has reserved is under way",
            hint="it is freed as its requests end; end the run to free it now",
        )

    def is_kept(of: str) -> bool:
        return alive(of) or run_id not in (None, of)

    freed = free_reservations(path, is_kept) if path.exists() else 0
    if run_id is not None and not freed:
        raise ConfigurationError(
            f"run {run_id!r} has nothing reserved",
            hint="acp-bridge budget lists the runs that have",
        )
    sys.stdout.write(f"{_freed(freed)}\n")


def _freed(number: int) -> str:
    if not number:
        return "No run that is dead has anything reserved."
    return f"{number:,} reservation{'' if number == 1 else 's'} of dead runs freed."


def _refuse_inside(action: str) -> None:
    from acp_bridge.run.inside import refuse_inside_a_session  # noqa: PLC0415 - with its use

    refuse_inside_a_session(os.environ, f"acp-bridge budget {action}")
