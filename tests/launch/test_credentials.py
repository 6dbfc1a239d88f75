"""Where the credential of a run comes from."""

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from acp_bridge.errors import ConfigurationError
from acp_bridge.launch import credentials
from acp_bridge.launch.credentials import (
    Credential,
    api_key,
    api_key_source,
    as_headers,
    endpoint_credential,
    header_lines,
    oauth_token,
    stand_in,
)

KEY = "sk-ant-api03-FAKE-key"
SUBSCRIPTION = "sk-ant-oat01-FAKE-token"


def read_key(**given: Any) -> Credential:
    return api_key_source(**given).read()


def program(tmp_path: Path, name: str, code: str) -> Path:
    """A program on the search path."""
    path = tmp_path / name
    path.write_text(f"#!/bin/sh\n{code}\n")
    path.chmod(0o700)
    return path


def test_the_key_itself_a_file_and_a_command_give_the_same_key(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    command = f"{shlex.quote(str(program(tmp_path, 'say key', f'echo {KEY}')))} 'an argument'"

    found = [
        read_key(value=KEY),
        read_key(file=tmp_path / "key"),
        read_key(command=command),
        read_key(inherited=KEY),
    ]

    assert [item.slots for item in found] == [{"api_key": KEY}] * 4
    assert [item.source for item in found] == [
        "ACP_BRIDGE_API_KEY",
        "ACP_BRIDGE_API_KEY_FILE",
        "ACP_BRIDGE_API_KEY_COMMAND",
        "the environment",
    ]
    assert KEY not in repr(found)


@pytest.mark.parametrize(
    ("platform", "name", "arguments"),
    [
        ("linux", "secret-tool", "lookup service anthropic username me/desk"),
        ("darwin", "security", "find-generic-password -s anthropic -a me/desk -w"),
    ],
)
def test_the_keyring_is_asked_through_the_platforms_own_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, name: str, arguments: str
) -> None:
    program(tmp_path, name, f'[ "$*" = "{arguments}" ] && echo {KEY}')
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "platform", platform)

    assert read_key(keyring="anthropic/me/desk").slots == {"api_key": KEY}


def test_a_source_that_was_given_beats_the_inherited_key() -> None:
    assert read_key(value=KEY, inherited="sk-ant-api03-FAKE-other").slots["api_key"] == KEY


@pytest.mark.parametrize(
    ("resolve", "says"),
    [
        (read_key, "mode api-key has no API key"),
        (lambda: read_key(inherited=""), "mode api-key has no API key"),
        (lambda: read_key(value=""), "the API key from ACP_BRIDGE_API_KEY is empty"),
        (
            lambda: read_key(value=KEY, command="x"),
            "sources: ACP_BRIDGE_API_KEY, ACP_BRIDGE_API_KEY_COMMAND",
        ),
        (
            lambda: read_key(file=Path("/absent/key")),
            "/absent/key that ACP_BRIDGE_API_KEY_FILE names",
        ),
        (
            lambda: read_key(command="/absent/program"),
            "/absent/program that ACP_BRIDGE_API_KEY_COMM",
        ),
        (
            lambda: read_key(command="echo 'open"),
            "ACP_BRIDGE_API_KEY_COMMAND has an open quote",
        ),
        (lambda: read_key(command=" "), "ACP_BRIDGE_API_KEY_COMMAND is empty"),
        (lambda: read_key(command="false"), "ACP_BRIDGE_API_KEY_COMMAND did not give a key"),
        (
            lambda: read_key(command="true"),
            "the API key from ACP_BRIDGE_API_KEY_COMMAND is empty",
        ),
        (
            lambda: read_key(keyring="anthropic"),
            "ACP_BRIDGE_API_KEY_KEYRING does not name an entry",
        ),
        (lambda: read_key(value=f"{KEY}\n{KEY}"), "has blanks or other characters"),
        (lambda: read_key(value=f"{KEY}\u00e9"), "has blanks or other characters"),
        (
            lambda: read_key(inherited=SUBSCRIPTION),
            "the environment is a subscription token",
        ),
        (lambda: api_key(SUBSCRIPTION, source="a file"), "a file is a subscription token"),
        (lambda: oauth_token(KEY, source="a file"), "is not a subscription token"),
        (endpoint_credential, "mode endpoint has no credential"),
        (lambda: endpoint_credential(token="FAKE", key="FAKE"), "several credentials"),
        (lambda: endpoint_credential(token="FAKE", no_auth=True), "several credentials"),
        (lambda: endpoint_credential(headers={"A": "FAKE"}, no_auth=True), "several credentials"),
        (
            lambda: endpoint_credential(token="FAKE b"),
            "the token from ACP_BRIDGE_ENDPOINT_TOKEN has blanks",
        ),
        (lambda: header_lines({"A b": "FAKE"}), "a name that cannot be a header"),
        (lambda: header_lines({"A": "FAKE\nB: c"}), "a line break in A"),
    ],
)
def test_what_cannot_be_used_is_one_sentence_with_a_hint_and_no_value(
    resolve: Callable[[], object], says: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        resolve()
    error = caught.value
    assert says in error.message
    assert error.hint
    assert "\n" not in error.message
    assert not [secret for secret in (KEY, SUBSCRIPTION, "FAKE") if secret in str(error)]


def test_a_command_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "COMMAND_TIMEOUT_SECONDS", 0.05)
    hanging = program(tmp_path, "hang", "exec tail -f /dev/null")
    with pytest.raises(
        ConfigurationError, match="ACP_BRIDGE_API_KEY_COMMAND did not answer within"
    ):
        read_key(command=str(hanging))


def test_a_key_that_the_command_prints_to_stderr_is_not_in_the_error(tmp_path: Path) -> None:
    failing = program(tmp_path, "fail", f"echo {KEY} >&2; exit 1")
    with pytest.raises(ConfigurationError) as caught:
        read_key(command=str(failing))
    assert KEY not in str(caught.value)


def test_headers_may_come_beside_a_token() -> None:
    found = endpoint_credential(token="FAKE", headers={"X-Team": "a", "X-Cost": "b"})
    assert found.form == "bearer"
    assert found.slots == {"bearer": "FAKE", "headers": "X-Team: a\nX-Cost: b"}


def test_a_file_and_a_command_are_read_when_the_key_is_needed_and_may_then_give_another(
    tmp_path: Path,
) -> None:
    file = tmp_path / "key"
    file.write_text("")
    sources = [api_key_source(file=file), api_key_source(command=f"cat {shlex.quote(str(file))}")]

    for key in (KEY, f"{KEY}-renewed"):
        file.write_text(key)
        assert [source.read().slots for source in sources] == [{"api_key": key}] * 2
    assert [source.renewable for source in [*sources, api_key_source(value=KEY)]] == [
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("credential", "slot", "headers"),
    [
        (api_key(KEY, source="here"), "api_key", (("x-api-key", KEY),)),
        (endpoint_credential(token="FAKE-t"), "bearer", (("Authorization", "Bearer FAKE-t"),)),
        (endpoint_credential(key="FAKE-k"), "api_key", (("x-api-key", "FAKE-k"),)),
        (endpoint_credential(headers={"X-Tenant": "a: b"}), "api_key", (("X-Tenant", "a: b"),)),
        (
            endpoint_credential(token="FAKE-t", headers={"authorization": "FAKE own", "X-A": "1"}),
            "bearer",
            (("authorization", "FAKE own"), ("X-A", "1")),
        ),
        (endpoint_credential(no_auth=True), "bearer", ()),
    ],
)
def test_the_agent_gets_a_placeholder_and_the_guard_the_headers(
    credential: Credential, slot: str, headers: tuple[tuple[str, str], ...]
) -> None:
    assert stand_in(credential.form, "placeholder").slots == {slot: "placeholder"}
    assert as_headers(credential) == headers
