"""The bridge's own entry for the ACP registry, from which editors offer agents.

The shape is the registry's ``agent.schema.json``
(https://github.com/agentclientprotocol/registry); the name ``acp-bridge`` is another program's
there, so the entry has the distribution's.
"""

from typing import Any

from acp_bridge import __version__

DISTRIBUTION = "acp-billing-bridge"


def registry_entry() -> dict[str, Any]:
    """The document ``agent.json``."""
    return {
        "id": DISTRIBUTION,
        "name": "Claude Code with a fixed payer",
        "version": __version__,
        "description": "Claude Code over ACP, metered and locked to one billing mode:"
        " subscription, API key or your own endpoint",
        "authors": ["The acp-bridge developers"],
        "license": "Apache-2.0",
        "distribution": {
            "uvx": {"package": f"{DISTRIBUTION}=={__version__}", "args": ["run"]},
        },
    }
