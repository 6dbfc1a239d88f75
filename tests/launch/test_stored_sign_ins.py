"""Sign-ins that Claude Code keeps: in which modes nothing is started beside them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from acp_bridge.launch import gate
from acp_bridge.launch.credentials import Credential, api_key, endpoint_credential, oauth_token
from acp_bridge.launch.gate_arguments import GateError
from acp_bridge.launch.gate_logins import stored_payer
from acp_bridge.launch.launcher import write_launcher
from acp_bridge.launch.plan import LaunchPlan, make_plan
from acp_bridge.launch.stored_sign_ins import sign_ins_to_look_for
from acp_bridge.modes import BillingMode
from tests.launch.standin import CHANNELS

GATEWAY = {"enterpriseGateway": {"url": "https://gateway.example", "jwt": "FAKE"}}
LOGIN = {"claudeAiOauth": {"accessToken": "FAKE", "scopes": ["user:inference"]}}
CONSOLE_KEY = {"primaryApiKey": "FAKE"}
B = BillingMode.SUBSCRIPTION


class Home:
    """A home in which Claude Code has stored things."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / ".claude").mkdir()

    def stores(self, logins: object = None, state: object = None) -> None:
        (self.folder / ".claude" / ".credentials.json").write_text(json.dumps(logins))
        (self.folder / ".claude.json").write_text(json.dumps(state))

    def plan(
        self, mode: BillingMode, credential: Credential | None = None, **env: str
    ) -> LaunchPlan:
        return make_plan(
            CHANNELS,
            mode=mode,
            inherited={"HOME": str(self.folder), **env},
            credential=credential,
            upstream="http://127.0.0.1:9",
        )

    def found(self, plan: LaunchPlan) -> str | None:
        return stored_payer(sign_ins_to_look_for(plan))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_a_gateway_sign_in_is_told_with_its_file_and_without_what_it_holds(home: Home) -> None:
    home.stores({**LOGIN, **GATEWAY})
    said = home.found(home.plan(B))
    assert said is not None
    assert said.startswith(f"a Cloud gateway sign-in is stored in {home.folder}/.claude/.cred")
    assert "FAKE" not in said


@pytest.mark.parametrize(
    ("mode", "credential"),
    [
        (BillingMode.API_KEY, api_key("sk-ant-api03-FAKE", source="a test")),
        (BillingMode.ENDPOINT, endpoint_credential(token="FAKE")),
        (B, oauth_token("sk-ant-oat01-FAKE", source="a test")),
    ],
)
def test_launches_that_are_host_managed_are_not_disturbed(
    home: Home, mode: BillingMode, credential: Credential
) -> None:
    home.stores(GATEWAY, CONSOLE_KEY)
    assert home.found(home.plan(mode, credential)) is None


def test_a_console_key_would_pay_also_once_a_login_beside_it_cannot_be_refreshed(
    home: Home,
) -> None:
    home.stores({}, CONSOLE_KEY)
    assert home.found(home.plan(B)) is not None
    home.stores(LOGIN, CONSOLE_KEY)
    assert home.found(home.plan(B)) is not None
    home.stores(LOGIN, {**CONSOLE_KEY, "primaryApiKey": None})
    assert home.found(home.plan(B)) is None


def test_logins_are_looked_for_where_the_user_keeps_them(home: Home) -> None:
    home.stores({**LOGIN, **GATEWAY})
    elsewhere = home.folder / "elsewhere"
    elsewhere.mkdir()
    assert home.found(home.plan(B, CLAUDE_CONFIG_DIR=str(elsewhere))) is None
    assert home.found(home.plan(B, CLAUDE_SECURESTORAGE_CONFIG_DIR=str(elsewhere))) is None


@pytest.mark.parametrize("content", ["", "[]", "{", '"x"', "null"])
def test_what_cannot_be_read_is_nothing(home: Home, content: str) -> None:
    (home.folder / ".claude" / ".credentials.json").write_text(content)
    assert home.found(home.plan(B)) is None


def sealed(plan: LaunchPlan, folder: Path) -> Mapping[str, Any]:
    write_launcher(plan, folder, claude=Path("/bin/true"))
    text = (folder / "launch" / "gate.py").read_text()
    return gate.unseal(text.rpartition("sys.exit(main(")[2].partition("', sys.argv")[0][1:])


@pytest.mark.parametrize("arguments", [[], ["-p", "hello"], ["mcp", "list"]])
def test_the_gate_starts_nothing_beside_it(home: Home, arguments: list[str]) -> None:
    plan = sealed(home.plan(B), home.folder / "run")
    gate.command(plan, "/bin/true", arguments, {}, "/")
    home.stores(GATEWAY)
    with pytest.raises(GateError, match="a Cloud gateway sign-in is stored"):
        gate.command(plan, "/bin/true", arguments, {}, "/")


@pytest.mark.parametrize("arguments", [["auth", "logout"], ["auth", "status"], ["setup-token"]])
def test_signing_in_and_out_asks_no_model(home: Home, arguments: list[str]) -> None:
    home.stores(GATEWAY)
    plan = sealed(home.plan(B), home.folder / "run")
    line, _ = gate.command(plan, "/bin/true", arguments, {}, "/")
    assert line[-len(arguments) :] == arguments
