"""Runs the stdio bridge as a process: signals, standard streams, exit status.

stdin's end, SIGTERM, SIGINT and SIGHUP all lead to the same bounded end, also while the agent is
being started; a second signal ends the agent's grace. `acp_bridge.agent.keeper` covers the end that
nobody can handle.
"""

from collections.abc import Callable, Sequence

import anyio

from acp_bridge.agent.ending import AgentExit
from acp_bridge.agent.pipes import stdio_streams
from acp_bridge.bridge import Bridge
from acp_bridge.errors import BridgeError
from acp_bridge.log import Log
from acp_bridge.run.bucket import BucketChange
from acp_bridge.run.preparation import ALL_LAYERS, Layers
from acp_bridge.run.start import Begun
from acp_bridge.signals import BY_SIGNAL, on_signal


def serve_stdio(  # noqa: PLR0913 - what runs, how it presents itself, and who is told
    begun: Begun,
    *,
    log: Log,
    command: Sequence[str],
    started: Callable[[Bridge], None],
    layers: Layers = ALL_LAYERS,
    on_bucket_change: Callable[[BucketChange], None] = lambda _: None,
) -> int:
    """Bridge stdin and stdout to the agent until one side ends.

    Args:
        begun: the run, its agent already booting.
        log: where events go.
        command: the argv prefix by which a client can start this bridge again.
        started: called when the agent runs.
        layers: which layers are on; only tests give one.
        on_bucket_change: shows that another bucket is charged from now on.

    Returns:
        The agent's exit status, or 128 + N after signal N.

    Raises:
        BridgeError: the run could not be started.
    """

    async def serve() -> int:
        async with stdio_streams() as client:
            bridge = Bridge(
                begun.preparation.settings,
                begun=begun,
                client=client,
                command=command,
                log=log,
                layers=layers,
                on_bucket_change=on_bucket_change,
            )
            return await _Run(bridge, started).until_its_end()

    return anyio.run(serve)


class _Run:
    """One bridge between its start and its end, with the signals that came meanwhile."""

    def __init__(self, bridge: Bridge, started: Callable[[Bridge], None]) -> None:
        self._bridge = bridge
        self._started = started
        self._runs = False
        self._starting = anyio.CancelScope()
        self._caught: list[int] = []

    async def until_its_end(self) -> int:
        """Returns the exit status."""
        ended = AgentExit()
        try:
            with self._starting:
                async with on_signal(self._signal), self._bridge as bridge:
                    self._runs = True
                    self._started(bridge)
                    ended = await bridge.wait()
        except BridgeError:
            # Who ends a start has no use for what would have been wrong with it.
            if not self._caught:
                raise
        return BY_SIGNAL + self._caught[0] if self._caught else exit_status(ended)

    def _signal(self, number: int) -> None:
        self._caught.append(number)
        if self._runs:
            self._bridge.end(at_once=len(self._caught) > 1)
        else:
            self._starting.cancel()


def exit_status(ended: AgentExit) -> int:
    """The status that says how the agent ended; 1 where nobody knows."""
    if ended.signal is not None:
        return BY_SIGNAL + ended.signal
    return 1 if ended.returncode is None else ended.returncode
