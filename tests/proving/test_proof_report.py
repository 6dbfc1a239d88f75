"""The document and the table of a proof: the same facts, and never a better verdict than seen."""

from dataclasses import replace
from pathlib import Path

import pytest

from acp_bridge.modes import BillingMode, Guard
from acp_bridge.proving.cases import Case
from acp_bridge.proving.kinds import Kind
from acp_bridge.proving.payers import Payer
from acp_bridge.proving.proof import Attempt, Proof
from acp_bridge.proving.report import document, render, versions
from acp_bridge.proving.scopes import Scope
from acp_bridge.proving.selection import Profile
from acp_bridge.proving.shell import Deed, FromTheShell
from acp_bridge.proving.sightings import Outcome
from acp_bridge.proving.stage import Program
from acp_bridge.proving.subject import Subject
from tests.documents import assert_proof

GUARDS = dict(zip(BillingMode, (Guard.ENFORCE, Guard.OFF, Guard.ENFORCE), strict=True))
SUBJECT = Subject(
    plain=Program(("agent",)),
    bridge=Program(("bridge",), is_bridge=True),
    claude=Path("claude"),
    agent_version="0.100.0",
    claude_version=None,
    guards=GUARDS,
)
KEY = Case(Kind.API_KEY, Scope.USER, Payer.LOGIN)
TOKEN = Case(Kind.AUTH_TOKEN, Scope.META_ENV, Payer.ENDPOINT_KEY, "session/load")
LEAKED = Attempt(Outcome.LEAKED, "the endpoint saw POST /v1/messages with planted key")
HELD = Attempt(Outcome.HELD)
REFUSED = Attempt(Outcome.REFUSED, "error -32012: another key.")
FIRST = Proof(KEY, without=LEAKED, through=HELD)
SECOND = Proof(TOKEN, without=LEAKED, through=HELD)


def test_all_held_is_held_and_the_cases_are_in_the_order_of_their_trials() -> None:
    found = document(SUBJECT, Profile.QUICK, [KEY, TOKEN], [SECOND, FIRST])

    assert_proof(found)
    assert found["held"] is True
    assert [case["channel"] for case in found["cases"]] == [KEY.channel, TOKEN.channel]
    assert found["totals"] == {"planted": 2, "leak_without": 2, "held": 2, "not_held": 0}
    assert found["cases"][1]["scope"] == "_meta env, session/load (endpoint with x-api-key)"
    assert found["cases"][1]["mode_letter"] == "C"


NOT_A_SESSION_THAT_WORKS = [Outcome.LEAKED, Outcome.REFUSED, Outcome.NO_ANSWER]


@pytest.mark.parametrize("outcome", NOT_A_SESSION_THAT_WORKS)
def test_a_leak_is_not_held_and_neither_is_a_session_that_does_not_work(outcome: Outcome) -> None:
    broken = replace(SECOND, through=Attempt(outcome, "what was seen"))
    found = document(SUBJECT, Profile.FULL, [KEY, TOKEN], [FIRST, broken])

    assert_proof(found)
    assert found["held"] is False
    assert found["cases"][1]["held"] is False
    assert found["cases"][1]["detail"].startswith("with: what was seen. without: the endpoint")
    assert found["totals"]["not_held"] == 1
    assert "NOT HELD  ANTHROPIC_AUTH_TOKEN in _meta env" in render(found)


def test_a_proof_that_was_interrupted_is_not_held() -> None:
    found = document(SUBJECT, Profile.QUICK, [KEY, TOKEN], [FIRST])

    assert_proof(found)
    assert found["held"] is False
    assert found["totals"] == {"planted": 1, "leak_without": 1, "held": 1, "not_held": 0}
    assert document(SUBJECT, Profile.QUICK, [KEY, TOKEN], [])["held"] is False


def test_what_a_program_of_the_shell_sends_is_held_by_a_refusal_and_by_nothing_less() -> None:
    trial = FromTheShell(Deed.OTHER_KEY, Payer.KEY)
    told_only = replace(trial, is_told_only=True)
    search = FromTheShell(Deed.SEARCH, Payer.KEY)

    def held_by(trial: FromTheShell) -> list[Outcome]:
        proofs = {outcome: Proof(trial, LEAKED, Attempt(outcome)) for outcome in Outcome}
        return [outcome for outcome, proof in proofs.items() if proof.held]

    assert held_by(trial) == [Outcome.REFUSED]
    assert held_by(told_only) == held_by(search) == [Outcome.HELD]
    found = document(SUBJECT, Profile.QUICK, [trial], [Proof(trial, LEAKED, REFUSED)])
    assert_proof(found)
    assert found["held"] is True
    assert found["cases"][0]["detail"].startswith("with: error -32012: another key. without: the")
    assert " refused  yes" in render(found)


A, B, C = BillingMode
NO_GUARD = "wire guard: off in this proof; what only an enforcing guard holds was not tried"
SOME_GUARD = (
    "wire guard: enforce in api-key and endpoint, off in subscription; "
    "there what only an enforcing guard holds was not tried"
)


@pytest.mark.parametrize(
    ("payers", "guards", "line"),
    [
        ([Payer.KEY, Payer.LOGIN, Payer.ENDPOINT], GUARDS, SOME_GUARD),
        ([Payer.KEY, Payer.ENDPOINT_KEY], GUARDS, "wire guard: enforce in this proof"),
        ([Payer.LOGIN], GUARDS, NO_GUARD),
        ([Payer.KEY], {A: Guard.OBSERVE}, NO_GUARD.replace("off", "observe")),
    ],
)
def test_the_table_says_where_the_wire_guard_was_not_proven(
    payers: list[Payer], guards: dict[BillingMode, Guard], line: str
) -> None:
    trials = [Case(Kind.API_KEY, Scope.PROJECT, payer) for payer in payers]
    found = document(replace(SUBJECT, guards=guards), Profile.QUICK, trials, [])

    assert_proof(found)
    assert set(found["guard"]) == {payer.terms.mode for payer in payers}
    assert line in render(found).splitlines()


def test_the_table_ends_with_the_sums() -> None:
    harmless = replace(SECOND, without=HELD)
    lines = render(document(SUBJECT, Profile.QUICK, [KEY, TOKEN], [FIRST, harmless])).splitlines()

    assert lines[0].split() == ["channel", "planted", "in", "mode", "without", "with", "held"]
    assert lines[1].split() == [
        "ANTHROPIC_API_KEY", "user", "settings", "subscription", "leaked", "held", "yes"
    ]  # fmt: skip
    assert lines[-1] == "2 channels planted, 1 leak without the bridge, 2 of 2 held"


def test_a_version_that_nobody_tells_is_unknown() -> None:
    assert versions(SUBJECT).startswith("agent 0.100.0, Claude Code of unknown version, acp-bridge")
