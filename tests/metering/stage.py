"""Where a metering scenario plays: the real agent, a scripted endpoint, and whoever counts.

A scenario speaks through a `Driver` and knows nothing of the counting. A `Counting` is what is
tested: it starts the agent, watches, and gives the ledger's entries afterwards.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

import anyio

from acp_bridge.loopback.asked import RequestKind
from acp_bridge.loopback.scratch import FAKE_SECRETS, make_scratch_home, scratch_environment
from acp_bridge.loopback.script import Answer, Script, Step
from acp_bridge.loopback.seen import Outcome, SeenRequest
from acp_bridge.loopback.sink import ProxySink
from acp_bridge.metering.usage import UsageEntry
from tests.metering.numbered import NumberedEndpoint, tokens_of
from tests.support.acp import AcpClient, AcpError, Json
from tests.support.offline import Offline
from tests.support.real import Finished, run_claude

SECONDS = 60.0
_BROKEN = (Outcome.CUT, Outcome.CLIENT_LEFT)


class Counting(Protocol):
    """What counts, around the agent."""

    def agent(self) -> AbstractAsyncContextManager[AcpClient]:
        """The agent, watched; leaving the block ends it, and what it spent is settled."""

    async def kill_agent(self, client: AcpClient) -> None:
        """The agent is killed; whoever counts goes on."""

    async def kill(self, client: AcpClient) -> None:
        """Whoever counts is killed, and the agent goes down with it."""

    async def settle_left_over(self) -> None:
        """What the next start does for what was killed."""

    def entries(self) -> list[UsageEntry]:
        """The ledger."""


class Driver:
    """One agent connection, in a scenario's words."""

    def __init__(self, world: Offline, client: AcpClient) -> None:
        self.world, self.client = world, client

    async def open(self) -> str:
        """A new session."""
        return str((await self._request("session/new"))["sessionId"])

    async def resume(self, session: str) -> None:
        """A session of before, without its history."""
        await self._request("session/resume", sessionId=session)

    async def load(self, session: str) -> None:
        """A session of before, with its history."""
        await self._request("session/load", sessionId=session)

    async def fork(self, session: str) -> str:
        """A copy of a session of before."""
        return str((await self._request("session/fork", sessionId=session))["sessionId"])

    async def close(self, session: str) -> None:
        """End a session's process."""
        await self.client.request("session/close", {"sessionId": session})

    async def choose_model(self, session: str, model: str) -> None:
        """Go on with another model."""
        params = {"sessionId": session, "configId": "model", "value": model}
        await self.client.request("session/set_config_option", params)

    async def ask(self, session: str, text: str) -> str:
        """Prompt, wait for the turn's end, and return the stop reason or ``error``."""
        response = await self.answer(await self.begin(session, text))
        return str(response["result"]["stopReason"]) if "result" in response else "error"

    async def begin(self, session: str, text: str) -> int:
        """Prompt without waiting."""
        prompt = [{"type": "text", "text": text}]
        return await self._send("session/prompt", {"sessionId": session, "prompt": prompt})

    async def answer(self, number: int) -> Json:
        """The response to what was begun."""
        return await self.client.wait_for_response(number, seconds=SECONDS)

    async def cancel(self, session: str) -> None:
        """Stop the session's turn."""
        await self.client.notify("session/cancel", {"sessionId": session})

    async def until(self, kind: RequestKind, outcome: Outcome, *, times: int = 1) -> None:
        """Wait until the endpoint has had that many such requests."""
        await until(self.world, kind, outcome, times=times)

    async def _request(self, method: str, **params: str) -> Json:
        full = {
            "cwd": str(self.world.home.project),
            "mcpServers": [],
            "_meta": {"claudeCode": {"emitRawSDKMessages": [{"type": "result"}]}},
            **params,
        }
        response = await self.answer(await self._send(method, full))
        if "error" in response:
            raise AcpError(response["error"])
        result: Json = response["result"]
        return result

    async def _send(self, method: str, params: Json) -> int:
        return await self.client.send_request(method, params)


class Stage:
    """What a scenario is given.

    Attributes:
        patience_seconds: how long the live count may take to catch up before the agent is ended.
        outside: places in the endpoint's record that something else than the agent has.
    """

    def __init__(
        self, world: Offline, counting: Counting, *, patience_seconds: float = 5.0
    ) -> None:
        self.world, self.counting, self.patience_seconds = world, counting, patience_seconds
        self.outside: set[int] = set()

    @asynccontextmanager
    async def agent(self) -> AsyncIterator[Driver]:
        """Start the agent; the end of the block ends and settles it."""
        async with self.counting.agent() as client:
            await client.initialize()
            yield Driver(self.world, client)
            await self.rest()

    async def rest(self) -> None:
        """Let the agent finish what it asks after a turn: an end of its input would abort it."""
        with anyio.move_on_after(self.patience_seconds):
            while not self._all_counted():  # noqa: ASYNC110 - a ledger has no event
                await anyio.sleep(0.05)

    def _all_counted(self) -> bool:
        seen = self.world.endpoint.seen
        counted = {entry.tokens for entry in self.counting.entries()}
        return all(
            one.outcome is Outcome.COMPLETE and tokens_of(one.usage) in counted
            for place, one in enumerate(seen)
            if one.usage is not None and one.outcome not in _BROKEN and place not in self.outside
        )

    async def continue_outside(self, session: str, text: str) -> Finished:
        """Run ``claude -p --resume`` on a session, with nobody watching."""
        before = len(self.world.endpoint.seen)
        env = self.world.env
        done = await run_claude(
            "-p", text, "--resume", session, env=env, cwd=self.world.home.project, seconds=SECONDS
        )
        self.outside |= set(range(before, len(self.world.endpoint.seen)))
        return done


async def until(world: Offline, kind: RequestKind, outcome: Outcome, *, times: int = 1) -> None:
    """Wait until the endpoint has had that many requests of that kind and outcome."""

    def enough(_: SeenRequest) -> bool:
        seen = world.endpoint.seen
        return sum(one.kind is kind and one.outcome is outcome for one in seen) >= times

    await world.endpoint.wait_for(enough, SECONDS)


@asynccontextmanager
async def numbered_world(
    tmp_path: Path,
    script: Script,
    suggestion: Step | None = None,
    make: Callable[..., NumberedEndpoint] = NumberedEndpoint,
) -> AsyncIterator[Offline]:
    """An `Offline` world with the fake login, in which every answer costs something else."""
    home = make_scratch_home(tmp_path / "home", login=True)
    endpoint = make(script, suggestion=suggestion, known=FAKE_SECRETS)
    async with endpoint, ProxySink() as sink:
        env = scratch_environment(home, sink_url=sink.url)
        yield Offline(endpoint, sink, home, {**env, "ANTHROPIC_BASE_URL": endpoint.url})


MakeCounting = Callable[[Offline], AbstractAsyncContextManager[Counting]]
"""Makes what is to be tested, in that world."""

__all__ = ["Answer", "Counting", "Driver", "MakeCounting", "Stage", "numbered_world", "until"]
