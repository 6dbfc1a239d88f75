"""The bridge as a process: started with a stand-in or the real agent, spoken to as a client.

async with bridge_process(tmp_path) as bridge:
    await bridge.initialize()
    session = await bridge.new_session()
    prompt = await bridge.send_prompt(session, "exit:3")
    error = await bridge.error(prompt)
    assert await bridge.exit_status() == 3
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import anyio
import psutil

Json = dict[str, Any]

BRIDGE: Final = (sys.executable, "-m", "acp_bridge")
STAND_IN: Final = (sys.executable, "-I", "-S", str(Path(__file__).with_name("stand_in.py")))
SECONDS: Final = 60.0
"""How long a test waits for what must happen: a bound, not an expectation."""


def stand_in(*arguments: str) -> tuple[str, ...]:
    """The command line of the stand-in agent."""
    return (*STAND_IN, *arguments)


def bridge_environment(tmp_path: Path, **settings: str) -> dict[str, str]:
    """A scratch home and no credential; settings are named as in the configuration file."""
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "CLAUDE_CONFIG_DIR": str(home / ".claude"),
        "ACP_BRIDGE_STATE_DIR": str(tmp_path / "state"),
        "ACP_BRIDGE_CONFIG": os.devnull,
        **{f"ACP_BRIDGE_{name.upper()}": value for name, value in settings.items()},
    }


class BridgeProcess:
    """A running ``acp-bridge``, and a client that reads everything it says.

    Attributes:
        process: the process.
        output: the bytes of its stdout so far.
        env: the environment that it was started with.
    """

    def __init__(self, process: subprocess.Popen[bytes], env: Mapping[str, str]) -> None:
        self.process = process
        self.env = dict(env)
        self.output = bytearray()
        self._errors = bytearray()
        self._next_id = 0
        self._changed = anyio.Event()
        self._closed = False
        self._reads = anyio.CancelScope()
        self._stdin, self._stdout, self._stderr = (
            pipe.fileno() for pipe in (process.stdin, process.stdout, process.stderr) if pipe
        )
        for fd in (self._stdin, self._stdout, self._stderr):
            os.set_blocking(fd, False)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def stderr(self) -> str:
        return self._errors.decode()

    @property
    def lines(self) -> list[bytes]:
        """The complete lines of stdout so far."""
        return bytes(self.output).split(b"\n")[:-1]

    @property
    def messages(self) -> list[Json]:
        """The messages among them."""
        return [message for line in self.lines if (message := _message(line))]

    async def send_bytes(self, data: bytes) -> None:
        rest = memoryview(data)
        with anyio.fail_after(SECONDS):
            while rest:
                await anyio.wait_writable(self._stdin)
                rest = rest[os.write(self._stdin, rest) :]

    async def send(self, message: Json) -> None:
        await self.send_bytes(json.dumps(message).encode() + b"\n")

    async def send_request(self, method: str, params: Json) -> int:
        number, self._next_id = self._next_id, self._next_id + 1
        await self.send({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        return number

    async def send_prompt(self, session: str, text: str) -> int:
        block = {"type": "text", "text": text}
        return await self.send_request("session/prompt", {"sessionId": session, "prompt": [block]})

    async def request(self, method: str, params: Json) -> Json:
        result: Json = (await self.response(await self.send_request(method, params)))["result"]
        return result

    async def initialize(self) -> Json:
        return await self.request("initialize", {"protocolVersion": 1, "clientCapabilities": {}})

    async def new_session(self, cwd: Path = Path("/"), **more: Any) -> str:
        params = {"cwd": str(cwd), "mcpServers": [], **more}
        return str((await self.request("session/new", params))["sessionId"])

    async def session(self) -> str:
        """Initialize, and open a session."""
        await self.initialize()
        return await self.new_session()

    async def prompt(self, text: str) -> Json:
        """A prompt in a session of its own; returns the response."""
        return await self.response(await self.send_prompt(await self.new_session(), text))

    async def response(self, number: object) -> Json:
        """The response with that id, past or to come."""
        return await self.wait_for(
            lambda message: "method" not in message and message.get("id") == number
        )

    async def error(self, number: object) -> Json:
        """The error that a request was answered with."""
        error: Json = (await self.response(number))["error"]
        return error

    async def wait_for(self, predicate: Callable[[Json], bool]) -> Json:
        """The first message, past or to come, that the predicate accepts."""
        found: list[Json] = []

        def look() -> bool:
            found.extend(message for message in self.messages if predicate(message))
            return bool(found)

        await self.wait_until(look)
        return found[0]

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until what the process wrote makes the condition true."""
        with anyio.fail_after(SECONDS):
            while True:
                changed = self._changed
                if condition():
                    return
                assert not self._closed or self._reads.cancel_called, (
                    f"stdout ended; stderr: {self.stderr[-3000:]}"
                )
                await changed.wait()

    async def wait_for_stderr(self, text: str) -> None:
        await self.wait_until(lambda: text in self.stderr)

    async def chunk(self) -> str:
        """The text of the first message chunk."""
        message = await self.wait_for(lambda message: message.get("method") == "session/update")
        return str(message["params"]["update"]["content"]["text"])

    def close_stdin(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    async def close_stdout(self) -> None:
        self._reads.cancel()
        await self.wait_until(lambda: self._closed)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def pause_reading(self) -> None:
        """Leave what comes on stdout unread from now on."""
        self._reads.cancel()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def exit_status(self, *, within: float = SECONDS) -> int:
        """Wait for the process to end; stdout is read to its end."""
        status = await anyio.to_thread.run_sync(self.process.wait, within)
        await self.wait_until(lambda: self._closed)
        return status

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.pid).children(recursive=True)

    async def read_stdout(self) -> None:
        with self._reads:
            await self._read(self._stdout, self.output)
        self._closed = True
        self._announce()

    async def read_stderr(self) -> None:
        await self._read(self._stderr, self._errors)

    async def _read(self, fd: int, kept: bytearray) -> None:
        while True:
            await anyio.wait_readable(fd)
            data = os.read(fd, 1 << 20)
            if not data:
                return
            kept += data
            self._announce()

    def _announce(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


@asynccontextmanager
async def bridge_process(  # noqa: PLR0913 - each by name
    tmp_path: Path,
    settings: Mapping[str, str] | None = None,
    *,
    agent: Sequence[str] = STAND_IN,
    env: Mapping[str, str] | None = None,
    under: Sequence[str] = (),
    reads_stderr: bool = True,
) -> AsyncIterator[BridgeProcess]:
    """Start the bridge; what is left of it at the block's end is killed.

    Args:
        tmp_path: the test's directory.
        settings: settings of the bridge; the agent's kind is `other` if they do not say.
        agent: the agent's command line.
        env: the whole environment, in place of `bridge_environment` with the settings.
        under: a command line that executes the bridge's, e.g. with fewer rights.
        reads_stderr: whether the client reads stderr.
    """
    if env is None:
        env = bridge_environment(tmp_path, **{"agent_kind": "other", **(settings or {})})
    process = subprocess.Popen(  # noqa: ASYNC220 - anyio's waits for the pipes, too
        [*under, *BRIDGE, "--", *agent],
        env=dict(env),
        start_new_session=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    )
    bridge = BridgeProcess(process, env)
    tasks = await anyio.create_task_group().__aenter__()
    tasks.start_soon(bridge.read_stdout)
    if reads_stderr:
        tasks.start_soon(bridge.read_stderr)
    try:
        yield bridge
    finally:
        # The test's own error passes by the task group, which would wrap it.
        tasks.cancel_scope.cancel()
        await tasks.__aexit__(None, None, None)
        process.kill()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        process.wait(SECONDS)


async def all_gone(processes: Sequence[psutil.Process], *, within: float = SECONDS) -> bool:
    """Whether these processes end in time."""
    _, alive = await anyio.to_thread.run_sync(lambda: psutil.wait_procs(processes, timeout=within))
    return not alive


def run_bridge(
    *arguments: str, env: Mapping[str, str], stdin: bytes = b""
) -> subprocess.CompletedProcess[str]:
    """Run ``acp-bridge`` to its end."""
    done = subprocess.run(
        [*BRIDGE, *arguments],
        env=dict(env),
        input=stdin,
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


def _message(line: bytes) -> Json | None:
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None
