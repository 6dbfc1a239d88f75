"""Where the real programs are, as installed beside Python: Node, the ACP adapter, Claude Code."""

import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import anyio

from acp_bridge.agent.find import find_node

AGENT_MODULES = Path(sys.prefix) / "share" / "acp-bridge" / "agent" / "node_modules"
ADAPTER = AGENT_MODULES / "@agentclientprotocol" / "claude-agent-acp" / "dist" / "index.js"
NODE = find_node(
    prefix=Path(sys.prefix), data_dir=Path(os.devnull), path=os.environ.get("PATH", os.defpath)
)


def _claude() -> Path:
    system = {"linux": "linux", "darwin": "darwin"}[sys.platform]
    machine = {"x86_64": "x64", "aarch64": "arm64", "arm64": "arm64"}[platform.machine()]
    return AGENT_MODULES / "@anthropic-ai" / f"claude-agent-sdk-{system}-{machine}" / "claude"


CLAUDE = _claude()
ADAPTER_ARGV = (str(NODE), str(ADAPTER))


@dataclass(frozen=True, slots=True)
class Finished:
    """A program that has ended."""

    status: int
    stdout: str
    stderr: str


async def run_claude(
    *arguments: str,
    env: Mapping[str, str],
    cwd: Path,
    seconds: float = 60.0,
    argv: tuple[str, ...] = (str(CLAUDE),),
) -> Finished:
    """Run Claude Code (or what stands before it) to its end, with nothing on its stdin.

    Raises:
        TimeoutError: it did not end in time; it is killed.
    """
    with anyio.fail_after(seconds):
        done = await anyio.run_process(
            [*argv, *arguments], env=dict(env), cwd=cwd, check=False, input=b""
        )
    return Finished(done.returncode, done.stdout.decode(), done.stderr.decode())
