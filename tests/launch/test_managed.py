"""The administrator's settings: resolved as Claude Code does, never fought."""

import json
from pathlib import Path
from typing import Any

import pytest

from acp_bridge.errors import RefusedError
from acp_bridge.launch.managed import (
    contradictions,
    managed_folder,
    resolve_managed_settings,
)
from acp_bridge.modes import BillingMode
from tests.launch.facts import DEMANDS, A, B, C
from tests.launch.standin import CHANNELS, write_settings

SECRET = "sk-ant-api03-FAKE-managed"


def found(folder: Path, mode: BillingMode, **options: Any) -> list[str]:
    managed = resolve_managed_settings(CHANNELS, folder=folder)
    return [str(item) for item in contradictions(CHANNELS, managed, mode, **options)]


@pytest.mark.parametrize("mode", BillingMode)
def test_no_managed_settings_contradict_nothing(tmp_path: Path, mode: BillingMode) -> None:
    assert found(tmp_path / "absent", mode) == []
    (tmp_path / "managed-settings.d").write_text("a file, no folder")
    (tmp_path / "managed-settings.json").write_text("")
    assert found(tmp_path, mode) == []


@pytest.mark.parametrize("mode", BillingMode)
def test_every_variable_that_moves_the_payer_contradicts_every_mode(
    tmp_path: Path, mode: BillingMode
) -> None:
    file = tmp_path / "managed-settings.json"
    write_settings(file, {"env": {**dict.fromkeys(DEMANDS, SECRET), "FOO": "1"}})

    named = {text.split(" ")[0].removeprefix("env.") for text in found(tmp_path, mode)}

    harmless = {
        name
        for name, demand in DEMANDS.items()
        if demand.settings in ("none", "own", "own-if-named")
    }
    where_things_are = {"NO_PROXY", "no_proxy", "CLAUDE_CODE_EXECUTABLE", "CLAUDE_ENV_FILE", "PATH"}
    switched_off = {"CLAUDE_CODE_DISABLE_AGENT_VIEW"}
    test_hooks = {name for name in DEMANDS if name.startswith("CLAUDE_CODE_MANAGED_SETTINGS")} | {
        "CLAUDE_CODE_REMOTE_SETTINGS_PATH",
        "CLAUDE_CODE_DISABLE_ADMIN_ENV_UNION",
        "CLAUDE_CODE_MOCK_REMOTE_SETTINGS",
    }
    assert named == DEMANDS.keys() - harmless - where_things_are - switched_off - test_hooks


def test_a_contradiction_names_file_and_key_and_no_value(tmp_path: Path) -> None:
    write_settings(tmp_path / "managed-settings.json", {"env": {"ANTHROPIC_API_KEY": SECRET}})

    (text,) = found(tmp_path, BillingMode.SUBSCRIPTION)

    file = tmp_path / "managed-settings.json"
    assert text == f"env.ANTHROPIC_API_KEY in {file} moves the payer"


def test_drop_ins_are_merged_in_the_order_of_their_names(tmp_path: Path) -> None:
    write_settings(tmp_path / "managed-settings.json", {"env": {"ANTHROPIC_BASE_URL": "http://a"}})
    drop_ins = tmp_path / "managed-settings.d"
    write_settings(drop_ins / "20-b.json", {"env": {"ANTHROPIC_BASE_URL": ""}})
    write_settings(drop_ins / "10-a.json", {"env": {"ANTHROPIC_BASE_URL": "http://b"}})
    write_settings(drop_ins / "30-c.json.off", {"env": {"ANTHROPIC_API_KEY": SECRET}})
    write_settings(drop_ins / ".40-d.json", {"env": {"ANTHROPIC_API_KEY": SECRET}})
    assert found(tmp_path, BillingMode.SUBSCRIPTION) == []

    write_settings(drop_ins / "30-c.json", {"apiKeyHelper": "/bin/key"})
    (text,) = found(tmp_path, BillingMode.SUBSCRIPTION)
    assert text == f"apiKeyHelper in {drop_ins / '30-c.json'} brings another credential"


def test_a_managed_value_that_the_plan_sets_too_agrees_with_it(tmp_path: Path) -> None:
    url = "https://gateway.example"
    write_settings(tmp_path / "managed-settings.json", {"env": {"ANTHROPIC_BASE_URL": url}})

    planned = {"ANTHROPIC_BASE_URL": url}
    assert found(tmp_path, BillingMode.ENDPOINT, planned=planned) == []
    assert found(tmp_path, BillingMode.ENDPOINT, planned={"ANTHROPIC_BASE_URL": "https://x"})


@pytest.mark.parametrize(
    ("content", "against"),
    [
        ({"apiKeyHelper": "/bin/key"}, {A, B, C}),
        ({"apiKeyHelper": ""}, set()),
        ({"policyHelper": {"path": "/bin/policy"}}, {A, B, C}),
        ({"policyHelpers": {"linux": {}}}, {A, B, C}),
        ({"forceLoginMethod": "claudeai"}, {A, C}),
        ({"forceLoginMethod": "console"}, {B, C}),
        ({"forceLoginMethod": "gateway"}, {A, B, C}),
        ({"allowedProviders": ["anthropic"]}, {C}),
        ({"allowedProviders": ["customEndpoint"]}, {A, B}),
        ({"allowedProviders": ["bedrock"]}, {A, B, C}),
        ({"allowedProviders": ["anthropic", "customEndpoint"]}, set()),
        ({"env": {"ANTHROPIC_NEXT_API_KEY": SECRET}}, {A, B, C}),
        ({"env": {"HTTPS_PROXY": "http://company"}, "permissions": {"deny": ["Bash"]}}, set()),
    ],
)
def test_a_managed_key_contradicts_the_modes_it_is_against(
    tmp_path: Path, content: dict[str, Any], against: set[BillingMode]
) -> None:
    write_settings(tmp_path / "managed-settings.json", content)

    assert {mode for mode in BillingMode if found(tmp_path, mode)} == against


@pytest.mark.parametrize("name", ["managed-settings.json", "managed-settings.d/10-a.json"])
@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"{", "is not valid JSON"),
        (b"[]", "is not a JSON object"),
        (b"\xff{}", "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_what_cannot_be_resolved_is_a_refusal_that_names_the_file(
    tmp_path: Path, name: str, text: bytes | None, says: str
) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    if text is None:
        file.mkdir()
    else:
        file.write_bytes(text)

    with pytest.raises(RefusedError, match=says) as caught:
        resolve_managed_settings(CHANNELS, folder=tmp_path)

    assert caught.value.exit_status == 3
    assert str(file) in caught.value.message


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    text = json.dumps({"apiKeyHelper": "/bin/key"})
    (tmp_path / "managed-settings.json").write_text(text, encoding="utf-8-sig")

    assert len(found(tmp_path, BillingMode.API_KEY)) == 1


def test_an_organisations_cached_settings_count(tmp_path: Path) -> None:
    cached = tmp_path / "remote-settings.json"
    write_settings(cached, {"env": {"ANTHROPIC_BASE_URL": "https://gateway.example"}})

    managed = resolve_managed_settings(CHANNELS, folder=tmp_path / "absent", cached=cached)

    (item,) = contradictions(CHANNELS, managed, BillingMode.SUBSCRIPTION)
    assert (item.file, item.key) == (cached, "env.ANTHROPIC_BASE_URL")


@pytest.mark.parametrize(
    ("platform", "expected"),
    [
        ("linux", Path("/etc/claude-code")),
        ("darwin", Path("/Library/Application Support/ClaudeCode")),
        ("sunos5", None),
    ],
)
def test_the_folder_is_the_platforms(
    monkeypatch: pytest.MonkeyPatch, platform: str, expected: Path | None
) -> None:
    monkeypatch.setattr("sys.platform", platform)
    assert managed_folder(CHANNELS) == expected
