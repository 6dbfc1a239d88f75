import json
import stat
from pathlib import Path

import pytest

from acp_bridge.loopback.scratch import (
    FAKE_OAUTH_TOKEN,
    FAKE_SECRETS,
    make_scratch_home,
    scratch_environment,
)

SINK = "http://127.0.0.1:9"


def test_a_stored_login_can_be_read_by_its_owner_only(tmp_path: Path) -> None:
    home = make_scratch_home(tmp_path / "home")

    login = json.loads(home.credentials.read_text())["claudeAiOauth"]
    assert login["accessToken"] == FAKE_OAUTH_TOKEN
    assert login["subscriptionType"] == "max"
    assert stat.S_IMODE(home.credentials.stat().st_mode) == 0o600
    for directory in (home.path, home.config, home.project, home.temporary):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_without_a_login_no_credential_is_stored(tmp_path: Path) -> None:
    home = make_scratch_home(tmp_path / "home", login=False)

    assert not home.credentials.exists()
    assert json.loads((home.config / ".claude.json").read_text())["hasCompletedOnboarding"] is True


def test_every_fake_secret_says_that_it_is_one() -> None:
    assert all("FAKE" in secret for secret in FAKE_SECRETS.values())


def test_the_environment_takes_nothing_from_the_process_but_path_and_language(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-api03-FAKE-inherited")
    monkeypatch.setenv("PATH", "/bin")

    env = scratch_environment(make_scratch_home(tmp_path / "home"), sink_url=SINK)

    assert env["PATH"] == "/bin"
    assert "ANTHROPIC_API_KEY" not in env


def test_every_spelling_of_the_proxy_leads_to_the_sink_but_loopback_is_direct(
    tmp_path: Path,
) -> None:
    home = make_scratch_home(tmp_path / "home")

    env = scratch_environment(home, sink_url=SINK, base={"KEPT": "1"})

    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
        assert env[name] == env[name.lower()] == SINK
    assert env["NO_PROXY"] == env["no_proxy"] == "127.0.0.1,localhost"
    assert (env["HOME"], env["CLAUDE_CONFIG_DIR"]) == (str(home.path), str(home.config))
    assert env["KEPT"] == "1"
