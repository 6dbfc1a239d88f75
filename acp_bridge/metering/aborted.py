"""Requests that nobody typed, that may have been made and aborted, and of which nobody tells.

Claude Code asks for a title with a session's first prompt, and after most turns for a suggestion
(2.1.316). What is told is told within seconds; what was aborted leaves no event. So these entries
say "may have been", and their number of requests is unknown.
"""

from datetime import datetime, timedelta

from acp_bridge.metering.session_account import SessionAccount
from acp_bridge.metering.usage import AskedBy, Source, State, UsageEntry

_TOLD_WITHIN = timedelta(seconds=30)
# It asks for no suggestion while the conversation holds fewer than two answers; those that were cut
# off or failed are answers too.
_ANSWERS_BEFORE_SUGGESTIONS = 2


def aborted_title(run_id: str, account: SessionAccount, at: datetime) -> UsageEntry | None:
    """The title of a session whose process has ended; None if none was asked for, or it was told.

    Args:
        run_id: of the entry.
        account: the session.
        at: when the process ended.
    """
    began = account.prompted_at
    is_clients = account.session_id == account.client_session_id
    if account.titled or not is_clients or began is None or at - began > _TOLD_WITHIN:
        return None
    return UsageEntry(
        key=f"title:{run_id}:{account.session_id}:{began.isoformat()}",
        run_id=run_id,
        session_id=account.session_id,
        at=began,
        source=Source.TELEMETRY,
        state=State.UNKNOWN,
        asked_by=AskedBy.TITLE,
        requests=None,
        detail="a title may have been asked for and cancelled",
    )


def aborted_suggestion(run_id: str, account: SessionAccount, at: datetime) -> UsageEntry | None:
    """The suggestion after the last answer, which is then no longer waited for.

    Args:
        run_id: of the entry.
        account: the session.
        at: when the next prompt came, or the process ended.
    """
    last, account.last_answer = account.last_answer, None
    if last is None or at - last.at > _TOLD_WITHIN:
        return None
    answers = max(account.answers, account.prompts)
    early = answers < _ANSWERS_BEFORE_SUGGESTIONS and not account.continued
    if early or last.turn is None or last.turn.stop_reason != "end_turn":
        return None
    return UsageEntry(
        key=f"suggestion:{run_id}:{account.session_id}:{last.at.isoformat()}",
        run_id=run_id,
        session_id=account.session_id,
        at=last.at,
        source=Source.TELEMETRY,
        state=State.UNKNOWN,
        asked_by=AskedBy.SUGGESTION,
        model=last.model,
        requests=None,
        turn=last.turn.number,
        detail="a suggestion may have been asked for and aborted",
    )
