"""What the agent's own shell runs in a proof. It is copied there, and so knows nothing of the rest.

    python in_the_shell.py ask REPORT KEY
    python in_the_shell.py search REPORT HALF HALF FOLDER…

The report is a JSON list of the places where the secret was found, in words and without values. It
is written by whoever did what was wanted; where there is none, nothing was tried.
"""

import contextlib
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

SECONDS = 20.0
_ASKED = b'{"model": "claude-haiku-5-5", "max_tokens": 1, "messages": []}'


def ask(report: Path, key: str) -> None:
    """Ask a model at the agent's own address, with a key that is not the agent's."""
    url = os.environ["ANTHROPIC_BASE_URL"] + "/v1/messages"
    headers = {"x-api-key": key, "anthropic-version": "2023-06-01"}
    request = urllib.request.Request(url, _ASKED, headers)  # noqa: S310 - the agent's own address
    # Before the request: a bridge that refuses it may end this program.
    _tell(report, [])
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with contextlib.suppress(urllib.error.HTTPError):
        direct.open(request, timeout=SECONDS).close()


def search(report: Path, first: str, second: str, *folders: str) -> None:
    """Look for a secret in all that a program of the agent's can read.

    Args:
        report: where to tell.
        first: half of the secret: whole, it would be found in this program's own arguments.
        second: the other half.
        folders: where to look through every file.
    """
    secret = (first + second).encode()
    _tell(report, list(dict.fromkeys(_places(secret, folders))))


def _places(secret: bytes, folders: Sequence[str]) -> Iterator[str]:
    for name, value in os.environb.items():
        if secret in value:
            yield f"its variable {os.fsdecode(name)}"
    # Linux shows both of every process of the same user that does not hide itself.
    for file, words in (("environ", "the environment"), ("cmdline", "the arguments")):
        for path in Path("/proc").glob(f"[0-9]*/{file}"):
            if secret in _read(path):
                yield f"{words} of {_read(path.parent / 'comm').decode(errors='replace').strip()}"
    for folder in folders:
        for path in Path(folder).rglob("*"):
            if path.is_file() and secret in _read(path):
                yield f"a file {path.name}"


def _read(path: Path) -> bytes:
    with contextlib.suppress(OSError):
        return path.read_bytes()
    return b""


def _tell(report: Path, found: list[str]) -> None:
    report.write_text(json.dumps(found), encoding="utf-8")


_DEEDS: dict[str, Callable[..., None]] = {"ask": ask, "search": search}

if __name__ == "__main__":
    _DEEDS[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
