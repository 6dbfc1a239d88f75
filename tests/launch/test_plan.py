"""What a launch plan decides, reports and keeps to itself."""

import json

import pytest

from acp_bridge.errors import ConfigurationError
from acp_bridge.launch.credentials import api_key, endpoint_credential
from acp_bridge.launch.plan import LaunchPlan, Removal, make_plan
from acp_bridge.launch.settings_files import Finding, Survey
from acp_bridge.modes import BillingMode, CredentialClass
from tests.launch.standin import CHANNELS, UPSTREAM, fake_credential

KEY = "sk-ant-api03-FAKE-inherited"


def plan(
    mode: BillingMode = BillingMode.SUBSCRIPTION,
    *,
    inherited: dict[str, str] | None = None,
    files: Survey | None = None,
) -> LaunchPlan:
    return make_plan(
        CHANNELS,
        mode=mode,
        inherited=inherited or {},
        credential=fake_credential(mode),
        upstream=UPSTREAM,
        files=files,
    )


@pytest.mark.parametrize(
    ("mode", "credential_class"),
    [
        (BillingMode.API_KEY, CredentialClass.API_KEY),
        (BillingMode.SUBSCRIPTION, CredentialClass.SUBSCRIPTION_OAUTH),
        (BillingMode.ENDPOINT, CredentialClass.ENDPOINT_CREDENTIAL),
    ],
)
def test_a_mode_expects_its_own_credential(
    mode: BillingMode, credential_class: CredentialClass
) -> None:
    assert plan(mode).credential_class is credential_class


def test_what_was_taken_away_is_told_by_name_and_origin() -> None:
    inherited = {
        "ANTHROPIC_API_KEY": KEY,
        "ANTHROPIC_AUTH_TOKEN": "",
        "ANTHROPIC_NEXT_API_KEY": KEY,
        "CLAUDE_CODE_USE_BEDROCK": "1",
        "CLAUDECODE": "1",
        "ACP_BRIDGE_MODE": "B",
        "ANTHROPIC_MODEL": "opus",
        "HTTPS_PROXY": "http://own",
        "PATH": "/bin",
    }
    files = Survey(findings=(Finding("apiKeyHelper", "user settings"),))

    decided = plan(inherited=inherited, files=files)

    assert decided.removed == (
        Removal("ANTHROPIC_API_KEY", "environment"),
        Removal("ANTHROPIC_NEXT_API_KEY", "environment"),
        Removal("CLAUDE_CODE_USE_BEDROCK", "environment"),
        Removal("apiKeyHelper", "user settings"),
    )
    assert decided.api_key_found


def test_a_key_that_the_mode_uses_was_not_taken_away() -> None:
    mine = api_key(KEY, source="the environment")
    decided = make_plan(
        CHANNELS,
        mode=BillingMode.API_KEY,
        inherited={"ANTHROPIC_API_KEY": KEY},
        credential=mine,
    )
    assert decided.removed == ()
    assert not decided.api_key_found


def test_another_key_than_the_modes_own_is_told_without_a_hint() -> None:
    decided = plan(BillingMode.API_KEY, inherited={"ANTHROPIC_API_KEY": KEY})
    assert decided.removed == (Removal("ANTHROPIC_API_KEY", "environment"),)
    assert not decided.api_key_found


@pytest.mark.parametrize("mode", BillingMode)
def test_neither_the_text_of_a_plan_nor_its_pins_hold_a_secret(mode: BillingMode) -> None:
    secrets = (KEY, "me:FAKE@own", "sk-ant-api03-FAKE-of-the-mode", "FAKE-endpoint-token")
    decided = plan(mode, inherited={"ANTHROPIC_API_KEY": KEY, "HTTPS_PROXY": "http://me:FAKE@own"})
    shown = repr(decided) + json.dumps(decided.pins)
    assert not [secret for secret in secrets if secret in shown]


def test_an_unguessable_address_stays_out_of_the_pins() -> None:
    decided = make_plan(
        CHANNELS,
        mode=BillingMode.SUBSCRIPTION,
        inherited={},
        upstream=UPSTREAM,
        upstream_is_secret=True,
    )
    assert UPSTREAM not in repr(decided) + json.dumps(decided.pins)
    assert decided.agent_environment["ANTHROPIC_BASE_URL"] == UPSTREAM


def test_without_an_upstream_the_pins_hold_anthropics_own_address() -> None:
    decided = make_plan(CHANNELS, mode=BillingMode.SUBSCRIPTION, inherited={})
    assert decided.pins["env"]["ANTHROPIC_BASE_URL"] == ""
    assert "ANTHROPIC_BASE_URL" not in decided.agent_environment


@pytest.mark.parametrize("stands_in", [True, False])
def test_an_upstream_is_taken_for_anthropic_only_when_it_forwards_there(*, stands_in: bool) -> None:
    decided = make_plan(
        CHANNELS,
        mode=BillingMode.SUBSCRIPTION,
        inherited={},
        upstream=UPSTREAM,
        stands_in=stands_in,
    )
    name = "_CLAUDE_CODE_ASSUME_FIRST_PARTY_BASE_URL"
    assert decided.pins["env"][name] == ("1" if stands_in else "")


def test_the_users_settings_beat_the_environment_as_in_claude_code() -> None:
    files = Survey(own={"HTTPS_PROXY": "http://from-settings"})
    decided = plan(inherited={"HTTPS_PROXY": "http://inherited"}, files=files)
    assert decided.pins["env"]["HTTPS_PROXY"] == "http://from-settings"
    assert decided.agent_environment["HTTPS_PROXY"] == "http://inherited"


def test_mode_endpoint_needs_an_address_and_a_credential() -> None:
    mine = endpoint_credential(no_auth=True)
    with pytest.raises(ConfigurationError, match="no endpoint URL"):
        make_plan(CHANNELS, mode=BillingMode.ENDPOINT, inherited={}, credential=mine)
    with pytest.raises(ConfigurationError, match="mode endpoint has no credential"):
        make_plan(CHANNELS, mode=BillingMode.ENDPOINT, inherited={}, upstream=UPSTREAM)


def test_an_inherited_token_that_is_no_subscription_token_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="not a subscription token") as caught:
        plan(inherited={"CLAUDE_CODE_OAUTH_TOKEN": KEY})
    assert KEY not in caught.value.message


PROXY = "http://127.0.0.1:1"
OTHER = "http://127.0.0.1:2"
HTTPS = {"HTTPS_PROXY", "https_proxy"}
HTTP = {"HTTP_PROXY", "http_proxy"}


@pytest.mark.parametrize(
    ("own", "used"),
    [
        ({"ALL_PROXY": PROXY}, dict.fromkeys(HTTPS | HTTP, PROXY)),
        ({"all_proxy": "127.0.0.1:1"}, dict.fromkeys(HTTPS | HTTP, "127.0.0.1:1")),
        (
            {"ALL_PROXY": PROXY, "https_proxy": OTHER, "HTTPS_PROXY": ""},
            {**dict.fromkeys(HTTP, PROXY), "https_proxy": OTHER, "HTTPS_PROXY": ""},
        ),
        ({"ALL_PROXY": "socks5://127.0.0.1:1"}, {"ALL_PROXY": "socks5://127.0.0.1:1"}),
        ({"ALL_PROXY": "", "HTTPS_PROXY": PROXY}, {"ALL_PROXY": "", "HTTPS_PROXY": PROXY}),
    ],
)
def test_the_users_proxy_for_everything_is_named_so_that_claude_code_tunnels_through_it(
    own: dict[str, str], used: dict[str, str]
) -> None:
    from_environment = plan(inherited=own)
    assert from_environment.own == used
    assert {k: v for k, v in from_environment.agent_environment.items() if k in used} == used
    from_settings = plan(files=Survey(own=own))
    assert {k: v for k, v in from_settings.pins["env"].items() if v and k in HTTPS | HTTP} == {
        k: v for k, v in used.items() if v and k in HTTPS | HTTP
    }
