"""What an answer of the Messages API tells, read as its bytes pass."""

import json

import pytest

from acp_bridge.loopback.script import Answer, ErrorAnswer, Text, Thinking, ToolUse, Usage
from acp_bridge.loopback.wording import AnswerIds, as_error, as_events, as_message
from acp_bridge.metering.usage import Tokens
from acp_bridge.metering.wire import AnswerReader, Bounds
from acp_bridge.metering.wire_answer import AnswerKind
from acp_bridge.metering.wire_request import Endpoint
from acp_bridge.metering.wire_usage import SideUsage, Unread
from tests.metering.wire_bytes import (
    CONTENT,
    JSON,
    PING,
    STOP,
    STREAM,
    delta,
    event,
    message,
    read,
    stream,
    usage,
)

IDS = AnswerIds("msg_7", "req_7")
BLOCKS = (Thinking("Hm."), Text("message_delta, they say"), ToolUse("Bash", {"command": "ls"}))
ANSWER = Answer(BLOCKS, Usage(11, 22, 33, 44, 55))
COUNTED = Tokens(11, 22, 33, 44, 55)


def test_a_stream_is_told_with_the_split_that_its_start_gives() -> None:
    seen = read(b"".join(as_events(ANSWER, model="claude-x", ids=IDS)), STREAM)
    assert (seen.kind, seen.complete, seen.unread) == (AnswerKind.MESSAGE, True, None)
    assert (seen.message_id, seen.model, seen.stop_reason) == ("msg_7", "claude-x", "tool_use")
    assert (seen.tokens, seen.writes_of_unknown_lifetime) == (COUNTED, 0)
    assert seen.service_tier == "standard"


def test_a_json_body_is_told_like_a_stream() -> None:
    body = json.dumps(as_message(ANSWER, model="claude-x", ids=IDS)).encode()
    streamed = read(b"".join(as_events(ANSWER, model="claude-x", ids=IDS)), STREAM)
    assert read(body, JSON) == streamed


def test_the_request_id_is_in_the_headers() -> None:
    assert read(b"", STREAM, ("Request-Id", "req_7")).request_id == "req_7"
    assert read(b"", STREAM, ("request-id", "some text")).request_id is None


def test_writes_without_a_lifetime_count_as_five_minute_writes_and_are_named() -> None:
    seen = read(stream(message(usage=usage(cache_creation_input_tokens=8)), STOP))
    assert (seen.tokens, seen.writes_of_unknown_lifetime) == (Tokens(10, 1, 0, 8, 0), 8)


def test_writes_that_are_added_later_without_a_lifetime_are_named() -> None:
    hour = {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 5}
    start = message(usage=usage(cache_creation_input_tokens=5, cache_creation=hour))
    seen = read(stream(start, delta(cache_creation_input_tokens=7, output_tokens=3), STOP))
    assert (seen.tokens, seen.writes_of_unknown_lifetime) == (Tokens(10, 3, 0, 2, 5), 2)


def test_a_delta_restates_what_is_not_zero() -> None:
    start = message(usage=usage(input_tokens=4, cache_read_input_tokens=9))
    restated = delta(None, input_tokens=40, cache_read_input_tokens=0, output_tokens=2)
    seen = read(stream(start, restated, delta(output_tokens=30), STOP))
    assert seen.tokens == Tokens(40, 30, 9)


def test_lifetimes_that_are_restated_as_zero_stay() -> None:
    names = ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")
    start = message(usage=usage(cache_creation=dict(zip(names, (3, 4), strict=True))))
    restated = delta(output_tokens=2, cache_creation=dict.fromkeys(names, 0))
    assert read(stream(start, restated, STOP)).tokens == Tokens(10, 2, 0, 3, 4)


def test_server_tools_are_counted_by_their_names() -> None:
    uses = {"web_search_requests": 2, "web_fetch_requests": 0}
    seen = read(stream(message(), delta(output_tokens=5, server_tool_use=uses), STOP))
    assert seen.server_tools == (("web_fetch_requests", 0), ("web_search_requests", 2))
    assert read(stream(message(), STOP)).server_tools is None


def test_samplings_that_the_tokens_leave_out_are_told_beside_them() -> None:
    iterations = [
        {"type": "compaction", "input_tokens": 180_000, "output_tokens": 3500},
        {"type": "message", "input_tokens": 23_000, "output_tokens": 1000},
        {"type": "advisor_message", "model": "claude-y", "input_tokens": 5},
    ]
    told = usage(input_tokens=23_000, output_tokens=1000, iterations=iterations, speed="fast")
    seen = read(json.dumps(message(usage=told)).encode(), JSON)
    assert (seen.tokens, seen.speed) == (Tokens(23_000, 1000), "fast")
    assert seen.side_usage == (
        SideUsage("compaction", None, Tokens(180_000, 3500)),
        SideUsage("advisor_message", "claude-y", None),
    )


def test_a_stream_that_was_cut_tells_what_was_known() -> None:
    seen = read(stream(message(), CONTENT), complete=True)
    assert (seen.complete, seen.model, seen.tokens) == (False, "claude-sonnet-5-5", Tokens(10, 1))
    assert read(b"", complete=False).tokens is None


def test_a_message_that_ended_is_complete_though_the_connection_was_dropped() -> None:
    assert read(stream(message(), delta(output_tokens=3), STOP), complete=False).complete


def test_half_a_json_body_tells_nothing_and_is_not_malformed() -> None:
    body = json.dumps(message()).encode()
    seen = read(body[:-1], JSON, complete=False)
    assert (seen.complete, seen.unread, seen.tokens) == (False, None, None)
    assert read(body[:-1], JSON).unread is Unread.MALFORMED
    assert read(body, JSON, complete=False).complete


def test_of_an_error_only_the_type_is_kept() -> None:
    error = as_error(ErrorAnswer(529, "overloaded_error", "SECRET"), ids=IDS)
    seen = read(json.dumps(error).encode(), JSON, status=529)
    assert (seen.kind, seen.error_type) == (AnswerKind.ERROR, "overloaded_error")
    assert (seen.complete, seen.tokens) == (True, None)
    assert "SECRET" not in repr(seen)


def test_an_error_type_that_is_a_text_is_not_kept() -> None:
    seen = read(b'{"error": {"type": "you owe us"}}', JSON, status=400)
    assert (seen.kind, seen.error_type) == (AnswerKind.ERROR, None)


def test_an_error_within_a_stream_leaves_what_was_known() -> None:
    error = event("error", error={"type": "overloaded_error", "message": "SECRET"})
    seen = read(stream(message(), CONTENT, error))
    assert (seen.kind, seen.error_type) == (AnswerKind.MESSAGE, "overloaded_error")
    assert (seen.complete, seen.tokens) == (False, Tokens(10, 1))
    assert "SECRET" not in repr(seen)


def test_a_page_of_a_proxy_is_an_error_without_a_type() -> None:
    seen = read(b"<html>Bad gateway</html>", ("content-type", "text/html"), status=502)
    assert (seen.kind, seen.error_type, seen.tokens) == (AnswerKind.ERROR, None, None)


def test_a_count_of_tokens_spends_none() -> None:
    seen = read(b'{"input_tokens": 2095}', JSON, endpoint=Endpoint.COUNT_TOKENS)
    assert (seen.kind, seen.counted, seen.tokens) == (AnswerKind.COUNT, 2095, Tokens())
    assert seen.complete


def test_other_answers_are_not_read() -> None:
    seen = read(json.dumps(message()).encode(), JSON, endpoint=Endpoint.OTHER)
    assert (seen.kind, seen.tokens, seen.complete) == (AnswerKind.OTHER, None, True)


def test_json_that_is_no_message_is_no_message() -> None:
    assert read(b'{"data": []}', JSON).kind is AnswerKind.OTHER
    assert read(b"[1]", JSON).unread is Unread.MALFORMED


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
def test_lines_end_as_the_standard_allows(ending: bytes) -> None:
    body = b": hello\n\n" + stream(message(), PING, CONTENT, delta(output_tokens=9), STOP)
    seen = read(body.replace(b"\n", ending))
    assert (seen.tokens, seen.complete) == (Tokens(10, 9), True)


def test_oddities_of_the_grammar_are_read() -> None:
    body = (
        b"\xef\xbb\xbfretry: 3\n"
        b'id: 1\ndata:{"type":"message_start",\n'
        b'data\ndata: "message":{"model":"claude-z",\n'
        b'data: "usage":{"input_tokens":1,"output_tokens":2}}}\n\n'
        b'data: {"type":"message_later","usage":{"output_tokens":99}}\n\n'
        b'data : {"type":"message_delta","usage":{"output_tokens":98}}\n\n'
    )
    seen = read(body)
    assert (seen.model, seen.tokens) == ("claude-z", Tokens(1, 2))


def test_an_event_right_after_a_bom_is_read() -> None:
    start = json.dumps({"type": "message_start", "message": message()}).encode()
    assert read(b"\xef\xbb\xbfdata: " + start + b"\n\n").tokens == Tokens(10, 1)


def test_an_event_that_is_cut_before_its_empty_line_is_read() -> None:
    start = stream(message())
    assert read([start[:-1], start[-1:] + CONTENT, STOP]).tokens == Tokens(10, 1)


def test_text_that_speaks_of_events_changes_nothing() -> None:
    lie = '"error" {"type":"message_delta","usage":{"output_tokens":999}} "error"'
    piece = event("content_block_delta", index=0, delta={"type": "text_delta", "text": lie})
    seen = read(stream(message(), piece, delta(output_tokens=3), STOP))
    assert (seen.tokens, seen.error_type) == (Tokens(10, 3), None)


def test_a_lone_surrogate_is_no_reason_to_give_up() -> None:
    piece = (
        b'data: {"type":"content_block_delta","delta":{"partial_json":"message_\\ud83d"}}\n\n'
        b'data: {"type":"content_block_delta","delta":{"partial_json":"message_\xff"}}\n\n'
    )
    assert read(stream(message(), piece, delta(output_tokens=3), STOP)).tokens == Tokens(10, 3)


@pytest.mark.parametrize("bad", ["12", -1, 1.5, True, 2**60, [], {}])
def test_a_figure_that_is_no_count_makes_the_usage_unknown(bad: object) -> None:
    seen = read(stream(message(), delta(output_tokens=bad), STOP))
    assert (seen.tokens, seen.unread) == (None, Unread.MALFORMED)
    assert seen.model == "claude-sonnet-5-5"
    body = json.dumps(message(usage=usage(cache_read_input_tokens=bad))).encode()
    assert read(body, JSON).tokens is None
    assert read(body, JSON, complete=False).unread is Unread.MALFORMED


def test_an_event_that_is_not_json_makes_the_usage_unknown() -> None:
    seen = read(stream(message(), b'data: {"type":"message_delta",\n\n', STOP))
    assert (seen.tokens, seen.unread, seen.complete) == (None, Unread.MALFORMED, True)


def test_a_stream_that_calls_itself_json_is_read() -> None:
    body = stream(message(), delta(output_tokens=3), STOP)
    assert read(body, JSON) == read(body, STREAM)


def test_what_is_over_a_bound_leaves_the_usage_unknown() -> None:
    bounds = Bounds(event=1000, body=1000)
    long = b"data: " + b"x" * 1000
    whole = stream(message(), long, b"\n\n", delta(output_tokens=3), STOP)
    assert read(whole, bounds=bounds).unread is Unread.TOO_LONG
    assert read(stream(message(), long[:900], b"\n", long[:900]), bounds=bounds).tokens is None
    assert read(stream(message(), b"data\n" * 2000), bounds=bounds).tokens is None
    assert read(b" " * 1001, JSON, bounds=bounds).unread is Unread.TOO_LONG
    assert read(stream(message(), CONTENT * 100, STOP), bounds=bounds).tokens == Tokens(10, 1)


def test_nothing_of_a_long_stream_is_kept() -> None:
    reader = AnswerReader(Endpoint.MESSAGES, 200, [STREAM])
    reader.feed(stream(message()))
    for _ in range(1000):
        reader.feed(CONTENT * 100 + b"data: half")
        reader.feed(b" a line\n\n")
    assert len(reader._events._partial) == 0
    assert reader._events._data == []


def test_the_first_piece_of_content_is_noticed() -> None:
    reader = AnswerReader(Endpoint.MESSAGES, 200, [STREAM])
    reader.feed(stream(message(), PING))
    assert not reader.content_begun
    reader.feed(CONTENT)
    assert reader.content_begun


def test_finishing_twice_gives_the_same_and_later_bytes_nothing() -> None:
    reader = AnswerReader(Endpoint.MESSAGES, 200, [STREAM])
    reader.feed(stream(message()))
    first = reader.finish(complete=False)
    reader.feed(delta(output_tokens=9))
    assert reader.finish(complete=True) is first
