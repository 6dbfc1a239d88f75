"""A closed world with two endpoints: the mode's and the attacker's; and a program that runs in it.

async with Stage(folder, Payer.LOGIN) as stage:
    made = plant(Kind.API_KEY, stage.bait(claude))
    placed = place(Scope.USER, made, home=stage.home, project=stage.home.project)
    async with stage.run(program, env=placed.env) as running:
        sighting = await running.turn(project, options=placed.options)
"""

import contextlib
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Self

import anyio
import anyio.abc

from acp_bridge.errors import RefusedError
from acp_bridge.loopback.endpoint import EmbeddedEndpoint
from acp_bridge.loopback.scratch import ScratchHome, make_scratch_home, scratch_environment
from acp_bridge.loopback.script import Script
from acp_bridge.loopback.sink import ProxySink, RefusedRequest
from acp_bridge.proving.client import AcpClient, AcpError, acp_client
from acp_bridge.proving.kinds import Bait
from acp_bridge.proving.payers import KNOWN, Payer
from acp_bridge.proving.processes import processes_below, wait_for_the_end
from acp_bridge.proving.sightings import Sighting

SETTLE_SECONDS = 20.0
TURN_SECONDS = 30.0
_QUIET = {"CLAUDE_CODE_ENABLE_PROMPT_SUGGESTION": "false", "SHELL": "/bin/bash"}
_REFUSAL = (
    b"HTTP/1.1 402 Payment Required\r\ncontent-type: application/json\r\nx-should-retry: false\r\n"
    b"content-length: 75\r\nconnection: close\r\n\r\n"
    b'{"type":"error","error":{"type":"billing_error","message":"At the socket."}}'
)


@dataclass(frozen=True, slots=True)
class Program:
    """What stands between the client and Claude Code.

    Attributes:
        argv: how it is started.
        is_bridge: whether it is told who pays by the bridge's own settings.
        is_told_both_ways: also by Claude Code's variables, for a bridge without its launch gate.
        strips: variables that the launcher of the plain adapter takes away.
        env: variables of its own, under those of the payer and the plant; as pairs.
    """

    argv: Sequence[str]
    is_bridge: bool = False
    is_told_both_ways: bool = False
    strips: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()


class Stage:
    """One payer's world, as an async context manager.

    Args:
        root: an empty directory for homes, projects and state.
        payer: who is meant to pay.
        script: what the mode's endpoint answers.
        login: whether a claude.ai login is stored.
        secret: what the payer pays with, known by the same label as its usual credential.

    Attributes:
        endpoint: the mode's destination.
        attacker: where a redirect leads.
        sink: the user's own proxy, which refuses everything.
        trap: the attacker's proxy.
        home: the home of every run on this stage.
        trap_is_the_users: the attacker's proxy stands for one that the user chose.
    """

    def __init__(
        self,
        root: Path,
        payer: Payer,
        *,
        script: Script = (),
        login: bool = True,
        secret: str | None = None,
    ) -> None:
        self.payer = payer
        self._terms = payer.terms if secret is None else payer.terms.paid_with(secret)
        known = KNOWN if secret is None else {**KNOWN, self._terms.credential[1]: secret}
        self.root = root
        self.home: ScratchHome = make_scratch_home(root / "home", login=login)
        self.endpoint = EmbeddedEndpoint(script, known=known)
        self.attacker = EmbeddedEndpoint(known=known, name="attacker")
        self.sink = ProxySink()
        self.trap = ProxySink()
        self.at_socket: list[str] = []
        self.trap_is_the_users = False
        self._numbers = count(1)

    async def __aenter__(self) -> Self:
        self._stack = AsyncExitStack()
        for part in (self.endpoint, self.attacker, self.sink, self.trap):
            await self._stack.enter_async_context(part)
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="acp-"))
        self._socket = Path(folder) / "s"
        listener = await anyio.create_unix_listener(self._socket)
        await self._stack.enter_async_context(listener)
        tasks = await self._stack.enter_async_context(anyio.create_task_group())
        self._stack.callback(tasks.cancel_scope.cancel)
        tasks.start_soon(listener.serve, self._at_socket)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    def new_folder(self, name: str) -> Path:
        """An empty folder of its own."""
        folder = self.root / f"{name}-{next(self._numbers)}"
        folder.mkdir(mode=0o700)
        return folder

    def bait(self, claude: Path) -> Bait:
        """What a plant can point at on this stage.

        Args:
            claude: the Claude Code that a planted program becomes.
        """
        folder = self.new_folder("bait")
        return Bait(self.attacker.url, self.trap.url, self._socket, folder, claude)

    def environment(self, program: Program, plant: Mapping[str, str]) -> dict[str, str]:
        """The environment of a program, with variables planted."""
        terms = self._terms
        env = {
            **scratch_environment(self.home, sink_url=self.sink.url),
            **_QUIET,
            **dict(program.env),
        }
        if not program.is_bridge or program.is_told_both_ways:
            env |= _filled(terms.native, self.endpoint.url)
        if program.is_bridge:
            env |= _filled(terms.bridge, self.endpoint.url)
            env |= {
                "ACP_BRIDGE_MODE": terms.mode.value,
                "ACP_BRIDGE_STATE_DIR": str(self.root / "state"),
                "ACP_BRIDGE_CONFIG": "/dev/null",
            }
        env |= plant
        return {name: value for name, value in env.items() if name not in program.strips}

    @asynccontextmanager
    async def run(
        self, program: Program, *, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> AsyncIterator["Running"]:
        """Start a program in this world and initialize it.

        A bridge that refuses to start in its mode is one that runs, and refuses each session.
        """
        whole = self.environment(program, env or {})
        argv, folder = program.argv, cwd or self.home.project
        async with acp_client(argv, env=whole, cwd=folder) as client:
            try:
                result = await client.initialize(auth={"_meta": {"gateway": True}})
            except (TimeoutError, anyio.BrokenResourceError):
                with anyio.move_on_after(SETTLE_SECONDS):
                    await client.process.wait()
                if not program.is_bridge or client.process.returncode != RefusedError.exit_status:
                    raise
                yield Running(self, client, {}, refused=client.stderr.strip())
                return
            yield Running(self, client, result)

    async def wait_for_lookups(self) -> None:
        """Wait until everything was asked for that the payer's starts always ask for.

        Raises:
            TimeoutError: something was not.
        """
        for target in self.payer.terms.lookup:
            await self.sink.wait_for(partial(_is_for, target), SETTLE_SECONDS)

    async def _at_socket(self, stream: anyio.abc.ByteStream) -> None:
        async with stream:
            with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                request = (await stream.receive()).split(b"\r\n")[0]
                self.at_socket.append(request.decode("latin-1"))
                await stream.send(_REFUSAL)


@dataclass(frozen=True, slots=True)
class _Mark:
    """How much had been seen at a moment."""

    endpoint: int
    attacker: int
    trap: int
    socket: int
    sink: int


_FROM_THE_START = _Mark(0, 0, 0, 0, 0)


class Running:
    """A started program on its stage.

    Attributes:
        stage: where it runs.
        client: what speaks to it.
        initialized: its answer to ``initialize``.
        refused: what it said when it refused to start; empty if it runs.
    """

    def __init__(
        self,
        stage: Stage,
        client: AcpClient,
        initialized: Mapping[str, Any],
        *,
        refused: str = "",
    ) -> None:
        self.stage = stage
        self.client = client
        self.initialized = initialized
        self.refused = refused
        self._mark = _FROM_THE_START if refused else self.mark()

    def mark(self) -> _Mark:
        """Remember how much has been seen."""
        stage = self.stage
        self._mark = _Mark(
            len(stage.endpoint.seen),
            len(stage.attacker.seen),
            len(stage.trap.refused),
            len(stage.at_socket),
            len(stage.sink.refused),
        )
        return self._mark

    def sighting(
        self, *, text: str | None = None, error: AcpError | None = None, said: str = ""
    ) -> Sighting:
        """What was seen since the mark."""
        stage, mark = self.stage, self._mark
        return Sighting(
            payer=stage.payer,
            endpoint=tuple(stage.endpoint.seen[mark.endpoint :]),
            attacker=tuple(stage.attacker.seen[mark.attacker :]),
            trap=(
                *(refused.target for refused in stage.trap.refused[mark.trap :]),
                *stage.at_socket[mark.socket :],
            ),
            left_for=frozenset(refused.target for refused in stage.sink.refused[mark.sink :]),
            trap_is_the_users=stage.trap_is_the_users,
            text=text,
            error=error.code if error else None,
            said=error.message if error else said,
        )

    async def turn(
        self,
        project: Path,
        *,
        options: Mapping[str, Any] | None = None,
        opening: str = "session/new",
        prompt: str = "hi",
    ) -> Sighting:
        """Open a session with options, prompt once, close it; says what was seen meanwhile.

        Every other opening than ``session/new`` opens a session that was held and closed without
        any option before.
        """
        if self.refused:
            return replace(self.sighting(said=self.refused), refused_to_start=True)
        params: dict[str, Any] = {"cwd": str(project), "mcpServers": []}
        if opening != "session/new":
            params["sessionId"] = await self._earlier_session(project)
        if options:
            params["_meta"] = {"claudeCode": {"options": dict(options)}}
        before = await processes_below(self.client.process.pid)
        self.mark()
        session = params.get("sessionId")
        end: dict[str, Any] = {}
        try:
            opened = await self.client.request(opening, params, seconds=TURN_SECONDS)
            session = str(opened.get("sessionId", session))
            end["text"] = (await self.client.prompt(session, prompt, seconds=TURN_SECONDS)).text
        except AcpError as error:
            end["error"] = error
        except TimeoutError as error:
            end["said"] = str(error) or "nothing within the time"
        if session is not None and not self.client.has_ended:
            await self._close(session)
        # A Claude Code that has ended sends nothing that the next session would be blamed for.
        started = await processes_below(self.client.process.pid) - before
        await wait_for_the_end(started, SETTLE_SECONDS)
        # Looked at last: what the session sent after its answer counts as well.
        return self.sighting(**end)

    async def _earlier_session(self, project: Path) -> str:
        session = await self.client.new_session(project)
        await self.client.prompt(session, "earlier", seconds=TURN_SECONDS)
        await self._close(session)
        return session

    async def _close(self, session: str) -> None:
        number = await self.client.send_request("session/close", {"sessionId": session})
        await self.client.wait_for_response(number, seconds=TURN_SECONDS)


def _is_for(target: str, refused: RefusedRequest) -> bool:
    return refused.target == target


def _filled(variables: Mapping[str, str], url: str) -> dict[str, str]:
    return {name: value.replace("{url}", url) for name, value in variables.items()}
