"""The embedded endpoint, asked as an Anthropic client asks."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import httpx
import pytest

from acp_bridge.loopback.asked import Asked, RequestKind
from acp_bridge.loopback.endpoint import DEFAULT_SUGGESTION, DEFAULT_TITLE, EmbeddedEndpoint
from acp_bridge.loopback.script import (
    DEFAULT_TEXT,
    Answer,
    Step,
    Text,
    Thinking,
    ToolUse,
    Usage,
    cut,
    fail,
    say,
    slow,
    stall,
    use,
)
from acp_bridge.loopback.seen import Outcome
from acp_bridge.loopback.threaded import running_endpoint
from acp_bridge.modes import CredentialClass
from tests.support.raw import raw_client

Json = dict[str, Any]
Run = Callable[[Callable[[], Awaitable[Any]]], Any]

TOOLS = [{"name": "Bash", "input_schema": {"type": "object"}}]
USAGE = Usage(
    input_tokens=3,
    output_tokens=44,
    cache_read_tokens=500,
    cache_write_5m_tokens=60,
    cache_write_1h_tokens=7,
)


def asking(text: str = "hello", **more: Any) -> Json:
    message = {"role": "user", "content": [{"type": "text", "text": text}]}
    return {"model": "claude-opus-5-5", "messages": [message], "tools": TOOLS, **more}


def client_of(endpoint: EmbeddedEndpoint, **headers: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=endpoint.url, headers=headers, trust_env=False, timeout=5)


async def post(client: httpx.AsyncClient, body: Json) -> httpx.Response:
    return await client.post("/v1/messages?beta=true", json=body)


def events_of(text: str) -> list[Json]:
    """The events of a stream, each checked to name its type twice, as the API does."""
    events = []
    for lines in text.removesuffix("\n\n").split("\n\n"):
        name, _, data = lines.partition("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        events.append(event)
    return events


async def streamed(step: Answer) -> list[Json]:
    async with EmbeddedEndpoint([step]) as endpoint, client_of(endpoint) as client:
        response = await post(client, asking(stream=True))
        assert response.headers["content-type"] == "text/event-stream"
        return events_of(response.text)


async def test_any_prompt_is_answered_with_a_short_text_and_the_model_asked_for() -> None:
    async with EmbeddedEndpoint() as endpoint, client_of(endpoint) as client:
        answer = (await post(client, asking())).json()

    assert answer["content"] == [{"type": "text", "text": DEFAULT_TEXT}]
    assert (answer["type"], answer["role"]) == ("message", "assistant")
    assert (answer["model"], answer["stop_reason"]) == ("claude-opus-5-5", "end_turn")


async def test_a_stream_has_the_events_of_the_api_in_its_order() -> None:
    events = await streamed(say("abc"))

    assert [event["type"] for event in events] == [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert events[0]["message"]["content"] == []
    assert events[0]["message"]["stop_reason"] is None
    assert events[-2]["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}


async def test_scripted_usage_is_on_the_wire_with_its_split_of_cache_writes() -> None:
    events = await streamed(say(usage=USAGE))

    started = events[0]["message"]["usage"]
    assert started["cache_creation"] == {
        "ephemeral_5m_input_tokens": 60,
        "ephemeral_1h_input_tokens": 7,
    }
    assert started["output_tokens"] == 1
    assert events[-2]["usage"] == {
        "input_tokens": 3,
        "cache_creation_input_tokens": 67,
        "cache_read_input_tokens": 500,
        "output_tokens": 44,
    }


async def test_the_pieces_of_every_block_join_to_what_the_script_says() -> None:
    blocks = (
        Thinking("first I think", "c2lnbmVk"),
        Text("then I speak: größer"),
        ToolUse("Read", {"file_path": "/a b", "limit": 3}),
        ToolUse("Bash", {}, id="toolu_mine"),
    )
    events = await streamed(Answer(blocks))

    deltas = [(e["index"], e["delta"]) for e in events if e["type"] == "content_block_delta"]

    def joined(index: int, field: str) -> str:
        return "".join(delta.get(field, "") for at, delta in deltas if at == index)

    assert (joined(0, "thinking"), joined(0, "signature")) == ("first I think", "c2lnbmVk")
    assert joined(1, "text") == "then I speak: größer"
    assert json.loads(joined(2, "partial_json")) == {"file_path": "/a b", "limit": 3}
    assert json.loads(joined(3, "partial_json")) == {}
    opened = [e["content_block"] for e in events if e["type"] == "content_block_start"]
    assert opened[0] == {"type": "thinking", "thinking": "", "signature": ""}
    assert opened[1] == {"type": "text", "text": ""}
    assert (opened[2]["name"], opened[2]["input"]) == ("Read", {})
    assert opened[3]["id"] == "toolu_mine"
    assert opened[2]["id"].startswith("toolu_")
    assert events[-2]["delta"]["stop_reason"] == "tool_use"


async def test_the_json_and_the_streamed_form_say_the_same() -> None:
    step = Answer((Thinking("t"), ToolUse("Bash", {"command": "ls"})), USAGE, model="other")
    async with EmbeddedEndpoint([step]) as endpoint, client_of(endpoint) as client:
        whole = (await post(client, asking())).json()

    assert whole["model"] == "other"
    assert [block["type"] for block in whole["content"]] == ["thinking", "tool_use"]
    assert whole["content"][1]["input"] == {"command": "ls"}
    assert whole["stop_reason"] == "tool_use"
    assert whole["usage"]["output_tokens"] == 44


async def test_a_list_is_taken_step_by_step_and_then_the_default_follows() -> None:
    script = [say("one"), use("Bash", command="ls")]
    async with EmbeddedEndpoint(script) as endpoint, client_of(endpoint) as client:
        answers = [(await post(client, asking())).json()["content"][0] for _ in range(3)]

    assert answers[0]["text"] == "one"
    assert answers[1]["input"] == {"command": "ls"}
    assert answers[2]["text"] == DEFAULT_TEXT


async def test_a_callable_sees_each_request_and_chooses_its_step() -> None:
    def script(asked: Asked) -> Step:
        return say(f"{asked.prompt} to {asked.agent_id} with {','.join(asked.tools)}")

    async with EmbeddedEndpoint(script) as endpoint, client_of(endpoint) as client:
        client.headers["x-claude-code-agent-id"] = "agent-1"
        body = asking("go")
        reminder = {"type": "text", "text": "<system-reminder>not typed</system-reminder>"}
        body["messages"][0]["content"].append(reminder)
        answer = (await post(client, body)).json()

    assert answer["content"][0]["text"] == "go to agent-1 with Bash"
    assert endpoint.seen[0].prompt == "go"


async def test_titles_and_suggestions_do_not_eat_the_script() -> None:
    title = asking("<session>…</session>", tools=[], system=[{"type": "text", "text": "A Title."}])
    suggestion = asking("[SUGGESTION MODE: what next?]")
    async with EmbeddedEndpoint([say("mine")]) as endpoint, client_of(endpoint) as client:
        answers = [
            (await post(client, body)).json()["content"][0]["text"]
            for body in (title, suggestion, asking())
        ]

    assert answers == [DEFAULT_TITLE, DEFAULT_SUGGESTION, "mine"]
    kinds = [seen.kind for seen in endpoint.seen]
    assert kinds == [RequestKind.TITLE, RequestKind.SUGGESTION, RequestKind.MAIN]


async def test_a_plain_request_without_tools_gets_the_script() -> None:
    async with EmbeddedEndpoint([say("mine")]) as endpoint, client_of(endpoint) as client:
        body = {"model": "m", "messages": [{"role": "user", "content": "what is a title?"}]}
        answer = (await post(client, body)).json()

    assert answer["content"][0]["text"] == "mine"


async def test_an_error_is_worded_as_the_api_does_and_may_forbid_a_retry() -> None:
    script = [fail(402, "billing_error", "No money.", retry=False)]
    async with EmbeddedEndpoint(script) as endpoint, client_of(endpoint) as client:
        response = await post(client, asking(stream=True))

    assert response.status_code == 402
    assert response.headers["x-should-retry"] == "false"
    assert response.json()["type"] == "error"
    assert response.json()["error"] == {"type": "billing_error", "message": "No money."}
    assert response.headers["request-id"] == response.json()["request_id"]
    assert endpoint.seen[0].status == 402
    assert endpoint.seen[0].usage is None


async def test_headers_of_an_answer_are_sent() -> None:
    step = Answer((Text("x"),), headers=(("anthropic-ratelimit-unified-status", "allowed"),))
    async with EmbeddedEndpoint([step]) as endpoint, client_of(endpoint) as client:
        response = await post(client, asking())

    assert response.headers["anthropic-ratelimit-unified-status"] == "allowed"


async def test_a_cut_stream_breaks_after_its_events_and_is_remembered_as_cut() -> None:
    async with EmbeddedEndpoint([cut(say(), after=2)]) as endpoint, client_of(endpoint) as client:
        received = b""
        with pytest.raises(httpx.RemoteProtocolError):  # noqa: PT012 - the break is in the middle
            async with client.stream("POST", "/v1/messages", json=asking(stream=True)) as response:
                async for chunk in response.aiter_bytes():
                    received += chunk
        seen = await endpoint.wait_for(lambda seen: seen.outcome is not Outcome.OPEN, 5)

    assert [e["type"] for e in events_of(received.decode())] == [
        "message_start",
        "content_block_start",
    ]
    assert seen.outcome is Outcome.CUT


async def test_a_stalled_stream_stays_open_until_the_client_leaves() -> None:
    async with EmbeddedEndpoint([stall(say(), after=1)]) as endpoint:
        async with raw_client(endpoint.url) as client:
            body = json.dumps(asking(stream=True)).encode()
            head = b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
            await client.send(head % len(body) + body)
            assert b"content_block_start" not in await client.read_until(b"message_start")
            assert endpoint.seen[0].outcome is Outcome.OPEN
        seen = await endpoint.wait_for(lambda seen: seen.outcome is not Outcome.OPEN, 5)

    assert seen.outcome is Outcome.CLIENT_LEFT


async def test_a_slow_stream_takes_its_time() -> None:
    begun = anyio.current_time()
    events = await streamed(slow(say("abc"), pause_seconds=0.01))

    assert len(events) == 9
    assert anyio.current_time() - begun >= 0.08


async def test_the_other_questions_of_a_client_are_answered() -> None:
    async with EmbeddedEndpoint() as endpoint, client_of(endpoint) as client:
        counted = await client.post("/v1/messages/count_tokens?beta=true", json=asking())
        models = await client.get("/v1/models?limit=1000")
        head = await client.head("/")
        other = await client.get("/api/oauth/profile")

    assert counted.json()["input_tokens"] > 0
    assert "claude-opus-5-5" in [model["id"] for model in models.json()["data"]]
    assert head.status_code == 200
    assert other.status_code == 404
    assert other.json()["error"]["type"] == "not_found_error"
    kinds = [seen.kind for seen in endpoint.seen]
    assert kinds == [RequestKind.COUNT, RequestKind.MODELS, RequestKind.OTHER, RequestKind.OTHER]


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[]", b'{"model": "m"}', b'{"messages": []}'])
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
async def test_a_body_that_is_no_messages_request_is_an_invalid_request(
    path: str, body: bytes
) -> None:
    async with EmbeddedEndpoint() as endpoint, client_of(endpoint) as client:
        response = await client.post(path, content=body)

    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"


async def test_the_record_tells_whose_secret_it_was_and_keeps_none() -> None:
    secret = "sk-ant-api03-FAKE-of-the-project"
    async with (
        EmbeddedEndpoint(known={"the project's key": secret}) as endpoint,
        client_of(endpoint) as client,
    ):
        headers = {"x-api-key": secret, "x-other": secret, "anthropic-auth-token": secret}
        await client.post("/v1/messages", json=asking(), headers=headers)

    seen = endpoint.seen[0]
    assert seen.credential.credential_class is CredentialClass.API_KEY
    assert seen.credential.label == "the project's key"
    assert {"x-api-key", "x-other", "anthropic-auth-token"} <= set(seen.header_names)
    assert secret not in repr(seen)


async def test_waiting_for_what_does_not_come_ends() -> None:
    async with EmbeddedEndpoint() as endpoint:
        with pytest.raises(TimeoutError):
            await endpoint.wait_for(lambda _any: True, 0.01)


def test_the_endpoint_runs_on_both_event_loops(run: Run) -> None:
    async def scenario() -> list[Json]:
        return await streamed(say("on either loop"))

    assert len(run(scenario)) == 9


def test_the_endpoint_in_a_thread_serves_code_that_is_not_async() -> None:
    with running_endpoint([say("from a thread")]) as endpoint:
        response = httpx.post(f"{endpoint.url}/v1/messages", json=asking(), trust_env=False)
        seen = endpoint.wait_for(lambda seen: seen.outcome is Outcome.COMPLETE, 5)

        assert response.json()["content"][0]["text"] == "from a thread"
        assert endpoint.seen == [seen]
        with pytest.raises(TimeoutError):
            endpoint.wait_for(lambda seen: seen.status == 402, 0.01)
