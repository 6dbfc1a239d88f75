"""A user of editors, and files as they have them."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.bridge.process import run_bridge

COMMAND = str(Path(sys.executable).with_name("acp-bridge"))
ARGUMENTS = ["--mode", "subscription"]
TITLE = "Claude (subscription)"


@dataclass(frozen=True)
class Known:
    """A client whose file is edited.

    Attributes:
        file: below the home directory.
        path: where the entry stands.
        value: what stands there.
        sample: a file as its users have one.
    """

    file: str
    path: tuple[str, ...]
    value: Any
    sample: str


CLIENTS = {
    "zed": Known(
        ".config/zed/settings.json",
        ("agent_servers", TITLE),
        {"type": "custom", "command": COMMAND, "args": ARGUMENTS},
        """\
// Zed settings
//
// To see all of Zed's default settings, open them from the command palette.
{
  "theme": {
    "mode": "system",
    "light": "One Light", // by day
  },
  "agent_servers": {
    /* what I use at home */
    "Gemini CLI": {
      "command": "gemini",
      "args": ["--experimental-acp"],
      "env": { "NO_BROWSER": "1" },
    },
  },
  "vim_mode": true,
}
""",
    ),
    "jetbrains": Known(
        ".jetbrains/acp.json",
        ("agent_servers", TITLE),
        {"command": COMMAND, "args": ARGUMENTS},
        """\
{
    "default_mcp_settings": {},
    "agent_servers": {
        "Goose": {
            "command": "/usr/local/bin/goose",
            "args": ["acp"],
            "env": {}
        }
    }
}""",
    ),
    "vscode": Known(
        ".config/Code/User/settings.json",
        ("acp.agents", TITLE),
        {"command": COMMAND, "args": ARGUMENTS},
        """\
{
\t"editor.rulers": [100], // the house's
\t"files.exclude": {
\t\t"**/.venv": true,
\t},
\t"acp.agents": {"Codex": {"command": "codex-acp", "args": []}},
\t// "acp.logTraffic": true,
}
""",
    ),
    "acpx": Known(
        ".acpx/config.json",
        ("agents", "claude-subscription"),
        {"argv": [COMMAND, *ARGUMENTS]},
        '{"defaultAgent": "codex", "agents": {"mine": {"command": "./bin/my agent"}}}\n',
    ),
}


class User:
    """A user with nothing but a home directory."""

    def __init__(self, home: Path) -> None:
        self.home = home
        home.mkdir()
        self.env = {
            "HOME": str(home),
            "PATH": os.defpath,
            "ACP_BRIDGE_STATE_DIR": str(home / "state"),
            "ACP_BRIDGE_CONFIG": os.devnull,
        }

    def clients(self, *words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        done = run_bridge("clients", *words, env=self.env)
        assert done.returncode == status, done.stderr
        return done

    def file(self, client: str) -> Path:
        return self.home / CLIENTS[client].file

    def has(self, client: str, text: str) -> Path:
        path = self.file(client)
        path.parent.mkdir(parents=True)
        path.write_bytes(text.encode())
        return path


@pytest.fixture
def user(tmp_path: Path) -> User:
    return User(tmp_path / "home")
