"""Takes credentials out of text that people will read: logs, errors, the agent's own words."""

import re
from collections.abc import Iterable

REDACTED = "[redacted]"
SHORTEST_SECRET = 6
"""Shorter strings are not looked for: taking them out would garble ordinary words."""

# What has been taken out already is left alone: text may pass here more than once.
_ANTHROPIC = re.compile(r"(sk-ant-(?:[a-z]+[0-9]+-)?)(?![a-z0-9-]*\[redacted\])[\w-]+")
_BEARER = re.compile(r"(\bbearer\s+)[\w.~+/=-]{8,}", re.IGNORECASE)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Return `text` without credentials.

    What looks like a credential of Anthropic's keeps its kind (``sk-ant-api03-[redacted]``), a
    bearer token its scheme.

    Args:
        text: any text.
        secrets: further strings to take out, whatever they look like.
    """
    for secret in secrets:
        if len(secret) >= SHORTEST_SECRET:
            text = text.replace(secret, REDACTED)
    return _BEARER.sub(rf"\1{REDACTED}", _ANTHROPIC.sub(rf"\1{REDACTED}", text))
