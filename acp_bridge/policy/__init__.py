"""Pure rules about who pays. No I/O, no clock, no logging; only the words of `acp_bridge.modes`."""
