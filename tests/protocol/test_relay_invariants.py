"""What holds for every stream and every interleaving."""

import json
from collections import Counter
from collections.abc import Callable
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from acp_bridge.errors import Reason
from acp_bridge.modes import BillingMode
from acp_bridge.protocol import json_text
from acp_bridge.protocol.commands import Ask, Command, ToAgent
from acp_bridge.protocol.envelope import id_key
from tests.protocol import corpus
from tests.protocol.playbook import (
    failure,
    guarded,
    notification,
    recorded,
    relay,
    request,
    result,
    sent_to_agent,
    sent_to_client,
    status,
)

LINES = corpus.lines(400, seed=2)
STREAM = st.lists(
    st.tuples(st.sampled_from(LINES[2:]), st.sampled_from([b"\n", b"\r\n"])), max_size=12
).map(lambda pairs: b"".join(line + end for line, end in pairs))
LIMIT = st.sampled_from([120, 100_000])
CUTS = st.lists(st.integers(min_value=0, max_value=20_000), max_size=12)


def cut(stream: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(stream), *(c % (len(stream) + 1) for c in cuts)})
    return [stream[a:b] for a, b in pairwise(places)]


def spoken(commands: list[Command]) -> tuple[bytes, bytes, list[object]]:
    asked = [one for one in commands if isinstance(one, Ask)]
    return sent_to_agent(commands), sent_to_client(commands), [*recorded(commands), *asked]


@given(STREAM, CUTS, st.sampled_from(list(BillingMode)), LIMIT)
def test_any_chunking_of_a_client_stream_gives_the_same_output(
    stream: bytes, cuts: list[int], mode: BillingMode, limit: int
) -> None:
    outputs = []
    for chunks in (cut(stream, cuts), [stream]):
        core = guarded(mode, max_client_line_bytes=limit)
        commands = core.receive_from_agent(status("none"), 0.0)
        for chunk in chunks:
            commands += core.receive_from_client(chunk, 0.0)
        outputs.append(spoken(commands + core.client_closed(0.0) + core.agent_closed("gone", 0.0)))
    assert outputs[0] == outputs[1]


@given(STREAM, CUTS)
def test_any_chunking_of_an_agent_stream_gives_the_same_output(
    stream: bytes, cuts: list[int]
) -> None:
    outputs = []
    for chunks in (cut(stream, cuts), [stream]):
        core = guarded()
        commands = core.receive_from_client(request(1, "x") + request("1", "initialize"), 0.0)
        for chunk in chunks:
            commands += core.receive_from_agent(chunk, 0.0)
        outputs.append(spoken(commands + core.agent_closed("gone", 0.0)))
    assert outputs[0] == outputs[1]


UNTOUCHED = st.lists(
    st.sampled_from(
        [
            notification(
                "session/update",
                {"x": "é😀"},
            ),
            request(1, "session/list"),
            request("1", "_unheard/of", {"a": 1.5}),
            b' { "jsonrpc" : "2.0" , "method":"session\\/cancel"} \r\n',
            b"\xef\xbb\xbf\n",
            b'{"a":"\xff"}\n',
            b"17\n",
            b"\n",
        ]
    )
).map(b"".join)


@given(UNTOUCHED, UNTOUCHED, CUTS)
def test_streams_that_need_no_change_are_the_same_bytes_in_the_same_order(
    ours: bytes, theirs: bytes, cuts: list[int]
) -> None:
    core = guarded()
    to_agent = [core.receive_from_client(chunk, 0.0) for chunk in cut(ours, cuts)]
    to_client = [core.receive_from_agent(chunk, 0.0) for chunk in cut(theirs, cuts)]
    assert sent_to_agent([one for commands in to_agent for one in commands]) == ours
    assert sent_to_client([one for commands in to_client for one in commands]) == theirs


class OneResponseEach(RuleBasedStateMachine):
    """Client, agent, time and the outside do what they like; every request gets one response."""

    METHODS = (
        "initialize",
        "session/new",
        "session/prompt",
        "session/prompt",
        "session/prompt",
        "session/list",
        "logout",
        "providers/set",
        "authenticate",
        "_acp_bridge/status",
    )
    ids = st.sampled_from([0, 1, 1.0, "1", "a", 2**60])

    def __init__(self) -> None:
        super().__init__()
        self.core = guarded()
        self.now = 0.0
        self.asked: Counter[object] = Counter()
        self.answered: Counter[object] = Counter()
        self.at_the_agent: list[object] = []
        self.ended = False
        self.closed = False

    def happened(self, commands: list[Command]) -> None:
        for one in commands:
            if isinstance(one, ToAgent):
                for line in one.data.splitlines():
                    message = json.loads(line)
                    if "id" in message and "method" in message:
                        self.at_the_agent.append(message["id"])
            if isinstance(one, Ask):
                self.happened(self.core.answer(one.number, b"{}"))
        for line in sent_to_client(commands).splitlines():
            members = json_text.members(line) or {}
            if "method" not in members:
                self.answered[id_key(members["id"])] += 1

    @precondition(lambda self: not self.closed)
    @rule(number=ids, method=st.sampled_from(METHODS), session=st.sampled_from(["s1", "s2"]))
    def client_asks(self, number: object, method: str, session: str) -> None:
        line = request(number, method, {"sessionId": session, "methodId": "gateway"})
        self.asked[id_key(json.dumps(number).encode())] += 1
        self.happened(self.core.receive_from_client(line, self.now))

    @precondition(lambda self: self.at_the_agent and not self.ended)
    @rule(at=st.integers(min_value=0), answer=st.sampled_from([result, failure]))
    def agent_answers(self, at: int, answer: Callable[[object], bytes]) -> None:
        number = self.at_the_agent.pop(at % len(self.at_the_agent))
        self.happened(self.core.receive_from_agent(answer(number), self.now))

    @precondition(lambda self: not self.ended)
    @rule(number=ids)
    def agent_answers_twice_or_nobody(self, number: object) -> None:
        if number not in self.at_the_agent:
            self.happened(self.core.receive_from_agent(result(number), self.now))

    @precondition(lambda self: not self.ended)
    @rule(kind=st.sampled_from(["account", "api_key", "gateway", "none"]))
    def agent_reports(self, kind: str) -> None:
        self.happened(self.core.receive_from_agent(status(kind), self.now))

    @precondition(lambda self: not self.ended)
    @rule(number=ids)
    def agent_asks(self, number: object) -> None:
        line = request(number, "session/request_permission")
        self.happened(self.core.receive_from_agent(line, self.now))

    @rule(seconds=st.floats(min_value=0, max_value=6))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.happened(self.core.tick(self.now))

    @rule()
    def the_guard_is_bypassed(self) -> None:
        self.happened(self.core.contradict(Reason.GUARD_BYPASSED, "No.", self.now))

    @precondition(lambda self: not self.closed)
    @rule()
    def client_ends(self) -> None:
        self.closed = True
        self.happened(self.core.client_closed(self.now))

    @precondition(lambda self: not self.ended)
    @rule()
    def agent_ends(self) -> None:
        self.ended = True
        self.happened(self.core.agent_closed("it exited", self.now))

    @invariant()
    def nobody_is_answered_more_often_than_asked(self) -> None:
        assert self.answered <= self.asked

    @invariant()
    def a_dead_agent_leaves_nothing_open(self) -> None:
        if self.ended:
            assert self.answered == self.asked

    def teardown(self) -> None:
        if not self.ended:
            self.agent_ends()
        assert self.answered == self.asked


OneResponseEach.TestCase.settings = settings(max_examples=150, stateful_step_count=30)
TestOneResponseEach = OneResponseEach.TestCase


def test_a_stream_that_nobody_answers_still_ends_with_one_answer_each() -> None:
    core = relay()
    core.receive_from_client(b"".join(request(n, "x") for n in range(1000)), 0.0)
    lines = sent_to_client(core.agent_closed("gone", 0.0)).splitlines()
    assert [json.loads(line)["id"] for line in lines] == list(range(1000))
