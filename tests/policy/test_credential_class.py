import pytest

from acp_bridge.modes import CredentialClass
from acp_bridge.policy.credential import KnownSecrets, PresentedCredential, classify_credential

KEY = "sk-ant-api03-FAKE-key"
OAUTH = "sk-ant-oat01-FAKE-token"
BETA = ("anthropic-beta", "claude-code-20250219, oauth-2025-04-20")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], CredentialClass.NONE),
        ([("x-api-key", ""), ("authorization", " ")], CredentialClass.NONE),
        ([("X-Api-Key", KEY)], CredentialClass.API_KEY),
        ([("x-api-key", OAUTH), BETA], CredentialClass.API_KEY),
        ([("Authorization", f"Bearer {OAUTH}"), BETA], CredentialClass.SUBSCRIPTION_OAUTH),
        ([BETA, ("authorization", f"bearer  {OAUTH}")], CredentialClass.SUBSCRIPTION_OAUTH),
        ([("authorization", f"Bearer {OAUTH}")], CredentialClass.ENDPOINT_CREDENTIAL),
        ([("authorization", "Bearer gateway"), BETA], CredentialClass.ENDPOINT_CREDENTIAL),
        ([("authorization", "Bearer gateway")], CredentialClass.ENDPOINT_CREDENTIAL),
        ([("authorization", "Basic Zm9v")], CredentialClass.UNKNOWN),
        ([("authorization", "Bearer")], CredentialClass.UNKNOWN),
        ([("authorization", "AWS4-HMAC-SHA256 Credential=x")], CredentialClass.CLOUD),
    ],
)
def test_one_credential_is_classed_by_its_header_its_prefix_and_the_beta(
    headers: list[tuple[str, str]], expected: CredentialClass
) -> None:
    assert classify_credential(headers) == PresentedCredential(expected)


def test_the_same_key_in_both_headers_is_an_api_key() -> None:
    seen = classify_credential([("x-api-key", KEY), ("authorization", f"Bearer {KEY}")])

    assert seen == PresentedCredential(CredentialClass.API_KEY, both_headers=True)


def test_a_login_beside_a_key_is_unknown_since_either_may_be_charged() -> None:
    seen = classify_credential([("authorization", f"Bearer {OAUTH}"), BETA, ("x-api-key", KEY)])

    assert seen == PresentedCredential(CredentialClass.UNKNOWN, both_headers=True)


@pytest.mark.parametrize("name", ["x-api-key", "authorization"])
def test_a_credential_header_that_comes_twice_is_unknown(name: str) -> None:
    seen = classify_credential([(name, "Bearer one"), (name.title(), "Bearer two")])

    assert seen == PresentedCredential(CredentialClass.UNKNOWN)


def test_a_known_secret_is_named_by_its_label_in_either_header() -> None:
    known = KnownSecrets({"the key": KEY, "the login": OAUTH})

    assert classify_credential([("x-api-key", KEY)], known).label == "the key"
    assert classify_credential([("authorization", f"Bearer {OAUTH}")], known).label == "the login"
    assert classify_credential([("x-api-key", f"{KEY}-other")], known).label is None


def test_known_secrets_do_not_keep_the_secrets() -> None:
    known = KnownSecrets({"the key": KEY})

    assert KEY not in repr(vars(known))
