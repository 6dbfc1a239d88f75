"""What the wire guard does with one request: let it through, attach the credential, or refuse it.

Decided from the request's head alone: method, target, headers. Nothing here returns, stores or
prints a secret, and the target is compared byte for byte: a server may read ``//v1/messages`` or
``/v1/%6dessages`` as a model path, the credential is for the exact ones only.
"""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from acp_bridge.modes import BillingMode, CredentialClass
from acp_bridge.policy.credential import classify_credential

MODEL_REQUESTS = frozenset(
    {("POST", "/v1/messages"), ("POST", "/v1/messages/count_tokens"), ("GET", "/v1/models")}
)
"""The requests that a credential is for."""

MODEL_PATHS = frozenset(path for _, path in MODEL_REQUESTS)
_REACHABLE = ("HEAD", "/")
_LOOKING = frozenset({"GET", "HEAD", "OPTIONS"})
_CREDENTIAL_HEADERS = ("x-api-key", "authorization")
# Headers that authenticate at some provider or in a browser, though not at the Messages API.
_OTHER_CREDENTIALS = frozenset({"api-key", "cookie", "x-amz-security-token", "x-goog-api-key"})

Headers = tuple[tuple[str, str], ...]


class RefusalReason(StrEnum):
    """Why a request goes nowhere. The first two are violations of the billing mode."""

    WRONG_CREDENTIAL = "wrong_credential"
    NO_CREDENTIAL = "no_credential"
    PATH_NOT_SERVED = "path_not_served"


class Way(StrEnum):
    """What is done with a request that is let through."""

    ATTACH = "attach"
    UNCHANGED = "unchanged"
    LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Allowed:
    """The request is let through.

    Attributes:
        presented: the credential class it came with. The placeholder counts as what it was sent as.
        way: with the run's credential attached, unchanged, or answered here and sent nowhere.
    """

    presented: CredentialClass
    way: Way

    @property
    def attach(self) -> bool:
        """Whether the run's credential is attached."""
        return self.way is Way.ATTACH


@dataclass(frozen=True, slots=True)
class Refused:
    """The request goes nowhere.

    Attributes:
        presented: the credential class it came with.
        reason: why, as a word.
        sentence: why, for people: the mode, and what came; without a full stop.
        hint: what to do next.
        on_model_path: whether a model was asked; Claude Code then wants an API error.
        may_pass: whether a guard that only observes lets it through, unchanged.
    """

    presented: CredentialClass
    reason: RefusalReason
    sentence: str
    hint: str
    on_model_path: bool
    may_pass: bool = False

    @property
    def is_violation(self) -> bool:
        """Whether somebody else would have paid, or nobody; a path not served is none."""
        return self.reason is not RefusalReason.PATH_NOT_SERVED


Verdict = Allowed | Refused


class Judge:
    """Judges the requests of one run.

    Args:
        mode: the billing mode.
        placeholder: what the agent was given in place of the credential, in modes A and C. Only
            its digest is kept.

    Raises:
        ValueError: mode and placeholder do not go together.
    """

    def __init__(self, mode: BillingMode, placeholder: str | None = None) -> None:
        if (mode is BillingMode.SUBSCRIPTION) is not (not placeholder):
            raise ValueError("modes api-key and endpoint have a placeholder, subscription has none")
        self._mode = mode
        self._digest = _digest(placeholder) if placeholder else None

    def __call__(self, method: str, target: str, headers: Iterable[tuple[str, str]]) -> Verdict:
        """Judge one request.

        Args:
            method: as it came.
            target: as it came, without the guard's own secret path; the query is not judged.
            headers: names (any case) and values, as they came.
        """
        pairs = tuple(headers)
        asked = (method, target.partition("?")[0])
        if self._digest is None:
            return self._judge_login(asked, pairs)
        return self._judge_placeholder(asked, pairs, self._digest)

    def _judge_login(self, asked: tuple[str, str], headers: Headers) -> Verdict:
        presented = _presented(headers)
        if presented is CredentialClass.SUBSCRIPTION_OAUTH:
            return Allowed(presented, Way.UNCHANGED)
        only_looks = asked[0] in _LOOKING and asked[1] not in MODEL_PATHS
        if presented is CredentialClass.NONE and only_looks:
            # Nobody can be charged for a request that names no payer, and Claude Code asks such
            # things, as whether the API is there (HEAD /). One that brings something may trade it
            # for another payer's token (POST /v1/oauth/token of an identity federation).
            return Allowed(presented, Way.UNCHANGED)
        return self._refuse_credential(asked, presented)

    def _judge_placeholder(
        self, asked: tuple[str, str], headers: Headers, digest: bytes
    ) -> Verdict:
        presented = _presented(headers)
        nothing = presented is CredentialClass.NONE
        unclear = presented is CredentialClass.UNKNOWN
        if unclear or not (nothing or _is_placeholder(headers, digest)):
            return self._refuse_credential(asked, presented)
        if asked == _REACHABLE:
            return Allowed(presented, Way.LOCAL)
        if asked not in MODEL_REQUESTS:
            return self._refuse_path(asked, presented)
        if nothing:
            return self._refuse_credential(asked, presented)
        return Allowed(presented, Way.ATTACH)

    def _refuse_credential(self, asked: tuple[str, str], presented: CredentialClass) -> Refused:
        nothing = presented is CredentialClass.NONE
        return Refused(
            presented,
            RefusalReason.NO_CREDENTIAL if nothing else RefusalReason.WRONG_CREDENTIAL,
            f"billing mode {self._mode.value} takes {_EXPECTED[self._mode]},"
            f" but this request came with {_CAME[presented]}",
            "Something brought a credential of its own; `acp-bridge status` shows what was found."
            if not nothing or self._mode is not BillingMode.SUBSCRIPTION
            else "Sign in with `acp-bridge exec -- claude auth login`.",
            asked[1] in MODEL_PATHS,
            may_pass=not self._would_give_a_login_away(presented),
        )

    def _would_give_a_login_away(self, presented: CredentialClass) -> bool:
        """A subscription's login is for Anthropic alone, whoever looks on."""
        is_login = presented in (CredentialClass.SUBSCRIPTION_OAUTH, CredentialClass.UNKNOWN)
        return is_login and self._mode is BillingMode.ENDPOINT

    def _refuse_path(self, asked: tuple[str, str], presented: CredentialClass) -> Refused:
        return Refused(
            presented,
            RefusalReason.PATH_NOT_SERVED,
            f"billing mode {self._mode.value} sends its credential with model requests only,"
            " and this is another request",
            "Nothing is wrong with the credential; the feature that asked is not available here.",
            asked[1] in MODEL_PATHS,
        )


_EXPECTED = {
    BillingMode.API_KEY: "only the API key it was started with",
    BillingMode.SUBSCRIPTION: "only the subscription's login",
    BillingMode.ENDPOINT: "only the endpoint credential it was started with",
}
_CAME = {
    CredentialClass.API_KEY: "another API key",
    CredentialClass.SUBSCRIPTION_OAUTH: "a subscription's login",
    CredentialClass.ENDPOINT_CREDENTIAL: "another bearer token",
    CredentialClass.CLOUD: "a cloud provider's credential",
    CredentialClass.NONE: "no credential",
    CredentialClass.UNKNOWN: "several credentials, or one of an unknown kind",
}


def with_credential(headers: Headers, credential: Iterable[tuple[str, str]]) -> Headers:
    """The headers with the run's credential in the place of what was presented.

    Args:
        headers: as they came; every ``x-api-key`` and ``authorization`` is taken out.
        credential: headers that authenticate, or further ones of the endpoint; each also takes the
            place of a header of its own name.
    """
    pairs = tuple(credential)
    taken = {name.lower() for name, _ in pairs}.union(_CREDENTIAL_HEADERS)
    places = [at for at, (name, _) in enumerate(headers) if name.lower() in taken]
    first = places[0] if places else len(headers)
    after = tuple(pair for pair in headers[first:] if pair[0].lower() not in taken)
    return (*headers[:first], *pairs, *after)


def _presented(headers: Headers) -> CredentialClass:
    if any(name.lower() in _OTHER_CREDENTIALS and value.strip() for name, value in headers):
        return CredentialClass.UNKNOWN
    return classify_credential(headers).credential_class


def _is_placeholder(headers: Headers, digest: bytes) -> bool:
    """Whether everything that was presented is the placeholder."""
    secrets = [_secret(name.lower(), value.strip()) for name, value in headers]
    same = [hmac.compare_digest(_digest(secret), digest) for secret in secrets if secret]
    return bool(same) and all(same)


def _secret(name: str, value: str) -> str | None:
    match name:
        case "x-api-key":
            return value
        case "authorization":
            return value.partition(" ")[2].strip() or value
        case _:
            return None


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
