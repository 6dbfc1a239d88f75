"""A home, a login and an environment that are nobody's, for running the real Claude Code offline.

`acp-bridge demo` and the tests use it. The login is fake and says so; nothing here reads the
user's own home.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FAKE_API_KEY = "sk-ant-api03-FAKE-acp-bridge-demo-key-not-a-secret-0000000000"
FAKE_OAUTH_TOKEN = "sk-ant-oat01-FAKE-acp-bridge-demo-login-not-a-secret-00000000"  # noqa: S105 - fake
FAKE_REFRESH_TOKEN = "sk-ant-ort01-FAKE-acp-bridge-demo-login-not-a-secret-0000"  # noqa: S105 - fake
FAKE_ENDPOINT_TOKEN = "FAKE-acp-bridge-demo-endpoint-token-not-a-secret"  # noqa: S105 - fake
FAKE_SECRETS: Mapping[str, str] = {
    "demo api key": FAKE_API_KEY,
    "demo login": FAKE_OAUTH_TOKEN,
    "demo endpoint token": FAKE_ENDPOINT_TOKEN,
}
"""Label to secret: the ``known`` of an `EmbeddedEndpoint` that tells them apart."""

# 2100-01-01: Claude Code would refresh a login that is about to expire.
NEVER_EXPIRES_MS = 4_102_444_800_000
_PROXY_VARIABLES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
_QUIET = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "DISABLE_INSTALLATION_CHECKS": "1",
    "DISABLE_TELEMETRY": "1",
}


@dataclass(frozen=True, slots=True)
class ScratchHome:
    """Where a run keeps its state.

    Attributes:
        path: the home directory, 0700.
        config: the folder for ``CLAUDE_CONFIG_DIR``, where Claude Code keeps its login and state.
        project: an empty working directory.
        temporary: the folder for ``TMPDIR``.
    """

    path: Path
    config: Path
    project: Path
    temporary: Path

    @property
    def credentials(self) -> Path:
        """The file of the stored login, there or not."""
        return self.config / ".credentials.json"


def make_scratch_home(path: Path, *, login: bool = True) -> ScratchHome:
    """Lay out a home in which Claude Code starts without onboarding.

    Args:
        path: a directory that does not exist or is empty.
        login: store a fake claude.ai login (plan ``max``), readable by its owner only.

    Raises:
        OSError: the directory cannot be written.
    """
    home = ScratchHome(path, path / ".claude", path / "project", path / "tmp")
    for directory in (home.path, home.config, home.project, home.temporary):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write_private(
        home.config / ".claude.json",
        {"hasCompletedOnboarding": True, "autoUpdates": False, "installMethod": "unknown"},
    )
    if login:
        _write_private(home.credentials, fake_login())
    return home


def fake_login() -> dict[str, object]:
    """The content of ``.credentials.json`` of a claude.ai login that nobody has."""
    return {
        "claudeAiOauth": {
            "accessToken": FAKE_OAUTH_TOKEN,
            "refreshToken": FAKE_REFRESH_TOKEN,
            "expiresAt": NEVER_EXPIRES_MS,
            "scopes": ["user:inference", "user:profile"],
            "subscriptionType": "max",
        }
    }


def scratch_environment(
    home: ScratchHome, *, sink_url: str, base: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The environment in which Claude Code keeps to that home and to loopback.

    Args:
        home: from `make_scratch_home`.
        sink_url: where everything that is not loopback is sent: a `ProxySink`.
        base: variables to begin with; the process's ``PATH`` and ``LANG`` alone if not given.
    """
    if base is None:
        base = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    proxies = {spelling: sink_url for name in _PROXY_VARIABLES for spelling in (name, name.lower())}
    return {
        **base,
        **_QUIET,
        **proxies,
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        "HOME": str(home.path),
        "CLAUDE_CONFIG_DIR": str(home.config),
        "TMPDIR": str(home.temporary),
    }


def _write_private(path: Path, document: object) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(document, file)
