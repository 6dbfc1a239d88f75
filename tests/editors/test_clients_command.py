"""``acp-bridge clients``: what each client is told, written into its file, and taken back."""

import difflib
import json
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from acp_bridge import __version__
from acp_bridge.clients.changes import FileChange, apply, undo
from acp_bridge.clients.jsonc import parse
from acp_bridge.errors import ConfigurationError
from tests.editors.user import CLIENTS, COMMAND, TITLE, User


def entry_of(client: str, content: bytes) -> Any:
    value: Any = parse(content.decode("utf-8-sig")).value
    for key in CLIENTS[client].path:
        value = value[key]
    return value


CHANGED: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "line breaks of Windows": lambda text: text.replace("\n", "\r\n"),
    "a byte order mark": lambda text: "\ufeff" + text,
    "no line break at its end": lambda text: text.rstrip("\n"),
}


@pytest.mark.parametrize("how", CHANGED)
@pytest.mark.parametrize("client", CLIENTS)
def test_the_entry_is_added_to_what_is_there_and_undo_restores_the_bytes(
    user: User, client: str, how: str
) -> None:
    before = CHANGED[how](CLIENTS[client].sample)
    path = user.has(client, before)
    path.chmod(0o640)

    shown = user.clients(client, "--write")

    after = path.read_bytes()
    assert entry_of(client, after) == CLIENTS[client].value
    old, new = (text.splitlines(keepends=True) for text in (before, after.decode()))
    lost = [line for line in difflib.ndiff(old, new) if line.startswith("- ")]
    # Only the line of what was the last member changes, and nothing is taken out of it.
    assert len(lost) <= 1
    rest = iter(after.decode())
    assert all(character in rest for character in before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert shown.stdout.startswith(f"--- {path}\n+++ {path}\n")
    others = parse(before.removeprefix("\ufeff")).value
    left: Any = parse(after.decode("utf-8-sig")).value
    del left[CLIENTS[client].path[0]][CLIENTS[client].path[1]]
    assert left == others

    assert user.clients(client, "--write").stderr == "nothing to change\n"
    assert path.read_bytes() == after
    user.clients(client, "--undo")
    assert path.read_bytes() == before.encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    user.clients(client, "--undo", status=2)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_missing_file_is_made_and_undo_takes_it_away(user: User, client: str) -> None:
    path = user.file(client)
    user.clients(client, "--write")
    assert entry_of(client, path.read_bytes()) == CLIENTS[client].value
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    user.clients(client, "--undo")
    assert not path.exists()


@pytest.mark.parametrize("client", CLIENTS)
def test_a_symbolic_link_stays_one(user: User, client: str) -> None:
    elsewhere = user.home / "dotfiles" / "settings"
    elsewhere.parent.mkdir()
    elsewhere.write_text(CLIENTS[client].sample)
    path = user.file(client)
    path.parent.mkdir(parents=True)
    path.symlink_to(elsewhere)
    user.clients(client, "--write")
    assert path.is_symlink()
    assert entry_of(client, elsewhere.read_bytes()) == CLIENTS[client].value
    user.clients(client, "--undo")
    assert path.is_symlink()
    assert elsewhere.read_text() == CLIENTS[client].sample


@pytest.mark.parametrize("client", CLIENTS)
def test_where_nothing_can_be_written_nothing_is_and_the_hint_is_to_paste(
    user: User, client: str
) -> None:
    path = user.file(client)
    path.parent.parent.mkdir(parents=True, exist_ok=True)
    path.parent.write_text("a file in the folder's place")
    done = user.clients(client, "--write", status=2)
    assert f"error: cannot write {path}: " in done.stderr
    assert "paste what `acp-bridge clients` prints" in done.stderr
    assert path.parent.read_text() == "a file in the folder's place"
    user.clients(client, "--undo", status=2)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{\n  "a": 1\n  "b": 2\n}', "line 3, column 3: a ',' is missing; it was left alone"),
        (b"[]", "the document is no object; it was left alone"),
        (b'{"agent_servers": 1}', "agent_servers is no object; it was left alone"),
        (b"\xff\xfe{", "is not UTF-8, so it was left alone"),
    ],
)
def test_what_cannot_be_read_is_left_alone(user: User, content: bytes, said: str) -> None:
    path = user.has("zed", "")
    path.write_bytes(content)
    assert said in user.clients("zed", "--write", status=2).stderr
    assert path.read_bytes() == content


def test_another_mode_is_another_entry_and_each_is_taken_back_in_turn(user: User) -> None:
    path = user.has("zed", "{}")
    user.clients("zed", "--write")
    first = path.read_bytes()
    user.clients("zed", "--mode", "A", "--write")
    servers: Any = parse(path.read_text()).value
    assert list(servers["agent_servers"]) == [TITLE, "Claude (api-key)"]
    user.clients("zed", "--undo")
    assert path.read_bytes() == first
    user.clients("zed", "--undo")
    assert path.read_bytes() == b"{}"


def test_each_client_takes_back_its_own(user: User) -> None:
    """Two of them share a file, and the name of one begins with the other's."""
    path = user.has("vscode", CLIENTS["vscode"].sample)
    user.clients("vscode", "--write")
    first = path.read_bytes()
    user.clients("vscode-claude", "--write")
    assert "was changed since" in user.clients("vscode", "--undo", status=2).stderr
    user.clients("vscode-claude", "--undo")
    assert path.read_bytes() == first
    user.clients("vscode", "--undo")
    assert path.read_text() == CLIENTS["vscode"].sample


def test_what_somebody_changed_since_is_not_taken_back(user: User) -> None:
    path = user.has("zed", "{}")
    user.clients("zed", "--write")
    path.write_text(path.read_text() + "// mine\n")
    done = user.clients("zed", "--undo", status=2)
    assert "was changed since acp-bridge wrote it, so it was left alone" in done.stderr
    assert path.read_text().endswith("// mine\n")


def test_the_diff_shows_no_credential_that_stands_beside_the_entry(user: User) -> None:
    theirs = (
        '{\n  "agent_servers": {\n    "Codex": {"env": {"OPENAI_API_KEY": "sk-FAKE"}}\n  }\n}\n'
    )
    path = user.has("zed", theirs)
    assert '"OPENAI_API_KEY": "[redacted]"' in user.clients("zed", "--write").stdout
    assert json.loads(path.read_text())["agent_servers"]["Codex"]["env"] == {
        "OPENAI_API_KEY": "sk-FAKE"
    }
    assert "FAKE" not in user.clients("zed", "--undo").stdout
    assert path.read_text() == theirs


def test_a_backup_that_somebody_garbled_is_told(user: User) -> None:
    path = user.has("zed", CLIENTS["zed"].sample)
    user.clients("zed", "--write")
    written = path.read_text()
    folder = user.home / "state" / "backups" / "zed"
    (folder / "mine.json").write_text("{}")
    (folder / "0001.json").write_text("{}")
    done = user.clients("zed", "--undo", status=2)
    assert "0001.json cannot be read, so nothing was taken back" in done.stderr
    assert path.read_text() == written


def test_only_the_diff_is_shown_when_that_is_asked_for(user: User) -> None:
    path = user.has("zed", CLIENTS["zed"].sample)
    assert f'+      "command": "{COMMAND}",' in user.clients("zed", "--dry-run").stdout
    assert path.read_text() == CLIENTS["zed"].sample


def test_settings_are_handed_on_and_a_key_never_is(user: User) -> None:
    words = ("--mode", "api-key", "--api-key-file", "keys/a", "--guard", "observe")
    done = user.clients("generic", *words)
    assert done.stdout.split()[1:] == [
        "--mode",
        "api-key",
        f"--api-key-file={Path.cwd() / 'keys' / 'a'}",
        "--guard=observe",
    ]
    user.env["ACP_BRIDGE_API_KEY"] = "sk-ant-api03-FAKE-not-to-be-written"
    done = user.clients("generic", "--mode", "api-key")
    assert done.stdout.split()[1:] == ["--mode", "api-key"]
    assert "The key is never written there" in done.stderr
    assert "FAKE" not in done.stdout + done.stderr
    del user.env["ACP_BRIDGE_API_KEY"]
    no_auth = ("--mode", "C", "--endpoint-url", "http://127.0.0.1:1", "--endpoint-no-auth")
    assert user.clients("generic", *no_auth).stdout.split()[3:] == [
        "--endpoint-no-auth",
        "--endpoint-url=http://127.0.0.1:1",
    ]


def test_the_list_says_who_is_there_and_what_is_configured(user: User) -> None:
    user.has("zed", CLIENTS["zed"].sample)
    user.clients("zed", "--write")
    user.has("jetbrains", "{")
    found = {row["name"]: row for row in json.loads(user.clients("--json").stdout)["clients"]}
    assert found["zed"]["found"] is True
    assert found["zed"]["configured"] == [{"entry": TITLE, "mode": "subscription"}]
    assert "line 1, column 2" in found["jetbrains"]["problem"]
    assert (found["toad"]["found"], found["toad"]["file"]) == (False, None)
    assert all(row["documentation"].startswith("https://") for row in found.values())
    page = user.clients().stdout
    assert f"found  {TITLE}: mode subscription  (Zed)\n" in page


@pytest.mark.parametrize(
    ("client", "shown"),
    [
        (
            "codecompanion",
            f'commands = {{ default = {{ "{COMMAND}", "--mode", "subscription" }} }}',
        ),
        ("avante", f'command = "{COMMAND}", args = {{ "--mode", "subscription" }}'),
        ("agent-shell", f'\'("{COMMAND}" "--mode" "subscription"))'),
        ("toad", f"toad acp '{COMMAND} --mode subscription'"),
        ("generic", f"{COMMAND} --mode subscription"),
    ],
)
def test_clients_without_a_file_are_told_what_to_write(user: User, client: str, shown: str) -> None:
    assert shown in user.clients(client).stdout
    assert (
        "has no file that acp-bridge could edit" in user.clients(client, "--write", status=2).stderr
    )


def test_a_process_wrapper_is_a_script_and_a_setting(user: User) -> None:
    user.has("vscode", CLIENTS["vscode"].sample)
    user.clients("vscode-claude", "--write")
    settings: Any = parse(user.file("vscode").read_text()).value
    script = Path(settings["claudeCode.claudeProcessWrapper"])
    assert os.access(script, os.X_OK)
    assert script.read_text().endswith(f'exec {COMMAND} exec --mode subscription -- "$@"\n')
    user.clients("vscode-claude", "--undo")
    assert not script.exists()
    assert user.file("vscode").read_text() == CLIENTS["vscode"].sample


def test_a_program_in_the_place_of_claude_starts_the_users_own(user: User) -> None:
    assert "there is no claude on PATH" in user.clients("claude-path", status=4).stderr
    claude = user.home / "bin" / "claude"
    claude.parent.mkdir()
    claude.write_text("#!/bin/sh\n")
    claude.chmod(0o700)
    user.env["PATH"] = f"{claude.parent}:{os.defpath}"
    user.clients("claude-path", "--write")
    script = Path(user.clients("claude-path").stdout.strip())
    expected = f'exec {COMMAND} exec --mode subscription -- {claude} "$@"\n'
    assert script.read_text().endswith(expected)


def test_the_registry_entry_has_the_registrys_shape(user: User) -> None:
    entry = json.loads(user.clients("registry").stdout)
    assert {"id", "name", "version", "description", "distribution"} <= entry.keys()
    assert entry["id"] == "acp-billing-bridge"
    assert entry["version"] == __version__
    assert re.match(r"[0-9]+\.[0-9]+\.[0-9]+", entry["version"])
    assert entry["distribution"] == {
        "uvx": {"package": f"acp-billing-bridge=={__version__}", "args": ["run"]}
    }


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nobody",), "no client is called nobody"),
        (("--write",), "which client?"),
        (("zed", "--write", "--undo"), "not allowed with argument"),
        (("zed", "--undo"), "nothing of zed was written by acp-bridge"),
    ],
)
def test_wrong_words_are_told(user: User, words: tuple[str, ...], said: str) -> None:
    assert said in user.clients(*words, status=2).stderr


def test_all_files_are_written_or_none(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text("1")
    second.write_text("changed meanwhile")
    changes = [FileChange(first, b"1", b"2"), FileChange(second, b"as it was read", b"3")]
    with pytest.raises(ConfigurationError, match="was changed meanwhile"):
        apply(changes, "both", tmp_path / "state")
    assert first.read_text() == "1"
    with pytest.raises(ConfigurationError, match="nothing of both was written"):
        undo("both", tmp_path / "state")
