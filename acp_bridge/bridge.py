r"""The bridge: one client, one agent, one billing mode that cannot change.

    async with Bridge(load_settings()) as bridge:
        await bridge.stream.send(b'{"jsonrpc": "2.0", "id": 0, "method": "initialize", ...}\n')
        reply = await bridge.stream.receive()

This is the composition root: it puts the launch plan, the pure relay core, the agent and the
registry together and holds no rule of its own.
"""

import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import anyio
import anyio.to_thread
from anyio.abc import ObjectStream, TaskGroup

from acp_bridge import __version__
from acp_bridge.agent.ending import AgentExit
from acp_bridge.agent.in_memory import ServeClient
from acp_bridge.agent.versions import claude_version
from acp_bridge.ledger.report import GroupKey
from acp_bridge.log import Log
from acp_bridge.memory_client import MemoryClient
from acp_bridge.modes import AgentKind, BillingMode, Guard
from acp_bridge.protocol import names
from acp_bridge.protocol.decisions import Contradiction
from acp_bridge.protocol.facts import AgentIdentified, Contradicted, Fact, Refused, Unparseable
from acp_bridge.protocol.relay import RelayCore
from acp_bridge.relay import Receive, Relay, Send
from acp_bridge.run.bucket import BucketChange, BucketInForce
from acp_bridge.run.counted import CountedBy, count
from acp_bridge.run.interceptors import interceptors
from acp_bridge.run.overage import Overage, Tell
from acp_bridge.run.preparation import ALL_LAYERS, Layers, Preparation
from acp_bridge.run.receipt_document import run_receipt, session_receipt
from acp_bridge.run.record import RunRecord
from acp_bridge.run.registrar import Registrar
from acp_bridge.run.start import Begun
from acp_bridge.run.started import From, Started, start
from acp_bridge.run.usage import DEFAULT_GROUPS
from acp_bridge.settings import Settings

if TYPE_CHECKING:
    from acp_bridge.run.budgeted import BudgetedRun, ToRelay
    from acp_bridge.run.metered import MeteredRun

SCHEMA_VERSION = 1


class Bridge:
    """One run of the bridge, as an async context manager (asyncio and trio).

    Entering decides the mode, writes the launch gate and starts the agent; leaving ends the agent
    and everything below it.

    Args:
        settings: what the user asked for.
        agent: the agent's command line, over the settings' own; or an agent in this process, an
            async function (see `acp_bridge.agent.in_memory`), with which nothing is guaranteed.
        client: the client's byte streams; default is `stream`, in memory.
        command: the argv prefix by which a client can start this bridge again.
        environ: the environment to start from; default ``os.environ``.
        cwd: the agent's working directory.
        log: where events go.
        layers: which layers are on; only tests give one.
        begun: a run that was begun before; its surroundings and agent count then.
        on_bucket_change: shows that another bucket is charged from now on.

    Raises:
        AgentError: on entering, the agent is missing or cannot be started.
        ConfigurationError: on entering, a credential or the state directory cannot be used, or a
            billing policy is wrong.
        RefusedError: on entering, the administrator's settings contradict the mode.
    """

    def __init__(  # noqa: PLR0913 - each is one thing that an embedder may want to supply
        self,
        settings: Settings,
        *,
        agent: Sequence[str] | ServeClient | None = None,
        client: tuple[Receive, Send] | None = None,
        command: Sequence[str] = ("acp-bridge",),
        environ: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        log: Log | None = None,
        layers: Layers = ALL_LAYERS,
        begun: Begun | None = None,
        on_bucket_change: Callable[[BucketChange], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._origin = From(agent=agent, environ=environ, cwd=cwd, layers=layers, begun=begun)
        self._client = client
        self._command = tuple(command)
        self._log = log or Log()
        self._layers = layers
        self._on_bucket_change = on_bucket_change
        self._ended = anyio.Event()
        self._exit = AgentExit()
        self._memory: MemoryClient | None = None
        self._preparation: Preparation
        self._record: RunRecord
        self._in_force: BucketInForce
        self._overage: Overage
        self._metered: MeteredRun
        self._budgeted: BudgetedRun | None = None
        self._tasks: TaskGroup

    @property
    def mode(self) -> BillingMode:
        """Who pays. It cannot change for the life of the run."""
        return self._settings.mode

    @property
    def run_id(self) -> str:
        """The run's id in the registry."""
        return self._preparation.run_id

    @property
    def evidence(self) -> list[dict[str, Any]]:
        """What was seen so far of who pays: ``{kind, source, at, value, verdict}``."""
        return list(self._record.evidence)

    @property
    def status(self) -> dict[str, Any]:
        """The run's entry in ``acp-bridge status --json``."""
        return self._record.document()

    @property
    def usage(self) -> dict[str, Any]:
        """What the run has used so far, as ``acp-bridge usage --json --run RUN_ID`` prints it."""
        return self._metered.usage(DEFAULT_GROUPS)

    def usage_by(self, *keys: GroupKey) -> dict[str, Any]:
        """The same, grouped by mode, session, model, state, source, bucket, or several of them."""
        return self._metered.usage(keys)

    @property
    def receipt(self) -> dict[str, Any]:
        """The run's evidence, usage and decisions so far in one document."""
        return run_receipt(
            self.status,
            by_model=self.usage_by(GroupKey.MODEL),
            by_state=self.usage_by(GroupKey.STATE),
            by_bucket=self.usage_by(GroupKey.BUCKET),
            by_source=self.usage_by(GroupKey.SOURCE),
            bridge_version=__version__,
        )

    def receipt_of(self, session_id: str) -> dict[str, Any]:
        """The same of one session of the client.

        Raises:
            KeyError: the run has no such session.
        """
        return session_receipt(
            self.status,
            session_id,
            by_model=self._metered.usage((GroupKey.MODEL,), session_id),
            by_state=self._metered.usage((GroupKey.STATE,), session_id),
            by_bucket=self._metered.usage((GroupKey.BUCKET,), session_id),
            by_source=self._metered.usage((GroupKey.SOURCE,), session_id),
            bridge_version=__version__,
        )

    @property
    def charged_to(self) -> str:
        """What is charged now, and by which policy's word."""
        return f"{self._record.bucket} (policy {self._in_force.policy_version})"

    @property
    def removed(self) -> list[tuple[str, str]]:
        """Channels that the launch plan took away: (channel, origin)."""
        return self._preparation.removed

    @property
    def preparation(self) -> Preparation:
        """What was decided before the agent was started."""
        return self._preparation

    @property
    def stream(self) -> ObjectStream[bytes]:
        """The ACP byte stream to speak on, where no client streams were given."""
        if self._memory is None:
            raise RuntimeError("this bridge speaks to the client streams that it was given")
        return self._memory.stream

    async def wait(self) -> AgentExit:
        """Wait until the agent has ended; tells how."""
        await self._ended.wait()
        return self._exit

    def end(self, *, at_once: bool = False) -> None:
        """End the agent, whatever it is doing, in bounded time; what is open is answered.

        Args:
            at_once: without the agent's grace; may follow a call without.
        """
        self._relay.end(at_once=at_once)

    async def __aenter__(self) -> Self:
        stack = AsyncExitStack()
        try:
            started = await start(self._settings, self._origin, self._log)
            self._preparation, self._in_force = started.preparation, started.in_force
            stack.callback(self._preparation.directory.close)
            self._record = RunRecord.of(self._preparation)
            self._record.expect(self._in_force)
            await self._start(stack, started)
        except BaseException as error:
            await _close(stack, error)
            raise
        self._cleanup = stack
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Nobody reads any more: an agent that cannot write could not end by itself.
        if self._memory is not None:
            self._memory.leave()
        self._relay.end()
        with anyio.CancelScope(shield=True):
            await self._ended.wait()
        await _close(self._cleanup, error)

    async def _start(self, stack: AsyncExitStack, started: Started) -> None:
        preparation, record = self._preparation, self._record
        self._tasks = tasks = await stack.enter_async_context(anyio.create_task_group())
        self._overage = Overage(
            self._in_force,
            record,
            self._settings.on_overage,
            tell=Tell(
                client=lambda method, params: self._soon(self._relay.notify, method, params),
                stop_turns=lambda refused: self._soon(self._relay.stop_turns, refused, None),
                user=self._on_bucket_change,
            ),
            log=self._log,
        )
        registrar = Registrar(preparation.directory, record)
        stack.push_async_callback(registrar.finish)
        await self._count(stack, started)
        running = await stack.enter_async_context(started.agent)
        if preparation.agent is not None:
            record.claude_version = claude_version(preparation.agent.claude)
        record.declare(preparation.plan.credential_class.value, "launch plan")
        await tasks.start(registrar.run)
        receive, send = self._client or self._in_memory(stack)
        core = RelayCore(
            self.mode,
            interceptors(
                preparation,
                self._command,
                self._layers,
                bucket=record.bucket,
                overage=self._overage.refusal,
                budgets=None if self._budgeted is None else self._budgeted.gate,
            ),
            on_violation=self._settings.on_violation,
            agent_kind=preparation.settings.agent_kind,
            max_client_line_bytes=preparation.longest_client_line,
            max_agent_line_bytes=self._settings.max_line_bytes,
        )
        self._relay = Relay(
            core, running, receive=receive, send=send, observe=self._observe, answer=self._answer
        )
        tasks.start_soon(self._run_relay)

    async def _count(self, stack: AsyncExitStack, started: Started) -> None:
        """Meter, budgets and guard: all before the agent, so that all end after it."""
        by = CountedBy(
            preparation=self._preparation,
            record=self._record,
            in_force=self._in_force,
            telemetry=started.telemetry,
            guard=started.guard,
            pools=started.pools,
        )
        counted = await count(
            by, stack, self._tasks, self._log, relay=self._to_relay, found=self._found
        )
        self._metered, self._budgeted = counted.metered, counted.budgeted

    def _to_relay(self) -> "ToRelay":
        from acp_bridge.run.budgeted import ToRelay  # noqa: PLC0415 - with its use

        return ToRelay(
            resume=lambda: self._soon(self._relay.resume),
            stop=lambda refused, sessions: self._soon(self._relay.stop_turns, refused, sessions),
            notify=lambda method, params: self._soon(self._relay.notify, method, params),
        )

    def _soon(self, work: Callable[..., Coroutine[Any, Any, None]], *args: object) -> None:
        """Have the relay do something, while there is one."""
        if not self._ended.is_set():
            self._tasks.start_soon(work, *args)

    def _found(self, found: Contradiction) -> None:
        """Something outside of the ACP stream contradicts the mode."""
        if self._preparation.guard is Guard.OBSERVE or self._ended.is_set():
            self._observe(Contradicted(found.reason, found.sentence, blocked=False, cancelled=()))
        else:
            self._tasks.start_soon(self._relay.contradict, found)

    async def _run_relay(self) -> None:
        try:
            self._exit = await self._relay.run()
        finally:
            if self._memory is not None:
                self._memory.close()
            self._ended.set()
        self._log.info("agent_ended", how=self._exit.text)

    def _in_memory(self, stack: AsyncExitStack) -> tuple[Receive, Send]:
        self._memory = memory = MemoryClient()
        stack.callback(memory.close)
        stack.callback(memory.leave)
        return memory.receive, memory.send

    def _observe(self, fact: Fact) -> None:
        self._record.see(fact)
        self._overage.see(fact)
        self._metered.see(fact)
        if self._budgeted is not None:
            self._budgeted.see(fact)
        match fact:
            case Contradicted(reason, sentence):
                self._log.warning("violation", reason=str(reason), detail=sentence)
            case Refused(method, _, reason, sentence):
                self._log.warning("refused", method=method, reason=str(reason), detail=sentence)
            case AgentIdentified(name, _, AgentKind.OTHER):
                self._log.warning("guarantees_none", agent=name, why="not a Claude adapter")
            case Unparseable(side, count):
                self._log.warning("unparseable_line", side=str(side), count=count)
            case _:
                self._log.debug("fact", fact=repr(fact))

    def _answer(self, method: str) -> bytes | None:
        match method:
            case names.BRIDGE_STATUS:
                document = {"schema_version": SCHEMA_VERSION, "bridges": [self.status]}
            case names.BRIDGE_USAGE:
                document = self.usage
            case _:
                return None
        return json.dumps(document).encode()


async def _close(stack: AsyncExitStack, error: BaseException | None) -> None:
    """Leave what was entered.

    An error of the caller's own is not handed to the task group, which would wrap it in an
    exception group; a cancellation must be, so that it reaches the scope that it is for.
    """
    if isinstance(error, anyio.get_cancelled_exc_class()):
        await stack.__aexit__(type(error), error, error.__traceback__)
    else:
        await stack.aclose()
