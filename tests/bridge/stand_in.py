"""A small ACP agent that does as the prompts tell it; the standard library only.

    python stand_in.py [--name NAME] [--ignore-end] [--log FILE] [--exit-at N] [SAY …]

A prompt's text is a list of words, each with what follows its colon, done from left to right:

    text:TEXT        one message chunk
    chunks:N         N message chunks
    status:KIND      an ``_auth/status_update``
    nonsense:N       N lines that are no JSON
    stderr:LINES     so many lines on stderr
    say:TEXT         one line on stderr
    exit:CODE        end at once
    signal:N         end by that signal
    child            start a `sleep` in a session of its own, and tell its process id in a chunk
    wait             answer only when the turn is cancelled
    hang             never answer
    ask-permission   ask for it, and tell the answer in a chunk
    look:WORD        tell in a chunk who shows that word to the agent (`look`)
    odd              messages of shapes that no client expects
    deaf             close stdin, and go on
    mute             close stdout, and go on

``--sign-in PROGRAM`` offers a sign-in with a ``terminal-auth`` command of that program. ``SAY …``
is done once the first message has been answered. ``--log`` keeps the bytes of both
directions in ``FILE.in`` and ``FILE.out``. Every unknown request is answered with its own params.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

Json = dict[str, Any]


class StandIn:
    """One agent."""

    def __init__(self, options: dict[str, str], said_at_start: list[str]) -> None:
        self.name = options.get("name", "stand-in")
        self.exit_at = int(options.get("exit-at", "0"))
        self.ignores_the_end = "ignore-end" in options
        self.said_at_start = said_at_start
        log = options.get("log")
        self.log_in = Path(log + ".in").open("wb") if log else None  # noqa: SIM115 - until the end
        self.log_out = Path(log + ".out").open("wb") if log else None  # noqa: SIM115 - until the end
        program = options.get("sign-in")
        self.sign_in = [sign_in_method(program)] if program else []
        self.sessions = 0
        self.messages = 0
        self.waiting: dict[str, object] = {}
        self.session = ""

    def run(self) -> None:
        """Serve until stdin ends."""
        for line in self.lines():
            if self.log_in is not None:
                self.log_in.write(line)
                self.log_in.flush()
            self.messages += 1
            if self.messages == self.exit_at:
                os._exit(23)
            try:
                message = json.loads(line)
            except ValueError:
                continue
            if isinstance(message, dict) and "method" in message:
                self.take(message)
        while self.ignores_the_end:
            time.sleep(1)

    def lines(self) -> Iterator[bytes]:
        """The lines of stdin, until it ends or is closed from inside."""
        with suppress(OSError):
            yield from sys.stdin.buffer

    def take(self, message: Json) -> None:
        """Answer one message."""
        method, number = message["method"], message.get("id")
        params = message.get("params") or {}
        if method == "initialize":
            info = {"name": self.name, "title": "Stand-in", "version": "0.0.1"}
            result = {"protocolVersion": 1, "agentInfo": info, "authMethods": self.sign_in}
            self.answer(number, result)
            for say in self.said_at_start:
                self.do(say)
        elif method == "session/new":
            self.sessions += 1
            self.answer(number, {"sessionId": f"session-{self.sessions}"})
        elif method == "session/prompt":
            self.prompt(number, params)
        elif method == "session/cancel":
            if params["sessionId"] in self.waiting:
                self.answer(self.waiting.pop(params["sessionId"]), {"stopReason": "cancelled"})
        elif "id" in message:
            self.answer(number, params)

    def prompt(self, number: object, params: Json) -> None:
        """Do what the text says, and end the turn."""
        self.session = params["sessionId"]
        text = "".join(block.get("text", "") for block in params["prompt"])
        for word in text.split():
            if word in ("wait", "hang"):
                self.waiting[self.session if word == "wait" else ""] = number
                return
            self.do(word)
        self.answer(number, {"stopReason": "end_turn"})

    def do(self, word: str) -> None:  # noqa: C901, PLR0912 - one branch a word
        """Do one thing."""
        verb, _, value = word.partition(":")
        match verb:
            case "text":
                self.chunk(value)
            case "chunks":
                for number in range(int(value)):
                    self.chunk(f"piece {number} ")
            case "status":
                self.notify("_auth/status_update", {"authStatus": {"kind": value, "label": "x"}})
            case "nonsense":
                for number in range(int(value)):
                    self.write(b"this is no JSON %d\n" % number)
            case "stderr":
                for number in range(int(value)):
                    os.write(2, b"stderr line %d of the stand-in, padded to be longer\n" % number)
            case "say":
                os.write(2, value.encode() + b"\n")
            case "exit":
                os._exit(int(value))
            case "signal":
                os.kill(os.getpid(), int(value))
            case "child":
                child = subprocess.Popen(
                    ["/bin/sleep", "1000"], start_new_session=True, stdin=-3, stdout=-3, stderr=-3
                )
                self.chunk(str(child.pid))
            case "ask-permission":
                self.ask_permission()
            case "look":
                self.chunk(json.dumps(look(value.replace("/", "").encode())) + "\n")
            case "odd":
                for odd in ([1], 1, None, {"id": [1]}, {"method": "session/update"}, {}):
                    self.write(json.dumps(odd).encode() + b"\n")
            case "deaf":
                os.close(0)
            case "mute":
                os.close(1)

    def ask_permission(self) -> None:
        """Ask, and say what the client answered."""
        kinds = {"allow": "allow_once", "reject": "reject_once"}
        options = [{"optionId": name, "kind": kind, "name": name} for name, kind in kinds.items()]
        params = {"sessionId": self.session, "toolCall": {"title": "rm -rf /"}, "options": options}
        self.send(
            {
                "jsonrpc": "2.0",
                "id": "permission",
                "method": "session/request_permission",
                "params": params,
            }
        )
        self.chunk(json.dumps(json.loads(sys.stdin.buffer.readline())["result"]))

    def chunk(self, text: str) -> None:
        """Send a piece of the answer."""
        update = {
            "sessionUpdate": "agent_message_chunk",
            "content": {"type": "text", "text": text},
        }
        self.notify("session/update", {"sessionId": self.session, "update": update})

    def notify(self, method: str, params: Json) -> None:
        """Send a notification."""
        self.send({"jsonrpc": "2.0", "method": method, "params": params})

    def answer(self, number: object, result: Json) -> None:
        """Answer a request."""
        self.send({"jsonrpc": "2.0", "id": number, "result": result})

    def send(self, message: Json) -> None:
        """Send a message, in the spelling of JavaScript's ``JSON.stringify``."""
        text = json.dumps(message, separators=(",", ":"), ensure_ascii=False)
        self.write(text.encode() + b"\n")

    def write(self, data: bytes) -> None:
        """Write all of it."""
        if self.log_out is not None:
            self.log_out.write(data)
            self.log_out.flush()
        with suppress(OSError):
            while data:
                data = data[os.write(1, data) :]


def look(word: bytes) -> Json:
    """Look for a word in the environment and the command line of every process.

    Slashes are taken out of the word first, so that the command line that asks need not hold it.

    Returns:
        The process ids of the bridge, its keeper and the agent (one each); of those that show the
        word in their `environ` and in their `cmdline`; and of those three whose memory is `closed`.
    """
    agent, keeper = os.getpid(), os.getppid()
    bridge = int(Path(f"/proc/{keeper}/stat").read_bytes().rpartition(b")")[2].split()[1])
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 - names
    seen = {
        name: [pid for pid in pids if word in shown(Path(f"/proc/{pid}/{name}"))]
        for name in ("environ", "cmdline")
    }
    three = {"bridge": bridge, "keeper": keeper, "agent": agent}
    closed = [pid for pid in three.values() if not is_open(Path(f"/proc/{pid}/mem"))]
    return {**three, **seen, "closed": closed}


def shown(path: Path) -> bytes:
    """What a file says to this process."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def is_open(path: Path) -> bool:
    """Whether this process may open a file."""
    try:
        path.open("rb").close()
    except PermissionError:
        return False
    return True


def sign_in_method(program: str) -> Json:
    """A way to sign in, as the Claude adapter offers it."""
    args = ["index.js", "--cli", "auth", "login", "--claudeai"]
    terminal = {"command": program, "args": args, "label": "Sign in"}
    return {"id": "claude-ai-login", "name": "Sign in", "_meta": {"terminal-auth": terminal}}


def main(arguments: list[str]) -> None:
    """Read the options and serve."""
    options: dict[str, str] = {}
    rest = list(arguments)
    while rest and rest[0].startswith("--"):
        name = rest.pop(0).removeprefix("--")
        options[name] = "" if name == "ignore-end" else rest.pop(0)
    if "ignore-end" in options:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
    StandIn(options, rest).run()


if __name__ == "__main__":
    main(sys.argv[1:])
