"""The programs that speak ACP to the bridge: where they are configured, and how."""
