"""Collects commands in order; consecutive lines for one side become one command.

A run of one line is handed on as the same bytes object, without a copy.
"""

from acp_bridge.protocol.commands import Command, Record, ToAgent, ToClient
from acp_bridge.protocol.facts import Fact


class Outbox:
    """The commands of one call into the core."""

    __slots__ = ("_commands", "_run", "_target")

    def __init__(self) -> None:
        self._commands: list[Command] = []
        self._run: list[bytes] = []
        self._target: type[ToAgent | ToClient] = ToAgent

    def to_agent(self, line: bytes) -> None:
        """Send a line to the agent."""
        if self._target is not ToAgent:
            self._close_run()
            self._target = ToAgent
        self._run.append(line)

    def to_client(self, line: bytes) -> None:
        """Send a line to the client."""
        if self._target is not ToClient:
            self._close_run()
            self._target = ToClient
        self._run.append(line)

    def record(self, *facts: Fact) -> None:
        """Tell the observers."""
        if facts:
            self._close_run()
            self._commands += map(Record, facts)

    def add(self, command: Command) -> None:
        """Add a command that is neither bytes nor a fact."""
        self._close_run()
        self._commands.append(command)

    def commands(self) -> list[Command]:
        """Everything collected."""
        self._close_run()
        return self._commands

    def _close_run(self) -> None:
        run = self._run
        if run:
            self._commands.append(self._target(run[0] if len(run) == 1 else b"".join(run)))
            self._run = []
