"""What is put to the proof: the programs a run would start, and nothing of the user's money."""

import shlex
from pathlib import Path

import pytest

from acp_bridge.errors import AgentError
from acp_bridge.modes import BillingMode, Guard
from acp_bridge.proving.payers import Payer
from acp_bridge.proving.selection import GUARDED
from acp_bridge.proving.stage import Stage
from acp_bridge.proving.subject import find_subject, guards_of
from acp_bridge.settings import Settings, load_settings
from tests.support.real import ADAPTER_ARGV, CLAUDE

USERS_OWN = "FAKE-the-users-own"


def users(**settings: str) -> Settings:
    environ = {f"ACP_BRIDGE_{name.upper()}": value for name, value in settings.items()}
    return load_settings({}, {"ACP_BRIDGE_CONFIG": "/dev/null", **environ})


def test_both_programs_are_the_agent_and_the_claude_code_that_a_run_would_start(
    tmp_path: Path,
) -> None:
    subject = find_subject(users(), tmp_path)

    assert subject.plain.argv == ADAPTER_ARGV
    assert dict(subject.bridge.env)["ACP_BRIDGE_AGENT"] == shlex.join(ADAPTER_ARGV)
    assert subject.claude.samefile(CLAUDE)
    assert subject.agent_version is not None
    assert subject.claude_version is not None


def test_a_named_claude_code_is_the_one_behind_both(tmp_path: Path) -> None:
    other = tmp_path / "claude"
    other.write_text("#!/bin/sh\necho 9.9.9 of a test\n")
    other.chmod(0o700)
    subject = find_subject(users(claude=str(other)), tmp_path)

    assert dict(subject.plain.env) == {"CLAUDE_CODE_EXECUTABLE": str(other)}
    assert dict(subject.bridge.env)["ACP_BRIDGE_CLAUDE"] == str(other)
    assert (subject.claude, subject.claude_version) == (other, "9.9.9")


def test_how_hard_the_bridge_holds_is_the_users_choice(tmp_path: Path) -> None:
    chosen = {"guard": "off", "on_violation": "warn", "status_wait_seconds": "7.0"}
    given = dict(find_subject(users(**chosen), tmp_path).bridge.env)

    assert {name: given[f"ACP_BRIDGE_{name.upper()}"] for name in chosen} == chosen
    assert find_subject(users(), tmp_path).bridge.env[1:] == ()


def test_where_the_guard_is_on_is_the_users_choice_and_else_the_modes() -> None:
    def guarded(settings: Settings) -> set[BillingMode]:
        return {mode for mode, guard in guards_of(settings).items() if guard is Guard.ENFORCE}

    assert guarded(users()) == GUARDED
    assert guarded(users(mode="subscription", guard="enforce")) == set(BillingMode)
    assert guarded(users(guard="off")) == guarded(users(guard="observe")) == set()


@pytest.mark.parametrize("payer", Payer)
async def test_nothing_of_the_users_mode_or_credential_reaches_the_programs(
    tmp_path: Path, payer: Payer, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = users(mode="api-key", api_key=USERS_OWN, upstream_url="http://127.0.0.1:9")
    monkeypatch.setenv("ANTHROPIC_API_KEY", USERS_OWN)
    monkeypatch.setenv("ACP_BRIDGE_API_KEY", USERS_OWN)
    subject = find_subject(own, tmp_path / "home")

    async with Stage(tmp_path / "stage", payer) as stage:
        for program in (subject.plain, subject.bridge):
            environment = stage.environment(program, {})
            assert USERS_OWN not in "".join(environment.values())
            assert "http://127.0.0.1:9" not in environment.values()
            assert Path(environment["HOME"]).is_relative_to(tmp_path)
        assert environment["ACP_BRIDGE_MODE"] == payer.terms.mode


def test_without_an_agent_nothing_can_be_proven(tmp_path: Path) -> None:
    with pytest.raises(AgentError):
        find_subject(users(), tmp_path, agent=["/nonexistent/agent"])
    with pytest.raises(AgentError):
        find_subject(users(claude="/nonexistent/claude"), tmp_path)
