"""acp-bridge: run Claude Code behind an ACP client in one billing mode, and show who pays."""

__version__ = "0.1.0"
