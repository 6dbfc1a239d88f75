"""What the ledger stores: plain values that any thread may make. Times are aware UTC."""

from dataclasses import dataclass
from datetime import datetime

from acp_bridge.metering.usage import CostKind, Source, Tokens, UsageEntry
from acp_bridge.modes import BillingMode, Bucket, CredentialClass, Guard, Plan
from acp_bridge.policy.surface import Surface


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """A run of the bridge. Stored again it fills in what was unknown, and changes what changed.

    None means unknown and never replaces what is known.

    Attributes:
        bucket: what was expected to be charged when the run began.
        plan: the subscription's plan, as the user said.
        policy_version: of the billing policy that told the bucket.
        bridge_version: of the bridge.
        removed: channels that the launch plan took away, each with its origin, as JSON.
        wire: requests that the wire guard saw, by credential class, as JSON.
    """

    run_id: str
    mode: BillingMode
    credential_class: CredentialClass
    bucket: Bucket
    guard: Guard
    guarantees: str
    started_at: datetime
    ended_at: datetime | None = None
    agent_name: str | None = None
    agent_version: str | None = None
    claude_version: str | None = None
    cwd: str | None = None
    plan: Plan | None = None
    policy_version: str | None = None
    bridge_version: str | None = None
    removed: str | None = None
    wire: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRow:
    """A session as one run had it. Stored again it fills in what was unknown, as `RunRow`.

    Attributes:
        opened_at: the first moment that was stored stays.
        ended_at: when the session or its process ended; None while it lives, or if that was never
            seen.
        settled_at: when its totals were compared with the transcript; None while that is
            outstanding.
        turn_began_at: when the turn began that is under way, or was when its run was killed; stored
            by `TurnRow` alone.
        client_session_id: the client's session, of which this one is a part (``/clear`` begins
            another); None if no client opened it.
    """

    run_id: str
    session_id: str
    opened_at: datetime
    ended_at: datetime | None = None
    settled_at: datetime | None = None
    cwd: str | None = None
    model: str | None = None
    turn_began_at: datetime | None = None
    client_session_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnRow:
    """A turn of a session began, or ended: then ``began_at`` is None."""

    run_id: str
    session_id: str
    began_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reopened:
    """A session that was settled goes on in the same run: its settlement is outstanding again."""

    run_id: str
    session_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SpentRow:
    """A usage entry, and whose money it was when it was spent.

    An entry whose key the ledger knows is ignored: what was written stays, and a correction is a
    further entry.

    Attributes:
        project: the session's working directory; None if nobody said.
        cost_kind: which money ``entry.cost_micros`` is.
        policy_version: of the billing policy that told the bucket; None if nobody noted it.
    """

    entry: UsageEntry
    mode: BillingMode
    credential_class: CredentialClass
    bucket: Bucket
    surface: Surface
    cost_kind: CostKind
    project: str | None = None
    policy_version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservationRow:
    """What a request or turn that is under way may cost at most, and whose budget that is.

    Attributes:
        reservation_id: unique; `Released` names it.
        at: when it was admitted.
        requests: API requests that it stands for.
        tokens: of all kinds, at most.
        cost_micros: millionths of a US dollar at most; None if no price is known.
    """

    reservation_id: str
    run_id: str
    session_id: str | None
    at: datetime
    mode: BillingMode
    bucket: Bucket
    cost_kind: CostKind
    project: str | None = None
    model: str | None = None
    requests: int = 1
    tokens: int = 0
    cost_micros: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """A reservation is over: what it was for is in the ledger, or was never sent.

    Attributes:
        reservation_id: None for all that the run still has.
    """

    run_id: str
    reservation_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceRow:
    """Something that was seen about the payer, in the words of the status document."""

    run_id: str
    at: datetime
    kind: str
    source: str
    value: str
    verdict: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ViolationRow:
    """Something that was refused, or should have been."""

    run_id: str
    at: datetime
    reason: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Cumulative totals of a session and model, as a transcript had them at that time."""

    run_id: str
    session_id: str
    at: datetime
    model: str
    tokens: Tokens
    cost_micros: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WitnessRow:
    """What one witness has told so far of a session and model in a run, kept for comparison.

    Stored again it replaces what was stored of the same run, session, source and model. It is no
    usage entry and counts in no sum of the ledger.

    Attributes:
        session_id: Claude Code's session; empty if the witness named none.
        model: empty if the witness named none.
        tokens: in all, of this run alone: not what the session had before it.
        requests: API requests in it; None if the witness does not tell.
        cost_micros: millionths of a US dollar; None if the witness does not tell.
        at: when it was told.
    """

    run_id: str
    session_id: str
    source: Source
    model: str
    tokens: Tokens
    requests: int | None = None
    cost_micros: int | None = None
    at: datetime


Row = (
    RunRow
    | SessionRow
    | TurnRow
    | Reopened
    | SpentRow
    | Released
    | EvidenceRow
    | ViolationRow
    | Reading
    | WitnessRow
)
