import json
from dataclasses import dataclass

import pytest

from acp_bridge.modes import BillingMode
from acp_bridge.protocol.commands import Record, ToAgent
from acp_bridge.protocol.facts import Refused
from acp_bridge.protocol.lock import LOCK_TABLE, LockRow, ModeLock, Outcome, decide
from tests.protocol.playbook import (
    POLICY,
    A,
    B,
    C,
    Client,
    Playbook,
    Refusal,
    notification,
    relay,
    request,
    sent_to_agent,
    sent_to_client,
)

PASS, REFUSE, REWRITE = Outcome.PASS, Outcome.REFUSE, Outcome.REWRITE


@dataclass(frozen=True)
class Expected:
    """A row of the table in words of its own: what happens in A, B, C, and what the text says."""

    method: str
    argument: str | None
    outcomes: tuple[Outcome, Outcome, Outcome]
    says: str = ""


NEVER = (REFUSE, REFUSE, REFUSE)
ONLY_B = (REFUSE, PASS, REFUSE)
EVERYWHERE = (REWRITE, REWRITE, REWRITE)

TABLE = (
    Expected("authenticate", "claude-ai-login", ONLY_B, "sign in to a claude.ai plan"),
    Expected("authenticate", "claude-login", ONLY_B, "sign in to a claude.ai plan"),
    Expected("authenticate", "console-login", NEVER, "Anthropic Console"),
    Expected("authenticate", "gateway", NEVER, "to a gateway"),
    Expected("authenticate", "gateway-bedrock", NEVER, "Bedrock"),
    Expected("authenticate", None, NEVER, "does not know"),
    Expected("logout", None, ONLY_B, "delete a login"),
    Expected("providers/set", None, NEVER, "change the provider"),
    Expected("providers/disable", None, NEVER, "change the provider"),
    Expected("session/new", None, EVERYWHERE),
    Expected("session/load", None, EVERYWHERE),
    Expected("session/resume", None, EVERYWHERE),
    Expected("session/fork", None, EVERYWHERE),
)
ROWS = [pytest.param(row, id=f"{row.method}-{row.argument}") for row in TABLE]


def check(row: Expected, mode: BillingMode, table: tuple[LockRow, ...]) -> None:
    ruling = decide(row.method, row.argument, mode, table)
    assert ruling.outcome is row.outcomes[(A, B, C).index(mode)]
    if ruling.outcome is REFUSE:
        assert row.says in ruling.sentence
        assert mode.value in ruling.sentence
        assert row.method in ruling.sentence
        assert ruling.hint


def check_every_mode(row: Expected, table: tuple[LockRow, ...]) -> None:
    for mode in BillingMode:
        check(row, mode, table)


@pytest.mark.parametrize("row", ROWS)
def test_the_table_says_what_the_design_says(row: Expected) -> None:
    check_every_mode(row, LOCK_TABLE)


def test_no_row_of_the_table_is_without_a_test() -> None:
    assert {(row.method, row.argument) for row in LOCK_TABLE} == {
        (row.method, row.argument) for row in TABLE
    }


@pytest.mark.parametrize("at", range(len(LOCK_TABLE)))
def test_each_row_of_the_table_is_needed(at: int) -> None:
    without = LOCK_TABLE[:at] + LOCK_TABLE[at + 1 :]
    row = next(
        row
        for row in TABLE
        if (row.method, row.argument) == (LOCK_TABLE[at].method, LOCK_TABLE[at].argument)
    )
    with pytest.raises(AssertionError):
        check_every_mode(row, without)


@pytest.mark.parametrize(
    "method", ["providers/list", "session/prompt", "session/cancel", "session/x", "_new", "Logout"]
)
def test_everything_else_passes_also_what_nobody_knows(method: str) -> None:
    for mode in BillingMode:
        assert decide(method, None, mode).outcome is PASS


@pytest.mark.parametrize("method_id", ["", "x", "Claude-AI-login", None, "gateway2"])
def test_an_unknown_way_to_sign_in_is_refused(method_id: str | None) -> None:
    for mode in BillingMode:
        assert decide("authenticate", method_id, mode).outcome is REFUSE


@pytest.mark.parametrize(
    "params",
    ['{"methodId":5}', "{}", "[]", "null", '{"methodId":"claude-ai-login","methodId":"gateway"}'],
)
def test_a_sign_in_without_a_readable_method_is_refused(params: str) -> None:
    raw = b'{"jsonrpc":"2.0","id":1,"method":"authenticate","params":' + params.encode() + b"}\n"
    play = Playbook(relay(B, [ModeLock(B, POLICY)]), facts=False)
    play >> Client(raw) << Refusal("1", -32010, "mode_locked")
    play.ends()


def test_a_refusal_names_mode_method_channel_and_what_to_do() -> None:
    core = relay(A, [ModeLock(A, POLICY)])
    raw = b'{"jsonrpc":"2.0","id": "a\\u0062" ,"method":"logout"}\n'
    answer = sent_to_client(core.receive_from_client(raw, 0.0))
    assert answer.startswith(b'{"jsonrpc":"2.0","id":"a\\u0062","error":')
    error = json.loads(answer)["error"]
    assert error == {
        "code": -32010,
        "message": "This run is locked to api-key mode, and `logout` is refused because it would"
        " delete a login on this machine that this mode does not use.",
        "data": {
            "acp_bridge": {
                "reason": "mode_locked",
                "mode": "api-key",
                "method": "logout",
                "channel": "acp:logout",
                "hint": "Run `claude auth logout` in a terminal if you mean to sign this machine"
                " out.",
            }
        },
    }


def test_a_refused_notification_is_dropped_without_an_answer() -> None:
    commands = relay(A, [ModeLock(A, POLICY)]).receive_from_client(notification("logout"), 0.0)
    (only,) = commands
    assert isinstance(only, Record)
    assert isinstance(only.fact, Refused)


def test_a_request_beside_a_result_is_judged_as_the_request_it_is() -> None:
    raw = b'{"jsonrpc":"2.0","result":{},"id":4,"method":"providers/set"}\n'
    play = Playbook(relay(B, [ModeLock(B, POLICY)]), facts=False)
    play >> Client(raw) << Refusal("4", -32010, "mode_locked")
    play.ends()


def test_a_method_spelled_with_escapes_is_judged_as_what_it_spells() -> None:
    raw = b'{"jsonrpc":"2.0","meth\\u006fd":"log\\u006fut","id":null}\n'
    play = Playbook(relay(C, [ModeLock(C, POLICY)]), facts=False)
    play >> Client(raw) << Refusal("null", -32010, "mode_locked")
    play.ends()


def test_a_message_that_the_agent_would_not_execute_is_not_executed_either() -> None:
    raw = b'{"id":{},"method":"logout"}\n'
    play = Playbook(relay(C, [ModeLock(C, POLICY)]), facts=False)
    play >> Client(raw) << Refusal("null", -32010, "mode_locked")
    play.ends()


def test_without_the_lock_the_same_message_reaches_the_agent() -> None:
    raw = request(1, "providers/set", {"providerId": "main"})
    play = Playbook(relay(B, []))
    play >> Client(raw) << ToAgent(raw)
    play.ends()


def test_what_a_client_wrote_is_repeated_short_and_printable() -> None:
    ruling = decide("authenticate", "\x1b[2J\n" + "x" * 1000, B)
    assert ruling.sentence.isascii() or "…" in ruling.sentence
    assert "\x1b" not in ruling.sentence
    assert len(ruling.sentence) < 300


def test_a_rewritten_request_keeps_its_other_members_and_its_line_end() -> None:
    raw = b'\xef\xbb\xbf{"x": 1.0, "method":"session/new","jsonrpc":"2.0","id":7,"params":{}}\r\n'
    forwarded = sent_to_agent(relay(B, [ModeLock(B, POLICY)]).receive_from_client(raw, 0.0))
    assert forwarded.startswith(b'{"x":1.0,"method":"session/new","jsonrpc":"2.0","id":7,"params"')
    assert forwarded.endswith(b"}\r\n")


@pytest.mark.parametrize("params", ["[]", "null", "5", '"x"'])
def test_a_session_request_without_an_object_is_left_for_the_agent_to_refuse(params: str) -> None:
    raw = b'{"jsonrpc":"2.0","id":1,"method":"session/new","params":' + params.encode() + b"}\n"
    assert sent_to_agent(relay(B, [ModeLock(B, POLICY)]).receive_from_client(raw, 0.0)) == raw
