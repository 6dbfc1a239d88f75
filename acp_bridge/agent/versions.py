"""Which version of Claude Code an agent brings, without starting it."""

import json
from pathlib import Path

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


def _field(package: Path, name: str) -> str | None:
    try:
        value = json.loads((package / "package.json").read_bytes()).get(name)
    except (OSError, ValueError, AttributeError):
        return None
    return value if isinstance(value, str) else None
