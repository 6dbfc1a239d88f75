"""What the launch gate decides about Claude Code's telemetry, from what is set where. Pure."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acp_bridge.launch.gate_telemetry import Tapping, tap
from acp_bridge.launch.settings_files import Folders
from acp_bridge.launch.telemetry_records import FallbackReason
from acp_bridge.launch.telemetry_rules import telemetry_rules
from tests.launch.facts import FIXED_BY_ADMINISTRATOR, NOT_FIXED_BY_ADMINISTRATOR, TELEMETRY
from tests.launch.standin import CHANNELS

URL = "http://127.0.0.1:7/token"
OURS = f"{URL}/v1/logs"
HOME = Path("/home/somebody")
FOLDERS = Folders.of(CHANNELS, {"HOME": str(HOME)})
RULES = telemetry_rules(CHANNELS, FOLDERS, HOME / "records")

COLLECTOR = "https://collector.example:4318"
ON = {"CLAUDE_CODE_ENABLE_TELEMETRY": "1"}
LOGS = {
    **ON,
    "OTEL_LOGS_EXPORTER": "otlp",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json",
    "OTEL_EXPORTER_OTLP_ENDPOINT": COLLECTOR,
}
ALONE = {
    "OTEL_LOGS_EXPORTER": "otlp",
    "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "http/json",
    "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": OURS,
    "OTEL_LOGS_EXPORT_INTERVAL": "200",
}
OFF = {
    **ALONE,
    **{name: demand.off for name, demand in TELEMETRY.items() if demand.off is not None},
}


def decide(  # noqa: PLR0913 — one for each place where a variable can be set
    environment: Mapping[str, Any] | None = None,
    *,
    user: Mapping[str, Any] | None = None,
    project: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    pins: Mapping[str, str] | None = None,
    managed: tuple[str, ...] = (),
) -> Tapping:
    layers = [
        ("environment", False, environment or {}),
        ("user settings", False, user or {}),
        ("project settings", True, project or {}),
        ("--settings", False, settings or {}),
        ("", False, pins or {}),
    ]
    return tap(RULES, URL, layers, managed)


def destination(tapping: Tapping) -> dict[str, Any]:
    assert tapping.record is not None
    found: dict[str, Any] = tapping.record["destination"]
    assert tapping.env == {"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": f"{URL}/{tapping.name}/v1/logs"}
    assert tapping.keys == {}
    return found


def fallback(tapping: Tapping) -> tuple[str, str, str]:
    """Reason, setting and origin, of a decision that leaves everything as it is."""
    assert tapping.record is not None
    assert (tapping.env, tapping.keys) == ({}, {})
    found = tapping.record["fallback"]
    return FallbackReason(found["reason"]), found["setting"], found["origin"]


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"CLAUDE_CODE_ENABLE_TELEMETRY": "0"},
        {"CLAUDE_CODE_ENABLE_TELEMETRY": ""},
        {"CLAUDE_CODE_ENABLE_TELEMETRY": "enabled"},
        {**LOGS, "CLAUDE_CODE_ENABLE_TELEMETRY": "no"},
    ],
)
def test_with_telemetry_off_events_go_to_the_bridge_alone_and_nothing_else_begins(
    environment: dict[str, str],
) -> None:
    decided = decide(environment)

    assert decided.env == OFF
    assert decided.keys == {"otelHeadersHelper": ""}
    assert decided.record is None


@pytest.mark.parametrize(
    "others",
    [
        {},
        {"OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
        {**LOGS, "OTEL_LOGS_EXPORTER": "none"},
        {**LOGS, "OTEL_LOGS_EXPORTER": " , none"},
        {"OTEL_LOGS_EXPORTER": "otlp"},
    ],
    ids=["nothing", "metrics", "logs none", "logs empty", "no protocol"],
)
def test_other_signals_stay_as_they_are_where_no_log_events_are_sent(
    others: dict[str, str],
) -> None:
    decided = decide({**ON, **others})

    assert decided.env == ALONE
    assert decided.keys == {}
    assert decided.record is None


@pytest.mark.parametrize(
    ("endpoints", "goes_to"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": COLLECTOR}, f"{COLLECTOR}/v1/logs"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": f"{COLLECTOR}/"}, f"{COLLECTOR}/v1/logs"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": f"{COLLECTOR}/a/"}, f"{COLLECTOR}/a/v1/logs"),
        # Ran 2.1.316: the path is appended to the whole text, and the query is not sent.
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": f"{COLLECTOR}/a/?q=1"}, f"{COLLECTOR}/a/"),
        ({"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": f"{COLLECTOR}/x?k=1"}, f"{COLLECTOR}/x"),
        ({"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": COLLECTOR}, f"{COLLECTOR}/"),
        (
            {
                "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": " ",
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://[::1]:1",
            },
            "http://[::1]:1/v1/logs",
        ),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, "http://localhost:4318/v1/logs"),
    ],
)
def test_events_pass_through_to_where_they_went(endpoints: dict[str, str], goes_to: str) -> None:
    without = {name: value for name, value in LOGS.items() if "ENDPOINT" not in name}

    assert destination(decide({**without, **endpoints}))["url"] == goes_to


def test_each_destination_has_a_name_of_its_own() -> None:
    first, again = decide(LOGS), decide(LOGS)
    other = decide({**LOGS, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://elsewhere.example"})

    assert first.name == again.name != other.name


def test_the_proxy_and_certificates_are_those_behind_the_gate() -> None:
    theirs = {"HTTPS_PROXY": "http://theirs", "NODE_EXTRA_CA_CERTS": "theirs.pem"}
    mine = {
        "HTTPS_PROXY": "http://mine",
        "https_proxy": "",
        "HTTP_PROXY": "http://not-this-one",
        "NO_PROXY": "intra.example,localhost",
        "no_proxy": "localhost",
        "NODE_EXTRA_CA_CERTS": "mine.pem",
    }
    certificate = {"OTEL_EXPORTER_OTLP_CERTIFICATE": "collector.pem"}

    found = destination(decide({**LOGS, **theirs, **certificate}, settings=theirs, pins=mine))

    assert found["proxy"] == "http://mine"
    assert found["no_proxy"] == "localhost,intra.example,localhost"
    assert found["certificates"] == ["collector.pem", "mine.pem"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, ("protocol", "OTEL_EXPORTER_OTLP_PROTOCOL")),
        (
            {"OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "http/protobuf"},
            ("protocol", "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL"),
        ),
        ({"OTEL_LOGS_EXPORTER": "console"}, ("console", "OTEL_LOGS_EXPORTER")),
        (
            {"OTEL_LOGS_EXPORTER": "console", "OTEL_EXPORTER_OTLP_PROTOCOL": ""},
            ("console", "OTEL_LOGS_EXPORTER"),
        ),
        ({"OTEL_LOGS_EXPORTER": "otlp,next"}, ("exporter", "OTEL_LOGS_EXPORTER")),
        ({"OTEL_LOGS_EXPORTER": "OTLP"}, ("exporter", "OTEL_LOGS_EXPORTER")),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"},
            ("endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ),
        (
            {"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "https://me:FAKE@collector.example/"},
            ("endpoint", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"),
        ),
        (
            {"OTEL_EXPORTER_OTLP_CLIENT_KEY": "mine.pem"},
            ("client_certificate", "OTEL_EXPORTER_OTLP_CLIENT_KEY"),
        ),
        (
            {"NODE_TLS_REJECT_UNAUTHORIZED": "0"},
            ("unverified", "NODE_TLS_REJECT_UNAUTHORIZED"),
        ),
        (
            {"ENABLE_BETA_TRACING_DETAILED": "1", "BETA_TRACING_ENDPOINT": "http://b.example"},
            ("elsewhere", "BETA_TRACING_ENDPOINT"),
        ),
        (
            {
                "CLAUDE_CODE_ENABLE_TELEMETRY": "",
                "ENABLE_BETA_TRACING_DETAILED": "true",
                "BETA_TRACING_ENDPOINT": "http://b.example",
            },
            ("elsewhere", "BETA_TRACING_ENDPOINT"),
        ),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_what_cannot_pass_through_is_left_as_it_is_with_the_reason(
    change: dict[str, str], expected: tuple[str, str]
) -> None:
    assert fallback(decide({**LOGS, **change})) == (*expected, "environment")
    assert fallback(decide(user={**LOGS, **change})) == (*expected, "user settings")


@pytest.mark.parametrize(
    "harmless",
    [
        {"ENABLE_BETA_TRACING_DETAILED": "0", "BETA_TRACING_ENDPOINT": "http://b.example"},
        {"BETA_TRACING_ENDPOINT": "http://b.example"},
        {"NODE_TLS_REJECT_UNAUTHORIZED": "1"},
        {"OTEL_LOGS_EXPORTER": "otlp,console,none"},
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318",
            "CLAUDE_CODE_CLIENT_CERT": "mine.pem",
        },
    ],
)
def test_what_is_no_obstacle_does_not_stop_the_meter(harmless: dict[str, str]) -> None:
    destination(decide({**LOGS, **harmless}))


@pytest.mark.parametrize("name", [*FIXED_BY_ADMINISTRATOR, "otelHeadersHelper"])
@pytest.mark.parametrize("environment", [{}, ON, LOGS], ids=["off", "on", "logs"])
def test_an_administrators_telemetry_is_never_fought(
    name: str, environment: dict[str, str]
) -> None:
    assert fallback(decide(environment, managed=("model", name))) == (
        "managed",
        name,
        "managed settings",
    )


def test_an_administrators_other_settings_are_no_obstacle() -> None:
    assert decide(managed=(*NOT_FIXED_BY_ADMINISTRATOR, "env", "model")).env == OFF


def test_settings_beat_the_environment_and_the_command_line_beats_both() -> None:
    def at(host: str) -> dict[str, str]:
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{host}.example"}

    user = decide({**LOGS, **at("a")}, user=at("b"))
    line = decide({**LOGS, **at("a")}, user=at("b"), settings=at("c"))

    assert destination(user)["url"] == "http://b.example/v1/logs"
    assert destination(line)["url"] == "http://c.example/v1/logs"
    assert decide(LOGS, user={"OTEL_LOGS_EXPORTER": "none"}).env == ALONE
    assert decide(LOGS, settings={"CLAUDE_CODE_ENABLE_TELEMETRY": False}).env == OFF
    destination(decide({**LOGS, "CLAUDE_CODE_ENABLE_TELEMETRY": ""}, user={**ON, **LOGS}))
    destination(decide(user={**LOGS, "CLAUDE_CODE_ENABLE_TELEMETRY": True}))
    destination(decide(user={**LOGS, "CLAUDE_CODE_ENABLE_TELEMETRY": 1}))


def test_a_project_names_no_destination_and_switches_nothing_on() -> None:
    theirs = {**LOGS, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://theirs.example"}

    assert decide(project=theirs).env == OFF
    assert decide(ON, project=theirs).env == ALONE
    assert destination(decide(LOGS, project=theirs))["url"] == f"{COLLECTOR}/v1/logs"


def test_a_project_switches_off_what_the_environment_does_not_set() -> None:
    off = {"OTEL_LOGS_EXPORTER": "none"}

    assert decide(user=LOGS, project=off).env == ALONE
    destination(decide(LOGS, project=off))
    destination(decide(user=LOGS, project=off, settings={"OTEL_LOGS_EXPORTER": "otlp"}))


def test_a_nested_call_is_decided_like_the_first() -> None:
    """It inherits our switch, alone of all that was pinned, and must not take it for the user's."""
    metrics = {"OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": COLLECTOR}
    switch = {name: value for name, value in OFF.items() if "ENABLE" in name}

    assert decide(switch, user=metrics).env == OFF
    assert decide({**ON, **switch}, settings=ON).env == ALONE


def test_a_version_that_hands_everything_to_nested_calls_does_not_end_in_a_loop() -> None:
    first = decide(LOGS)

    assert decide({**LOGS, **first.env}).env == first.env
    assert decide({**LOGS, **first.env}).record is None
    assert decide(OFF, user={"OTEL_EXPORTER_OTLP_ENDPOINT": COLLECTOR}).env == OFF
    again = decide({**ON, **ALONE}, user={"OTEL_EXPORTER_OTLP_ENDPOINT": COLLECTOR})
    assert (again.env, again.record) == (ALONE, None)


_VALUES = st.sampled_from(
    ["", "1", "0", "none", "otlp", "console", "http/json", "grpc", COLLECTOR, "http://x", OURS, "é"]
)
_LAYER = st.dictionaries(st.sampled_from(sorted(TELEMETRY)), _VALUES)


@given(environment=_LAYER, user=_LAYER, project=_LAYER, settings=_LAYER)
def test_whatever_is_set_there_is_one_clear_answer(
    environment: dict[str, str],
    user: dict[str, str],
    project: dict[str, str],
    settings: dict[str, str],
) -> None:
    decided = decide(environment, user=user, project=project, settings=settings)

    pinned = {value for value in decided.env.values() if "://" in value}
    assert all(value.startswith(f"{URL}/") for value in pinned)
    if decided.record is None:
        assert decided.env in (OFF, ALONE)
    elif "destination" in decided.record:
        address = destination(decided)["url"]
        assert address.split("/v1/logs")[0].rstrip("/") in (
            COLLECTOR,
            "http://x",
            "http://localhost:4318",
        )
    else:
        fallback(decided)
