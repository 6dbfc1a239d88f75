"""What is told about the files of a user and a project."""

import json
from pathlib import Path

import pytest

from acp_bridge.launch.settings_files import (
    Finding,
    Folders,
    Survey,
    login_stored,
    survey,
)
from tests.launch.standin import CHANNELS, write_settings

SECRET = "sk-ant-api03-FAKE-in-a-file"


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders.of(CHANNELS, {"HOME": str(tmp_path)})


def look(folders: Folders, cwd: Path | None = None) -> Survey:
    return survey(CHANNELS, folders, cwd)


def test_claude_code_keeps_its_things_in_home_or_where_the_variable_says() -> None:
    assert Folders.of(CHANNELS, {"HOME": "/h"}) == Folders(
        Path("/h"), Path("/h/.claude"), Path("/h/.claude.json"), Path("/h/.claude")
    )
    assert Folders.of(CHANNELS, {"HOME": "/h", "CLAUDE_CONFIG_DIR": "/c"}) == Folders(
        Path("/h"), Path("/c"), Path("/c/.claude.json"), Path("/c")
    )
    logins = {"HOME": "/h", "CLAUDE_SECURESTORAGE_CONFIG_DIR": "/l"}
    assert Folders.of(CHANNELS, logins).logins == Path("/l")


def test_every_file_that_holds_a_channel_is_told(tmp_path: Path, folders: Folders) -> None:
    content = {"env": {"ANTHROPIC_API_KEY": SECRET, "FOO": "1", "ANTHROPIC_BASE_URL": ""}}
    project = tmp_path / "project"
    write_settings(tmp_path / ".claude" / "settings.json", {**content, "apiKeyHelper": "x"})
    write_settings(tmp_path / ".claude.json", content)
    write_settings(project / ".claude" / "settings.json", content)
    write_settings(project / ".claude" / "settings.local.json", content)
    profiles = tmp_path / ".config" / "anthropic" / "configs"
    write_settings(profiles / "work.json", {"authentication": {"type": "oidc_federation"}})
    write_settings(profiles / "plain.json", {"authentication": {"type": "user"}})

    seen = look(folders, project)

    assert set(seen.findings) == {
        Finding("ANTHROPIC_API_KEY", "user settings"),
        Finding("apiKeyHelper", "user settings"),
        Finding("ANTHROPIC_API_KEY", "global configuration"),
        Finding("ANTHROPIC_API_KEY", "project settings (.claude/settings.json)"),
        Finding("ANTHROPIC_API_KEY", "local settings (.claude/settings.local.json)"),
        Finding("oidc_federation", "profile (work.json)"),
    }
    assert SECRET not in repr(seen) + json.dumps(dict(seen.own))
    assert not [item for item in look(folders).findings if "project" in item.origin]


def test_only_the_users_own_files_give_values_to_pin(tmp_path: Path, folders: Folders) -> None:
    project = tmp_path / "project"
    proxy = "HTTPS_PROXY"
    write_settings(project / ".claude" / "settings.json", {"env": {proxy: "http://theirs"}})
    write_settings(tmp_path / ".claude.json", {"env": {proxy: "http://older", "ALL_PROXY": "o"}})
    assert look(folders, project).own == {proxy: "http://older", "ALL_PROXY": "o"}

    write_settings(
        tmp_path / ".claude" / "settings.json",
        {"env": {proxy: "http://own", "ANTHROPIC_UNIX_SOCKET": "x", "NO_PROXY": 5}},
    )
    seen = look(folders, project)
    assert seen.own == {proxy: "http://own", "ALL_PROXY": "o"}
    assert "http://own" not in repr(seen)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"env": 1}', "{}" * 3])
def test_a_file_that_claude_code_would_not_load_says_nothing(
    tmp_path: Path, folders: Folders, text: str
) -> None:
    (tmp_path / ".claude").mkdir()
    (tmp_path / ".claude" / "settings.json").write_text(text)
    assert look(folders) == Survey()


@pytest.mark.parametrize(("platform", "without"), [("linux", False), ("darwin", None)])
def test_a_stored_login_is_seen_by_its_presence(
    tmp_path: Path,
    folders: Folders,
    monkeypatch: pytest.MonkeyPatch,
    platform: str,
    without: bool | None,  # noqa: FBT001 — a value of the table above
) -> None:
    monkeypatch.setattr("sys.platform", platform)
    credentials = tmp_path / ".claude" / ".credentials.json"
    assert login_stored(folders) is without

    write_settings(credentials, {"claudeAiOauth": {"accessToken": "sk-ant-oat01-FAKE"}})
    assert login_stored(folders) is True

    write_settings(credentials, {"claudeAiOauth": {"accessToken": ""}, "other": 1})
    assert login_stored(folders) is without
