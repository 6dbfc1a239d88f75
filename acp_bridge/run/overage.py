"""What follows when extra usage pays in place of the plan: everyone is told, and a block if asked.

A change of bucket goes to the status, the log, the client, and whoever else wants to show it. With
``ON_OVERAGE=block`` the turn under way is stopped and later prompts are refused, until the plan's
window resets or the plan is seen to pay again.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from acp_bridge.errors import Reason
from acp_bridge.log import Log
from acp_bridge.modes import AgentKind, Bucket, Guard, OnOverage
from acp_bridge.protocol import names
from acp_bridge.protocol.decisions import Refuse
from acp_bridge.protocol.facts import AgentIdentified, Fact, RawMessageSeen
from acp_bridge.protocol.initialize import GUARANTEES_NONE
from acp_bridge.run.bucket import BucketChange, BucketInForce
from acp_bridge.run.limits import WindowReading
from acp_bridge.run.record import RunRecord

_HINT = (
    "Wait for the reset, or set ACP_BRIDGE_ON_OVERAGE=warn and start again to go on with extra"
    " usage."
)


@dataclass(frozen=True, slots=True)
class Tell:
    """To whom is told what follows; none of these may wait or raise.

    Attributes:
        client: sends the client a notification: method, and params as JSON.
        stop_turns: ends the turns under way with a refusal.
        user: shows a change to whoever runs the bridge.
    """

    client: Callable[[str, bytes], None]
    stop_turns: Callable[[Refuse], None]
    user: Callable[[BucketChange], None]


class Overage:
    """Follows the bucket in force of one run.

    Args:
        in_force: what is charged.
        record: the run's status document.
        on_overage: whether extra usage may pay.
        tell: who is told.
        log: where a change is logged.
    """

    def __init__(
        self,
        in_force: BucketInForce,
        record: RunRecord,
        on_overage: OnOverage,
        *,
        tell: Tell,
        log: Log,
    ) -> None:
        self._in_force = in_force
        self._record = record
        self._tell = tell
        self._log = log
        self._stopped: Refuse | None = None
        self._until: datetime | None = None
        if record.guarantees == GUARANTEES_NONE:
            in_force.disclaim()
        in_force.changed = self._changed
        if on_overage is OnOverage.BLOCK:
            in_force.overage_seen = self._stop
            in_force.plan_seen = self._lift

    def see(self, fact: Fact) -> None:
        """Take a fact of the relay core.

        What Claude Code tells of an answer comes later than the answer; where a wire guard saw the
        answer itself, it says nothing new.
        """
        match fact:
            case AgentIdentified(kind=AgentKind.OTHER):
                self._in_force.disclaim()
            case RawMessageSeen(session_id, message) if self._record.guard is Guard.OFF:
                self._in_force.see_message(message, self._record.clock(), session_id=session_id)

    def refusal(self) -> Refuse | None:
        """How to refuse a prompt now; None where prompts may pass."""
        if self._until is not None and self._record.clock() >= self._until:
            self._lift()
        return self._stopped

    def _changed(self, change: BucketChange) -> None:
        self._record.charge(change)
        self._log.warning(
            "bucket_changed",
            bucket=change.bucket.value,
            previous=change.previous.value,
            why=change.why,
            resets_at=_moment(change.used_up),
        )
        self._tell.user(change)
        self._tell.client(names.BUCKET_CHANGED, self._notice(change))

    def _notice(self, change: BucketChange) -> bytes:
        params = {
            "run_id": self._record.run_id,
            "session_id": change.session_id,
            "bucket": change.bucket.value,
            "previous": change.previous.value,
            "why": change.why,
            "resets_at": _moment(change.used_up),
        }
        return json.dumps(params).encode()

    def _stop(self) -> None:
        """Let the block stand; the turn under way ends if it did not stand before."""
        stood = self.refusal() is not None
        if self._in_force.bucket is not Bucket.EXTRA_USAGE:
            return
        used_up = self._in_force.used_up
        self._until = None if used_up is None else used_up.resets_at
        self._stopped = _refusal(used_up)
        if not stood:
            self._tell.stop_turns(self._stopped)

    def _lift(self) -> None:
        self._stopped = self._until = None


def _refusal(used_up: WindowReading | None) -> Refuse:
    if used_up is None:
        which, resets = "the provider charges extra usage", "when that ends is not known"
    elif used_up.resets_at is None:
        which = f"the plan's {used_up.words} window is used up"
        resets = "when it resets is not known"
    else:
        which = f"the plan's {used_up.words} window is used up"
        resets = f"it resets at {in_words(used_up.resets_at)}"
    return Refuse(
        names.Code.BUDGET_EXHAUSTED,
        Reason.BUDGET_EXHAUSTED,
        f"This run does not draw on extra usage (ON_OVERAGE=block): {which}; {resets}.",
        _HINT,
        channel=Bucket.EXTRA_USAGE.value,
    )


def in_words(moment: datetime) -> str:
    """A moment for people, in the machine's own time zone."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M %Z}"


def _moment(used_up: WindowReading | None) -> str | None:
    resets_at = None if used_up is None else used_up.resets_at
    return None if resets_at is None else resets_at.isoformat()
