"""`acp-bridge receipt`: the registry and the ledger say the same, and each alone is enough."""

import json
import shutil
import signal
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel

from acp_bridge import __version__
from acp_bridge.ledger import ledger_path
from acp_bridge.ledger.queries import Ledger
from acp_bridge.ledger.records import RunRow
from acp_bridge.ledger.runs import RunDirectory
from acp_bridge.ledger.writer import LedgerWriter
from acp_bridge.metering.meter import Meter
from acp_bridge.protocol.facts import RawMessageSeen, SessionOpened
from acp_bridge.run.meter import RunMeter
from acp_bridge.run.settlement import Settler
from acp_bridge.testing import Chunk, End, ScriptedAgent, TurnUsage
from tests.bridge.process import SECONDS, bridge_environment, bridge_process, run_bridge
from tests.cli.receipt_command import (
    CLEARED,
    DAY,
    LATER,
    OTHER,
    RUN,
    SESSION,
    Receipt,
    ended,
    one,
    one_request,
    opened,
    registered,
)
from tests.cli.usage_command import assert_wrong, write
from tests.documents import assert_receipts
from tests.ledger.rows import NOON, run, spent


def test_a_run_that_the_ledger_could_not_take_has_what_its_status_knows(
    tmp_path: Path, receipt: Receipt
) -> None:
    with closing(registered(tmp_path / "state")):
        said = receipt("--json")
        found = one(said)
        page = receipt().stdout
    assert said.document["session_id"] == SESSION  # which was opened last
    assert found["usage"]["totals"] == one_request()
    assert found["usage"]["by_model"] == []
    assert found["versions"]["bridge"] is None
    assert "  on the wire  no request\n" in page
    assert "  the meter falls back: a company's own telemetry\n" in page
    assert "  not in it: 1,234 rows that the ledger lost: the disk is full\n" in page


def test_a_session_that_went_on_in_a_later_run_is_the_newest_also_for_the_registry(
    tmp_path: Path, receipt: Receipt
) -> None:
    with closing(registered(tmp_path / "state")):
        going_on = {"session_id": OTHER, "cwd": None, "model": None, "usage": None}
        with closing(registered(tmp_path / "state", run_id=LATER, sessions=[going_on])):
            said = receipt("--json").document
    assert (said["session_id"], said["other_runs"]) == (OTHER, [RUN])


def test_sessions_of_registry_and_ledger_are_named_alike(
    tmp_path: Path, path: Path, receipt: Receipt
) -> None:
    write(path, ended(LATER), opened(f"{OTHER[:-1]}5", f"{OTHER[:-1]}5", run_id=LATER))
    with closing(registered(tmp_path / "state")):
        assert_wrong(receipt(OTHER[:8]), "begins the ids of 2 sessions")
        assert receipt(OTHER, "--json").document["session_id"] == OTHER
        assert receipt(SESSION[:8], "--json").document["session_id"] == SESSION


def test_the_figures_are_the_ledgers_also_while_the_registry_knows_the_run(
    tmp_path: Path, path: Path, receipt: Receipt
) -> None:
    """What a killed bridge left is settled later, in the ledger alone."""
    used = [spent(str(n), run_id=RUN, session_id=SESSION) for n in range(3)]
    write(path, run(RUN), opened(), *used)
    with closing(registered(tmp_path / "state", ended_at=(NOON + 2 * DAY).isoformat())):
        found = one(receipt(SESSION, "--json"))
        write(path, ended())
        later = one(receipt(SESSION, "--json"))
    assert found["run"]["ended_at"] == (NOON + 2 * DAY).isoformat()
    assert later["run"]["ended_at"] == (NOON + DAY).isoformat()  # the moment that stays
    assert found["usage"]["totals"]["requests"] == 3
    assert found["usage"]["totals"]["pending"] is False


def test_a_status_without_sessions_hides_no_other_run(
    tmp_path: Path, path: Path, receipt: Receipt
) -> None:
    write(path, ended(), opened())
    torn = RunDirectory.create(tmp_path / "state", LATER)
    torn.write_status({"run_id": LATER, "ended_at": None})
    with closing(torn):
        assert receipt("--json").document["session_id"] == SESSION


def asked(env: Mapping[str, str], *arguments: str) -> Any:
    done = run_bridge("receipt", "--json", *arguments, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert_receipts(document)
    return document


def without_metering(document: Any) -> Any:
    """The same document, of a run whose meter nobody remembers."""
    receipts = [{**found, "metering": None} for found in document["receipts"]]
    return {**document, "receipts": receipts}


SPENT = TurnUsage(input_tokens=31, output_tokens=17, cached_read_tokens=5)


def claude(tmp_path: Path) -> tuple[tuple[str, ...], dict[str, str]]:
    """A stand-in for the Claude adapter, and an environment with a key that must not pay."""
    agent = ScriptedAgent([Chunk(), End(usage=SPENT)], name="claude-agent-acp")
    env = bridge_environment(tmp_path, agent_kind="claude", claude="/bin/true")
    return agent.command, env | {"ANTHROPIC_API_KEY": "sk-ant-api03-FAKE"}


async def test_registry_and_ledger_alone_give_the_same_receipt(tmp_path: Path) -> None:
    agent, env = claude(tmp_path)
    async with bridge_process(tmp_path, env=env, agent=agent) as bridge:
        run_id = (await bridge.initialize())["_meta"]["acp_bridge"]["run_id"]
        session_id = await bridge.new_session(tmp_path)
        await bridge.response(await bridge.send_prompt(session_id, "go"))
        await bridge.error(await bridge.send_request("providers/set", {}))
        bridge.close_stdin()
        assert await bridge.exit_status() == 0
    ways: list[list[str]] = [[], [session_id], ["--run", run_id]]
    before = [asked(env, *arguments) for arguments in ways]
    shutil.rmtree(tmp_path / "state" / "runs")
    after = [asked(env, *arguments) for arguments in ways]

    assert after == [without_metering(document) for document in before]
    assert before[0]["receipts"][0]["metering"] is not None
    found = after[0]["receipts"][0]
    assert found["session"] == {"session_id": session_id, "cwd": str(tmp_path), "model": None}
    assert found["versions"]["bridge"] == __version__
    assert found["versions"]["agent_name"] == "claude-agent-acp"
    assert {"channel": "ANTHROPIC_API_KEY", "origin": "environment"} in found["decisions"][
        "removed"
    ]
    assert found["wire"] == {"presented": {}, "attached": {}}
    assert [of["reason"] for of in found["violations"]] == ["mode_locked"]
    assert [of["value"] for of in found["evidence"]][:1] == ["subscription_oauth"]
    assert found["usage"]["totals"]["input_tokens"] == 31
    assert "FAKE" not in json.dumps(before)


async def test_a_killed_run_keeps_what_was_removed_at_its_start(tmp_path: Path) -> None:
    agent, env = claude(tmp_path)
    async with bridge_process(tmp_path, env=env, agent=agent) as bridge:
        run_id = (await bridge.initialize())["_meta"]["acp_bridge"]["run_id"]
        with anyio.fail_after(SECONDS):
            while (row := stored_run_row(tmp_path, run_id)) is None:
                await anyio.lowlevel.checkpoint()
        bridge.signal(signal.SIGKILL)
        assert await bridge.exit_status() == -signal.SIGKILL
    shutil.rmtree(tmp_path / "state" / "runs")
    found = asked(env, "--run", run_id)["receipts"][0]
    assert (row.bridge_version, row.ended_at) == (__version__, None)
    assert {"channel": "ANTHROPIC_API_KEY", "origin": "environment"} in found["decisions"][
        "removed"
    ]
    assert (found["run"]["ended_at"], found["wire"]) == (None, None)


def stored_run_row(tmp_path: Path, run_id: str) -> RunRow | None:
    with Ledger(ledger_path(tmp_path / "state")) as ledger:
        return ledger.run(run_id)


async def test_the_ledger_knows_which_session_of_the_client_one_of_claude_codes_was(
    tmp_path: Path, path: Path
) -> None:
    writer = LedgerWriter(path)
    settler = Settler(tmp_path, path, lambda _: True)
    meter = RunMeter(run(RUN), Meter(RUN), writer, settler, clock=lambda: NOON)
    told = {"type": "result", "session_id": CLEARED, "modelUsage": {"opus": {"inputTokens": 3}}}
    meter.see(SessionOpened(SESSION, "/w", None))
    meter.see(RawMessageSeen(SESSION, json.dumps(told).encode()))
    await meter.finish()
    assert writer.close(SECONDS).ok
    with Ledger(path) as ledger:
        found = {row.session_id: row.client_session_id for row in ledger.sessions(run_id=RUN)}
    assert found == {SESSION: SESSION, CLEARED: SESSION}
