"""The sign-in form ``acp-bridge … --cli …``: the agent's own command line, with the terminal.

ACP clients sign in by running their configured agent command again with the arguments of a sign-in
method appended; that command is the bridge. The bridge has no sign-in of its own.
"""

import os
from collections.abc import Sequence
from itertools import pairwise

from acp_bridge.cli.become import become
from acp_bridge.cli.execute import surface_of_command
from acp_bridge.errors import AgentError, RefusedError
from acp_bridge.modes import BillingMode
from acp_bridge.run.preparation import (
    NOWHERE,
    Addresses,
    Preparation,
    Surroundings,
    prepare,
)
from acp_bridge.run.start import Prepared, prepare_metered
from acp_bridge.settings import Settings

LOGIN = ("auth", "login")
LOGOUT = ("auth", "logout")
CONSOLE = "--console"


def hand_terminal_over(settings: Settings, agent: Sequence[str] | None, cli: Sequence[str]) -> int:
    """Replace this process by the agent with ``--cli`` and the rest.

    Raises:
        RefusedError: the billing mode does not allow that sign-in.
        AgentError: the agent is missing or cannot be started.
    """
    _check(settings.mode, tuple(cli))
    surroundings = Surroundings()

    def decide(addresses: Addresses = NOWHERE) -> Preparation:
        return prepare(settings, surroundings, agent=agent, addresses=addresses)

    # Signing in and out asks no model, and a sign-in must not be led through the guard.
    signs = cli[:1] == LOGIN[:1]
    prepared = Prepared(decide()) if signs else prepare_metered(settings, decide)
    found = prepared.preparation.agent
    if found is None:
        raise AgentError("no agent was prepared", hint="this is a defect; please report it")
    become([*found.argv, "--cli", *cli], prepared, surface_of_command(("claude", *cli), os.environ))


def _check(mode: BillingMode, cli: tuple[str, ...]) -> None:
    """The mode lock's rows for sign-in, applied to the command line."""
    pairs = tuple(pairwise(cli))
    console = any(word.split("=")[0] == CONSOLE for word in cli)
    if LOGIN in pairs and console and mode is BillingMode.SUBSCRIPTION:
        raise RefusedError(
            "mode subscription refuses an Anthropic Console sign-in: its API key would pay",
            hint="sign in with --claudeai, or set ACP_BRIDGE_MODE=api-key and give it a key",
        )
    refused = next((verb for verb in (LOGIN, LOGOUT) if verb in pairs), None)
    if refused is not None and mode is not BillingMode.SUBSCRIPTION:
        raise RefusedError(
            f"mode {mode} does not use a stored login, so {' '.join(refused)} is refused",
            hint="set ACP_BRIDGE_MODE=subscription to sign in or out",
        )
