"""A ledger that cannot be written: said once with a hint, the session goes on, nothing is lost."""

import json
import os
import resource
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from acp_bridge.errors import BridgeError
from acp_bridge.ledger import ledger_path
from acp_bridge.ledger.queries import Ledger
from acp_bridge.ledger.writer import LedgerWriter
from acp_bridge.testing import Chunk, End, ScriptedAgent, TurnUsage
from tests.bridge.process import (
    BRIDGE,
    SECONDS,
    BridgeProcess,
    Json,
    bridge_environment,
    bridge_process,
    run_bridge,
)
from tests.ledger.children import SMALL_DISK, start
from tests.ledger.rows import spent
from tests.support.waiting import until

OUTPUT = 4
TURN = (Chunk("Hello."), End(usage=TurnUsage(input_tokens=10, output_tokens=OUTPUT)))
AGENT = ScriptedAgent(*[TURN] * 9).command
BEFORE = 3
"""Requests that an earlier run had committed."""
LEFT_OF_A_QUOTA = 64 * 1024

# For root, permissions bind once it has no CAP_DAC_OVERRIDE and no CAP_DAC_READ_SEARCH.
_BOUND = """
import ctypes, os, sys
for capability in (1, 2):
    assert ctypes.CDLL(None).prctl(24, capability, 0, 0, 0) == 0  # PR_CAPBSET_DROP
os.execv(sys.argv[1], sys.argv[1:])
"""
BOUND_BY_PERMISSIONS = () if os.geteuid() else (sys.executable, "-c", _BOUND)


def filled(path: Path) -> None:
    """The ledger of an earlier run."""
    writer = LedgerWriter(path)
    for number in range(BEFORE):
        writer.record(spent(f"before-{number}", run_id="earlier"))
    assert writer.close(SECONDS).ok


def entries(path: Path) -> int:
    """How many entries of usage the ledger holds."""
    with Ledger(path) as ledger:
        return sum(1 for _ in ledger.entries())


def holds(path: Path, count: int) -> Callable[[], bool]:
    """Whether the ledger holds so many entries, once it can be read."""

    def look() -> bool:
        try:
            return entries(path) == count
        except BridgeError:
            return False

    return look


@contextmanager
def a_folder_in_its_place(path: Path) -> Iterator[None]:
    path.rename(path.with_suffix(".aside"))
    path.mkdir()
    yield
    path.rmdir()
    path.with_suffix(".aside").rename(path)


@contextmanager
def a_file_that_may_only_be_read(path: Path) -> Iterator[None]:
    path.chmod(0o400)
    yield
    path.chmod(0o600)


@contextmanager
def a_folder_that_may_only_be_read(path: Path) -> Iterator[None]:
    path.parent.chmod(0o500)
    yield
    path.parent.chmod(0o700)


@contextmanager
def a_lock(path: Path) -> Iterator[None]:
    with start("hold_exclusively", path) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        yield
        holder.communicate(b"let go\n")


@contextmanager
def what_is_no_database(path: Path) -> Iterator[None]:
    path.rename(path.with_suffix(".aside"))
    garbage = b"this is no database, " * 500
    path.write_bytes(garbage)
    yield
    assert path.read_bytes() == garbage
    path.with_suffix(".aside").replace(path)


@contextmanager
def damaged_pages(path: Path) -> Iterator[None]:
    kept = path.with_suffix(".kept")
    shutil.copyfile(path, kept)
    damaged = bytearray(path.read_bytes())
    damaged[4096 * 2 :] = b"\xa5" * (len(damaged) - 4096 * 2)
    path.write_bytes(damaged)
    yield
    assert path.read_bytes() == damaged
    kept.replace(path)


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What is in the way while the block of `put` lasts, and what is said of it."""

    put: Callable[[Path], AbstractContextManager[None]]
    says: str
    hint: str


OBSTACLES = [
    Obstacle(a_folder_in_its_place, "is a folder", "move the folder away"),
    Obstacle(a_file_that_may_only_be_read, "cannot be written", "make it writable"),
    Obstacle(a_folder_that_may_only_be_read, "cannot be written", "make it writable"),
    Obstacle(a_lock, "is locked by another program", "end the program that holds it"),
    Obstacle(what_is_no_database, "is no database", "move the file away"),
    Obstacle(damaged_pages, "is damaged", "move the file away"),
]


def ledger_of_before(tmp_path: Path) -> Path:
    """A state directory with a folder of runs and a ledger; returns the ledger's path."""
    path = ledger_path(tmp_path / "state")
    (path.parent / "runs").mkdir(parents=True, mode=0o700)
    filled(path)
    return path


async def prompt(bridge: BridgeProcess, session: str) -> None:
    """A prompt, and its answer in full."""
    before = bridge.output.count(b"Hello.")
    response = await bridge.response(await bridge.send_prompt(session, "hello"))
    assert response["result"]["stopReason"] == "end_turn"
    assert bridge.output.count(b"Hello.") == before + 1


async def health(bridge: BridgeProcess) -> Json:
    """How the ledger does, as the bridge itself answers."""
    (run,) = (await bridge.request("_acp_bridge/status", {}))["bridges"]
    found: Json = run["metering"]["ledger"]
    return found


def printed_health(bridge: BridgeProcess) -> Json:
    """The same of the only run, as the command prints it."""
    done = run_bridge("status", "--json", env=bridge.env)
    assert done.returncode == 0, done.stderr
    (run,) = json.loads(done.stdout)["bridges"]
    found: Json = run["metering"]["ledger"]
    return found


async def meet(bridge: BridgeProcess, session: str, says: str, hint: str) -> None:
    """Two prompts are answered, and the obstacle is told in the log and in the status."""
    await prompt(bridge, session)
    with anyio.fail_after(SECONDS):
        while (await health(bridge))["ok"]:
            pass
    await prompt(bridge, session)
    await bridge.wait_for_stderr(says)
    await until(lambda: not printed_health(bridge)["ok"])
    for shown in (await health(bridge), printed_health(bridge)):
        assert says in shown["reason"]
        assert hint in shown["hint"]
        assert shown["lost"] == 0
    used = await bridge.request("_acp_bridge/usage", {})
    assert used["totals"]["output_tokens"] >= 2 * OUTPUT


async def leave(bridge: BridgeProcess, says: str, hint: str) -> None:
    """The bridge ends well, and has told the obstacle once."""
    assert (await health(bridge))["ok"]
    bridge.close_stdin()
    assert await bridge.exit_status() == 0
    (line,) = [line for line in bridge.stderr.splitlines() if "the ledger " in line]
    assert says in line
    assert hint in line
    assert printed_health(bridge) == {"ok": True, "reason": "", "hint": "", "lost": 0}


@pytest.mark.parametrize("obstacle", OBSTACLES, ids=lambda one: one.put.__name__)
async def test_the_session_goes_on_and_what_was_held_up_arrives(
    tmp_path: Path, obstacle: Obstacle
) -> None:
    path = ledger_of_before(tmp_path)
    with ExitStack() as obstacles:
        obstacles.enter_context(obstacle.put(path))
        async with bridge_process(tmp_path, agent=AGENT, under=BOUND_BY_PERMISSIONS) as bridge:
            session = await bridge.session()
            await meet(bridge, session, obstacle.says, obstacle.hint)
            obstacles.close()
            await prompt(bridge, session)
            await until(holds(path, BEFORE + 3))
            await leave(bridge, obstacle.says, obstacle.hint)
    assert entries(path) == BEFORE + 3


async def test_what_is_still_held_up_at_the_end_is_counted_as_lost(tmp_path: Path) -> None:
    path = ledger_of_before(tmp_path)
    with a_lock(path):
        async with bridge_process(tmp_path, agent=AGENT) as bridge:
            await meet(bridge, await bridge.session(), "is locked", "end the program")
            bridge.close_stdin()
            assert await bridge.exit_status() == 0
    shown = printed_health(bridge)
    assert not shown["ok"]
    assert shown["lost"] >= 2
    assert entries(path) == BEFORE


@pytest.mark.skipif(sys.platform != "linux", reason="sets another process's limits")
async def test_a_file_that_may_not_grow_holds_up_entries_and_they_arrive(tmp_path: Path) -> None:
    """As a quota does it."""
    path = ledger_of_before(tmp_path)
    limit = resource.RLIMIT_FSIZE
    async with bridge_process(tmp_path, agent=AGENT) as bridge:
        session = await bridge.session()
        await prompt(bridge, session)
        await until(holds(path, BEFORE + 1))
        room = resource.prlimit(bridge.pid, limit, (LEFT_OF_A_QUOTA, resource.RLIM_INFINITY))
        await meet(bridge, session, "cannot be read or written", "quota")
        assert entries(path) == BEFORE + 1
        resource.prlimit(bridge.pid, limit, room)
        await prompt(bridge, session)
        await until(holds(path, BEFORE + 4))
        await leave(bridge, "cannot be read or written", "quota")


def test_reading_a_file_that_may_only_be_read_leaves_nothing_that_would_keep_it_so(
    tmp_path: Path,
) -> None:
    path = ledger_of_before(tmp_path)
    with a_file_that_may_only_be_read(path):
        argv = [*BOUND_BY_PERMISSIONS, *BRIDGE, "usage", "--json"]
        env = bridge_environment(tmp_path)
        done = subprocess.run(argv, env=env, check=True, capture_output=True, timeout=SECONDS)
    assert json.loads(done.stdout)["totals"]["requests"] == BEFORE
    assert {file.name for file in path.parent.iterdir()} == {path.name, "runs"}


def with_a_small_disk(folder: Path) -> tuple[str, ...]:
    """The command line that gives a program a disk of one megabyte at a folder."""
    mount = f"mount -t tmpfs -o size={SMALL_DISK} none {shlex.quote(str(folder))}"
    namespace = ("unshare", "--user", "--map-root-user", "--mount")
    return (*namespace, "sh", "-c", f'{mount} && exec "$@"', "sh")


def can_mount(folder: Path) -> bool:
    argv = (*with_a_small_disk(folder), "true")
    return shutil.which(argv[0]) is not None and (
        subprocess.run(argv, check=False, capture_output=True).returncode == 0
    )


def fill(folder: Path) -> Path:
    """Write until nothing more fits; returns the file that takes the room."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 512)
    return ballast


async def test_a_full_disk_holds_up_entries_and_they_arrive(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if not await anyio.to_thread.run_sync(can_mount, disk):
        pytest.skip("no disk of one's own can be mounted here")
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    ledger_path(state).symlink_to(ledger_path(disk))
    async with bridge_process(tmp_path, agent=AGENT, under=with_a_small_disk(disk)) as bridge:
        session = await bridge.session()
        seen_from_here = Path(f"/proc/{bridge.pid}/root{disk}")
        path = ledger_path(seen_from_here)
        await prompt(bridge, session)
        await until(holds(path, 1))
        ballast = fill(seen_from_here)
        await meet(bridge, session, "the disk is full", "free some space")
        assert entries(path) == 1
        ballast.unlink()
        await prompt(bridge, session)
        await until(holds(path, 4))
        await leave(bridge, "the disk is full", "free some space")


async def test_a_state_directory_that_cannot_be_written_stops_the_start(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o500)
    async with bridge_process(tmp_path, agent=AGENT, under=BOUND_BY_PERMISSIONS) as bridge:
        assert await bridge.exit_status() == 2
        await bridge.wait_until(lambda: bridge.stderr.endswith("STATE_DIR\n"))
    error, hint = bridge.stderr.splitlines()
    assert error.startswith(f"error: cannot create the run's directory {state}/runs")
    assert hint == "hint: name a directory that you can write in ACP_BRIDGE_STATE_DIR"
    assert bridge.output == b""
