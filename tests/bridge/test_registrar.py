"""The registry's file of a run: the newest state, and the end in any case."""

import threading
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest

from acp_bridge.modes import BillingMode, Bucket, CredentialClass, Guard
from acp_bridge.run.record import RunRecord
from acp_bridge.run.registrar import Registrar

SECONDS = 20.0
NOW = datetime(2026, 11, 23, tzinfo=UTC)


class SlowDirectory:
    """A run's directory on a disk that writes when the test lets it."""

    def __init__(self) -> None:
        self.begun, self.may_write = threading.Semaphore(0), threading.Semaphore(0)
        self.written: list[dict[str, Any]] = []

    def write_status(self, document: dict[str, Any]) -> None:
        self.begun.release()
        assert self.may_write.acquire(timeout=SECONDS)
        self.written.append(document)

    async def wait_for_a_write(self) -> None:
        begun = await anyio.to_thread.run_sync(lambda: self.begun.acquire(timeout=SECONDS))
        assert begun


def make_record() -> RunRecord:
    return RunRecord(
        run_id="20261123-000000-abcdef",
        pid=1,
        mode=BillingMode.SUBSCRIPTION,
        credential_class=CredentialClass.SUBSCRIPTION_OAUTH,
        bucket=Bucket.PLAN_LIMITS,
        guard=Guard.OFF,
        clock=lambda: NOW,
        wall_time=lambda _at: NOW,
        started_at=NOW,
    )


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_end_that_comes_during_a_write_is_written_too(backend: str) -> None:
    async def scenario() -> list[dict[str, Any]]:
        directory, record = SlowDirectory(), make_record()
        registrar = Registrar(directory, record)  # type: ignore[arg-type]  # all it uses
        directory.may_write.release()
        with anyio.fail_after(SECONDS):
            async with anyio.create_task_group() as tasks:
                await tasks.start(registrar.run)
                await directory.wait_for_a_write()
                record.declare("subscription_oauth", "launch plan")
                await directory.wait_for_a_write()
                tasks.start_soon(registrar.finish)
                await anyio.wait_all_tasks_blocked()
                directory.may_write.release(2)
        return directory.written

    written = anyio.run(scenario, backend=backend)
    assert [document["ended_at"] for document in written] == [None, None, NOW.isoformat()]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_end_of_a_run_that_never_started_is_written(backend: str) -> None:
    async def scenario() -> list[dict[str, Any]]:
        directory, record = SlowDirectory(), make_record()
        directory.may_write.release()
        await Registrar(directory, record).finish()  # type: ignore[arg-type]  # all it uses
        return directory.written

    (document,) = anyio.run(scenario, backend=backend)
    assert document["ended_at"] == NOW.isoformat()
