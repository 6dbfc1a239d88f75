"""Each client request gets exactly one response, whenever the agent ends and however it talks."""

import json
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.bridge.process import bridge_process, stand_in

FULL = os.environ.get("ACP_TEST_PROFILE") == "full"
SEEDS = range(400 if FULL else 24)
KINDS = ("other", "claude")


class Conversation:
    """What a client writes in one go, from a seed.

    Attributes:
        data: the bytes, fewer than a pipe holds, so that all are written before any is answered.
        ids: the ids of the requests in them.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - a test's choice, not a secret
        self.ids: list[Any] = []
        lines = [self._line() for _ in range(self._random.randint(5, 60))]
        lines += self._random.choice(([], [b'{"jsonrpc": "2.0", "id": "cut", "meth']))
        self.data = b"".join(lines)

    def _line(self) -> bytes:
        pick = self._random.choice
        make = pick([self._request, self._request, self._prompt, self._prompt, self._other])
        return make()

    def _request(self) -> bytes:
        method = self._random.choice(
            ["session/list", "_unknown/method", "_acp_bridge/status", "session/new", "logout"]
        )
        return self._spelled(method, {"cwd": "/", "mcpServers": []})

    def _prompt(self) -> bytes:
        texts = ["text:hi", "chunks:20", "wait", "hang", "nonsense:2 text:x", "stderr:5"]
        if self._random.random() < 0.1:
            texts = ["exit:3", "signal:9", "mute", "deaf"]
        block = {"type": "text", "text": self._random.choice(texts)}
        params = {"sessionId": f"session-{self._random.randint(1, 3)}", "prompt": [block]}
        return self._spelled("session/prompt", params)

    def _other(self) -> bytes:
        return self._random.choice(
            [
                b'{"jsonrpc":"2.0","method":"session/cancel","params":{"sessionId":"session-1"}}\n',
                b'{"jsonrpc":"2.0","id":"r1","result":{}}\n',
                b"\n",
                b'{"jsonrpc":"2.0","method":"_note"}\n',
            ]
        )

    def _spelled(self, method: str, params: dict[str, Any]) -> bytes:
        number = len(self.ids)
        self.ids.append(self._random.choice([number, f"id-{number}"]))
        message = {"jsonrpc": "2.0", "id": self.ids[-1], "method": method, "params": params}
        end = self._random.choice(["\n", "\r\n"])
        return (json.dumps(message) + end).encode()


@pytest.mark.parametrize("seed", SEEDS)
async def test_each_request_gets_one_response(tmp_path: Path, seed: int) -> None:
    conversation = Conversation(seed)
    choice = random.Random(seed)  # noqa: S311 - as above
    kind = KINDS[seed % 2]
    name = "claude-agent-acp" if kind == "claude" else "stand-in"
    options = ["--name", name, "--exit-at", str(choice.randint(1, 80))]
    options += choice.choice([[], ["status:none"], ["status:api_key"]])
    settings = {"agent_kind": kind, "claude": "/bin/true", "status_wait_seconds": "0.2"}
    async with bridge_process(tmp_path, settings, agent=stand_in(*options)) as bridge:
        await bridge.send_bytes(conversation.data)
        bridge.close_stdin()
        await bridge.exit_status()
        answered = [one["id"] for one in bridge.messages if "method" not in one]

    cut = [None] if conversation.data.endswith(b"meth") else []
    ours = Counter(number for number in answered if number is not None)
    assert ours == Counter(conversation.ids)
    assert answered.count(None) <= len(cut)
    assert "Traceback" not in bridge.stderr
