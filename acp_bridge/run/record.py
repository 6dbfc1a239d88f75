"""What is known about a run, kept as the status document that everyone reads.

One object collects the facts of the relay core and renders ``status --json``,
``_acp_bridge/status`` and the registry's file, so that the three cannot disagree. Values of
credentials never come here.
"""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from acp_bridge import __version__
from acp_bridge.ledger.records import EvidenceRow, RunRow, ViolationRow
from acp_bridge.modes import AgentKind, BillingMode, Bucket, CredentialClass, Guard, Plan
from acp_bridge.protocol.evidence import Evidence, EvidenceKind, Source, Verdict
from acp_bridge.protocol.facts import (
    AgentIdentified,
    Contradicted,
    EvidenceSeen,
    Fact,
    Refused,
    RemovedFromMessage,
    SessionOpened,
    StatusNotSeen,
)
from acp_bridge.protocol.initialize import GUARANTEES_ENFORCED, GUARANTEES_NONE
from acp_bridge.run.bucket import BucketChange, BucketInForce
from acp_bridge.run.limits import LimitsSource
from acp_bridge.run.preparation import Preparation

KEPT_EVIDENCE = 200
KEPT_VIOLATIONS = 200
KEPT_SESSIONS = 1000
"""Bounds, so that a run of weeks does not grow; the newest are kept."""


@dataclass(slots=True)
class RunRecord:
    """One run's document in the making.

    Attributes:
        clock: wall time, aware UTC.
        wall_time: the wall time of a moment on the relay's monotonic clock (seconds).
        changed: called after each change, so that the registry can be written.
        noted: given each piece of evidence and each violation, for the ledger.
        usage_of: what a session of the client has used so far.
        metering: how the meter does.
        removed: channels that were removed, and where each came from.
        presented: requests that the wire guard saw, by the class of credential they came with.
        attached: those that went on, by the class of credential they went on with.
        bucket: what is charged now.
        began_with: what was expected to be charged when the run began, once that has changed.
        plan: the subscription's plan, as the user said.
        policy_version: of the billing policy that told the bucket; None where none did.
        limits: the plan's windows, as the status shows them.
    """

    run_id: str
    pid: int
    mode: BillingMode
    credential_class: CredentialClass
    bucket: Bucket
    guard: Guard
    clock: Callable[[], datetime]
    wall_time: Callable[[float], datetime]
    started_at: datetime
    guarantees: str = GUARANTEES_ENFORCED
    changed: Callable[[], None] = lambda: None
    noted: Callable[[EvidenceRow | ViolationRow], None] = lambda _: None
    usage_of: Callable[[str], dict[str, Any] | None] = lambda _: None
    metering: Callable[[], dict[str, Any] | None] = lambda: None
    agent_name: str | None = None
    agent_version: str | None = None
    claude_version: str | None = None
    ended_at: datetime | None = None
    removed: list[dict[str, str]] = field(default_factory=list)
    evidence: list[dict[str, Any]] = field(default_factory=list)
    violations: list[dict[str, Any]] = field(default_factory=list)
    sessions: dict[str, dict[str, Any]] = field(default_factory=dict)
    presented: dict[CredentialClass, int] = field(default_factory=dict)
    attached: dict[CredentialClass, int] = field(default_factory=dict)
    began_with: Bucket | None = None
    plan: Plan | None = None
    policy_version: str | None = None
    limits: Callable[[], list[dict[str, Any]]] = list

    @classmethod
    def of(cls, preparation: Preparation) -> Self:
        """The record of a run that has been prepared and not yet started."""
        plan, settings = preparation.plan, preparation.settings
        record = cls(
            run_id=preparation.run_id,
            pid=os.getpid(),
            mode=plan.mode,
            credential_class=plan.credential_class,
            bucket=Bucket.UNKNOWN,
            guard=preparation.guard,
            clock=lambda: datetime.now(UTC),
            wall_time=preparation.wall_time,
            started_at=preparation.started_at,
            plan=settings.plan,
        )
        if settings.agent_kind is AgentKind.OTHER:
            record._disclaim()
        record.remove(preparation.removed)
        return record

    def expect(self, in_force: BucketInForce) -> None:
        """What the billing policy expects to be charged, unless nobody knows who pays."""
        if self.guarantees != GUARANTEES_NONE:
            self.bucket = in_force.bucket
        self.policy_version = in_force.policy_version
        self.limits = in_force.limits.document

    def charge(self, change: BucketChange) -> None:
        """Another bucket is charged from now on; what shows it is evidence."""
        self.began_with = self.began_with or self.bucket
        self.bucket = change.bucket
        is_wire = change.source is LimitsSource.WIRE
        self._add_evidence(
            EvidenceKind.ON_THE_WIRE if is_wire else EvidenceKind.SELF_REPORTED,
            Source.RATE_LIMIT,
            change.at,
            value=change.bucket.value,
            verdict=Verdict.NOTE,
        )
        self.changed()

    def declare(self, value: str, source: str) -> None:
        """Note what the launch plan says will pay: evidence of the weakest kind."""
        self._add_evidence(
            EvidenceKind.DECLARED, source, self._now(), value=value, verdict="agrees"
        )
        self.changed()

    def remove(self, removals: Iterable[tuple[str, str]]) -> None:
        """Note channels that were removed: (channel, origin)."""
        known = {(item["channel"], item["origin"]) for item in self.removed}
        for channel, origin in removals:
            if (channel, origin) not in known:
                self.removed.append({"channel": channel, "origin": origin})
                known.add((channel, origin))
        self.changed()

    def see(self, fact: Fact) -> None:
        """Take a fact of the relay core; those that the document does not show change nothing."""
        match fact:
            case AgentIdentified(name, version, kind):
                self.agent_name, self.agent_version = name, version
                if kind is AgentKind.OTHER:
                    self._disclaim()
            case EvidenceSeen(evidence):
                self._see_evidence(evidence)
            case StatusNotSeen(waited):
                self._add_evidence(
                    EvidenceKind.SELF_REPORTED,
                    "auth_status",
                    self._now(),
                    value=f"silent for {waited:g} s",
                    verdict="note",
                )
            case Contradicted(reason, sentence):
                self._add_violation(reason, sentence)
            case Refused(reason=reason, sentence=sentence):
                self._add_violation(reason, sentence)
            case RemovedFromMessage(method, names):
                self.remove((name, f"ACP {method}") for name in names)
            case SessionOpened(session_id, cwd, model):
                self._see_session(session_id, cwd, model)
            case _:
                return
        self.changed()

    def count_request(self, presented: CredentialClass, went_on: CredentialClass | None) -> None:
        """Note a request that the wire guard saw.

        Args:
            presented: the class of the credential that it came with.
            went_on: the class of the one that it went on with; None if it went nowhere.
        """
        self.presented[presented] = self.presented.get(presented, 0) + 1
        if went_on is not None:
            self.attached[went_on] = self.attached.get(went_on, 0) + 1
        self.changed()

    def end(self) -> None:
        """Note that the run is over."""
        self.ended_at = self._now()
        self.changed()

    def document(self) -> dict[str, Any]:
        """The run as one entry of ``bridges`` in ``status --json``."""
        return {
            "run_id": self.run_id,
            "pid": self.pid,
            "alive": self.ended_at is None,
            "mode": self.mode.value,
            "mode_letter": self.mode.letter,
            "guarantees": self.guarantees,
            "agent": {
                "name": self.agent_name,
                "version": self.agent_version,
                "claude_version": self.claude_version,
            },
            "guard": self.guard.value,
            "started_at": self.started_at.isoformat(),
            "ended_at": None if self.ended_at is None else self.ended_at.isoformat(),
            "expected_credential_class": self.credential_class.value,
            "bucket": self.bucket.value,
            "plan": None if self.plan is None else self.plan.value,
            "policy_version": self.policy_version,
            "limits": self.limits(),
            "removed": list(self.removed),
            "evidence": list(self.evidence),
            "wire": self._wire(),
            "violations": list(self.violations),
            "sessions": [
                {**session, "usage": self.usage_of(session_id)}
                for session_id, session in self.sessions.items()
            ],
            "metering": self.metering(),
        }

    def row(self) -> RunRow:
        """The run as the ledger stores it."""
        return RunRow(
            run_id=self.run_id,
            mode=self.mode,
            credential_class=self.credential_class,
            bucket=self.began_with or self.bucket,
            guard=self.guard,
            guarantees=self.guarantees,
            started_at=self.started_at,
            ended_at=self.ended_at,
            agent_name=self.agent_name,
            agent_version=self.agent_version,
            claude_version=self.claude_version,
            plan=self.plan,
            policy_version=self.policy_version,
            bridge_version=__version__,
            removed=json.dumps(self.removed),
            wire=json.dumps(self._wire()),
        )

    def _wire(self) -> dict[str, dict[str, int]]:
        return {"presented": _counts(self.presented), "attached": _counts(self.attached)}

    def _disclaim(self) -> None:
        """The agent is no Claude adapter: nothing is guaranteed, and nobody knows who pays."""
        self.guarantees = GUARANTEES_NONE
        self.credential_class = CredentialClass.UNKNOWN
        self.bucket = Bucket.UNKNOWN
        self.began_with = None

    def _see_evidence(self, evidence: Evidence) -> None:
        at = self.wall_time(evidence.at)
        self._add_evidence(
            evidence.kind, evidence.source, at, value=evidence.value, verdict=evidence.verdict
        )

    def _add_evidence(
        self, kind: EvidenceKind, source: str, at: datetime, *, value: str, verdict: str
    ) -> None:
        seen = {"kind": str(kind), "source": str(source), "value": value, "verdict": str(verdict)}
        self.evidence.append({**seen, "at": at.isoformat()})
        del self.evidence[:-KEPT_EVIDENCE]
        self.noted(EvidenceRow(run_id=self.run_id, at=at, **seen))

    def _add_violation(self, reason: str, detail: str) -> None:
        at = self._now()
        violation = {"reason": str(reason), "at": at.isoformat(), "detail": detail}
        self.violations.append(violation)
        del self.violations[:-KEPT_VIOLATIONS]
        self.noted(ViolationRow(run_id=self.run_id, at=at, reason=str(reason), detail=detail))

    def _see_session(self, session_id: str, cwd: str | None, model: str | None) -> None:
        self.sessions.pop(session_id, None)
        self.sessions[session_id] = {
            "session_id": session_id,
            "cwd": cwd,
            "model": model,
        }
        while len(self.sessions) > KEPT_SESSIONS:
            del self.sessions[next(iter(self.sessions))]

    def _now(self) -> datetime:
        return self.clock()


def _counts(classes: Mapping[CredentialClass, int]) -> dict[str, int]:
    return {one.value: classes[one] for one in CredentialClass if one in classes}
