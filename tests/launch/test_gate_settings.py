"""What the launch gate does with settings on the command line and in files."""

import json
import stat
from pathlib import Path

import pytest

from acp_bridge.launch.gate import merge_settings
from acp_bridge.modes import BillingMode
from tests.launch.facts import DEMANDS, SETTINGS_KEYS, UNLISTED
from tests.launch.standin import FAKE_KEY, UPSTREAM, make_gate, write_settings

LEAK = "sk-ant-api03-FAKE-leak"


@pytest.mark.parametrize("mode", BillingMode)
def test_every_channel_is_pinned_over_the_settings_files(tmp_path: Path, mode: BillingMode) -> None:
    gate = make_gate(tmp_path, mode)

    settings = gate.start("-p", "hi").settings

    env = settings.pop("env")
    of_the_mode = {"forceLoginMethod": "claudeai"} if mode is BillingMode.SUBSCRIPTION else {}
    assert settings == {**dict.fromkeys(SETTINGS_KEYS, ""), **of_the_mode}
    for name, demand in DEMANDS.items():
        match demand.settings:
            case "blank" | "own":
                assert env[name] == "", name
            case "set" if name != "PATH":
                assert env[name] == gate.launcher.environment.get(name, ""), name
            case "none" | "own-if-named":
                assert name not in env, name


@pytest.mark.parametrize("scope", ["user", "project", "local", "above", "global", "argument"])
def test_a_channel_that_no_row_lists_is_blanked_when_settings_name_it(
    tmp_path: Path, scope: str
) -> None:
    gate = make_gate(tmp_path)
    content = {"env": dict.fromkeys([*UNLISTED, "NODE_OPTIONS", "FOO"], "1")}
    home = tmp_path / "home"
    places = {
        "user": home / ".claude" / "settings.json",
        "project": gate.cwd / ".claude" / "settings.json",
        "local": gate.cwd / ".claude" / "settings.local.json",
        "above": home / ".claude" / "settings.local.json",
        "global": home / ".claude.json",
    }
    arguments = ["-p", "hi"]
    if scope == "argument":
        arguments += ["--settings", json.dumps(content)]
    else:
        write_settings(places[scope], content)

    env = gate.start(*arguments).settings["env"]

    assert {name: env.get(name) for name in UNLISTED} == dict.fromkeys(UNLISTED, "")
    assert env["NODE_OPTIONS"] == ""
    assert env.get("FOO") == ("1" if scope == "argument" else None)


def test_the_users_own_proxy_holds_against_a_project(tmp_path: Path) -> None:
    write_settings(
        tmp_path / "home" / ".claude" / "settings.json",
        {"env": {"HTTPS_PROXY": "http://me:FAKE@own", "SSL_CERT_FILE": "/own.pem"}},
    )
    gate = make_gate(tmp_path, inherited={"HTTPS_PROXY": "http://older", "NODE_OPTIONS": "--mine"})
    theirs = dict.fromkeys(("HTTPS_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "NODE_OPTIONS"), "theirs")
    write_settings(gate.cwd / ".claude" / "settings.json", {"env": theirs})

    env = gate.start("-p", "hi").settings["env"]

    assert {name: env[name] for name in theirs} == {
        "HTTPS_PROXY": "http://me:FAKE@own",
        "ALL_PROXY": "",
        "SSL_CERT_FILE": "/own.pem",
        "NODE_OPTIONS": "--mine",
    }


def test_the_users_no_proxy_keeps_its_entries(tmp_path: Path) -> None:
    gate = make_gate(tmp_path, inherited={"NO_PROXY": "intra.example, localhost"})

    env = gate.start("-p", "hi").settings["env"]

    assert env["NO_PROXY"] == "intra.example,localhost,127.0.0.1"
    assert env["no_proxy"] == "127.0.0.1,localhost"


@pytest.mark.parametrize("where", ["environment", "project", "argument"])
def test_the_launcher_is_first_on_any_search_path(tmp_path: Path, where: str) -> None:
    gate = make_gate(tmp_path)
    theirs = f"/theirs:{gate.launcher.bin_dir}:/usr/bin"
    arguments = ["-p", "hi"]
    environ = dict(gate.launcher.environment)
    if where == "environment":
        environ["PATH"] = theirs
    elif where == "project":
        write_settings(gate.cwd / ".claude" / "settings.json", {"env": {"PATH": theirs}})
    else:
        arguments += ["--settings", json.dumps({"env": {"PATH": theirs}})]

    env = gate.start(*arguments, environ=environ).settings["env"]

    assert env["PATH"] == f"{gate.launcher.bin_dir}:/theirs:/usr/bin"


def test_a_broken_project_file_is_no_obstacle(tmp_path: Path) -> None:
    gate = make_gate(tmp_path)
    for text in ("{", "[]", '{"env": []}', "\xff"):
        (gate.cwd / ".claude" / "settings.json").write_text(text, encoding="latin-1")
        assert gate.start("-p", "hi").settings["apiKeyHelper"] == ""


def test_given_settings_are_merged_in_order_under_the_pins(tmp_path: Path) -> None:
    gate = make_gate(tmp_path, BillingMode.API_KEY)
    write_settings(
        gate.cwd / "mine.json",
        {"permissions": {"deny": ["Bash"]}, "env": {"FOO": "1", "ANTHROPIC_API_KEY": LEAK}},
    )
    second = {"permissions": {"allow": ["Read"]}, "apiKeyHelper": "echo", "env": {"FOO": "2"}}

    seen = gate.start("--settings", "mine.json", "-p", f"--settings={json.dumps(second)}", "hi")

    assert seen.rest == ["-p", "hi"]
    assert seen.settings["permissions"] == {"deny": ["Bash"], "allow": ["Read"]}
    assert seen.settings["apiKeyHelper"] == ""
    assert seen.settings["env"]["FOO"] == "2"
    assert seen.settings["env"]["ANTHROPIC_API_KEY"] == FAKE_KEY
    assert seen.settings["env"]["ANTHROPIC_BASE_URL"] == UPSTREAM


def test_settings_that_claude_code_would_not_load_do_not_take_the_pins_with_them(
    tmp_path: Path,
) -> None:
    gate = make_gate(tmp_path)
    given = ["--settings", json.dumps({"model": 5, "env": {"FOO": "1"}})]

    done = gate.run(*given, "-p", "hi")
    seen = gate.start(*given, "-p", "hi")

    assert done.returncode == 0
    assert done.stderr.count("\n") == 1
    assert "does not load the settings" in done.stderr
    assert seen.settings == gate.start("-p", "hi").settings


def test_settings_are_tried_once_in_an_empty_home(tmp_path: Path) -> None:
    gate = make_gate(tmp_path, BillingMode.API_KEY)
    given = ["--settings", json.dumps({"model": "opus"})]

    assert gate.start(*given, "-p", "hi").settings["model"] == "opus"
    assert gate.start(*given, "-p", "again").settings["model"] == "opus"
    gate.start("-p", "no settings, no trial")

    (environ,) = gate.trials()
    scratch = str(gate.launcher.bin_dir.parent / "trial")
    assert environ["HOME"] == environ["CLAUDE_CONFIG_DIR"] == scratch
    assert FAKE_KEY not in environ.values()


def test_a_program_that_does_not_answer_counts_as_not_loading(tmp_path: Path) -> None:
    gate = make_gate(tmp_path)
    code = gate.stand_in.with_name("stand-in.py")
    code.write_text(code.read_text().replace("print(json.dumps({", "print(({"))

    seen = gate.start("--settings", '{"model": "opus"}', "-p", "hi")

    assert "model" not in seen.settings


def test_the_settings_file_comes_first_and_is_private(tmp_path: Path) -> None:
    gate = make_gate(tmp_path, BillingMode.API_KEY)

    seen = gate.start("auth", "login")

    assert seen.arguments[0] == "--settings"
    assert seen.rest == ["auth", "login"]
    assert stat.S_IMODE(seen.settings_file.stat().st_mode) == 0o600
    assert seen.settings_file.is_relative_to(tmp_path / "run")
    assert FAKE_KEY not in " ".join(seen.arguments)


def test_equal_settings_share_a_file_and_different_ones_do_not(tmp_path: Path) -> None:
    gate = make_gate(tmp_path)

    first, again = gate.start("-p", "a"), gate.start("-p", "b")
    other = gate.start("-p", "a", "--settings", '{"model": "opus"}')

    assert first.settings_file == again.settings_file != other.settings_file


def test_managed_settings_from_a_client_lose_their_channels(tmp_path: Path) -> None:
    gate = make_gate(tmp_path)
    policy = {
        "apiKeyHelper": "echo",
        "forceLoginMethod": "console",
        "permissions": {"deny": ["WebFetch"]},
        "env": {"ANTHROPIC_API_KEY": LEAK, "ANTHROPIC_NEXT_BASE_URL": "x", "FOO": "1"},
    }

    seen = gate.start("--managed-settings", json.dumps(policy), "-p", "hi")

    option, left, *rest = seen.rest
    assert (option, rest) == ("--managed-settings", ["-p", "hi"])
    assert json.loads(left) == {"permissions": {"deny": ["WebFetch"]}, "env": {"FOO": "1"}}


def test_managed_settings_that_were_only_channels_are_gone(tmp_path: Path) -> None:
    gate = make_gate(tmp_path)
    only = json.dumps({"apiKeyHelper": "echo", "env": {"ANTHROPIC_API_KEY": LEAK}})

    assert gate.start("-p", f"--managed-settings={only}", "hi").rest == ["-p", "hi"]


def test_pins_win_at_every_depth_and_leave_their_arguments_alone() -> None:
    base = {"env": {"A": "1", "B": "2"}, "apiKeyHelper": {"odd": True}, "keep": [1]}
    pins = {"env": {"B": "", "C": ""}, "apiKeyHelper": "", "deep": {"er": {"est": 1}}}

    merged = merge_settings(base, pins)

    assert merged == {
        "env": {"A": "1", "B": "", "C": ""},
        "apiKeyHelper": "",
        "keep": [1],
        "deep": {"er": {"est": 1}},
    }
    assert base["env"] == {"A": "1", "B": "2"}
    assert merge_settings({"env": "odd"}, {"env": {"A": ""}}) == {"env": {"A": ""}}
