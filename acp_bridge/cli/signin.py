"""The sign-in form ``acp-bridge … --cli …``: the agent's own command line, with the terminal.

ACP clients sign in by running their configured agent command again with the arguments of a sign-in
method appended; that command is the bridge. The bridge has no sign-in of its own.
"""

from collections.abc import Sequence

from acp_bridge.cli.become import become
from acp_bridge.errors import AgentError, RefusedError
from acp_bridge.modes import BillingMode
from acp_bridge.preparation import Surroundings, prepare
from acp_bridge.settings import Settings

LOGIN = ("auth", "login")
LOGOUT = ("auth", "logout")


def hand_terminal_over(settings: Settings, agent: Sequence[str] | None, cli: Sequence[str]) -> int:
    """Replace this process by the agent with ``--cli`` and the rest.

    Raises:
        RefusedError: the billing mode does not allow that sign-in.
        AgentError: the agent is missing or cannot be started.
    """
    _check(settings.mode, tuple(cli))
    preparation = prepare(settings, Surroundings(), agent=agent)
    if preparation.agent is None:
        raise AgentError("no agent was prepared", hint="this is a defect; please report it")
    become([*preparation.agent.argv, "--cli", *cli], preparation)


def _check(mode: BillingMode, cli: tuple[str, ...]) -> None:
    """The mode lock's rows for sign-in, applied to the command line."""
    verb = cli[:2]
    if verb == LOGIN and mode is BillingMode.SUBSCRIPTION and "--console" in cli:
        raise RefusedError(
            "mode subscription refuses an Anthropic Console sign-in: its API key would pay",
            hint="sign in with --claudeai, or set ACP_BRIDGE_MODE=api-key and give it a key",
        )
    if verb in (LOGIN, LOGOUT) and mode is not BillingMode.SUBSCRIPTION:
        raise RefusedError(
            f"mode {mode} does not use a stored login, so {' '.join(verb)} is refused",
            hint="set ACP_BRIDGE_MODE=subscription to sign in or out",
        )
