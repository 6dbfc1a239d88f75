"""The package's own small ACP client, by the name that the tests use."""

from acp_bridge.proving.client import (
    REQUEST_SECONDS,
    AcpClient,
    AcpError,
    Answerer,
    Json,
    Turn,
    acp_client,
    choose_permission,
)

__all__ = [
    "REQUEST_SECONDS",
    "AcpClient",
    "AcpError",
    "Answerer",
    "Json",
    "Turn",
    "acp_client",
    "choose_permission",
]
