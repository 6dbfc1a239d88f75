"""The scripted agent: its script, its words, and the program."""

import json
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acp_bridge.agent.in_memory import InMemoryAgent
from acp_bridge.testing import (
    AskPermission,
    Chunk,
    Crash,
    End,
    Fail,
    Hang,
    Notify,
    Pause,
    Script,
    ScriptedAgent,
    ScriptError,
    TurnUsage,
    Update,
    Write,
    read_script,
    release,
)

Json = dict[str, Any]
Run = Callable[[Callable[[], Awaitable[Any]]], Any]
PROGRAM = (sys.executable, "-P", "-m", "acp_bridge.testing.agent")
SECONDS = 60.0

TEXTS = st.text(max_size=20)
OBJECTS = st.dictionaries(TEXTS, TEXTS | st.integers(0, 9) | st.none(), max_size=2)
WORDS = st.one_of(
    st.builds(Chunk, text=TEXTS, times=st.integers(0, 5)),
    st.builds(Update, update=OBJECTS),
    st.builds(Notify, method=TEXTS, params=OBJECTS),
    st.builds(Pause, until=TEXTS),
    st.builds(Write, text=TEXTS),
    st.builds(Fail, message=TEXTS, code=st.integers(-40000, 0), data=st.none() | OBJECTS),
    st.builds(End, usage=st.none() | st.builds(TurnUsage), meta=st.none() | OBJECTS),
    st.builds(Crash, status=st.integers(0, 255), signal=st.none() | st.integers(1, 15)),
    st.just(Hang()),
)
TURNS = st.lists(
    WORDS | st.builds(AskPermission, title=TEXTS, granted=st.tuples(WORDS)), max_size=4
).map(tuple)


@given(st.builds(Script, turns=st.tuples(TURNS, TURNS), name=TEXTS, stubborn=st.booleans()))
def test_any_script_survives_the_command_line(script: Script) -> None:
    *_, argument = ScriptedAgent.of(script).command
    assert read_script(argument) == script


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"turns": [[{"do": "chunk", "txt": "x"}]]}', "unknown field `txt`"),
        ('{"turns": [[{"do": "dance"}]]}', "'dance'"),
        ('{"turn": []}', "unknown field `turn`"),
        ("no-such-file.json", "no-such-file.json"),
    ],
)
def test_a_script_that_cannot_be_read_says_where_and_why(text: str, said: str) -> None:
    with pytest.raises(ScriptError, match=said):
        read_script(text)


async def answers(agent: ScriptedAgent, *messages: Json | bytes, until: object) -> list[Json]:
    """What the agent says to these messages, up to the response with an id."""
    said: list[Json] = []
    data = b""
    async with InMemoryAgent(agent) as running:
        for message in messages:
            line = message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n"
            await running.stdin.send(line)
        while not any(one.get("id", "none") == until and "method" not in one for one in said):
            data += await running.stdout.receive()
            *lines, data = data.split(b"\n")
            said += [json.loads(line) for line in lines]
    return said


def prompt(number: int, session: str = "s") -> Json:
    return {"id": number, "method": "session/prompt", "params": {"sessionId": session}}


def test_turns_are_taken_one_per_prompt_and_then_comes_a_default(run: Run) -> None:
    agent = ScriptedAgent([Chunk("first")], [Chunk("second"), End("max_tokens")])

    async def scenario() -> None:
        said = await answers(agent, prompt(1), prompt(2, "t"), prompt(3, "u"), until=3)
        texts = {
            one["params"]["sessionId"]: one["params"]["update"]["content"]["text"]
            for one in said
            if "params" in one
        }
        assert texts == {"s": "first", "t": "second", "u": "Hello from the scripted agent."}
        stops = {one["id"]: one["result"]["stopReason"] for one in said if "id" in one}
        assert stops == {1: "end_turn", 2: "max_tokens", 3: "end_turn"}

    run(scenario)


def test_usage_and_meta_are_in_the_response(run: Run) -> None:
    usage = TurnUsage(1, 20, cached_read_tokens=300, cached_write_tokens=4000)
    agent = ScriptedAgent([End(usage=usage, meta={"quota": {}})])

    async def scenario() -> None:
        (said,) = await answers(agent, prompt(1), until=1)
        assert said["result"] == {
            "stopReason": "end_turn",
            "usage": {
                "inputTokens": 1,
                "outputTokens": 20,
                "cachedReadTokens": 300,
                "cachedWriteTokens": 4000,
                "totalTokens": 4321,
            },
            "_meta": {"quota": {}},
        }

    run(scenario)


def test_an_error_a_notification_and_an_update_are_what_the_script_says(run: Run) -> None:
    status = {"authStatus": {"kind": "account"}}
    plan: Json = {"sessionUpdate": "plan", "entries": []}
    agent = ScriptedAgent(
        [Update(plan), Fail("no", code=-32000, data={"why": 1}), Chunk("never")],
        at_start=[Notify("_auth/status_update", status)],
    )

    async def scenario() -> None:
        initialize = {"id": 0, "method": "initialize"}
        card, notified, updated, failed = await answers(agent, initialize, prompt(1), until=1)
        assert card["result"]["agentInfo"]["name"] == "scripted-agent"
        assert (notified["method"], notified["params"]) == ("_auth/status_update", status)
        assert updated["params"] == {"sessionId": "s", "update": plan}
        assert failed["error"] == {"code": -32000, "message": "no", "data": {"why": 1}}

    run(scenario)


def test_an_event_that_was_released_before_stops_nobody(run: Run) -> None:
    agent = ScriptedAgent([Pause("go"), Chunk("went")])

    async def scenario() -> None:
        said = await answers(agent, release("go"), prompt(1), until=1)
        assert [one.get("id") for one in said] == [None, 1]

    run(scenario)


def test_a_cancelled_turn_says_nothing_more(run: Run) -> None:
    agent = ScriptedAgent([AskPermission("rm", declined=(Chunk("never"),)), Chunk("never")])
    cancel = {"method": "session/cancel", "params": {"sessionId": "s"}}

    async def scenario() -> None:
        *asked, answer = await answers(agent, prompt(1), cancel, until=1)
        assert [one["method"] for one in asked] in ([], ["session/request_permission"])
        assert answer["result"] == {"stopReason": "cancelled"}

    run(scenario)


def test_nonsense_and_unknown_requests_are_answered(run: Run) -> None:
    async def scenario() -> None:
        unknown = {"id": "x", "method": "providers/list"}
        said = await answers(ScriptedAgent(), b"nonsense\n", b"\n", unknown, until="x")
        assert [(one["id"], one["error"]["code"]) for one in said] == [
            (None, -32700),
            ("x", -32601),
        ]

    run(scenario)


def run_program(*arguments: str, stdin: Sequence[Json] = ()) -> subprocess.CompletedProcess[bytes]:
    text = "".join(json.dumps(message) + "\n" for message in stdin)
    return subprocess.run(
        [*PROGRAM, *arguments],
        input=text.encode(),
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )


def test_the_program_reads_its_script_from_a_file_and_ends_as_it_says(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text('{"turns": [[{"do": "chunk", "text": "é"}, {"do": "crash", "status": 7}]]}')
    # Its input stays open: the end of it would be the end of the agent.
    with subprocess.Popen(
        [*PROGRAM, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        program.stdin.write(json.dumps(prompt(1)).encode() + b"\n")
        program.stdin.flush()
        (update,) = map(json.loads, program.stdout)
        assert program.wait(SECONDS) == 7
    assert update["params"]["update"]["content"]["text"] == "é"


def test_the_program_without_a_script_is_an_agent_too() -> None:
    done = run_program(stdin=[{"id": 0, "method": "initialize"}])
    assert done.returncode == 0
    assert json.loads(done.stdout)["result"]["agentInfo"]["name"] == "scripted-agent"


@pytest.mark.parametrize("arguments", [("{]",), ("{}", "{}")], ids=["unreadable", "two"])
def test_wrong_usage_is_status_2_an_error_and_a_hint(arguments: tuple[str, ...]) -> None:
    done = run_program(*arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"error: ")
    assert b"\nhint: " in done.stderr
