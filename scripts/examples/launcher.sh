#!/bin/sh
# A launcher that is configured by environment variables alone: for editors that let you set an
# agent's command and `env` and nothing else, and for teams that hand out one command.
#
#     ACP_BRIDGE_MODE=api-key ACP_BRIDGE_API_KEY_FILE=~/.keys/team scripts/examples/launcher.sh
#
# stdout is ACP: whatever a launcher has to say goes to stderr. Arguments go through, because a
# client that offers a sign-in starts this command again with `--cli auth login …` behind it.
set -eu

# This launcher does not guess who pays, although the bridge has a default.
if [ -z "${ACP_BRIDGE_MODE:-}" ]; then
    echo "error: ACP_BRIDGE_MODE is not set" >&2
    echo "hint: set it to api-key, subscription or endpoint" >&2
    exit 2
fi
# Nothing but the environment counts: no configuration file of the machine it happens to run on.
export ACP_BRIDGE_CONFIG=/dev/null
# The bridge's log, not the agent's chatter, is what a team wants to keep.
export ACP_BRIDGE_LOG_FORMAT="${ACP_BRIDGE_LOG_FORMAT:-json}"

if ! command -v acp-bridge > /dev/null; then
    echo "error: acp-bridge is not on PATH" >&2
    echo "hint: install it, or put its folder on PATH" >&2
    exit 4
fi
echo "launcher: mode $ACP_BRIDGE_MODE" >&2
# `exec`, so that signals and the end of stdin reach the bridge and nothing stands in between.
exec acp-bridge "$@"
