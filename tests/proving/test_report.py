"""The document and the table of a proof: the same facts, and never a better verdict than seen."""

from dataclasses import replace
from pathlib import Path

import pytest

from acp_bridge.proving.cases import Case
from acp_bridge.proving.kinds import Kind
from acp_bridge.proving.payers import Payer
from acp_bridge.proving.proof import Attempt, Proof
from acp_bridge.proving.report import document, render, versions
from acp_bridge.proving.scopes import Scope
from acp_bridge.proving.selection import Profile
from acp_bridge.proving.sightings import Outcome
from acp_bridge.proving.stage import Program
from acp_bridge.proving.subject import Subject
from tests.documents import assert_proof

SUBJECT = Subject(
    plain=Program(("agent",)),
    bridge=Program(("bridge",), is_bridge=True),
    claude=Path("claude"),
    agent_version="0.100.0",
    claude_version=None,
)
KEY = Case(Kind.API_KEY, Scope.USER, Payer.LOGIN)
TOKEN = Case(Kind.AUTH_TOKEN, Scope.META_ENV, Payer.ENDPOINT_KEY, "session/load")
LEAKED = Attempt(Outcome.LEAKED, "the endpoint saw POST /v1/messages with planted key")
HELD = Attempt(Outcome.HELD)
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


@pytest.mark.parametrize("outcome", [Outcome.LEAKED, Outcome.NO_ANSWER])
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
