import json
from collections.abc import Mapping
from typing import Any

import pytest

from acp_bridge.protocol import json_text
from acp_bridge.protocol.session_options import (
    REMOVED_FLAGS,
    REMOVED_OPTIONS,
    SessionPolicy,
    merge_under,
    rewrite_params,
)
from tests.protocol.playbook import CHANNELS, PINS, POLICY

SECRET = "sk-ant-api03-FAKE"
PINNED_ENV = {"ANTHROPIC_API_KEY": "", "ANTHROPIC_BASE_URL": ""}


def rewrite(
    options: Any, policy: SessionPolicy = POLICY, **params: Any
) -> tuple[dict[str, Any], list[str]]:
    """The options as the agent gets them, and what was removed."""
    raw = json.dumps({"cwd": "/w", **params, "_meta": {"claudeCode": {"options": options}}})
    done = rewrite_params(raw.encode(), policy)
    assert done is not None
    assert SECRET not in " ".join(done.removed)
    after: dict[str, Any] = json.loads(done.params)["_meta"]["claudeCode"]["options"]
    return after, list(done.removed)


def test_a_session_without_options_gets_the_pinned_settings() -> None:
    for raw in (b'{"cwd":"/w"}', b'{"cwd":"/w","_meta":null}', b'{"cwd":"/w","_meta":{"a":1}}'):
        done = rewrite_params(raw, POLICY)
        assert done is not None
        assert done.removed == ()
        after = json.loads(done.params)
        assert after["cwd"] == "/w"
        assert after["_meta"]["claudeCode"]["options"] == {"settings": PINS}


def test_values_beside_the_path_keep_the_bytes_they_were_written_with() -> None:
    raw = (
        b'{"n":1.0,"big":12345678901234567890,"s":"\\ud800",'
        b'"_meta":{"k":1e2,"claudeCode":{"e":[ 1 ]}}}'
    )
    done = rewrite_params(raw, POLICY)
    assert done is not None
    for kept in (b'"n":1.0', b'"big":12345678901234567890', b'"s":"\\ud800"', b'"k":1e2', b"[ 1 ]"):
        assert kept in done.params


def test_channels_leave_the_environment_and_the_rest_stays() -> None:
    after, removed = rewrite({"env": {"ANTHROPIC_API_KEY": SECRET, "FOO": "bar", "N": 1}})
    assert after["env"] == {"FOO": "bar", "N": 1}
    assert removed == ["env.ANTHROPIC_API_KEY"]


def test_a_channel_hidden_in_a_variable_name_is_removed_without_naming_its_value() -> None:
    after, removed = rewrite({"env": {f"ANTHROPIC_API_KEY={SECRET}": "", "A\0B": "", "FOO": "1"}})
    assert after["env"] == {"FOO": "1"}
    assert removed == ["env.ANTHROPIC_API_KEY", "env.A\0B"]


def test_a_prototype_is_removed_wherever_the_path_leads() -> None:
    raw = b"""{"_meta":{"__proto__":{"claudeCode":{}},"claudeCode":{"__proto__":{"options":{}},
        "options":{"__proto__":{"env":{}},"env":{"__proto__":{"A":"1"}},
        "settings":{"__proto__":{"env":{}}},"extraArgs":{"__proto__":{"bare":null}}}}}}"""
    done = rewrite_params(raw, POLICY)
    assert done is not None
    assert b"__proto__" not in done.params


def test_settings_go_under_the_pins() -> None:
    settings = {
        "apiKeyHelper": "/bin/key",
        "model": "opus",
        "env": {"ANTHROPIC_API_KEY": SECRET, "ANTHROPIC_AUTH_TOKEN": SECRET, "FOO": "1"},
    }
    after, removed = rewrite({"settings": settings})
    assert after["settings"] == {
        "apiKeyHelper": "",
        "model": "opus",
        "env": {**PINNED_ENV, "FOO": "1"},
    }
    assert removed == [
        "settings.apiKeyHelper",
        "settings.env.ANTHROPIC_API_KEY",
        "settings.env.ANTHROPIC_AUTH_TOKEN",
    ]


def test_settings_keys_that_the_policy_names_are_removed() -> None:
    policy = SessionPolicy(
        CHANNELS.__contains__, PINS, lambda _path, _cwd: None, lambda key: key == "awsAuthRefresh"
    )
    after, removed = rewrite({"settings": {"awsAuthRefresh": "x", "model": "m"}}, policy)
    assert after["settings"] == {**PINS, "model": "m"}
    assert removed == ["settings.awsAuthRefresh"]


@pytest.mark.parametrize("odd", [5, True, ["x"], [], 0.5])
def test_settings_that_are_neither_object_nor_text_give_way_to_the_pins(odd: object) -> None:
    after, removed = rewrite({"settings": odd})
    assert after["settings"] == PINS
    assert removed == ["settings"]


@pytest.mark.parametrize("odd", [5, ["ANTHROPIC_API_KEY"], "text"])
def test_an_environment_that_is_no_object_is_emptied(odd: object) -> None:
    after, removed = rewrite({"env": odd, "settings": {"env": odd}})
    assert after["env"] == {}
    assert after["settings"]["env"] == PINNED_ENV
    assert removed == ["env", "settings.env"]


def test_a_settings_file_is_read_from_the_sessions_folder_and_put_under_the_pins() -> None:
    asked = []

    def read(path: str, cwd: str | None) -> Mapping[str, Any] | None:
        asked.append((path, cwd))
        return {"model": "opus", "env": {"ANTHROPIC_API_KEY": SECRET, "FOO": "é"}}

    after, removed = rewrite(
        {"settings": "conf/s.json"}, SessionPolicy(CHANNELS.__contains__, PINS, read)
    )
    assert asked == [("conf/s.json", "/w")]
    assert after["settings"]["model"] == "opus"
    assert after["settings"]["env"] == {**PINNED_ENV, "FOO": "é"}
    assert removed == ["settings.env.ANTHROPIC_API_KEY"]


def test_a_settings_file_that_cannot_be_read_gives_way_to_the_pins() -> None:
    after, removed = rewrite({"settings": "nowhere.json"})
    assert after["settings"] == PINS
    assert removed == ["settings"]


def test_managed_settings_go_under_the_pins_and_none_are_invented() -> None:
    managed = {"env": {"ANTHROPIC_AUTH_TOKEN": SECRET}, "permissions": {"deny": ["Bash"]}}
    after, removed = rewrite({"managedSettings": managed})
    assert after["managedSettings"] == {**PINS, "permissions": {"deny": ["Bash"]}}
    assert removed == ["managedSettings.env.ANTHROPIC_AUTH_TOKEN"]
    assert "managedSettings" not in rewrite({})[0]
    assert rewrite({"managedSettings": None})[0]["managedSettings"] is None


OPTIONS = [
    "executable",
    "executableArgs",
    "pathToClaudeCodeExecutable",
    "spawnClaudeCodeProcess",
    "getOAuthToken",
    "getHostAuthToken",
    "workload",
]
FLAGS = [
    "bare",
    "host-auth-is-org-sign-in",
    "client-data-url",
    "workload",
    "sdk-url",
    "cloud",
    "remote",
    "environment",
    "pool",
    "teleport",
    "attach-serve",
    "remote-control",
    "rc",
    "bg",
    "background",
    "desktop",
    "tmux",
    "replay-user-messages",
    "__proto__",
]


def test_no_option_or_flag_of_the_lists_is_without_a_test() -> None:
    assert set(OPTIONS) == REMOVED_OPTIONS
    assert {*FLAGS, ""} == REMOVED_FLAGS


@pytest.mark.parametrize("name", OPTIONS)
def test_options_that_choose_program_or_payer_are_removed(name: str) -> None:
    after, removed = rewrite({name: ["x"], "model": "m"})
    assert after == {"model": "m", "settings": PINS}
    assert removed == [name]


@pytest.mark.parametrize("name", ["settingSources", "betas", "model", "mcpServers", "unheardOf"])
def test_other_options_stay(name: str) -> None:
    after, removed = rewrite({name: ["x"]})
    assert after[name] == ["x"]
    assert removed == []


@pytest.mark.parametrize("flag", [*FLAGS, ""])
def test_flags_that_change_payer_or_place_are_removed_however_spelled(flag: str) -> None:
    for spelling in (flag, f"{flag}=x", f" {flag}", f"--{flag}", f"-{flag} ", flag.upper()):
        after, _ = rewrite({"extraArgs": {spelling: None, "verbose": None}})
        assert after["extraArgs"] == {"verbose": None}, spelling


def test_a_removed_flag_is_recorded_by_its_name_alone() -> None:
    _, removed = rewrite({"extraArgs": {f"sdk-url={SECRET}": None, "replay-user-messages": ""}})
    assert removed == ["extraArgs.sdk-url"]


SETTINGS_TEXT = json.dumps({"model": "m", "env": {"ANTHROPIC_API_KEY": SECRET}})


@pytest.mark.parametrize(
    "arguments",
    [
        {"settings": SETTINGS_TEXT},
        {f"settings={SETTINGS_TEXT}": None},
        {"--settings": SETTINGS_TEXT},
        {" settings ": SETTINGS_TEXT},
    ],
)
def test_settings_among_the_flags_go_under_the_pins(arguments: dict[str, Any]) -> None:
    after, removed = rewrite({"extraArgs": arguments})
    assert after["settings"] == {**PINS, "model": "m"}
    assert after["extraArgs"] == {}
    assert removed == ["settings.env.ANTHROPIC_API_KEY"]


def test_settings_among_the_flags_lose_to_settings_as_they_do_in_the_agent() -> None:
    after, removed = rewrite({"settings": {"a": 1}, "extraArgs": {"settings": SETTINGS_TEXT}})
    assert after["settings"] == {**PINS, "a": 1}
    assert removed == ["extraArgs.settings"]


def test_managed_settings_among_the_flags_go_under_the_pins() -> None:
    after, removed = rewrite({"extraArgs": {"managed-settings": SETTINGS_TEXT}})
    assert json.loads(after["extraArgs"]["managed-settings"]) == {**PINS, "model": "m"}
    assert removed == ["extraArgs.managed-settings.env.ANTHROPIC_API_KEY"]


@pytest.mark.parametrize("odd", [5, "settings", ["settings"]])
def test_flags_that_are_no_object_are_removed(odd: object) -> None:
    after, removed = rewrite({"extraArgs": odd})
    assert "extraArgs" not in after
    assert removed == ["extraArgs"]


@pytest.mark.parametrize("path", ["_meta", "claudeCode", "options"])
@pytest.mark.parametrize("odd", [5, "x", [{"env": {}}], False])
def test_what_the_agent_would_ignore_on_the_path_does_not_keep_the_pins_out(
    path: str, odd: object
) -> None:
    options: Any = odd if path == "options" else {}
    claude: Any = odd if path == "claudeCode" else {"options": options}
    meta: Any = odd if path == "_meta" else {"claudeCode": claude}
    done = rewrite_params(json.dumps({"_meta": meta}).encode(), POLICY)
    assert done is not None
    assert done.removed == (path,)
    assert json.loads(done.params) == {"_meta": {"claudeCode": {"options": {"settings": PINS}}}}


def test_of_doubled_members_only_the_one_that_the_agent_reads_counts() -> None:
    raw = b"""{"_meta":{"claudeCode":{"options":{"env":{"FOO":"1"},
        "\\u0065nv":{"ANTHROPIC_API_KEY":"sk-ant-api03-FAKE","BAR":"2"}}}}}"""
    done = rewrite_params(raw, POLICY)
    assert done is not None
    assert b"FAKE" not in done.params
    assert json.loads(done.params)["_meta"]["claudeCode"]["options"]["env"] == {"BAR": "2"}


@pytest.mark.parametrize("params", [b"", b"[]", b"null", b'"x"', b"7"])
def test_params_that_are_no_object_are_not_touched(params: bytes) -> None:
    assert rewrite_params(params, POLICY) is None


def test_pins_win_at_every_depth_and_keep_what_they_do_not_name() -> None:
    below = json_text.members(b'{"a":{"x":1,"y":{"z":1.0}},"b":[1]}')
    assert below is not None
    merged = json_text.encode_members(merge_under(below, {"a": {"x": 2, "y": {"w": 3}}, "b": {}}))
    assert merged == b'{"a":{"x":2,"y":{"z":1.0,"w":3}},"b":{}}'
