"""Lines that a JSON-RPC reader can get wrong, generated from a seed."""

import json
import random

METHODS = (
    "authenticate",
    "logout",
    "providers/set",
    "providers/disable",
    "providers/list",
    "session/new",
    "session/load",
    "session/resume",
    "session/fork",
    "session/prompt",
    "session/cancel",
    "_auth/status_update",
    "constructor",
    "__proto__",
    "Authenticate",
    "authenticate ",
    "",
)
METHOD_IDS = ("claude-ai-login", "claude-login", "console-login", "gateway", "gateway-bedrock", "x")
IDS = (
    "0", "1", "-1", "1.0", "1e2", "100", "-0", "0.1", "1E400", "-1e999", "9007199254740993",
    "12345678901234567890", "123456789012345678901234567890", "1e21", "1e-7", "5e-324",
    '"1"', '"a\\u0062"', '"\\ud800"', '"\\ud83d\\ude00"', '"\xe9"', '""', '"\\n\\/"', "null",
    "true", "false", "{}", "[]", '{"a":1}', "9" * 400,
)  # fmt: skip
VALUES = (
    "1", "null", "[]", "{}", '"x"', '"\\ud800x"', '"\\u0000"', "1e999", "9" * 400, "-0.0",
    '{"a":{"b":[1,2,{"c":null}]}}', "true", "[[[[]]]]", '"\\ud83d"', '{"__proto__":1}',
)  # fmt: skip
BAD_VALUES = (
    "NaN", "Infinity", "01", "1.", "+1", ".5", "'x'", '"\t"', '"\\x"', '"\\u12"', "[1,]", "{a:1}",
    '{"a":1,}', "tru", "", "undefined", "0x1", "1_0", '"a', "[1}", "\x0b1",
)  # fmt: skip
BLANKS = ("", " ", "\t", "\r", "  \t")
EDGES = ("", " ", "\ufeff", "\u00a0", "\u2028", "\x0b", "\x0c", "\u3000", "\ufeff\ufeff", "\u1680")
ODD_EDGES = ("\x1c", "\x85", "\u180e", "\u200b", "\x00", "x")


def escaped(random_: random.Random, text: str) -> str:
    """A JSON string that spells some of its characters as escapes."""
    spelled = []
    for character in text:
        roll = random_.random()
        code = f"{ord(character):04x}"
        if roll < 0.1:
            spelled.append("\\u" + code)
        elif roll < 0.15:
            spelled.append("\\u" + code.upper())
        else:
            spelled.append(json.dumps(character, ensure_ascii=False)[1:-1])
    return '"' + "".join(spelled) + '"'


def _params(random_: random.Random) -> str:
    members = []
    if random_.random() < 0.8:
        members.append(("methodId", escaped(random_, random_.choice(METHOD_IDS))))
    if random_.random() < 0.1:
        members.append(("methodId", random_.choice(VALUES)))
    if random_.random() < 0.5:
        options = _object(random_, [("env", _env(random_)), ("settings", _settings(random_))])
        claude = _object(random_, [("options", options)])
        members.append(("_meta", _object(random_, [("claudeCode", claude)])))
    if random_.random() < 0.2:
        members.append(("sessionId", random_.choice(IDS)))
    return _object(random_, members)


def _env(random_: random.Random) -> str:
    names = ("ANTHROPIC_API_KEY", "ANTHROPIC_API_KEY=x", "HARMLESS", "ANTHROPIC_BASE_URL", "PATH")
    chosen = random_.sample(names, random_.randrange(len(names)))
    return _object(random_, [(name, '"v"') for name in chosen])


def _settings(random_: random.Random) -> str:
    if random_.random() < 0.3:
        return random_.choice(VALUES)
    return _object(random_, [("apiKeyHelper", '"/bin/key"'), ("env", _env(random_))])


def _object(random_: random.Random, members: list[tuple[str, str]]) -> str:
    """An object with members shuffled, now and then doubled, and blanks between."""
    written = list(members)
    if written and random_.random() < 0.15:
        name, _ = random_.choice(written)
        written.append((name, random_.choice(VALUES)))
    if random_.random() < 0.1:
        written.append(("__proto__", '{"method":"x","options":{}}'))
    random_.shuffle(written)
    parts = (
        _spaced(random_, escaped(random_, name)) + ":" + _spaced(random_, value)
        for name, value in written
    )
    return "{" + ",".join(parts) + "}"


def _spaced(random_: random.Random, text: str) -> str:
    """Now and then with blanks around."""
    if random_.random() < 0.9:
        return text
    return random_.choice(BLANKS) + text + random_.choice(BLANKS)


def _line(random_: random.Random) -> bytes:
    members: list[tuple[str, str]] = []
    if random_.random() < 0.95:
        members.append(("jsonrpc", random_.choice(['"2.0"'] * 9 + ['"2\\u002e0"', "2.0", '"1.0"'])))
    if random_.random() < 0.85:
        members.append(("method", escaped(random_, random_.choice(METHODS))))
    if random_.random() < 0.05:
        members.append(("method", random_.choice(VALUES)))
    if random_.random() < 0.7:
        members.append(("id", random_.choice(IDS)))
    if random_.random() < 0.9:
        members.append(("params", _params(random_)))
    if random_.random() < 0.15:
        members.append((random_.choice(["result", "error"]), random_.choice(VALUES)))
    if random_.random() < 0.05:
        members.append((random_.choice(["params", "x"]), random_.choice(BAD_VALUES)))
    text = _object(random_, members)
    roll = random_.random()
    if roll < 0.03:
        text = random_.choice((*VALUES, *BAD_VALUES, f"[{text}]", text + text, text[:-1]))
    edges = EDGES if random_.random() < 0.97 else ODD_EDGES
    if random_.random() < 0.2:
        text = random_.choice(edges) + text + random_.choice(edges)
    raw = text.encode("utf-8", "surrogatepass")
    return _damaged(random_, raw) if random_.random() < 0.1 else raw


def _damaged(random_: random.Random, raw: bytes) -> bytes:
    """Bytes that are no UTF-8, somewhere."""
    damage = random_.choice(
        (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xe2\x80", b"\xf4\x90\x80\x80", b"\xc3")
    )
    at = random_.randrange(len(raw) + 1)
    return raw[:at] + damage + raw[at:]


def deep(levels: int) -> bytes:
    """A request with deeply nested params before its method."""
    nested = b'{"x":' * levels + b"1" + b"}" * levels
    return (
        b'{"jsonrpc":"2.0","params":{"methodId":"gateway","x":'
        + nested
        + (b'},"id":7,"method":"authenticate"}')
    )


def lines(count: int, seed: int) -> list[bytes]:
    """A corpus, the same for the same seed; none of its lines has a line feed in it."""
    random_ = random.Random(seed)  # noqa: S311  (a reproducible corpus, nothing secret)
    return [deep(2000), deep(200), *(_line(random_) for _ in range(count))]
