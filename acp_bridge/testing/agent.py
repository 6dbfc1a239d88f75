"""The scripted agent as a program, for a client in any language.

    python -m acp_bridge.testing.agent [SCRIPT]

SCRIPT is a JSON object, or the path of a file with one:

    {"turns": [[{"do": "chunk", "text": "Hello."}, {"do": "end", "usage": {"outputTokens": 3}}]]}

`acp_bridge.testing.script` has its members, `acp_bridge.testing.steps` the steps. Without a script
each prompt is answered with one chunk.
"""

import os
import signal
import sys
from collections.abc import Sequence

import anyio
from anyio.streams.stapled import StapledByteStream

from acp_bridge.agent.ending import AgentExit
from acp_bridge.agent.pipes import stdio_streams
from acp_bridge.testing.script import Script, ScriptError, read_script
from acp_bridge.testing.scripted import ScriptedAgent

WRONG_USAGE = 2
_MOST_ARGUMENTS = 1


def main(arguments: Sequence[str]) -> int:
    """Serve stdin and stdout; returns the exit status, unless a signal ends the program."""
    if len(arguments) > _MOST_ARGUMENTS:
        return _wrong("more than one script")
    try:
        script = read_script(arguments[0]) if arguments else Script()
    except ScriptError as error:
        return _wrong(str(error))
    if script.stubborn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ended = anyio.run(_serve, ScriptedAgent.of(script))
    if ended.signal is not None:
        os.kill(os.getpid(), ended.signal)
    return ended.returncode or 0


async def _serve(agent: ScriptedAgent) -> AgentExit:
    async with stdio_streams() as (receive, send):
        return await agent(StapledByteStream(send, receive))


def _wrong(sentence: str) -> int:
    sys.stderr.write(f"error: {sentence}\nhint: see python -m pydoc acp_bridge.testing.agent\n")
    return WRONG_USAGE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
