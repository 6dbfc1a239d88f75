"""However the agent behaves, leaving the block ends it and everything below it."""

import os
import signal
import subprocess
import sys

import anyio
import psutil
import pytest

from acp_bridge.agent.process import AgentExit, Limits, start_agent
from tests.agent.conftest import Run
from tests.agent.death import Graveyard, wait_for_the_end_of
from tests.agent.stand_ins import ECHO, family, python

QUICK = Limits(grace=0.2, terminate=0.2, kill=10)
PATIENT = Limits(grace=20, terminate=20, kill=10)
ENV = dict(os.environ)

pytestmark = pytest.mark.usefixtures("no_leaks")


def test_an_agent_that_heeds_the_end_of_its_stdin_exits_by_itself(run: Run) -> None:
    async def main() -> AgentExit:
        async with start_agent(ECHO, env=ENV, limits=PATIENT) as agent:
            await agent.stdin.send(b"hello\n")
            assert await agent.stdout.receive() == b"hello\n"
        return await agent.wait()

    ended = run(main)
    assert ended == AgentExit(returncode=0)
    assert ended.text == "exited with status 0"


def test_an_agent_that_ignores_the_end_of_its_stdin_gets_sigterm(run: Run) -> None:
    async def main() -> AgentExit:
        limits = Limits(grace=0.2, terminate=20)
        async with start_agent(python("linger()"), env=ENV, limits=limits) as agent:
            pass
        return await agent.wait()

    ended = run(main)
    assert ended == AgentExit(signal=signal.SIGTERM)
    assert ended.text == "was ended by SIGTERM"


def test_an_agent_that_ignores_sigterm_too_is_killed(run: Run, graveyard: Graveyard) -> None:
    stubborn = python("ignore(signal.SIGTERM); ready('agent'); linger()", graveyard.path)

    async def main() -> AgentExit:
        async with start_agent(stubborn, env=ENV, limits=QUICK) as agent:
            graveyard.births(1)
        return await agent.wait()

    assert run(main) == AgentExit(signal=signal.SIGKILL)


def test_a_stopped_agent_still_ends_by_sigterm(run: Run, graveyard: Graveyard) -> None:
    async def main() -> AgentExit:
        limits = Limits(grace=0.2, terminate=20)
        argv = python("ready('agent'); linger()", graveyard.path)
        async with start_agent(argv, env=ENV, limits=limits) as agent:
            graveyard.births(1)
            os.kill(agent.pid, signal.SIGSTOP)
        return await agent.wait()

    assert run(main) == AgentExit(signal=signal.SIGTERM)


def test_orphans_in_sessions_of_their_own_end_with_the_agent(
    run: Run, graveyard: Graveyard
) -> None:
    async def main() -> dict[str, int]:
        argv = family("sys.stdin.read()", graveyard.path)
        async with start_agent(argv, env=ENV, limits=QUICK) as agent:
            born = graveyard.births(3)
            assert born["agent"] == agent.pid
            assert os.getsid(born["great-grandchild"]) != agent.pid
        assert agent.survivors == 0
        return born

    born = run(main)
    graveyard.wait_for_the_last()
    assert not any(map(psutil.pid_exists, born.values()))


def test_what_an_agent_leaves_behind_when_it_dies_is_ended_before_the_bridge_ends(
    run: Run, graveyard: Graveyard
) -> None:
    async def main() -> None:
        argv = family("os.kill(os.getpid(), signal.SIGSEGV)", graveyard.path)
        async with start_agent(argv, env=ENV, limits=QUICK) as agent:
            # The grandchild still holds stdout: the news does not wait for its end.
            assert await agent.wait() == AgentExit(signal=signal.SIGSEGV)
            with pytest.raises(anyio.EndOfStream):
                await agent.stdout.receive()
            graveyard.wait_for_the_last()

    run(main)


def test_children_that_end_by_themselves_within_the_grace_are_not_killed(
    run: Run, graveyard: Graveyard
) -> None:
    source = """
    child("import sys; sys.stdin.read(); os.write(2, b'by itself'); os.close(2)")
    ready('agent')
    """

    async def main() -> str:
        argv = python(source, graveyard.path)
        async with start_agent(argv, env=ENV, limits=PATIENT) as agent:
            graveyard.births(1)
            assert await agent.wait() == AgentExit(returncode=0)
        return agent.stderr_tail

    assert run(main) == "by itself"


def test_an_agent_blocked_on_a_full_stdout_can_still_end_by_itself(run: Run) -> None:
    flood = python("os.write(1, b'x' * (8 << 20)); sys.stdin.read()")

    async def main() -> AgentExit:
        async with start_agent(flood, env=ENV, limits=PATIENT) as agent:
            pass
        return await agent.wait()

    assert run(main) == AgentExit(returncode=0)


def test_hurry_cuts_the_waits_short(run: Run, graveyard: Graveyard) -> None:
    stubborn = python("ignore(signal.SIGTERM); ready('agent'); linger()", graveyard.path)

    async def main() -> AgentExit:
        async with start_agent(stubborn, env=ENV, limits=PATIENT) as agent:
            graveyard.births(1)
            began = anyio.current_time()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(agent.stop)
                agent.hurry()
            assert anyio.current_time() - began < PATIENT.grace
        return await agent.wait()

    assert run(main) == AgentExit(signal=signal.SIGKILL)


def test_stop_may_be_called_by_many_and_again(run: Run) -> None:
    async def main() -> None:
        async with start_agent(ECHO, env=ENV, limits=PATIENT) as agent:
            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(agent.stop)
            assert await agent.stop() == AgentExit(returncode=0)
        assert await agent.stop() == AgentExit(returncode=0)

    run(main)


def test_a_sender_that_waits_is_released_by_stop(run: Run) -> None:
    async def main() -> None:
        limits = Limits(grace=0.2, terminate=20)
        async with start_agent(python("linger()"), env=ENV, limits=limits) as agent:

            async def send() -> None:
                with pytest.raises(anyio.ClosedResourceError):
                    await agent.stdin.send(bytes(64 << 20))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(send)
                await anyio.wait_all_tasks_blocked()
                await agent.stop()

    run(main)


def test_an_error_in_the_block_ends_the_agent_and_stays_what_it_was(
    run: Run, graveyard: Graveyard
) -> None:
    async def main() -> None:
        argv = python("ready('agent'); sys.stdin.read()", graveyard.path)
        async with start_agent(argv, env=ENV, limits=PATIENT):
            graveyard.births(1)
            raise LookupError("the block's own")

    with pytest.raises(LookupError, match="the block's own"):
        run(main)
    graveyard.wait_for_the_last()


def test_cancellation_ends_the_agent_and_reaches_its_scope(run: Run, graveyard: Graveyard) -> None:
    async def main() -> AgentExit:
        argv = python("ready('agent'); sys.stdin.read()", graveyard.path)
        with anyio.CancelScope() as scope:
            async with start_agent(argv, env=ENV, limits=PATIENT) as agent:
                graveyard.births(1)
                scope.cancel()
                await anyio.sleep_forever()
        assert scope.cancelled_caught
        return await agent.wait()

    assert run(main) == AgentExit(returncode=0)


def test_a_killed_keeper_takes_the_agent_with_it(run: Run, graveyard: Graveyard) -> None:
    async def main() -> AgentExit:
        argv = python("ignore(signal.SIGTERM); ready('agent'); linger()", graveyard.path)
        async with start_agent(argv, env=ENV, limits=PATIENT) as agent:
            graveyard.births(1)
            agent._link.kill()
            ended = await agent.wait()
            graveyard.wait_for_the_last()
        return ended

    ended = run(main)
    assert ended == AgentExit()
    assert ended.text == "was ended together with the process that watched over it"


def test_the_keeper_outlasts_the_signals_of_a_terminal(run: Run) -> None:
    async def main() -> None:
        async with start_agent(ECHO, env=ENV, limits=PATIENT) as agent:
            keeper = agent._link._process
            for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM):
                keeper.send_signal(number)
            await agent.stdin.send(b"still here")
            assert await agent.stdout.receive() == b"still here"
        assert await agent.wait() == AgentExit(returncode=0)

    run(main)


BRIDGE = """
import os, signal, sys, anyio
from acp_bridge.agent.process import Limits, start_agent
async def main():
    limits = Limits(grace={grace}, terminate=0.2, kill=10)
    async with start_agent({argv!r}, env=dict(os.environ), limits=limits) as agent:
        print(agent._link._process.pid, flush=True)
        await anyio.sleep_forever()
anyio.run(main)
"""


def start_bridge(argv: list[str], grace: float) -> tuple[subprocess.Popen[bytes], int]:
    """Start a stand-in bridge with an agent: (the bridge, its keeper's process id)."""
    source = BRIDGE.format(argv=argv, grace=grace)
    bridge = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE)
    assert bridge.stdout is not None
    return bridge, int(bridge.stdout.readline())


def kill_9(bridge: subprocess.Popen[bytes]) -> None:
    bridge.kill()
    bridge.communicate()


@pytest.mark.parametrize("agent", ["sys.stdin.read()", "ignore(signal.SIGTERM); linger()"])
def test_kill_9_of_the_bridge_leaves_no_process_behind(graveyard: Graveyard, agent: str) -> None:
    bridge, keeper = start_bridge(family(agent, graveyard.path), grace=0.2)
    born = graveyard.births(3)
    kill_9(bridge)
    graveyard.wait_for_the_last()
    wait_for_the_end_of(keeper)
    assert not any(map(psutil.pid_exists, born.values()))


def test_after_kill_9_of_the_bridge_the_agent_may_end_by_itself(graveyard: Graveyard) -> None:
    tidy = python("ready('agent'); sys.stdin.read(); ready('tidy')", graveyard.path)
    bridge, keeper = start_bridge(tidy, grace=20)
    graveyard.births(1)
    kill_9(bridge)
    assert "tidy" in graveyard.births(2)
    graveyard.wait_for_the_last()
    wait_for_the_end_of(keeper)
