"""What an agent sees of the bridge while it runs, and the bridge of the agent."""

import os
import signal
import sys
from pathlib import Path

import anyio
import psutil
import pytest

from acp_bridge.agent.process import AgentExit, Limits, start_agent
from acp_bridge.agent.stderr import TAIL_BYTES
from acp_bridge.errors import AgentError
from tests.agent.conftest import Run
from tests.agent.stand_ins import ECHO, python
from tests.support.signals import signals_in

PATIENT = Limits(grace=20, terminate=20, kill=10)
ENV = dict(os.environ)

pytestmark = pytest.mark.usefixtures("no_leaks")


async def output_of(argv: list[str], **options: object) -> bytes:
    """Run an agent to its end; return what it wrote to stdout."""
    options.setdefault("env", ENV)
    text = b""
    async with start_agent(argv, limits=PATIENT, **options) as agent:  # type: ignore[arg-type]
        async for chunk in agent.stdout:
            text += chunk
    return text


def test_the_agent_gets_exactly_the_environment_given(run: Run) -> None:
    env = {"PATH": os.environ["PATH"], "ODD": "blank and = and \udce9"}
    source = r"os.write(1, b'\n'.join(b'='.join(pair) for pair in os.environb.items()))"
    seen = run(output_of, python("import os; e = dict(os.environb); " + source))
    assert b"PATH=" in seen

    async def main() -> bytes:
        return await output_of(["env"], env=env)

    assert sorted(run(main).splitlines()) == sorted(
        f"{name}={value}".encode(errors="surrogateescape") for name, value in env.items()
    )


def test_the_agent_starts_in_the_directory_given(run: Run, tmp_path: Path) -> None:
    async def main() -> bytes:
        return await output_of(["pwd", "-P"], cwd=tmp_path)

    assert run(main).decode().strip() == str(tmp_path.resolve())


def test_the_agent_leads_a_session_of_its_own_and_the_keeper_is_in_neither(run: Run) -> None:
    async def main() -> None:
        async with start_agent(ECHO, env=ENV, limits=PATIENT) as agent:
            assert os.getsid(agent.pid) == os.getpgid(agent.pid) == agent.pid
            keeper = agent._link._process.pid
            assert os.getsid(keeper) not in (agent.pid, os.getsid(0))
            assert psutil.Process(agent.pid).ppid() == keeper

    run(main)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows a process's signal masks")
def test_the_agent_ignores_and_blocks_no_signal(run: Run) -> None:
    async def main() -> bytes:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
        try:
            return await output_of(["cat", "/proc/self/status"])
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR2])

    fields = dict(line.split(":\t", 1) for line in run(main).decode().splitlines())
    assert signals_in(fields["SigIgn"]) == signals_in(fields["SigBlk"]) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists a process's descriptors")
def test_agent_and_keeper_hold_nothing_but_what_they_need(run: Run) -> None:
    async def main() -> None:
        async with start_agent(ECHO, env=ENV, limits=PATIENT) as agent:
            await agent.stdin.send(b"ready")
            await agent.stdout.receive()
            of_agent = targets(agent.pid)
            assert sorted(of_agent) == ["0", "1", "2"]
            assert not set(of_agent.values()) & set(targets(agent._link._process.pid).values())

    run(main)


def targets(pid: int) -> dict[str, str]:
    """Return what a process has open, by descriptor."""
    return {fd.name: str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir()}


def test_a_closed_stdout_is_seen_while_the_agent_lives(run: Run) -> None:
    async def main() -> None:
        argv = python("os.close(1); sys.stdin.read()")
        async with start_agent(argv, env=ENV, limits=PATIENT) as agent:
            with pytest.raises(anyio.EndOfStream):
                await agent.stdout.receive()
            assert psutil.pid_exists(agent.pid)
        assert await agent.wait() == AgentExit(returncode=0)

    run(main)


def test_a_closed_stdin_is_seen_while_the_agent_lives(run: Run) -> None:
    async def main() -> None:
        argv = python("os.close(0); os.write(1, b'closed'); linger()")
        limits = Limits(grace=0.2, terminate=20)
        async with start_agent(argv, env=ENV, limits=limits) as agent:
            assert await agent.stdout.receive() == b"closed"
            with pytest.raises(anyio.BrokenResourceError):
                await agent.stdin.send(b"anybody?")

    run(main)


def test_64_mib_pass_in_both_directions_however_slow_the_reader_starts(run: Run) -> None:
    total = 64 << 20
    block = bytes(range(256)) * 4096

    async def main() -> None:
        async with start_agent(ECHO, env=ENV, limits=PATIENT) as agent:

            async def send() -> None:
                for _ in range(total // len(block)):
                    await agent.stdin.send(block)
                await agent.stdin.aclose()

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(send)
                await anyio.wait_all_tasks_blocked()  # every pipe on the way is full now
                received = bytearray()
                async for chunk in agent.stdout:
                    received += chunk
            assert received == block * (total // len(block))

    run(main)


def test_100_mb_of_stderr_do_not_stall_the_agent_nor_fill_the_memory(run: Run) -> None:
    flood = python(
        """
        line = b'e' * 99 + b'\\n'
        for _ in range(100):
            os.write(2, line * 10_000)
        os.write(2, b'the end')
        os.write(1, b'done')
        """
    )
    lines: list[str] = []

    async def main() -> str:
        argv = flood
        async with start_agent(argv, env=ENV, limits=PATIENT, on_stderr_line=lines.append) as agent:
            assert await agent.stdout.receive() == b"done"
            assert await agent.wait() == AgentExit(returncode=0)
        return agent.stderr_tail

    tail = run(main)
    assert tail.endswith("e\nthe end")
    assert len(tail) == TAIL_BYTES
    assert lines[0] == "e" * 99
    assert lines[-1] == "the end"
    left_out = [line for line in lines if line.endswith("more lines left out)")]
    told = sum(int(line[1:].split()[0]) for line in left_out)
    assert told + len(lines) - len(left_out) == 1_000_001
    assert len(lines) < 500_000


def test_a_stderr_line_without_end_is_cut_and_undecodable_bytes_are_shown(run: Run) -> None:
    lines: list[str] = []

    async def main() -> None:
        argv = python("os.write(2, b'\\xff\\r\\n' + b'x' * 1_000_000); os.write(2, b'y\\nz')")
        async with start_agent(argv, env=ENV, limits=PATIENT, on_stderr_line=lines.append) as agent:
            await agent.wait()

    run(main)
    assert lines == ["\ufffd", "x" * 8192, "z"]


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    for name, content, mode in (
        ("not-executable", "#!/bin/sh\n", 0o644),
        ("no-program", "\x7fELF but not really", 0o755),
        ("no-interpreter", "#!/nonexistent/interpreter\n", 0o755),
    ):
        program = tmp_path / name
        program.write_text(content)
        program.chmod(mode)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("missing", "was not found"),
        ("not-executable", "is not executable"),
        ("no-program", "is not a program that this machine can run"),
        ("no-interpreter", "names an interpreter in its first line that does not exist"),
    ],
)
def test_an_agent_that_cannot_start_is_one_sentence_and_a_hint(
    run: Run, programs: Path, name: str, problem: str
) -> None:
    program = str(programs / name)

    async def main() -> None:
        async with start_agent([program], env=ENV):
            pytest.fail("it started")

    with pytest.raises(AgentError) as caught:
        run(main)
    assert caught.value.message == f"the agent {program} {problem}"
    assert caught.value.hint
    assert caught.value.exit_status == 4


def test_a_program_without_a_slash_is_looked_up_on_the_agents_path(
    run: Run, programs: Path
) -> None:
    program = programs / "agent"
    program.write_text("#!/bin/sh\necho found\n")
    program.chmod(0o755)

    async def main() -> bytes:
        return await output_of(["agent"], env={"PATH": f"/nonexistent:{programs}"})

    assert run(main) == b"found\n"


def test_a_missing_working_directory_is_named(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async with start_agent(ECHO, env=ENV, cwd=tmp_path / "gone"):
            pytest.fail("it started")

    with pytest.raises(AgentError, match=r"working directory .*gone does not exist"):
        run(main)


def test_a_start_that_takes_too_long_is_given_up(run: Run) -> None:
    async def main() -> None:
        async with start_agent(ECHO, env=ENV, limits=Limits(start=0)):
            pytest.fail("it started")

    with pytest.raises(AgentError, match="did not start within 0 s"):
        run(main)


def test_a_cancelled_start_leaves_nothing(run: Run) -> None:
    async def main() -> None:
        with anyio.CancelScope() as scope:
            scope.cancel()
            async with start_agent(ECHO, env=ENV):
                pytest.fail("it started")
        assert scope.cancelled_caught

    run(main)
