"""What a model request tells of itself."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acp_bridge.metering.usage import AskedBy
from acp_bridge.metering.wire_request import Endpoint, ModelRequest, endpoint_of, read_request
from acp_bridge.policy.surface import Surface

USER_AGENT = "claude-cli/2.1.316 (external, sdk-ts, agent-sdk/0.3.1)"
TOOLS = [{"name": "Bash"}]


def asking(
    *texts: str,
    headers: tuple[tuple[str, str], ...] = (),
    target: str = "/v1/messages?beta=true",
    **members: object,
) -> ModelRequest:
    content = [{"type": "text", "text": text} for text in texts]
    messages = [
        {"role": "user", "content": "[SUGGESTION MODE: of an earlier turn]"},
        {"role": "user", "content": content},
        {"role": "assistant", "content": "SUGGESTION MODE"},
    ]
    body: dict[str, object] = {"model": "claude-x", "messages": messages, "tools": TOOLS}
    return read_request("POST", target, headers, json.dumps(body | members).encode())


@pytest.mark.parametrize(
    ("method", "target", "endpoint"),
    [
        ("POST", "/v1/messages", Endpoint.MESSAGES),
        ("POST", "/v1/messages?beta=true", Endpoint.MESSAGES),
        ("POST", "/v1/messages/count_tokens?beta=true", Endpoint.COUNT_TOKENS),
        ("POST", "/v1/messages/batches", Endpoint.OTHER),
        ("GET", "/v1/messages", Endpoint.OTHER),
        ("GET", "/v1/models", Endpoint.OTHER),
        ("HEAD", "/", Endpoint.OTHER),
    ],
)
def test_only_messages_spend_tokens(method: str, target: str, endpoint: Endpoint) -> None:
    assert endpoint_of(method, target) is endpoint


def test_a_request_of_the_agent_loop() -> None:
    headers = (
        ("User-Agent", USER_AGENT),
        ("X-Claude-Code-Session-Id", "0b1c-22"),
        ("x-claude-code-session-id", "second"),
        ("x-claude-code-prompt-id", "0b1c-23"),
    )
    asked = asking("hello", headers=headers, stream=True, max_tokens=7)
    assert asked.size > 100
    assert replace(asked, size=0) == ModelRequest(
        endpoint=Endpoint.MESSAGES,
        session_id="0b1c-22",
        agent_id=None,
        prompt_id="0b1c-23",
        surface=Surface.AGENT_SDK,
        asked_by=AskedBy.MAIN,
        model="claude-x",
        stream=True,
        max_tokens=7,
    )


def test_what_asked_is_told_by_the_body() -> None:
    of_subagent = (("x-claude-code-agent-id", "a1"),)
    compacting = "CRITICAL: Respond with TEXT ONLY. Do NOT call any tools."
    reminder = "<system-reminder>be kind</system-reminder>"
    title = [{"type": "text", "text": "Write a Title for this session."}]
    assert asking("hello", headers=of_subagent).asked_by is AskedBy.SUBAGENT
    assert asking("[SUGGESTION MODE: what next?]").asked_by is AskedBy.SUGGESTION
    assert asking("hello", system=title, tools=[]).asked_by is AskedBy.TITLE
    assert asking("hello", system="a title", tools=None).asked_by is AskedBy.TITLE
    assert asking("hello", system=title).asked_by is AskedBy.MAIN
    assert asking(compacting, reminder).asked_by is AskedBy.COMPACTION
    assert asking(compacting, headers=of_subagent).asked_by is AskedBy.COMPACTION
    assert asking("he said: " + compacting).asked_by is AskedBy.MAIN


def test_a_count_of_tokens_is_a_count_whatever_it_counts() -> None:
    asked = asking("[SUGGESTION MODE]", target="/v1/messages/count_tokens")
    assert (asked.endpoint, asked.asked_by) == (Endpoint.COUNT_TOKENS, AskedBy.COUNT)


def test_what_is_no_id_is_none() -> None:
    headers = (("x-claude-code-session-id", "a b"), ("x-claude-code-agent-id", "x" * 129))
    asked = asking("hello", headers=headers)
    assert (asked.session_id, asked.agent_id) == (None, None)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"messages": 3}', b'{"messages": [1]}', b"[" * 100_000]
)
def test_a_body_that_cannot_be_read_tells_nothing(body: bytes) -> None:
    asked = read_request("POST", "/v1/messages", (), body)
    assert (asked.asked_by, asked.model, asked.stream) == (AskedBy.OTHER, None, False)


def test_a_prompt_with_half_a_character_is_a_prompt() -> None:
    assert asking("half \ud83d").asked_by is AskedBy.MAIN


def test_other_requests_tell_no_model() -> None:
    assert asking("hello", target="/v1/organizations").model is None


@given(st.binary(), st.text(), st.lists(st.tuples(st.text(), st.text())))
def test_whatever_is_asked_nothing_is_raised(
    body: bytes, target: str, headers: list[tuple[str, str]]
) -> None:
    read_request("POST", target, headers, body)
    read_request("POST", "/v1/messages", headers, body)
