"""The names of ACP that the bridge looks at, and the JSON-RPC codes that it answers with.

Everything else, known to ACP or not, is relayed unread.
"""

from enum import IntEnum

INITIALIZE = "initialize"
AUTHENTICATE = "authenticate"
LOGOUT = "logout"
PROVIDERS_SET = "providers/set"
PROVIDERS_DISABLE = "providers/disable"

SESSION_NEW = "session/new"
SESSION_LOAD = "session/load"
SESSION_RESUME = "session/resume"
SESSION_FORK = "session/fork"
SESSION_CLOSE = "session/close"
SESSION_DELETE = "session/delete"
SESSION_CLOSING = frozenset({SESSION_CLOSE, SESSION_DELETE})
SESSION_OPENING = frozenset({SESSION_NEW, SESSION_LOAD, SESSION_RESUME, SESSION_FORK})
"""Requests whose ``_meta.claudeCode.options`` become arguments and environment of Claude Code."""

SESSION_PROMPT = "session/prompt"
SESSION_CANCEL = "session/cancel"
SESSION_STEERING = "_session/steering"
SESSION_GOAL = "_session/goal"
SPENDING = frozenset({SESSION_PROMPT, SESSION_STEERING, SESSION_GOAL})
"""Requests that make the agent spend tokens (the last two are the Claude adapter's own)."""

AUTH_STATUS_UPDATE = "_auth/status_update"
RAW_MESSAGE = "_claude/sdkMessage"
SESSION_UPDATE = "session/update"

BRIDGE_STATUS = "_acp_bridge/status"
BRIDGE_USAGE = "_acp_bridge/usage"
BRIDGE_METHODS = frozenset({BRIDGE_STATUS, BRIDGE_USAGE})
BUCKET_CHANGED = "_acp_bridge/bucket_changed"
BUDGET_CROSSED = "_acp_bridge/budget_crossed"
"""A notification of the bridge's own to the client."""

CLAUDE_ADAPTERS = frozenset(
    {
        "@agentclientprotocol/claude-agent-acp",
        "claude-agent-acp",
        "@zed-industries/claude-code-acp",
        "claude-code-acp",
    }
)
"""``agentInfo.name`` of the adapters that run Claude Code."""


class Code(IntEnum):
    """JSON-RPC error codes, the protocol's and the bridge's own."""

    PARSE_ERROR = -32700
    INVALID_REQUEST = -32600
    METHOD_NOT_FOUND = -32601
    INTERNAL_ERROR = -32603
    MODE_LOCKED = -32010
    BUDGET_EXHAUSTED = -32011
    CREDENTIAL_CONTRADICTION = -32012
