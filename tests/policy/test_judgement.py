from itertools import product

import pytest

from acp_bridge.modes import BillingMode, CredentialClass
from acp_bridge.policy.judgement import (
    Allowed,
    Judge,
    RefusalReason,
    Refused,
    Verdict,
    Way,
    with_credential,
)

HELD = "FAKE-placeholder-of-the-run"
KEY = "sk-ant-api03-FAKE-key"
OAUTH = "sk-ant-oat01-FAKE-token"
BETA = ("anthropic-beta", "oauth-2025-04-20")
LOGIN = (("Authorization", f"Bearer {OAUTH}"), BETA)
AS_KEY = (("x-api-key", HELD),)
AS_BEARER = (("authorization", f"Bearer {HELD}"),)
WITH_PLACEHOLDER = [BillingMode.API_KEY, BillingMode.ENDPOINT]
MODEL_REQUESTS = [
    ("POST", "/v1/messages"),
    ("POST", "/v1/messages?beta=true"),
    ("POST", "/v1/messages?x=/../..//%2e"),
    ("POST", "/v1/messages/count_tokens?beta=true"),
    ("GET", "/v1/models?limit=1000"),
]
TRICKS = [
    "//v1/messages",
    "/v1//messages",
    "/v1/messages/",
    "/v1/./messages",
    "/x/../v1/messages",
    "/v1/messages/..",
    "/v1/%6dessages",
    "/v1%2fmessages",
    "/%2e%2e/v1/messages",
    "/V1/messages",
    "/v1/Messages",
    "/v1/messages;a=b",
    "/v1/messages#a",
    "/v1/messages\\",
    "http://other.example/v1/messages",
    "v1/messages",
    "*",
    "",
]


def judge(mode: BillingMode) -> Judge:
    return Judge(mode, None if mode is BillingMode.SUBSCRIPTION else HELD)


def refused(verdict: Verdict) -> Refused:
    assert isinstance(verdict, Refused)
    return verdict


@pytest.mark.parametrize(
    ("mode", "asked", "headers"),
    list(product(WITH_PLACEHOLDER, MODEL_REQUESTS, [AS_KEY, AS_BEARER])),
)
def test_a_model_request_with_the_placeholder_gets_the_credential(
    mode: BillingMode, asked: tuple[str, str], headers: tuple[tuple[str, str], ...]
) -> None:
    verdict = judge(mode)(*asked, headers)

    assert isinstance(verdict, Allowed)
    assert verdict.attach
    assert verdict.presented in (CredentialClass.API_KEY, CredentialClass.ENDPOINT_CREDENTIAL)


@pytest.mark.parametrize("mode", WITH_PLACEHOLDER)
def test_the_placeholder_in_both_headers_and_an_empty_header_are_as_good(mode: BillingMode) -> None:
    for headers in (AS_KEY + AS_BEARER, (*AS_BEARER, ("x-api-key", ""))):
        verdict = judge(mode)("POST", "/v1/messages", headers)
        assert isinstance(verdict, Allowed)
        assert verdict.attach


@pytest.mark.parametrize(
    ("mode", "method", "target"), list(product(WITH_PLACEHOLDER, ["GET", "POST"], TRICKS))
)
def test_what_only_looks_like_a_model_path_gets_no_credential(
    mode: BillingMode, method: str, target: str
) -> None:
    verdict = refused(judge(mode)(method, target, AS_KEY))

    assert verdict.reason is RefusalReason.PATH_NOT_SERVED
    assert not verdict.is_violation
    assert not verdict.on_model_path


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/v1/messages"),
        ("post", "/v1/messages"),
        ("PUT", "/v1/messages"),
        ("POST", "/v1/models"),
        ("GET", "/v1/models/claude-opus-5-5"),
        ("POST", "/v1/messages/batches"),
        ("GET", "/v1/organizations/me"),
        ("GET", "/"),
        ("CONNECT", "other.example:443"),
    ],
)
def test_other_requests_get_no_credential(method: str, target: str) -> None:
    verdict = refused(judge(BillingMode.API_KEY)(method, target, AS_KEY))

    assert verdict.reason is RefusalReason.PATH_NOT_SERVED
    assert "api-key" in verdict.sentence


@pytest.mark.parametrize(
    ("headers", "presented", "came"),
    [
        ((("x-api-key", KEY),), CredentialClass.API_KEY, "another API key"),
        ((("x-api-key", f"{HELD}x"),), CredentialClass.API_KEY, "another API key"),
        ((("x-api-key", f"Bearer {HELD}"),), CredentialClass.API_KEY, "another API key"),
        (LOGIN, CredentialClass.SUBSCRIPTION_OAUTH, "a subscription's login"),
        (
            (("authorization", "Bearer other"),),
            CredentialClass.ENDPOINT_CREDENTIAL,
            "another bearer token",
        ),
        (
            (("authorization", "AWS4-HMAC-SHA256 Credential=x"),),
            CredentialClass.CLOUD,
            "a cloud provider's credential",
        ),
        ((*AS_KEY, *LOGIN), CredentialClass.UNKNOWN, "several credentials"),
        ((*AS_KEY, *AS_KEY), CredentialClass.UNKNOWN, "several credentials"),
        ((*AS_KEY, ("X-Api-Key", KEY)), CredentialClass.UNKNOWN, "several credentials"),
        ((*AS_KEY, ("api-key", KEY)), CredentialClass.UNKNOWN, "several credentials"),
        ((*AS_KEY, ("Cookie", "sessionKey=FAKE")), CredentialClass.UNKNOWN, "several credentials"),
        ((("authorization", f"Basic {HELD}"),), CredentialClass.UNKNOWN, "several credentials"),
        ((("authorization", HELD),), CredentialClass.UNKNOWN, "several credentials"),
    ],
)
@pytest.mark.parametrize("mode", WITH_PLACEHOLDER)
def test_anything_but_the_placeholder_is_refused_and_named(
    mode: BillingMode,
    headers: tuple[tuple[str, str], ...],
    presented: CredentialClass,
    came: str,
) -> None:
    for method, target in [*MODEL_REQUESTS, ("HEAD", "/"), ("GET", "/v1/files")]:
        verdict = refused(judge(mode)(method, target, headers))

        assert (verdict.presented, verdict.reason) == (presented, RefusalReason.WRONG_CREDENTIAL)
        assert verdict.is_violation
        assert mode.value in verdict.sentence
        assert came in verdict.sentence


@pytest.mark.parametrize("mode", list(BillingMode))
def test_a_model_request_without_a_credential_is_refused(mode: BillingMode) -> None:
    for method, target in MODEL_REQUESTS:
        verdict = refused(judge(mode)(method, target, ()))

        assert verdict.reason is RefusalReason.NO_CREDENTIAL
        assert verdict.on_model_path


@pytest.mark.parametrize("mode", WITH_PLACEHOLDER)
@pytest.mark.parametrize("headers", [(), AS_BEARER])
def test_whether_the_api_is_there_is_answered_here(
    mode: BillingMode, headers: tuple[tuple[str, str], ...]
) -> None:
    verdict = judge(mode)("HEAD", "/", headers)

    assert isinstance(verdict, Allowed)
    assert verdict.way is Way.LOCAL


@pytest.mark.parametrize("target", [*(t for _, t in MODEL_REQUESTS), *TRICKS, "/api/oauth/profile"])
def test_a_subscriptions_login_passes_unchanged_on_any_path(target: str) -> None:
    verdict = judge(BillingMode.SUBSCRIPTION)("POST", target, LOGIN)

    assert verdict == Allowed(CredentialClass.SUBSCRIPTION_OAUTH, Way.UNCHANGED)


@pytest.mark.parametrize(("method", "target"), [("HEAD", "/"), ("GET", "/api/hello")])
def test_in_mode_subscription_what_names_no_payer_passes_beside_the_model_paths(
    method: str, target: str
) -> None:
    verdict = judge(BillingMode.SUBSCRIPTION)(method, target, (("accept", "*/*"),))

    assert verdict == Allowed(CredentialClass.NONE, Way.UNCHANGED)


@pytest.mark.parametrize(
    "headers",
    [
        (("x-api-key", KEY),),
        (("x-api-key", OAUTH), BETA),
        (("authorization", f"Bearer {OAUTH}"),),
        (("authorization", "Bearer other"), BETA),
        (*LOGIN, ("x-api-key", KEY)),
        (*LOGIN, ("api-key", KEY)),
        (("cookie", "sessionKey=FAKE"),),
    ],
)
@pytest.mark.parametrize("target", ["/v1/messages", "/api/hello", "/"])
def test_in_mode_subscription_another_payer_is_refused_on_any_path(
    headers: tuple[tuple[str, str], ...], target: str
) -> None:
    verdict = refused(judge(BillingMode.SUBSCRIPTION)("POST", target, headers))

    assert verdict.reason is RefusalReason.WRONG_CREDENTIAL
    assert "subscription" in verdict.sentence
    assert verdict.on_model_path is (target == "/v1/messages")


def test_in_mode_subscription_what_brings_something_without_a_payer_is_refused() -> None:
    """It may trade it for another payer's token, as an identity federation does."""
    verdict = refused(judge(BillingMode.SUBSCRIPTION)("POST", "/v1/oauth/token", ()))

    assert (verdict.reason, verdict.is_violation) == (RefusalReason.NO_CREDENTIAL, True)


@pytest.mark.parametrize(
    ("mode", "headers", "may_pass"),
    [
        (BillingMode.API_KEY, LOGIN, True),
        (BillingMode.SUBSCRIPTION, AS_KEY, True),
        (BillingMode.ENDPOINT, (("x-api-key", KEY),), True),
        (BillingMode.ENDPOINT, LOGIN, False),
        (BillingMode.ENDPOINT, (*LOGIN, *AS_KEY), False),
    ],
)
def test_a_guard_that_observes_gives_no_login_to_an_endpoint(
    mode: BillingMode, headers: tuple[tuple[str, str], ...], *, may_pass: bool
) -> None:
    assert refused(judge(mode)("POST", "/v1/messages", headers)).may_pass is may_pass


def test_no_secret_shows_in_a_judge_or_a_verdict() -> None:
    this = judge(BillingMode.API_KEY)
    verdicts = [
        this("POST", "/v1/messages", headers) for headers in (AS_KEY, LOGIN, (("x-api-key", KEY),))
    ]

    shown = f"{vars(this)} {verdicts}"

    assert not [secret for secret in (HELD, KEY, OAUTH) if secret in shown]


@pytest.mark.parametrize("placeholder", [None, "", HELD])
@pytest.mark.parametrize("mode", list(BillingMode))
def test_mode_and_placeholder_have_to_go_together(
    mode: BillingMode, placeholder: str | None
) -> None:
    if bool(placeholder) is (mode is not BillingMode.SUBSCRIPTION):
        Judge(mode, placeholder)
        return
    with pytest.raises(ValueError, match="placeholder"):
        Judge(mode, placeholder)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (AS_BEARER, (("x-api-key", KEY),)),
        ((("a", "1"), *AS_KEY, ("b", "2")), (("a", "1"), ("x-api-key", KEY), ("b", "2"))),
        (
            (("a", "1"), *AS_KEY, ("b", "2"), *AS_BEARER),
            (("a", "1"), ("x-api-key", KEY), ("b", "2")),
        ),
        ((("a", "1"),), (("a", "1"), ("x-api-key", KEY))),
    ],
)
def test_the_credential_takes_the_place_of_the_placeholder(
    headers: tuple[tuple[str, str], ...], expected: tuple[tuple[str, str], ...]
) -> None:
    assert with_credential(headers, [("x-api-key", KEY)]) == expected


def test_further_headers_of_an_endpoint_replace_those_of_their_name() -> None:
    headers = (("X-Team", "theirs"), *AS_KEY, ("x-team", "again"), ("accept", "*/*"))

    attached = with_credential(headers, [("authorization", "Bearer FAKE"), ("x-team", "ours")])

    assert attached == (("authorization", "Bearer FAKE"), ("x-team", "ours"), ("accept", "*/*"))
