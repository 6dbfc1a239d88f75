"""Which surface a request comes from, read from its ``User-Agent``.

Claude Code says ``claude-cli/VERSION (external, ENTRYPOINT[, agent-sdk/VERSION])``. The header is
the program's own word: good enough to name a surface, no proof of who pays.
"""

import re
from enum import StrEnum


class Surface(StrEnum):
    """What kind of program asks."""

    AGENT_SDK = "agent-sdk"
    PRINT = "print"
    TERMINAL = "terminal"
    GITHUB_ACTIONS = "github-actions"
    CHAT = "chat"
    COWORK = "cowork"
    THIRD_PARTY = "third-party"
    UNKNOWN = "unknown"


_USER_AGENT = re.compile(r"claude-cli/\S+ \([\w-]+, (?P<entrypoint>[\w-]+)")
SURFACES = {
    "sdk-ts": Surface.AGENT_SDK,
    "sdk-py": Surface.AGENT_SDK,
    "sdk-cli": Surface.PRINT,
    "cli": Surface.TERMINAL,
    "claude-code-github-action": Surface.GITHUB_ACTIONS,
    "local-agent": Surface.COWORK,
    "remote_cowork": Surface.COWORK,
}
"""The surface of each entry point that Claude Code names."""


def surface_of(user_agent: str | None) -> Surface:
    """The surface that a ``User-Agent`` names.

    An entry point of Claude Code that is not known here is `unknown`; a program that is not
    Claude Code is `third-party`.
    """
    if not user_agent:
        return Surface.UNKNOWN
    if not user_agent.startswith("claude-cli/"):
        return Surface.THIRD_PARTY
    named = _USER_AGENT.match(user_agent)
    return SURFACES.get(named["entrypoint"], Surface.UNKNOWN) if named else Surface.UNKNOWN
