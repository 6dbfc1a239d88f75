"""What asked for a request, from Claude Code's own word for it."""

from acp_bridge.metering.usage import AskedBy

_BY_NAME = {
    "sdk": AskedBy.MAIN,  # the agent loop of the Agent SDK and of ``claude -p``
    "generate_session_title": AskedBy.TITLE,
    "rename_generate_name": AskedBy.TITLE,
    "prompt_suggestion": AskedBy.SUGGESTION,
    "compact": AskedBy.COMPACTION,
}
_BY_BEGINNING = (
    ("agent:", AskedBy.SUBAGENT),  # agent:builtin:general-purpose, agent:custom
    ("repl_main_thread", AskedBy.MAIN),  # the agent loop of the terminal
    ("compact", AskedBy.COMPACTION),
)


def asked_by(query_source: str | None, *, agent_id: str | None = None) -> AskedBy:
    """The label of a request.

    Telemetry has no word for a retry (an attempt that fails and is made again leaves no event) nor
    for a count of tokens, which costs nothing.

    Args:
        query_source: the ``query_source`` of an event, ``querySource`` of a transcript line.
        agent_id: the subagent that asked, if any.
    """
    if query_source in _BY_NAME:
        return _BY_NAME[query_source]
    for beginning, label in _BY_BEGINNING:
        if query_source is not None and query_source.startswith(beginning):
            return label
    return AskedBy.SUBAGENT if agent_id else AskedBy.OTHER
