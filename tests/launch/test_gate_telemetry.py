"""What the launch gate does about telemetry with real files, and what the bridge can read of it."""

import json
import stat
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from acp_bridge.launch.telemetry_records import Fallback, FallbackReason, destination, fallbacks
from tests.launch.facts import TELEMETRY
from tests.launch.standin import CHANNELS, Gate, Started, make_gate, write_settings

TOKEN = "FAKE0token"
URL = f"http://127.0.0.1:7/{TOKEN}"
COLLECTOR = "http://collector.example:4318"
LOGS = {
    "CLAUDE_CODE_ENABLE_TELEMETRY": "1",
    "OTEL_LOGS_EXPORTER": "otlp",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json",
    "OTEL_EXPORTER_OTLP_ENDPOINT": COLLECTOR,
}
GRPC = {**LOGS, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
OFF = {"OTEL_LOGS_EXPORTER": "none"}


def tapping_gate(tmp_path: Path, **inherited: str) -> Gate:
    """A gate with a receiver, on a machine without an administrator."""
    channels = replace(CHANNELS, managed_folders={sys.platform: str(tmp_path / "managed")})
    return make_gate(tmp_path, inherited=inherited, channels=channels, telemetry_url=URL)


def telemetry_of(started: Started) -> dict[str, str]:
    """The telemetry variables that are pinned for this start alone."""
    env = started.settings["env"]
    names = [name for name in TELEMETRY if name.startswith(("OTEL_", "CLAUDE_CODE_ENABLE"))]
    return {name: env[name] for name in names if name in env}


def goes_to(gate: Gate, started: Started) -> str | None:
    """Where events are forwarded; None where they go to the bridge alone."""
    address = telemetry_of(started)["OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"]
    assert address.startswith(URL)
    name = address.removeprefix(URL).removesuffix("/v1/logs").removeprefix("/")
    found = destination(gate.launcher.telemetry_records, name)
    assert (found is None) == (name == "")
    return None if found is None else found.url


def test_without_a_receiver_nothing_about_telemetry_changes(tmp_path: Path) -> None:
    gate = make_gate(tmp_path, inherited=LOGS)
    given = ["--settings", json.dumps({"env": LOGS})]

    plain, with_settings = gate.start("-p", "hi"), gate.start(*given, "-p", "hi")

    assert telemetry_of(plain) == {}
    assert telemetry_of(with_settings) == LOGS
    assert LOGS.items() <= plain.environment.items()
    assert list(gate.launcher.telemetry_records.iterdir()) == []


def test_the_receivers_address_is_in_private_files_alone(tmp_path: Path) -> None:
    gate = tapping_gate(tmp_path)

    started = gate.start("-p", "hi")

    assert TOKEN in json.dumps(started.settings)
    assert TOKEN not in json.dumps([started.arguments, started.environment])
    assert TOKEN not in json.dumps(dict(gate.launcher.environment))
    assert TOKEN not in repr((gate.plan, gate.launcher))
    holders = [
        path
        for path in (tmp_path / "run").rglob("*")
        if path.is_file() and TOKEN in path.read_text()
    ]
    assert {path.name for path in holders} == {"values.json", started.settings_file.name}
    assert {stat.S_IMODE(path.stat().st_mode) for path in holders} == {0o600}


def test_with_telemetry_off_events_come_to_the_bridge_alone(tmp_path: Path) -> None:
    gate = tapping_gate(tmp_path)
    user = tmp_path / "home" / ".claude" / "settings.json"
    write_settings(user, {"otelHeadersHelper": "theirs", "env": {"OTEL_METRICS_EXPORTER": "otlp"}})

    for program in (gate.launcher.executable, gate.nested):
        started = gate.start("-p", "hi", program=program)
        assert goes_to(gate, started) is None
        assert telemetry_of(started)["OTEL_METRICS_EXPORTER"] == "none"
        assert started.settings["otelHeadersHelper"] == ""
    assert fallbacks(gate.launcher.telemetry_records) == []


@pytest.mark.parametrize("scope", ["environment", "global", "user", "argument"])
def test_the_users_destination_is_found_wherever_it_is_set(tmp_path: Path, scope: str) -> None:
    home = tmp_path / "home"
    places = {
        "global": home / ".claude.json",
        "user": home / ".claude" / "settings.json",
    }
    gate = tapping_gate(tmp_path, **(LOGS if scope == "environment" else {}))
    if scope in places:
        write_settings(places[scope], {"env": LOGS})
    given = ["--settings", json.dumps({"env": LOGS})] if scope == "argument" else []

    started = gate.start(*given, "-p", "hi")

    assert goes_to(gate, started) == f"{COLLECTOR}/v1/logs"
    assert telemetry_of(started).keys() - LOGS.keys() == {"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"}
    (record,) = gate.launcher.telemetry_records.iterdir()
    assert stat.S_IMODE(record.stat().st_mode) == 0o600


def test_the_users_settings_beat_the_global_configuration(tmp_path: Path) -> None:
    gate = tapping_gate(tmp_path)
    home = tmp_path / "home"
    write_settings(home / ".claude.json", {"env": {**LOGS, "OTEL_EXPORTER_OTLP_ENDPOINT": "x"}})
    write_settings(
        home / ".claude" / "settings.json", {"env": {"OTEL_EXPORTER_OTLP_ENDPOINT": COLLECTOR}}
    )

    assert goes_to(gate, gate.start("-p", "hi")) == f"{COLLECTOR}/v1/logs"


@pytest.mark.parametrize("name", ["settings.json", "settings.local.json"])
def test_a_projects_file_can_only_switch_off(tmp_path: Path, name: str) -> None:
    gate = tapping_gate(tmp_path)
    project = gate.cwd / ".claude" / name
    theirs = {**LOGS, "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://theirs.example"}
    write_settings(project, {"env": theirs})

    assert goes_to(gate, gate.start("-p", "hi")) is None
    write_settings(tmp_path / "home" / ".claude" / "settings.json", {"env": LOGS})
    assert goes_to(gate, gate.start("-p", "hi")) == f"{COLLECTOR}/v1/logs"
    write_settings(project, {"env": OFF})
    assert goes_to(gate, gate.start("-p", "hi")) is None
    # Ran 2.1.316: Claude Code reads the project's files in the working folder, in none above it.
    below = gate.cwd / "below"
    below.mkdir()
    assert goes_to(gate, gate.start("-p", "hi", cwd=below)) == f"{COLLECTOR}/v1/logs"


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        (["--setting-sources", "project,local"], None),
        (["--setting-sources="], None),
        (["--setting-sources=user,project"], None),
        (["--setting-sources", "user"], f"{COLLECTOR}/v1/logs"),
        (["-p", "--", "--setting-sources=user"], None),
    ],
)
def test_files_that_claude_code_does_not_read_do_not_count(
    tmp_path: Path, option: list[str], expected: str | None
) -> None:
    gate = tapping_gate(tmp_path)
    write_settings(tmp_path / "home" / ".claude" / "settings.json", {"env": LOGS})
    write_settings(gate.cwd / ".claude" / "settings.json", {"env": OFF})

    assert goes_to(gate, gate.start(*option)) == expected


def test_settings_that_claude_code_would_not_load_name_no_destination(tmp_path: Path) -> None:
    gate = tapping_gate(tmp_path)
    given = ["--settings", json.dumps({"model": 5, "env": LOGS})]

    assert goes_to(gate, gate.start(*given, "-p", "hi")) is None


def test_settings_are_tried_without_the_receivers_address(tmp_path: Path) -> None:
    gate = tapping_gate(tmp_path)

    started = gate.start("--settings", '{"model": "opus"}', "-p", "hi")

    tried = list(started.settings_file.parent.glob("*.json"))
    assert [path for path in tried if TOKEN in path.read_text()] == [started.settings_file]
    assert len(tried) == 2


def test_the_reason_for_a_fallback_can_be_read(tmp_path: Path) -> None:
    gate = tapping_gate(tmp_path)
    write_settings(tmp_path / "home" / ".claude" / "settings.json", {"env": GRPC})

    started = [gate.start("-p", "hi"), gate.start("-p", "again")]

    assert [telemetry_of(start) for start in started] == [{}, {}]
    (found,) = fallbacks(gate.launcher.telemetry_records)
    assert found == Fallback(
        FallbackReason.PROTOCOL, "OTEL_EXPORTER_OTLP_PROTOCOL", "user settings"
    )
    assert str(found) == (
        "log events are sent over a protocol that the bridge cannot pass on "
        "(OTEL_EXPORTER_OTLP_PROTOCOL, user settings)"
    )
    assert TOKEN not in repr(found)


@pytest.mark.parametrize(
    "file",
    [
        "managed/managed-settings.json",
        "managed/managed-settings.d/10.json",
        "home/.claude/remote-settings.json",
    ],
)
@pytest.mark.parametrize(
    ("content", "setting"),
    [
        ({"env": {"OTEL_METRICS_EXPORTER": "otlp"}}, "OTEL_METRICS_EXPORTER"),
        ({"otelHeadersHelper": "theirs"}, "otelHeadersHelper"),
    ],
)
def test_an_administrators_telemetry_is_left_alone(
    tmp_path: Path, file: str, content: dict[str, object], setting: str
) -> None:
    gate = tapping_gate(tmp_path, **LOGS)
    write_settings(tmp_path / file, content)

    assert telemetry_of(gate.start("-p", "hi")) == {}
    (found,) = fallbacks(gate.launcher.telemetry_records)
    assert found == Fallback(FallbackReason.MANAGED, setting, "managed settings")


def test_every_reason_has_its_words() -> None:
    words = [reason.sentence for reason in FallbackReason]
    assert len(set(words)) == len(words)


@pytest.mark.parametrize("name", ["", "..", "0" * 32, "../launch/values", "é" * 32])
def test_a_record_that_is_not_there_is_none(tmp_path: Path, name: str) -> None:
    gate = tapping_gate(tmp_path)

    assert destination(gate.launcher.telemetry_records, name) is None
    assert fallbacks(tmp_path / "absent") == []


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{",
        '{"destination": []}',
        '{"destination": {"url": "http://x"}}',
        '{"fallback": 1}',
        '{"fallback": {"reason": "a word", "setting": "", "origin": ""}}',
        '{"destination": {"url":',
    ],
)
def test_a_record_that_the_gate_did_not_write_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / f"{'0' * 32}.json").write_text(content)

    assert destination(tmp_path, "0" * 32) is None
    assert fallbacks(tmp_path) == []
