"""The real adapter's parser and the bridge read the same lines; they have to read the same things.

Whatever the adapter would execute as X, the lock must have judged as X or refused.
"""

import base64
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from acp_bridge.modes import BillingMode
from acp_bridge.protocol import json_text
from acp_bridge.protocol.envelope import UNSET, Envelope, Kind, Other, id_key, kind_of, read
from acp_bridge.protocol.lock import ModeLock, Outcome, decide
from tests.protocol import corpus
from tests.protocol.playbook import (
    CHANNELS,
    POLICY,
    recorded,
    relay,
    sent_to_agent,
    sent_to_client,
)
from tests.support.real import AGENT_MODULES, NODE

CORE = AGENT_MODULES / "@agentclientprotocol" / "sdk" / "dist" / "core"
READER = Path(__file__).with_name("adapter_reader.mjs")


@dataclass(frozen=True)
class Read:
    """A line and what the adapter made of it."""

    line: bytes
    messages: list[dict[str, Any]]
    replies: list[int]


def adapter_reads(lines: list[bytes]) -> list[Read]:
    encoded = b"".join(base64.b64encode(one) + b"\n" for one in lines)
    done = subprocess.run(
        [NODE, READER, CORE], input=encoded, capture_output=True, check=True, timeout=120
    )
    answers = [json.loads(one) for one in done.stdout.splitlines()]
    assert len(answers) == len(lines)
    return [
        Read(one, answer["messages"], answer["replies"])
        for one, answer in zip(lines, answers, strict=True)
    ]


@pytest.fixture(scope="session")
def read_by_the_adapter() -> list[Read]:
    endings = (b"\n", b"\r\n", b"\n", b"")
    lines = corpus.lines(6000, seed=1)
    return adapter_reads([one + endings[at % len(endings)] for at, one in enumerate(lines)])


def test_the_corpus_has_every_kind_of_line(read_by_the_adapter: list[Read]) -> None:
    kinds = [
        one.messages[0]["kind"] if one.messages else one.replies for one in read_by_the_adapter
    ]
    for kind in ("REQUEST", "NOTIFICATION", "RESPONSE", "INVALID", [-32700], [-32600]):
        assert kinds.count(kind) > 50, kind


def test_method_kind_and_id_are_read_as_the_adapter_reads_them(
    read_by_the_adapter: list[Read],
) -> None:
    for one in read_by_the_adapter:
        message = read(one.line)
        if not one.messages:
            assert message in _UNUSABLE[tuple(one.replies)], one.line
            continue
        (theirs,) = one.messages
        assert isinstance(message, Envelope), one.line
        assert kind_of(message) is Kind[theirs["kind"]], one.line
        method = None if message.method is UNSET else message.method
        assert method == theirs["method"], one.line
        if theirs["kind"] == "REQUEST":
            assert id_key(message.raw_id) == id_key(theirs["id"].encode()), one.line


_UNUSABLE = {
    (-32700,): [Other.UNPARSEABLE],
    (-32600,): [Other.BATCH, Other.SCALAR],
    (): [Other.BLANK],
}


@pytest.mark.parametrize("mode", BillingMode)
def test_what_the_adapter_would_execute_was_judged_as_that(
    read_by_the_adapter: list[Read], mode: BillingMode
) -> None:
    for one in read_by_the_adapter:
        core = relay(mode, [ModeLock(mode, POLICY)])
        commands = core.receive_from_client(one.line, 0.0) + core.client_closed(0.0)
        for theirs in one.messages:
            if theirs["kind"] in ("REQUEST", "NOTIFICATION"):
                argument = theirs["methodId"] if theirs["method"] == "authenticate" else None
                ruling = decide(theirs["method"], argument, mode)
                _check(one, theirs, ruling.outcome, commands)


def _check(one: Read, theirs: dict[str, Any], outcome: Outcome, commands: list[Any]) -> None:
    forwarded = sent_to_agent(commands)
    match outcome:
        case Outcome.PASS:
            assert forwarded == one.line
        case Outcome.REFUSE:
            assert forwarded == b"", one.line
            assert recorded(commands), one.line
            if theirs["kind"] == "REQUEST":
                answer = json_text.members(sent_to_client(commands))
                assert answer is not None
                message = read(one.line)
                assert isinstance(message, Envelope)
                assert answer["id"] == message.raw_id, one.line
        case Outcome.REWRITE:
            assert forwarded, one.line


def test_no_rewritten_session_carries_a_channel_as_the_adapter_reads_it(
    read_by_the_adapter: list[Read],
) -> None:
    opening = [
        one
        for one in read_by_the_adapter
        if one.messages
        and one.messages[0]["method"] in ("session/new", "session/load", "session/fork")
    ]
    lock = ModeLock(BillingMode.SUBSCRIPTION, POLICY)
    rewritten = []
    for one in opening:
        core = relay(interceptors=[lock])
        commands = core.receive_from_client(one.line, 0.0) + core.client_closed(0.0)
        rewritten.append(sent_to_agent(commands))
    leaks = 0
    for before, after in zip(opening, adapter_reads(rewritten), strict=True):
        leaks += bool(CHANNELS.intersection(before.messages[0]["env"]))
        (theirs,) = after.messages
        assert theirs["kind"] == before.messages[0]["kind"]
        assert theirs["id"] == before.messages[0]["id"], before.line
        assert not [name for name in theirs["env"] if name.split("=")[0] in CHANNELS]
        if after.line != before.line:
            assert theirs["hasSettings"], after.line
            assert theirs["helper"] == "", after.line
    assert leaks > 20
