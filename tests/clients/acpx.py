"""acpx, the headless ACP client from npm, run as its users run it."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import psutil

from tests.support.offline import Offline
from tests.support.real import NODE, Finished

Json = dict[str, Any]

MODULES = Path(sys.prefix) / "share" / "acp-bridge" / "test-clients" / "node_modules"
ACPX = MODULES / "acpx" / "dist" / "cli.js"
EXAMPLE_AGENT = (
    str(NODE),
    str(MODULES / "@agentclientprotocol" / "sdk" / "dist" / "examples" / "agent.js"),
)
"""The example agent of the ACP SDK for Node that acpx is made with, as its package ships it."""

SECONDS = 90.0
OWNER_SECONDS = "60"
"""How long the process that holds a session outlives its last prompt, should a test fail before."""
CLIENT_OFFLINE = {"NODE_USE_ENV_PROXY": "1"}
"""What Node itself asks for goes to the proxy sink too, so that acpx is seen if it leaves."""


@dataclass(frozen=True, slots=True)
class Acpx:
    """An installation for one user.

    Attributes:
        world: whose home and project it runs in.
        env: its environment, which its agents inherit.
        agent: the words that name the agent on its command line.
    """

    world: Offline
    env: Mapping[str, str]
    agent: tuple[str, ...]

    async def __call__(self, *words: str, options: tuple[str, ...] = ()) -> Finished:
        """Run ``acpx OPTIONS AGENT WORDS`` to its end, with nothing on its stdin.

        Raises:
            TimeoutError: it did not end in time; it is killed.
        """
        assert ACPX.is_file(), "run scripts/install-test-clients"
        argv = [str(NODE), str(ACPX), "--ttl", OWNER_SECONDS, *options, *self.agent, *words]
        with anyio.fail_after(SECONDS):
            done = await anyio.run_process(
                argv,
                env={**self.env, **CLIENT_OFFLINE},
                cwd=self.world.home.project,
                check=False,
                input=b"",
            )
        return Finished(done.returncode, done.stdout.decode(), done.stderr.decode())

    async def talk(self, *words: str, options: tuple[str, ...] = ()) -> "Talk":
        """Run it with every ACP message on stdout, and read them."""
        done = await self(*words, options=("--format", "json", *options))
        messages = [json.loads(line) for line in done.stdout.splitlines()]
        return Talk(done.status, messages, done.stderr)

    async def said(self, *words: str, options: tuple[str, ...] = ()) -> str:
        """Run it with nothing but the agent's last words on stdout; it has to end well."""
        done = await self(*words, options=("--format", "quiet", *options))
        assert done.status == 0, done.stderr
        return done.stdout.strip()


@dataclass(frozen=True, slots=True)
class Talk:
    """One run of acpx: its exit status and the ACP messages of both sides, in order."""

    status: int
    messages: list[Json] = field(default_factory=list)
    stderr: str = ""

    @property
    def results(self) -> list[Json]:
        """The results of requests, of either side."""
        return [message["result"] for message in self.messages if "result" in message]

    @property
    def errors(self) -> list[Json]:
        """The errors that answered requests, of either side."""
        return [message["error"] for message in self.messages if "error" in message]

    @property
    def text(self) -> str:
        """What the agent said, its message chunks joined."""
        updates = [m["params"]["update"] for m in self.messages if _is_update(m)]
        chunks = [u for u in updates if u["sessionUpdate"] == "agent_message_chunk"]
        return "".join(chunk["content"]["text"] for chunk in chunks)

    def asked(self, method: str) -> list[Json]:
        """The params of the messages with that method."""
        return [m["params"] for m in self.messages if m.get("method") == method]

    @property
    def stop_reason(self) -> str:
        """Why the turn ended."""
        return str(self.results[-1]["stopReason"])


def end_process(pid: int) -> None:
    """End the process in the background that holds an acpx session, and wait until it is gone."""
    owner = psutil.Process(pid)
    assert "__queue-owner" in owner.cmdline()
    owner.terminate()
    owner.wait(SECONDS)


def _is_update(message: Json) -> bool:
    return message.get("method") == "session/update"
