"""The bucket in force of a run: what is charged from the latest evidence on.

A run begins with the bucket that the billing policy decides for it. A provider can move a plan's
session to extra usage at any time, and back; it says so in the headers of each answer, and Claude
Code passes that on in the raw message ``rate_limit_event``. Which bucket that is, is the policy's
to say. Nothing else moves the bucket, and in modes A and C nothing does.
"""

from collections import deque
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from acp_bridge.metering.limit_events import read_limit_event
from acp_bridge.metering.usage import Source, State, UsageEntry
from acp_bridge.metering.wire_limits import RateLimits
from acp_bridge.modes import CLASS_OF_MODE, Bucket, CredentialClass
from acp_bridge.policy.surface import Surface
from acp_bridge.run.limits import Limits, LimitsSource, WindowReading

if TYPE_CHECKING:
    from collections.abc import Callable

    from acp_bridge.policy.billing import BillingPolicy, Question
    from acp_bridge.settings import Settings

EVENT_LAG = timedelta(seconds=1)
"""How long after the end of a request the event may come that its answer caused."""
KEPT_CHANGES = 64
_ERROR = 400
_ALLOWED = ("allowed", "allowed_warning")


@dataclass(frozen=True, slots=True)
class BucketChange:
    """Another bucket is charged from now on.

    Attributes:
        at: when that was seen. Aware UTC.
        bucket: what is charged now.
        previous: what was charged before.
        why: a clause for people.
        used_up: the window of the plan that is used up; None if the plan pays again, or if nothing
            tells which one it is.
        source: where it was seen.
        session_id: the client's session in which it was seen; None if unknown.
    """

    at: datetime
    bucket: Bucket
    previous: Bucket
    why: str
    used_up: WindowReading | None
    source: LimitsSource
    session_id: str | None


class BucketInForce:
    """What is charged in one run.

    Args:
        policy: what decides.
        question: the run, as far as its payer depends on it, on the day of its start.

    Attributes:
        bucket: what is charged now.
        draws_on_overage: the latest evidence says that extra usage pays.
        used_up: the window of the plan that made it so; None if nothing tells which.
        limits: the newest reading of each of the plan's windows.
        changed: called after each change.
        overage_seen: called after each piece of evidence that extra usage pays, also if it changes
            nothing; after `changed`.
        plan_seen: the same of evidence that the plan pays.
    """

    def __init__(self, policy: "BillingPolicy", question: "Question") -> None:
        self._policy = policy
        self._question = question
        self._decide = lru_cache(maxsize=4)(policy.decide)
        self._moves = question.credential_class is CredentialClass.SUBSCRIPTION_OAUTH
        self._changes: deque[BucketChange] = deque(maxlen=KEPT_CHANGES)
        self.bucket = self._decide(question).bucket
        self.draws_on_overage = False
        self.used_up: WindowReading | None = None
        self.limits = Limits()
        self.changed: Callable[[BucketChange], None] = lambda _: None
        self.overage_seen: Callable[[], None] = lambda: None
        self.plan_seen: Callable[[], None] = lambda: None

    @property
    def policy(self) -> "BillingPolicy":
        """The billing policy that decides."""
        return self._policy

    @property
    def policy_version(self) -> str:
        """Of the billing policy that tells the bucket."""
        return self._policy.version

    def disclaim(self) -> None:
        """The agent is no Claude adapter: nobody knows who pays, and nothing moves that."""
        self._moves = False
        self.bucket = Bucket.UNKNOWN

    def see_answer(
        self, limits: RateLimits, at: datetime, *, status: int, session_id: str | None
    ) -> Bucket | None:
        """Take the rate-limit headers of an answer.

        Args:
            limits: what they tell.
            at: now. Aware UTC.
            status: the answer's HTTP status.
            session_id: the client's session; None if unknown.

        Returns:
            What the answer's request is charged to; None in modes A and C.
        """
        if not self._moves:
            return None
        return self._see(limits, at, LimitsSource.WIRE, session_id, served=status < _ERROR)

    def see_message(self, message: bytes, at: datetime, *, session_id: str | None) -> None:
        """Take a raw message of the Agent SDK, as JSON, of any type."""
        limits = read_limit_event(message) if self._moves else None
        if limits is not None:
            self._see(limits, at, LimitsSource.RATE_LIMIT_EVENT, session_id, served=True)

    def charged(self, entry: UsageEntry) -> Bucket | None:
        """What an entry is charged to; None for what the run began with.

        What the wire tells of a request's own answer counts. What others tell was charged as was
        known at its end. What is settled afterwards is spread over the run and nobody knows when
        it was spent, so it stays with the bucket that the run began with.
        """
        if entry.bucket is not None:
            return entry.bucket
        is_late = entry.state in (State.SETTLED, State.OUTSIDE)
        if not self._changes or is_late or entry.source is Source.TRANSCRIPT:
            return None
        return self._at(entry.at + timedelta(milliseconds=entry.duration_ms or 0))

    def _at(self, moment: datetime) -> Bucket:
        for change in reversed(self._changes):
            if change.at <= moment + EVENT_LAG:
                return change.bucket
        return self._changes[0].previous

    def _see(
        self,
        limits: RateLimits,
        at: datetime,
        source: LimitsSource,
        session_id: str | None,
        *,
        served: bool,
    ) -> Bucket:
        """Returns what is charged for the request that the limits are told with."""
        self.limits.see(limits, at, source)
        overage = draws_on_overage(limits, served=served)
        if overage is None:
            return self.bucket
        question = replace(self._question, overage=overage, on=at.astimezone().date())
        paid_from = self._decide(question).bucket
        used_up = self.limits.used_up(at)
        if overage or used_up is None or not self.draws_on_overage:
            self.draws_on_overage = overage
            self.used_up = used_up if overage else None
            self._move(paid_from, at, source, session_id)
            tell = self.overage_seen if overage else self.plan_seen
            tell()
        # Else the plan pays for this model, and has a window of another's that is used up.
        return paid_from

    def _move(
        self, bucket: Bucket, at: datetime, source: LimitsSource, session_id: str | None
    ) -> None:
        previous, self.bucket = self.bucket, bucket
        if bucket is not previous:
            why = _why(self.used_up, overage=self.draws_on_overage)
            change = BucketChange(at, bucket, previous, why, self.used_up, source, session_id)
            self._changes.append(change)
            self.changed(change)


def draws_on_overage(limits: RateLimits, *, served: bool) -> bool | None:
    """Whether extra usage pays, as far as limits of a plan tell.

    Args:
        limits: of an answer or event.
        served: the request was answered and not refused.

    Returns:
        None if they do not tell. That extra usage would be allowed says nothing by itself; but an
        answer that the plan rejects and that came all the same is paid by it (so Claude Code
        2.1.316 concludes as well).
    """
    if limits.overage:
        return True
    allowed_all_the_same = limits.status == "rejected" and limits.overage_status in _ALLOWED
    if served and allowed_all_the_same and limits.overage_in_use is None:
        return True
    if limits.status in _ALLOWED and (limits.claim is not None or limits.overage_in_use is False):
        return False
    return None


def bucket_in_force(
    settings: "Settings",
    config: Path,
    started_at: datetime,
    *,
    surface: Surface = Surface.AGENT_SDK,
) -> BucketInForce:
    """The bucket of a run that begins, by the shipped policy and the user's own. Reads files.

    Args:
        settings: of the run.
        config: the user's configuration file; a policy of the user's own is beside it.
        started_at: when the run begins. Aware.
        surface: what kind of program asks; an adapter is the Agent SDK.

    Raises:
        ConfigurationError: a policy file is wrong.
    """
    from acp_bridge.launch.policy_file import (  # noqa: PLC0415 - heavy; the agent boots meanwhile
        load_policy,
        users_policy,
    )
    from acp_bridge.policy.billing import Question  # noqa: PLC0415 - as above

    question = Question(
        credential_class=CLASS_OF_MODE[settings.mode],
        surface=surface,
        plan=settings.plan,
        on=started_at.astimezone().date(),
    )
    return BucketInForce(load_policy(users_policy(config)), question)


def _why(used_up: WindowReading | None, *, overage: bool) -> str:
    if not overage:
        return "the plan pays again"
    if used_up is None:
        return "the provider says that extra usage pays"
    return f"the plan's {used_up.words} window is used up"
