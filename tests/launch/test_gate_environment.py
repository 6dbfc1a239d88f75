"""What the environment looks like behind the gate, for every name and mode."""

from pathlib import Path

import pytest

from acp_bridge.launch.credentials import endpoint_credential, oauth_token
from acp_bridge.modes import BillingMode
from tests.launch.facts import DEMANDS, HARMLESS, MOVED, UNLISTED
from tests.launch.standin import FAKE_KEY, FAKE_TOKEN, UPSTREAM, Gate, make_gate

PLANTED = "planted"
OWN = "the user's own"
SPECIAL = {"PATH", "HOME"}
EVERY_NAME = [*(DEMANDS.keys() - SPECIAL), *UNLISTED, *HARMLESS]


def planned(gate: Gate, mode: BillingMode) -> dict[str, str]:
    """What the plan sets in a mode, whatever was there before."""
    folder = gate.launcher.bin_dir.parent
    common = {
        "ANTHROPIC_BASE_URL": UPSTREAM,
        "ANTHROPIC_CONFIG_DIR": str(folder / "empty"),
        "CLAUDE_CODE_EXECUTABLE": str(gate.launcher.executable),
        "CLAUDE_ENV_FILE": str(folder / "env.sh"),
        "CLAUDE_CODE_DISABLE_AGENT_VIEW": "1",
    }
    hosted = {"CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST": "1"}
    match mode:
        case BillingMode.API_KEY:
            return {**common, **hosted, "ANTHROPIC_API_KEY": FAKE_KEY}
        case BillingMode.SUBSCRIPTION:
            return common
        case BillingMode.ENDPOINT:
            return {**common, **hosted, "ANTHROPIC_AUTH_TOKEN": FAKE_TOKEN}


@pytest.mark.parametrize("mode", BillingMode)
def test_every_channel_is_treated_as_the_file_says(tmp_path: Path, mode: BillingMode) -> None:
    gate = make_gate(tmp_path, mode)
    environ = {**gate.launcher.environment, **dict.fromkeys(EVERY_NAME, PLANTED)}

    seen = gate.start("-p", "hi", environ=environ).environment

    loopback = dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost")
    kept = {name for name, demand in DEMANDS.items() if demand.action(mode) == "keep"}
    assert seen == {
        **dict.fromkeys([*kept, *HARMLESS], PLANTED),
        **loopback,
        **planned(gate, mode),
        "HOME": gate.launcher.environment["HOME"],
        "PATH": gate.launcher.environment["PATH"],
    }


@pytest.mark.parametrize("mode", BillingMode)
def test_what_the_user_brought_is_taken_away_or_put_back_at_each_start(
    tmp_path: Path, mode: BillingMode
) -> None:
    names = [name for name in EVERY_NAME if name != "CLAUDE_CODE_OAUTH_TOKEN"]
    gate = make_gate(tmp_path, mode, inherited=dict.fromkeys(names, OWN))
    environ = {**gate.launcher.environment, **dict.fromkeys(EVERY_NAME, PLANTED)}

    seen = gate.start("-p", "hi", environ=environ).environment

    for name in DEMANDS.keys() - SPECIAL:
        match DEMANDS[name].action(mode):
            case "pin":
                expected: str | None = None if name in MOVED else OWN
            case "keep":
                expected = PLANTED
            case "set" if name.lower() == "no_proxy":
                expected = f"{OWN},127.0.0.1,localhost"
            case "set":
                expected = planned(gate, mode).get(name)
            case _:
                expected = None
        assert seen.get(name) == expected, name


@pytest.mark.parametrize("mode", BillingMode)
def test_the_adapter_gets_the_same_environment_and_acp_v1(
    tmp_path: Path, mode: BillingMode
) -> None:
    inherited = {name: OWN for name in EVERY_NAME if name != "CLAUDE_CODE_OAUTH_TOKEN"}
    gate = make_gate(tmp_path, mode, inherited=inherited)

    adapter = dict(gate.launcher.environment)
    assert adapter.pop("CLAUDE_AGENT_ACP_PROTOCOL") == "v1"
    assert gate.start("-p", "hi").environment == adapter
    assert adapter["PATH"].startswith(f"{gate.launcher.bin_dir}:")


def test_the_adapter_alone_gets_a_folder_for_what_node_compiled(tmp_path: Path) -> None:
    gate = make_gate(tmp_path, adapter_cache=tmp_path / "compiled")
    cache = {"NODE_COMPILE_CACHE": str(tmp_path / "compiled")}

    assert cache.items() <= gate.launcher.environment.items()
    assert cache.keys().isdisjoint(gate.start("-p", "hi").environment)


@pytest.mark.parametrize("later", [False, True])
def test_a_folder_of_the_users_own_for_what_node_compiled_stays(
    tmp_path: Path, *, later: bool
) -> None:
    own = {"NODE_COMPILE_CACHE": "/of/the/user"}
    gate = make_gate(tmp_path, inherited={} if later else own, adapter_cache=tmp_path / "compiled")
    environ = {**gate.launcher.environment, **own} if later else gate.launcher.environment

    assert own.items() <= gate.start("-p", "hi", environ=environ).environment.items()


def test_a_nested_call_is_scrubbed_again(tmp_path: Path) -> None:
    gate = make_gate(tmp_path)
    leak = {"ANTHROPIC_API_KEY": "sk-ant-api03-FAKE-leak", "CLAUDE_CONFIG_DIR": "/elsewhere"}
    environ = {**gate.launcher.environment, **leak, "PATH": "/first:/usr/bin:/bin"}

    seen = gate.start("-p", "hi", environ=environ, program=gate.nested).environment

    assert leak.keys().isdisjoint(seen)
    assert seen["PATH"] == f"{gate.launcher.bin_dir}:/first:/usr/bin:/bin"


def test_the_users_setup_token_is_used_with_the_host_managed_switch(tmp_path: Path) -> None:
    gate = make_gate(tmp_path, inherited={"CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-FAKE-setup"})

    seen = gate.start("-p", "hi")

    assert seen.environment["CLAUDE_CODE_OAUTH_TOKEN"] == "sk-ant-oat01-FAKE-setup"
    assert seen.environment["CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST"] == "1"
    assert gate.plan.form == "oauth_token"
    assert not gate.plan.uses_stored_login


def test_a_setup_token_that_a_client_sends_is_replaced_by_the_users(tmp_path: Path) -> None:
    mine = oauth_token("sk-ant-oat01-FAKE-mine", source="a test")
    gate = make_gate(tmp_path, credential=mine)
    environ = {**gate.launcher.environment, "CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-FAKE-theirs"}

    seen = gate.start("-p", "hi", environ=environ)

    assert seen.environment["CLAUDE_CODE_OAUTH_TOKEN"] == "sk-ant-oat01-FAKE-mine"


@pytest.mark.parametrize(
    ("credential", "expected"),
    [
        (
            endpoint_credential(token="FAKE-t", headers={"X-Team": "a"}),
            {"ANTHROPIC_AUTH_TOKEN": "FAKE-t", "ANTHROPIC_CUSTOM_HEADERS": "X-Team: a"},
        ),
        (endpoint_credential(key="FAKE-k"), {"ANTHROPIC_API_KEY": "FAKE-k"}),
        (
            endpoint_credential(headers={"Authorization": "Own FAKE", "X-Team": "a"}),
            {
                "ANTHROPIC_API_KEY": "no-auth",
                "ANTHROPIC_CUSTOM_HEADERS": "Authorization: Own FAKE\nX-Team: a",
            },
        ),
        (endpoint_credential(no_auth=True), {"ANTHROPIC_AUTH_TOKEN": "no-auth"}),
    ],
    ids=["bearer and headers", "x-api-key", "headers", "no auth"],
)
def test_each_form_of_endpoint_credential_reaches_claude_code(
    tmp_path: Path, credential: object, expected: dict[str, str]
) -> None:
    gate = make_gate(tmp_path, BillingMode.ENDPOINT, credential=credential)  # type: ignore[arg-type]

    seen = gate.start("-p", "hi").environment

    carriers = ("ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_API_KEY", "ANTHROPIC_CUSTOM_HEADERS")
    assert {name: seen[name] for name in carriers if name in seen} == expected
    assert seen["CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST"] == "1"


def test_bytes_that_are_no_text_survive_the_gate(tmp_path: Path) -> None:
    odd = b"caf\xe9 \xff".decode("utf-8", "surrogateescape")
    gate = make_gate(tmp_path, inherited={"HTTPS_PROXY": odd, "ODD": odd})

    seen = gate.start("-p", "hi").environment

    assert (seen["HTTPS_PROXY"], seen["ODD"]) == (odd, odd)
