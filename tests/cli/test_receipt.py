"""`acp-bridge receipt`: which session it takes, where its facts come from, how people read it."""

import json
import re
import shutil
import signal
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acp_bridge import __version__
from acp_bridge.cli import main
from acp_bridge.inspect.told import Told, in_markdown, in_plain, visible, without_home
from acp_bridge.ledger import ledger_path
from acp_bridge.ledger.queries import Ledger
from acp_bridge.ledger.records import EvidenceRow, Row, RunRow, SessionRow, ViolationRow
from acp_bridge.ledger.report import RowSum
from acp_bridge.ledger.runs import RunDirectory
from acp_bridge.ledger.sums import breakdown_of, sums_of
from acp_bridge.ledger.writer import LedgerWriter
from acp_bridge.metering.meter import Meter
from acp_bridge.metering.usage import AskedBy, CostKind, Source, State
from acp_bridge.modes import BillingMode, Bucket, Guard
from acp_bridge.protocol.facts import RawMessageSeen, SessionOpened
from acp_bridge.run.meter import RunMeter
from acp_bridge.run.record import KEPT_EVIDENCE, KEPT_VIOLATIONS
from acp_bridge.run.settlement import Settler
from acp_bridge.run.usage_document import figures
from acp_bridge.testing import Chunk, End, ScriptedAgent, TurnUsage
from tests.bridge.process import SECONDS, Json, bridge_environment, bridge_process, run_bridge
from tests.cli.usage_command import Said, Usage, assert_wrong, write
from tests.documents import assert_receipts
from tests.ledger.rows import NOON, run, session, spent

RUN, LATER, KILLED = "20261124-120000-aaaaaa", "20261125-120000-bbbbbb", "20261123-120000-cccccc"
SESSION = "0b8c7a54-1111-2222-3333-444444444444"
CLEARED = "0b8c7a54-5555-6666-7777-888888888888"
OTHER = "99999999-1111-2222-3333-444444444444"
DAY = timedelta(days=1)
PAGE = Path(__file__).with_name("receipt_page.txt")
MARKDOWN = Path(__file__).with_name("receipt_page.md")
"""What the command says of the small ledger, to be read."""

Receipt = Callable[..., Said]


@pytest.fixture
def receipt(usage: Usage, capsys: pytest.CaptureFixture[str]) -> Receipt:
    """Run the command in this process, in the environment that `usage` has set."""
    del usage

    def receipt(*arguments: str) -> Said:
        status = main(["receipt", *arguments])
        return Said(status, *capsys.readouterr())

    return receipt


def one(said: Said) -> Any:
    """The only receipt of a document."""
    assert_receipts(said.document)
    (found,) = said.document["receipts"]
    return found


def opened(
    session_id: str = SESSION, client: str | None = SESSION, *, run_id: str = RUN, **more: Any
) -> SessionRow:
    made = session(session_id, run_id=run_id, settled_at=NOON)
    return replace(made, **{"client_session_id": client, **more})


def ended(run_id: str = RUN, **more: Any) -> RunRow:
    made = run(run_id)
    return replace(made, **{"ended_at": NOON + DAY, "agent_name": "claude-agent-acp", **more})


def evidence(run_id: str = RUN, *, value: str = "subscription_oauth", at: int = 0) -> EvidenceRow:
    told = {"kind": "declared", "source": "launch plan", "value": value, "verdict": "agrees"}
    return EvidenceRow(run_id=run_id, at=NOON + timedelta(seconds=at), **told)


def violation(detail: str, run_id: str = RUN) -> ViolationRow:
    return ViolationRow(run_id=run_id, at=NOON, reason="mode_locked", detail=detail)


def small_ledger() -> list[Row]:
    """A session with something of everything, cleared once, in a run with another session."""
    api: Any = {"bucket": Bucket.EXTRA_USAGE, "cost_kind": CostKind.BILLED_ESTIMATE}
    return [
        ended(
            guard=Guard.ENFORCE,
            agent_version="0.9.0",
            claude_version="2.9.0",
            wire='{"presented": {"subscription_oauth": 5}, "attached": {"subscription_oauth": 4}}',
        ),
        opened(cwd="/home/somebody/project", model="opus"),
        opened(CLEARED, settled_at=None),
        opened(OTHER, OTHER),
        spent("1", run_id=RUN, session_id=SESSION),
        spent("2", run_id=RUN, session_id=SESSION, model="haiku", asked_by=AskedBy.TITLE),
        spent("3", run_id=RUN, session_id=CLEARED, source=Source.WIRE, cost_micros=2500, **api),
        spent("4", run_id=RUN, session_id=CLEARED, model="fable", cost_micros=None),
        spent("5", run_id=RUN, session_id=CLEARED, state=State.UNKNOWN, tokens=None),
        spent("6", run_id=RUN, session_id=OTHER, model="sonnet"),
        evidence(),
        violation("logout is refused in mode subscription"),
    ]


def test_the_page_and_the_markdown_say_all_of_a_session(
    path: Path, receipt: Receipt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    write(path, *small_ledger())
    assert receipt(SESSION) == Said(0, PAGE.read_text(), "")
    assert receipt(SESSION, "--markdown") == Said(0, MARKDOWN.read_text(), "")


def test_the_document_has_the_sessions_figures_alone_and_before_and_after_it_was_cleared(
    path: Path, receipt: Receipt
) -> None:
    write(path, *small_ledger())
    found = one(receipt(SESSION, "--json"))
    assert found["session"] == {
        "session_id": SESSION,
        "cwd": "/home/somebody/project",
        "model": "opus",
    }
    assert found["policy"] == {"plan": "max-20x", "policy_version": "2026-11-26"}
    assert found["versions"]["bridge"] == "0.1"
    assert found["wire"]["attached"] == {"subscription_oauth": 4}
    usage = found["usage"]
    requests = {
        group: {row[group]: row["requests"] for row in usage[f"by_{group}"]}
        for group in ("model", "state", "bucket", "source")
    }
    assert requests == {
        "model": {"fable": 1, "haiku": 1, "opus": 3},
        "state": {"live": 4, "unknown": 1},
        "bucket": {"extra_usage": 1, "plan_limits": 4},
        "source": {"telemetry": 4, "wire": 1},
    }
    assert usage["totals"]["requests"] == 5
    assert usage["totals"]["cost"] == [
        {"cost_kind": "billed_estimate", "cost_usd": "0.002500"},
        {"cost_kind": "list_price_equivalent", "cost_usd": "0.004500"},
    ]
    assert usage["totals"]["pending"] is True
    assert usage["uncosted_entries"] == 1


def test_the_receipt_of_a_run_has_all_of_its_sessions(path: Path, receipt: Receipt) -> None:
    write(path, *small_ledger())
    said = receipt("--run", RUN, "--json")
    found = one(said)
    assert (said.document["session_id"], found["session"]) == (None, None)
    assert found["usage"]["totals"]["requests"] == 6
    assert receipt("--run", RUN).stdout.startswith(f"Receipt of run {RUN}\n")


def test_without_a_session_it_is_the_newest_that_a_client_opened(
    path: Path, receipt: Receipt
) -> None:
    rows = (
        opened(OTHER, OTHER, opened_at=NOON + DAY),
        opened("nested", None, opened_at=NOON + 2 * DAY),
    )
    write(path, ended(), opened(), *rows)
    assert receipt("--json").document["session_id"] == OTHER


@pytest.mark.parametrize("written", [SESSION, SESSION[:13], CLEARED, CLEARED[:13]])
def test_a_session_is_named_by_either_id_or_its_beginning(
    path: Path, receipt: Receipt, written: str
) -> None:
    write(path, *small_ledger())
    assert receipt(written, "--json").document["session_id"] == SESSION


def test_a_beginning_of_several_ids_is_wrong_and_they_are_named(
    path: Path, receipt: Receipt
) -> None:
    ids = [f"{SESSION[:-1]}{number}" for number in range(5)]
    write(path, ended(), *(opened(one, one) for one in ids))
    assert_wrong(receipt(SESSION[:8]), "begins the ids of 5 sessions", *ids[:3], "and 2 more")
    assert receipt(ids[2], "--json").document["session_id"] == ids[2]


def test_fewer_than_eight_characters_name_a_session_only_in_full(
    path: Path, receipt: Receipt
) -> None:
    write(path, ended(), opened(), opened("short", "short"))
    assert receipt("short", "--json").document["session_id"] == "short"
    assert_wrong(receipt(SESSION[:7]), "no session '0b8c7a5'")


def test_of_an_unknown_session_or_run_the_hint_names_the_newest(
    path: Path, receipt: Receipt
) -> None:
    ids = [f"session-{number}" for number in range(5)]
    rows = [opened(one, one, opened_at=NOON + n * DAY) for n, one in enumerate(ids)]
    runs = [replace(ended(one), started_at=NOON) for one in (RUN, LATER, KILLED)]
    write(path, *runs, *rows)
    assert_wrong(receipt("nobody-here"), "'nobody-here'", "session-4, session-3, session-2\n")
    assert_wrong(receipt("--run", "nothing"), "'nothing'", f"{LATER}, {RUN}, {KILLED}\n")


def resumed() -> list[Row]:
    """A session that two runs had."""
    return [
        *(ended(), ended(LATER)),
        *(opened(), opened(run_id=LATER, opened_at=NOON + DAY)),
        spent("1", run_id=RUN, session_id=SESSION),
        spent("2", run_id=LATER, session_id=SESSION, model="haiku"),
    ]


def runs_in(said: Said) -> list[str]:
    return [found["run"]["run_id"] for found in said.document["receipts"]]


def test_of_a_session_that_several_runs_had_the_newest_part_is_shown_and_the_others_are_told(
    path: Path, receipt: Receipt
) -> None:
    write(path, *resumed())
    found = one(said := receipt(SESSION, "--json"))
    assert (runs_in(said), said.document["other_runs"]) == ([LATER], [RUN])
    assert [row["model"] for row in found["usage"]["by_model"]] == ["haiku"]
    for form in ((), ("--markdown",)):
        assert receipt(SESSION, *form).stdout.splitlines()[-1] == (
            "1 other run had this session, too; --all shows what each had of it."
        )


def test_with_all_every_part_is_shown_and_with_run_the_one_that_is_named(
    path: Path, receipt: Receipt
) -> None:
    write(path, *resumed())
    every = receipt(SESSION, "--all", "--json")
    assert_receipts(every.document)
    assert (runs_in(every), every.document["other_runs"]) == ([LATER, RUN], [])
    assert receipt(SESSION, "--all").stdout.count("Receipt of session ") == 2
    only = receipt(SESSION, "--run", RUN, "--json")
    assert (runs_in(only), only.document["other_runs"]) == ([RUN], [LATER])


def test_a_run_that_had_not_the_session_is_wrong_and_those_that_had_it_are_named(
    path: Path, receipt: Receipt
) -> None:
    write(path, *resumed(), ended(KILLED))
    assert_wrong(receipt(SESSION, "--run", KILLED), KILLED, "did not have", f"{LATER}, {RUN}")


def test_of_a_run_whose_end_nobody_saw_the_wire_is_unknown_and_not_empty(
    path: Path, receipt: Receipt
) -> None:
    write(path, replace(run(RUN), guard=Guard.ENFORCE), opened())
    found = one(receipt("--json"))
    assert (found["run"]["ended_at"], found["wire"]) == (None, None)
    assert "  on the wire  not known\n" in receipt().stdout


def test_what_an_older_bridge_did_not_note_is_unknown(path: Path, receipt: Receipt) -> None:
    bare: Any = dict.fromkeys(("bridge_version", "removed", "wire", "plan", "policy_version"))
    write(path, ended(guard=Guard.ENFORCE, **bare), opened(client=None))
    found = one(receipt("--json"))
    assert (found["decisions"]["removed"], found["wire"]) == (None, None)
    assert found["versions"]["bridge"] is None
    assert found["policy"] == {"plan": None, "policy_version": None}
    page = receipt().stdout
    assert "  plan         not known; billing policy not known\n" in page
    assert "  removed      not known\n" in page


def test_what_somebody_garbled_in_the_ledger_is_unknown(path: Path, receipt: Receipt) -> None:
    write(path, ended(removed="[{", wire="{"), opened())
    found = one(receipt("--json"))
    assert (found["decisions"]["removed"], found["wire"]) == (None, None)


def test_of_a_long_run_the_newest_evidence_and_violations_are_kept(
    path: Path, receipt: Receipt
) -> None:
    """As many as a run's status keeps, so that both say the same."""
    told = [evidence(value=str(n), at=n) for n in range(KEPT_EVIDENCE + 1)]
    done = [violation(str(n)) for n in range(KEPT_VIOLATIONS + 1)]
    write(path, ended(), opened(), *told, *done)
    found = one(receipt("--json"))
    assert [of["value"] for of in found["evidence"]] == [str(n + 1) for n in range(KEPT_EVIDENCE)]
    assert [of["detail"] for of in found["violations"]] == [
        str(n + 1) for n in range(KEPT_VIOLATIONS)
    ]


@pytest.mark.parametrize(
    ("changes", "more", "bucket"),
    [
        ((), {}, "plan_limits"),
        (("extra_usage",), {}, "extra_usage"),
        (("extra_usage", "plan_limits"), {}, "plan_limits"),
        (("extra_usage", "unified"), {}, "extra_usage"),
        (("api",), {"mode": BillingMode.ENDPOINT, "bucket": Bucket.ENDPOINT}, "endpoint"),
        (("extra_usage",), {"guarantees": "none", "bucket": Bucket.UNKNOWN}, "unknown"),
    ],
)
def test_the_bucket_is_the_one_that_was_charged_last(
    path: Path, receipt: Receipt, changes: tuple[str, ...], more: Any, bucket: str
) -> None:
    """The ledger's run has the one that it began with; ``api`` is also a kind of rate limit."""
    seen = {"kind": "on_the_wire", "source": "rate_limit", "verdict": "note"}
    told = [
        EvidenceRow(run_id=RUN, at=NOON + timedelta(seconds=n), value=value, **seen)
        for n, value in enumerate(changes)
    ]
    contradiction = replace(evidence(value="programmatic_credit", at=9), source="rate_limit")
    write(path, ended(**more), opened(), *told, contradiction)
    assert one(receipt("--json"))["run"]["bucket"] == bucket


def test_a_session_in_which_nothing_was_counted_has_a_receipt(path: Path, receipt: Receipt) -> None:
    write(path, ended(), opened())
    assert one(receipt("--json"))["usage"]["totals"] is None
    for form in ((), ("--markdown",)):
        said = receipt(*form)
        assert (said.status, said.stdout.splitlines()[-1].lstrip(" -")) == (
            0,
            "nothing was counted",
        )


# The registry


def registered(state: Path, *, run_id: str = RUN, **more: Any) -> RunDirectory:
    """A run of the registry, whose ledger cannot be written."""
    directory = RunDirectory.create(state, run_id)
    document = {
        "run_id": run_id,
        "pid": 1,
        "alive": True,
        "mode": "subscription",
        "mode_letter": "B",
        "guarantees": "enforced",
        "agent": {"name": None, "version": None, "claude_version": None},
        "guard": "enforce",
        "started_at": NOON.isoformat(),
        "ended_at": None,
        "expected_credential_class": "subscription_oauth",
        "bucket": "plan_limits",
        "removed": [],
        "evidence": [],
        "wire": {"presented": {}, "attached": {}},
        "violations": [],
        "sessions": [
            {"session_id": one, "cwd": None, "model": None, "usage": one_request()}
            for one in (OTHER, SESSION)
        ],
        "metering": {
            "telemetry": True,
            "sources": [],
            "falls_back": ["a company's own telemetry"],
            "pending": True,
            "ledger": {"ok": False, "reason": "the disk is full", "hint": "", "lost": 1234},
        },
    }
    directory.write_status(document | more)
    return directory


def one_request() -> Json:
    """A session's usage, as a status shows it."""
    entry, found = spent("1").entry, RowSum()
    sums = sums_of(entry)
    found.add(CostKind.LIST_PRICE_EQUIVALENT, [*sums, *breakdown_of(entry, sums)])
    return figures(found.row((), pending=True))


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


# Text of others

HOSTILE = "s|`x`\x1b[2J\r\n# @all <script>\u202e\ud800\x85 ~~~ [a](b) ``"


def test_whatever_others_call_things_a_page_has_its_lines_and_nothing_that_is_not_shown(
    tmp_path: Path, path: Path, receipt: Receipt
) -> None:
    storable = HOSTILE.replace("\ud800", "")
    rows = (
        ended(agent_name=storable, claude_version=storable),
        opened(storable, storable, cwd=storable, model=storable),
        spent("1", run_id=RUN, session_id=storable, model=storable),
        evidence(value=storable),
        violation(storable),
    )
    write(path, *rows)
    assert one(receipt(storable, "--json"))["session"]["session_id"] == storable
    plain, markdown = receipt().stdout, receipt("--markdown").stdout
    for page, lines in ((plain, 24), (markdown, 27)):
        assert len(page.split("\n")) == lines
        assert all(line.isprintable() for line in page.split("\n"))
        assert page.count("@all") == 8
    outside = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", markdown)
    assert not {"@", "<", "~", "\\", "["} & set(outside)
    table = [line for line in markdown.split("\n") if line.startswith("|")]
    assert {line.count("|") for line in table} == {10}
    assert_wrong(receipt("--run", "\ud800"), "'\\ud800'")
    assert_wrong(receipt(HOSTILE), "no session")
    with closing(registered(tmp_path / "state", sessions=[unstorable()])):
        assert receipt(HOSTILE).status == 0
        assert receipt(HOSTILE, "--markdown").status == 0
        assert one(receipt(HOSTILE, "--json"))["session"]["session_id"] == HOSTILE


def unstorable() -> Json:
    """A session of an id that is no Unicode text."""
    return {"session_id": HOSTILE, "cwd": None, "model": None, "usage": None}


@given(st.text(max_size=400))
def test_any_text_is_one_visible_line_of_bounded_length(text: str) -> None:
    shown = in_plain(Told(text), str)
    assert shown.isprintable()
    assert len(shown) <= 300


@given(st.text("`|\\ a\n", max_size=20))
def test_any_text_is_one_code_span_in_markdown_and_one_cell(text: str) -> None:
    written = in_markdown(Told(text), str)
    assert "|" not in written
    if not text.strip(" "):
        assert written == f'"{text}"'
        return
    (fence,) = re.findall(r"^`+", written)
    inner = written[len(fence) : -len(fence)]
    assert written.endswith(fence)
    assert fence not in re.findall(r"`+", inner)
    assert inner[0] != "`" != inner[-1]
    assert inner.strip(" ") == visible(text).replace("|", "\\x7c").strip(" ")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("/home/me", "~"),
        ("/home/me/work", "~/work"),
        (
            "settings file /home/me/.claude.json, not /home/me.",
            "settings file ~/.claude.json, not ~.",
        ),
        ("'/home/me/a b'", "'~/a b'"),
        ("/home/me2/work", "/home/me2/work"),
        ("/home/me.old", "/home/me.old"),
        ("/home/me-too", "/home/me-too"),
        ("/mnt/home/me", "/mnt/home/me"),
    ],
)
def test_the_home_directory_is_a_tilde(text: str, written: str) -> None:
    assert without_home("/home/me")(text) == without_home("/home/me/")(text) == written


@pytest.mark.parametrize("home", ["", "/"])
def test_without_a_home_of_ones_own_nothing_is_shortened(home: str) -> None:
    assert without_home(home)("/work") == "/work"


def test_pages_name_no_home_directory_and_no_credential_and_the_document_is_exact(
    tmp_path: Path, path: Path, receipt: Receipt
) -> None:
    project = str(tmp_path / "home" / "project")
    key = "sk-ant-api03-" + "FAKE" * 10
    write(path, ended(), opened(cwd=project), violation(f"{key} in {project}/.env"))
    for form in ((), ("--markdown",)):
        page = receipt(*form).stdout
        assert "~/project/.env" in page
        assert str(tmp_path) not in page
        assert "FAKE" not in page
    assert one(receipt("--json"))["session"]["cwd"] == project
