"""The log: no credential in it, private, and never in the way."""

import json
import threading
from pathlib import Path

import pytest

from acp_bridge.errors import ConfigurationError
from acp_bridge.log import Log
from acp_bridge.log_output import KEPT_LINES, LogOutput
from acp_bridge.redaction import redact
from tests.bridge.process import bridge_process, stand_in

FAKE_KEYS = ("sk-ant-api03-FAKE_0-x", "sk-ant-oat01-FAKE", "sk-ant-ort01-FAKE", "sk-ant-FAKE")


@pytest.mark.parametrize("key", FAKE_KEYS)
def test_what_looks_like_a_credential_is_taken_out(key: str) -> None:
    for text in (key, f"x={key},", f'{{"k": "{key}"}}', f"{key}\n{key}"):
        assert "FAKE" not in redact(text)
        assert redact(redact(text)) == redact(text)


def test_the_kind_of_credential_stays_readable() -> None:
    assert redact("key sk-ant-api03-FAKE!") == "key sk-ant-api03-[redacted]!"
    assert redact("Authorization: Bearer FAKE.token-123") == "Authorization: Bearer [redacted]"


def test_other_text_is_left_alone() -> None:
    text = "the bearer of bad news about sk-anteater and a token"
    assert redact(text) == text


def test_secrets_that_are_known_are_taken_out_whatever_they_look_like() -> None:
    assert redact("a hunter2-hunter2 b", ["hunter2-hunter2", "b"]) == "a [redacted] b"


@pytest.mark.parametrize("log_format", ["text", "json"])
async def test_what_the_agent_says_on_stderr_is_logged_without_credentials(
    tmp_path: Path, log_format: str
) -> None:
    log = tmp_path / "log"
    key, token = "sk-ant-api03-FAKE-said-by-the-agent", "FAKE-token-of-the-endpoint"
    said = stand_in(f"say:key={key}", f"say:token={token}", "say:last")
    settings = {
        "mode": "endpoint",
        "endpoint_url": "http://127.0.0.1:9",
        "endpoint_token": token,
        "log_level": "info",
        "log_file": str(log),
        "log_format": log_format,
    }
    async with bridge_process(tmp_path, settings, agent=said) as bridge:
        await bridge.initialize()
        bridge.close_stdin()
        await bridge.exit_status()
    text = log.read_text()
    assert "last" in text
    assert "sk-ant-api03-[redacted]" in text
    assert key not in text
    assert token not in text
    assert log.stat().st_mode & 0o777 == 0o600
    if log_format == "json":
        assert all(json.loads(line)["level"] for line in text.splitlines())


def test_a_log_file_that_cannot_be_written_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot write the log file"):
        Log(file=tmp_path / "missing" / "log")


def test_lines_that_nobody_takes_are_counted_and_never_waited_for() -> None:
    taken, gate, written = threading.Event(), threading.Event(), []

    def write(text: str) -> None:
        taken.set()
        assert gate.wait(timeout=60)
        written.append(text)

    output = LogOutput(write)
    output.write("the first, which nobody takes off\n")
    assert taken.wait(timeout=60)
    for number in range(KEPT_LINES + 100):
        output.write(f"line {number}\n")
    gate.set()
    output.drain(seconds=60)
    output.write("after\n")
    output.drain(seconds=60)

    assert len(written) == 1 + KEPT_LINES + 1
    assert written[-1] == "(100 log lines were left out)\nafter\n"


def test_an_output_that_is_gone_is_no_reason_to_stop() -> None:
    written = []

    def write(text: str) -> None:
        written.append(text)
        raise BrokenPipeError

    output = LogOutput(write)
    output.write("one\n")
    output.write("two\n")
    output.drain(seconds=60)
    assert written == ["one\n", "two\n"]
