"""A scripted agent: an ACP agent that does as it is told, without Claude Code and without a model.

The same object is an agent in memory and an agent's command line; both do the same:

    agent = ScriptedAgent([Chunk("Hello."), End(usage=TurnUsage(output_tokens=3))])

    async with Bridge(settings, agent=agent) as bridge: ...            # in memory
    async with Bridge(settings, agent=agent.command) as bridge: ...    # in a process of its own

Nothing in it waits for time. What has to happen in the middle of something is put behind a `Pause`,
which the client releases by sending the line that `release` makes.
"""

import json
import sys

from anyio.abc import AnyByteStream

from acp_bridge.agent.ending import AgentExit
from acp_bridge.testing.script import Script
from acp_bridge.testing.serving import RELEASE, Serving
from acp_bridge.testing.steps import Turn


class ScriptedAgent:
    """An ACP agent without Claude Code.

    It answers ``initialize``, ``session/new`` and ``session/prompt``, heeds ``session/cancel``,
    and answers ``_testing/echo`` with its own params and ``_testing/received`` with digests of both
    streams. Other requests are answered with -32601. It ends with status 0 when its input ends.

    Args:
        turns: the steps of each turn, taken one turn per prompt in order of arrival.
        at_start: steps done when ``initialize`` has been answered, e.g. a `Notify`.
        name: what it calls itself, by which a bridge may take a process for a Claude adapter.
        version: the version it claims.
        stubborn: it does not end when its input ends, nor on SIGTERM.
    """

    def __init__(
        self,
        *turns: Turn,
        at_start: Turn = (),
        name: str = "scripted-agent",
        version: str = "1.0.0",
        stubborn: bool = False,
    ) -> None:
        self.script = Script(tuple(map(tuple, turns)), tuple(at_start), name, version, stubborn)

    @classmethod
    def of(cls, script: Script) -> "ScriptedAgent":
        """The agent of a script that was read from JSON."""
        return cls(
            *script.turns,
            at_start=script.at_start,
            name=script.name,
            version=script.version,
            stubborn=script.stubborn,
        )

    @property
    def command(self) -> tuple[str, ...]:
        """The command line of this agent as a process: ``python -m acp_bridge.testing.agent``.

        It carries the script, so the script of an agent that is to be a process has some 100 KB at
        most; a larger one goes into a file that the command names.
        """
        return (sys.executable, "-P", "-m", "acp_bridge.testing.agent", self.script.to_json())

    async def __call__(self, client: AnyByteStream) -> AgentExit:
        """Serve one client until its stream ends; tells how the agent ended."""
        return await Serving(self.script, client).run()


def release(name: str) -> bytes:
    """The line for a client to send that releases an event of the script, past or to come."""
    message = {"jsonrpc": "2.0", "method": RELEASE, "params": {"name": name}}
    return json.dumps(message).encode() + b"\n"
