"""What the relay needs of an agent that runs, whatever it runs in.

`acp_bridge.agent.process.Agent` is one in a process of its own, `acp_bridge.agent.in_memory` has
one in this process. A contract suite runs the same assertions over both.
"""

from typing import Protocol

from anyio.abc import AnyByteReceiveStream, AnyByteSendStream

from acp_bridge.agent.ending import AgentExit


class RunningAgent(Protocol):
    """An agent between its start and its end.

    It owes the relay this: bytes arrive in order and unchanged; what it wrote before it ended can
    be read after it ended, and then `stdout` ends; who writes to an agent that is gone is told by
    `anyio.BrokenResourceError`; and a writer whose reader does not read waits.
    """

    @property
    def stdin(self) -> AnyByteSendStream:
        """Where ACP messages to the agent go; closing it asks the agent to end."""

    @property
    def stdout(self) -> AnyByteReceiveStream:
        """Where the agent's ACP messages come from."""

    async def wait(self) -> AgentExit:
        """Wait until the agent has ended and return how; its `stdout` may still hold bytes."""

    async def stop(self) -> AgentExit:
        """End the agent in bounded time and return how it ended; may be repeated.

        Closes the agent's stdin, gives it time to end by itself, and then ends it. Not cancelled
        from outside.
        """

    def hurry(self) -> None:
        """Cut the waits of a `stop` short: what is left is ended at once."""
