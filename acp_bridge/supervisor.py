"""Runs the stdio bridge as a process: signals, standard streams, exit status.

stdin's end, SIGTERM, SIGINT and SIGHUP all lead to the same bounded end; a second signal does not
wait for the agent's grace. `acp_bridge.agent.keeper` covers the end that nobody can handle.
"""

import signal
from collections.abc import Callable, Sequence

import anyio
from anyio.abc import TaskStatus

from acp_bridge.agent.pipes import stdio_streams
from acp_bridge.agent.process import AgentExit
from acp_bridge.bridge import Bridge
from acp_bridge.log import Log
from acp_bridge.preparation import ALL_LAYERS, Layers, Preparation
from acp_bridge.settings import Settings

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
BY_SIGNAL = 128
"""What a shell adds to the number of the signal that ended a program."""


def serve_stdio(
    settings: Settings,
    *,
    agent: Sequence[str] | None,
    command: Sequence[str],
    started: Callable[[Preparation], None],
    layers: Layers = ALL_LAYERS,
) -> int:
    """Bridge stdin and stdout to the agent until one side ends.

    Args:
        settings: what the user asked for.
        agent: the agent's command line, over the settings' own.
        command: the argv prefix by which a client can start this bridge again.
        started: called when the agent runs.
        layers: which layers are on; only tests give one.

    Returns:
        The agent's exit status, or 128 + N after signal N.

    Raises:
        BridgeError: the run could not be started.
    """
    return anyio.run(_serve, settings, agent, command, started, layers)


async def _serve(
    settings: Settings,
    agent: Sequence[str] | None,
    command: Sequence[str],
    started: Callable[[Preparation], None],
    layers: Layers,
) -> int:
    log = Log.of(settings.log_level, settings.log_file, settings.log_format)
    caught: list[int] = []
    async with stdio_streams() as client, anyio.create_task_group() as tasks:
        bridge = Bridge(
            settings, agent=agent, client=client, command=command, log=log, layers=layers
        )
        async with bridge:
            started(bridge.preparation)
            await tasks.start(_end_on_signal, bridge, caught)
            ended = await bridge.wait()
        tasks.cancel_scope.cancel()
    return BY_SIGNAL + caught[0] if caught else exit_status(ended)


async def _end_on_signal(
    bridge: Bridge, caught: list[int], *, task_status: TaskStatus[None]
) -> None:
    with anyio.open_signal_receiver(*SIGNALS) as signals:
        task_status.started()
        async for number in signals:
            caught.append(number)
            bridge.end()


def exit_status(ended: AgentExit) -> int:
    """The status that says how the agent ended."""
    if ended.signal is not None:
        return BY_SIGNAL + ended.signal
    return ended.returncode or 0
