"""Which credential class a request carries, read from its headers.

The wire is the only proof of who pays; this is the one place that reads it. A header's value is
looked at and forgotten: nothing here returns, stores or prints a secret.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from acp_bridge.modes import CredentialClass

SUBSCRIPTION_TOKEN_PREFIX = "sk-ant-oat"  # noqa: S105 - the public prefix of a kind, not a secret
SUBSCRIPTION_BETA = "oauth-2025-04-20"
_CLOUD_SIGNATURE = "AWS4-HMAC-SHA256 "


@dataclass(frozen=True, slots=True)
class PresentedCredential:
    """What a request authenticates with, without the secret.

    Attributes:
        credential_class: whose meter the credential belongs to. Two different credentials in one
            request are `unknown`: which of them the provider charges cannot be told from here.
        both_headers: an ``x-api-key`` and an ``Authorization`` header came together.
        label: the name of the known secret that was presented, if it is one.
    """

    credential_class: CredentialClass
    both_headers: bool = False
    label: str | None = None


class KnownSecrets:
    """Recognises secrets by their digests and names them by their labels.

    The secrets themselves are not kept, so that printing or pickling the object shows none.

    Args:
        secrets_by_label: label to secret, e.g. ``{"key from the environment": "sk-ant-api03-…"}``.
    """

    def __init__(self, secrets_by_label: Mapping[str, str] | None = None) -> None:
        self._labels = {
            _digest(secret): label for label, secret in (secrets_by_label or {}).items()
        }

    def label_of(self, secret: str) -> str | None:
        """The label under which this secret was registered, or None."""
        return self._labels.get(_digest(secret))


NO_KNOWN_SECRETS = KnownSecrets()


def classify_credential(
    headers: Iterable[tuple[str, str]], known: KnownSecrets = NO_KNOWN_SECRETS
) -> PresentedCredential:
    """Read the credential class of a request to the Messages API from its headers.

    Args:
        headers: names (any case) and values, as they came.
        known: secrets to recognise by label.

    Returns:
        ``x-api-key`` alone is `api_key`, whatever the key looks like: that header is billed as a
        Console key. A bearer ``sk-ant-oat…`` with the beta ``oauth-2025-04-20`` is
        `subscription_oauth`; any other bearer is `endpoint_credential`; an AWS signature is
        `cloud`. The same key in both headers (Claude Code's ``apiKeyHelper``) is `api_key`;
        different ones are `unknown`, as is a header that is there twice, and an
        ``Authorization`` of another scheme.
    """
    keys, authorizations, betas = _credential_headers(headers)
    if len(keys) > 1 or len(authorizations) > 1:
        return PresentedCredential(CredentialClass.UNKNOWN, bool(keys and authorizations))
    key = keys[0] if keys else None
    if not authorizations:
        credential_class = CredentialClass.API_KEY if key else CredentialClass.NONE
        return PresentedCredential(credential_class, label=_label(known, key))
    bearer = _bearer(authorizations[0])
    if key is None:
        credential_class = _authorization_class(authorizations[0], bearer, betas)
        return PresentedCredential(credential_class, label=_label(known, bearer))
    return PresentedCredential(
        CredentialClass.API_KEY if key == bearer else CredentialClass.UNKNOWN,
        both_headers=True,
        label=_label(known, key) or _label(known, bearer),
    )


def _credential_headers(
    headers: Iterable[tuple[str, str]],
) -> tuple[list[str], list[str], set[str]]:
    keys: list[str] = []
    authorizations: list[str] = []
    betas: set[str] = set()
    for name, value in headers:
        match name.lower():
            case "x-api-key" if value.strip():
                keys.append(value.strip())
            case "authorization" if value.strip():
                authorizations.append(value.strip())
            case "anthropic-beta":
                betas.update(part.strip() for part in value.split(","))
    return keys, authorizations, betas


def _bearer(authorization: str) -> str | None:
    scheme, _, token = authorization.partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _authorization_class(
    authorization: str, bearer: str | None, betas: set[str]
) -> CredentialClass:
    if authorization.startswith(_CLOUD_SIGNATURE):
        return CredentialClass.CLOUD
    if bearer is None:
        return CredentialClass.UNKNOWN
    if bearer.startswith(SUBSCRIPTION_TOKEN_PREFIX) and SUBSCRIPTION_BETA in betas:
        return CredentialClass.SUBSCRIPTION_OAUTH
    return CredentialClass.ENDPOINT_CREDENTIAL


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _label(known: KnownSecrets, secret: str | None) -> str | None:
    return None if secret is None else known.label_of(secret)
