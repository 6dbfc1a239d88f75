"""Which version of Claude Code an agent brings, without starting it."""

import json
from pathlib import Path

from acp_bridge.agent.find import ADAPTER

_CLAUDE = "@anthropic-ai/claude-code"
_SDK = "claude-agent-sdk"


def claude_version(claude: Path | None) -> str | None:
    """The version of a Claude Code executable, read from the packages it was installed with.

    The native binary of ``@anthropic-ai/claude-agent-sdk-PLATFORM`` carries the SDK's version; the
    SDK's own package says which Claude Code that is. None if neither package tells.
    """
    if claude is None:
        return None
    package = claude.resolve().parent
    if package.name.startswith(_SDK):
        return _field(package.parent / _SDK, "claudeCodeVersion")
    return _field(package, "version")


def pinned_versions(folder: Path) -> tuple[str, str]:
    """The versions of (adapter, Claude Code) that a folder's ``package.json`` pins.

    Raises:
        OSError: it cannot be read.
        ValueError: it pins none.
    """
    dependencies = json.loads((folder / "package.json").read_text("utf-8")).get("dependencies", {})
    try:
        return dependencies[ADAPTER], dependencies[_CLAUDE]
    except KeyError as exc:
        raise ValueError(f"{folder} does not pin {exc}") from exc


def _field(package: Path, name: str) -> str | None:
    try:
        value = json.loads((package / "package.json").read_bytes()).get(name)
    except (OSError, ValueError, AttributeError):
        return None
    return value if isinstance(value, str) else None
