"""``acp-bridge doctor``: each channel with its place, and nothing on a clean machine."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from acp_bridge.inspect.doctor import Agent, WithBridge, diagnosis, session_findings
from acp_bridge.inspect.machine import look
from acp_bridge.launch.channels import load_channels
from acp_bridge.launch.managed import contradictions, resolve_managed_settings
from acp_bridge.loopback.scratch import FAKE_API_KEY, ScratchHome, make_scratch_home
from acp_bridge.modes import BillingMode
from acp_bridge.proving.cases import Case
from acp_bridge.proving.kinds import PLANTED_SECRETS
from acp_bridge.proving.payers import Payer
from acp_bridge.proving.scopes import Scope
from acp_bridge.settings import load_settings
from tests.bridge.process import run_bridge
from tests.doctor.test_payer_prediction import CASES, CHANNELS, looked_at
from tests.launch.standin import write_settings
from tests.readme.commands import README

IN_SETTINGS = [case for case in CASES if case.scope not in (Scope.ENVIRONMENT, Scope.STORED)]
PROVEN = ("1.0", "2.0")


class User:
    """A user with a stored login and a project, who asks the doctor there."""

    def __init__(self, folder: Path, *, login: bool = True) -> None:
        self.home: ScratchHome = make_scratch_home(folder / "home", login=login)
        self.env = {
            "HOME": str(self.home.path),
            "CLAUDE_CONFIG_DIR": str(self.home.config),
            "PATH": os.environ["PATH"],
            "ACP_BRIDGE_STATE_DIR": str(folder / "state"),
            "ACP_BRIDGE_CONFIG": os.devnull,
        }

    def asks(self, *words: str, status: int) -> Any:
        """The document, from the project's folder."""
        before = Path.cwd()
        os.chdir(self.home.project)
        try:
            done = run_bridge("doctor", "--json", *words, env=self.env)
            page = run_bridge("doctor", *words, env=self.env)
        finally:
            os.chdir(before)
        assert (done.returncode, page.returncode) == (status, status), done.stdout + done.stderr
        assert "FAKE" not in done.stdout + page.stdout
        return json.loads(done.stdout)


@pytest.fixture
def user(tmp_path: Path) -> User:
    return User(tmp_path)


def test_a_clean_machine_gives_no_alarm(user: User) -> None:
    document = user.asks(status=0)
    assert (document["findings"], document["notes"], document["broken"]) == ([], [], [])
    assert document["without_the_bridge"]["channel"] == "stored login"
    assert document["logins"] == [f"claudeAiOauth in {user.home.credentials}"]
    assert [of["credential_class"] for of in document["with_the_bridge"]] == [
        None,
        "subscription_oauth",
        None,
    ]


def test_the_key_that_mode_a_is_for_is_no_finding_there_and_one_in_mode_b(user: User) -> None:
    user.env["ANTHROPIC_API_KEY"] = FAKE_API_KEY
    assert user.asks("--mode", "A", status=0)["findings"] == []
    (found,) = user.asks(status=1)["findings"]
    assert (found["channel"], found["where"], found["with_the_bridge"]) == (
        "ANTHROPIC_API_KEY",
        "environment",
        "removed",
    )
    assert found["fix"] == "unset ANTHROPIC_API_KEY, or start Claude Code through acp-bridge"


@pytest.mark.parametrize("case", IN_SETTINGS, ids=str)
def test_each_planted_channel_is_found_with_file_and_line(tmp_path: Path, case: Case) -> None:
    looked = looked_at(tmp_path, case.payer, case)
    planted = {
        Scope.USER: tmp_path / "home" / ".claude" / "settings.json",
        Scope.GLOBAL: tmp_path / "home" / ".claude" / ".claude.json",
        Scope.PROJECT: tmp_path / "home" / "project" / ".claude" / "settings.json",
        Scope.LOCAL: tmp_path / "home" / "project" / ".claude" / "settings.local.json",
    }[case.scope]
    content = json.loads(planted.read_text())
    for name, value in {**content, **content.get("env", {})}.items():
        is_channel = CHANNELS.variable(name) or name == "apiKeyHelper"
        if is_channel and value not in ("", None):
            assert (planted, 1) in {
                (place.file, place.line) for place in looked.places if place.channel == name
            }


def test_lines_are_those_of_the_value_and_the_last_of_two_counts(user: User) -> None:
    path = user.home.project / ".claude" / "settings.json"
    path.parent.mkdir()
    path.write_text(
        '{\n  "env": {\n    "FOO": "1",\n    "ANTHROPIC_BASE_URL": "https://one.example",\n'
        '    "ANTHROPIC_BASE_URL": "https://two.example"\n  },\n  "apiKeyHelper": "echo"\n}\n'
    )
    document = user.asks(status=1)
    assert [found["where"] for found in document["findings"]] == [f"{path}:5", f"{path}:7"]
    assert document["without_the_bridge"]["destination"] == "https://two.example"


def test_a_projects_proxy_is_a_finding_and_the_users_own_a_note(user: User) -> None:
    user.env["HTTPS_PROXY"] = "http://127.0.0.1:9"
    document = user.asks(status=1)  # it is on the way
    assert document["without_the_bridge"]["proxy"] == "HTTPS_PROXY (environment)"
    assert document["notes"] == ["HTTPS_PROXY (environment): requests may go through that proxy"]
    user.env["NO_PROXY"] = "api.anthropic.com"
    user.asks(status=0)
    settings = {"env": {"ALL_PROXY": "http://127.0.0.1:9"}}
    write_settings(user.home.project / ".claude" / "settings.json", settings)
    (found,) = user.asks(status=1)["findings"]
    assert found["channel"] == "ALL_PROXY"


def test_shell_start_up_files_and_what_launchers_load_are_looked_at(user: User) -> None:
    (user.home.path / ".bashrc").write_text(
        "# export ANTHROPIC_API_KEY=no\nexport EDITOR=vi\n"
        f"export ANTHROPIC_API_KEY={FAKE_API_KEY}\nalias claude='claude --x'\n"
    )
    (user.home.project / ".env").write_text(f"ANTHROPIC_AUTH_TOKEN={FAKE_API_KEY}\n")
    found = {of["where"]: of["channel"] for of in user.asks(status=1)["findings"]}
    assert found == {
        f"{user.home.path}/.bashrc:3": "ANTHROPIC_API_KEY",
        f"{user.home.path}/.bashrc:4": "claude",
        f"{user.home.project}/.env:1": "ANTHROPIC_AUTH_TOKEN",
    }


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(user: User) -> None:
    os.mkfifo(user.home.project / ".env")
    os.mkfifo(user.home.config / "settings.json")
    assert user.asks(status=2)["broken"] == [
        {"file": str(user.home.config / "settings.json"), "why": "it is no ordinary file"}
    ]


def test_the_key_that_mode_a_inherits_may_come_from_a_start_up_file(user: User) -> None:
    (user.home.path / ".profile").write_text(f"export ANTHROPIC_API_KEY={FAKE_API_KEY}\n")
    user.env["ANTHROPIC_API_KEY"] = FAKE_API_KEY
    assert user.asks("--mode", "A", status=0)["findings"] == []
    assert len(user.asks(status=1)["findings"]) == 2


def test_a_console_login_without_another_pays_by_key(tmp_path: Path) -> None:
    user = User(tmp_path, login=False)
    path = user.home.config / ".claude.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "primaryApiKey": FAKE_API_KEY}))
    document = user.asks(status=1)
    assert document["without_the_bridge"]["credential_class"] == "api_key"
    assert document["logins"] == [f"primaryApiKey in {path}:1"]
    (found,) = document["findings"]
    assert (found["channel"], found["where"]) == ("Console login", f"{path}:1")
    assert found["with_the_bridge"] == "it does not start in this mode"
    (why,) = [of["why_not"] for of in document["with_the_bridge"] if of["mode_letter"] == "B"]
    assert why.startswith(f"a Console login is stored in {path}")


def test_a_gateway_sign_in_is_a_finding_in_every_mode(user: User) -> None:
    login = json.loads(user.home.credentials.read_text())
    session = {"enterpriseGateway": {"url": "https://gateway.example", "jwt": "FAKE"}}
    user.home.credentials.write_text(json.dumps({**login, **session}, indent=0))
    for mode, does in {"B": "it does not start in this mode", "A": "switched off"}.items():
        user.env["ACP_BRIDGE_API_KEY" if mode == "A" else "UNUSED"] = FAKE_API_KEY
        document = user.asks("--mode", mode, status=1)
        (found,) = document["findings"]
        assert (found["channel"], found["with_the_bridge"]) == ("Cloud gateway sign-in", does)
        assert found["where"].startswith(f"{user.home.credentials}:")
        assert document["without_the_bridge"]["channel"] == "Cloud gateway sign-in"
    assert [of["credential_class"] for of in document["with_the_bridge"]][:2] == ["api_key", None]


@pytest.mark.parametrize("content", ["{", "[]", '{"env": {"A": "b",}}'])
def test_a_file_that_cannot_be_read_is_broken(user: User, content: str) -> None:
    path = user.home.config / "settings.json"
    path.write_text(content)
    (broken,) = user.asks(status=2)["broken"]
    assert broken["file"] == str(path)


def test_a_file_of_sign_ins_that_is_broken_is_told_once(user: User) -> None:
    user.home.credentials.write_text("{")
    (broken,) = user.asks(status=2)["broken"]
    assert broken["file"] == str(user.home.credentials)


def test_without_an_agent_something_is_broken(user: User) -> None:
    user.env["ACP_BRIDGE_AGENT"] = "/nonexistent/agent"
    assert "/nonexistent/agent" in user.asks(status=2)["agent"]["problem"]


def test_managed_settings_that_contradict_the_mode_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "managed"
    settings = {"env": {"ANTHROPIC_AUTH_TOKEN": PLANTED_SECRETS["planted bearer"]}}
    write_settings(folder / "managed-settings.json", settings)
    user = User(tmp_path)
    looked = look(CHANNELS, user.env, user.home.project, managed=folder)
    managed = resolve_managed_settings(CHANNELS, folder=folder)
    found = tuple(contradictions(CHANNELS, managed, BillingMode.SUBSCRIPTION))
    bridged = dict.fromkeys(BillingMode, WithBridge(None, "managed", found))
    agent = Agent(None, None, PROVEN)
    document = diagnosis(load_settings({}), load_channels(), looked, agent, bridged)
    where = str(folder / "managed-settings.json")
    assert (f"{where}:1", "ANTHROPIC_AUTH_TOKEN") in {
        (of["where"], of["channel"]) for of in document["findings"]
    }
    assert (where, "env.ANTHROPIC_AUTH_TOKEN") in {
        (of["where"], of["channel"]) for of in document["findings"]
    }
    assert document["without_the_bridge"]["credential_class"] == "endpoint_credential"


@pytest.mark.parametrize("payer", [Payer.KEY, Payer.LOGIN, Payer.ENDPOINT])
def test_with_the_bridge_each_mode_pays_with_its_own(tmp_path: Path, payer: Payer) -> None:
    user = User(tmp_path)
    plants = {"env": {"ANTHROPIC_AUTH_TOKEN": "FAKE-x", "CLAUDE_CODE_USE_BEDROCK": "1"}}
    write_settings(user.home.project / ".claude" / "settings.json", plants)
    terms = payer.terms
    for name, value in terms.bridge.items():
        user.env[name] = value.replace("{url}", "http://127.0.0.1:9")
    document = user.asks("--mode", terms.mode.value, status=1)
    (own,) = [of for of in document["with_the_bridge"] if of["mode"] == terms.mode.value]
    assert own["credential_class"] == terms.credential[0].value
    assert document["without_the_bridge"]["credential_class"] == "cloud"
    assert {of["channel"] for of in document["findings"]} == set(plants["env"])


RUN: dict[str, Any] = {
    "run_id": "r",
    "mode": "subscription",
    "guarantees": "enforced",
    "agent": {"name": "a", "version": "1.0", "claude_version": "2.0"},
    "violations": [],
    "evidence": [],
}


def test_a_running_bridge_is_judged_by_its_evidence() -> None:
    assert session_findings([RUN], PROVEN) == []
    evidence = {
        "kind": "self_reported",
        "value": "api_key",
        "source": "s",
        "verdict": "contradiction",
    }
    run = {
        **RUN,
        "violations": [{"reason": "guard_bypassed", "detail": "it went round"}],
        "evidence": [evidence],
        "agent": {"name": "a", "version": "1.1", "claude_version": None},
        "guarantees": "none",
    }
    assert session_findings([run], PROVEN) == [
        "r (subscription): guard_bypassed: it went round",
        "r (subscription): self_reported evidence contradicts the mode: api_key (s)",
        "r (subscription): nothing is guaranteed, the agent is no known Claude adapter",
        (
            "r (subscription): agent 1.1 is not the version that this one is proven with (1.0):"
            " acp-bridge prove"
        ),
    ]


def test_without_a_running_bridge_there_is_nothing_to_find(user: User) -> None:
    assert user.asks("--session", status=0) == {"schema_version": 1, "runs": [], "findings": []}
    assert run_bridge("doctor", "--session", "--run", "x", env=user.env).returncode == 2


def test_every_variable_of_the_channels_file_is_found_in_a_projects_settings(user: User) -> None:
    path = user.home.project / ".claude" / "settings.json"
    rows = [row for row in CHANNELS.variables if not row.is_pattern and row.kind.moves_the_payer]
    write_settings(path, {"env": {row.name: "1" for row in rows}})
    found = {of["channel"]: of["why"] for of in user.asks(status=1)["findings"]}
    assert found == {row.name: row.why for row in rows}


@pytest.mark.agent
def test_the_page_is_the_one_in_the_readme(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    project = user.home.path / "src" / "project"
    settings = project / ".claude" / "settings.json"
    settings.parent.mkdir(parents=True)
    settings.write_text('{\n  "env": {\n    "ANTHROPIC_API_KEY": "FAKE"\n  }\n}\n')
    monkeypatch.chdir(project)
    done = run_bridge("doctor", env=user.env)
    page = done.stdout.replace(str(user.home.path), "/home/me")
    assert f"```text\n{page}```\n" in README
