"""What ``config/billing-policy.toml`` says, as values. Pure.

The file's header explains the words; `acp_bridge.policy.billing_document` reads it, and
`acp_bridge.policy.billing` decides by it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal, TypeVar

import msgspec

from acp_bridge.modes import Bucket, CredentialClass, Plan
from acp_bridge.policy.surface import Surface

POLICY_FILE = "billing-policy.toml"
_Item = TypeVar("_Item")

Text = Annotated[str, msgspec.Meta(min_length=1)]
Some = Annotated[tuple[_Item, ...], msgspec.Meta(min_length=1)]


class Status(StrEnum):
    """How far a rule has come. Only one that is in force decides."""

    ANNOUNCED = "announced"
    IN_FORCE = "in_force"
    PAUSED = "paused"
    WITHDRAWN = "withdrawn"


class Use(StrEnum):
    """What a request may use that is not in the plan."""

    FAST_MODE = "fast-mode"
    LONG_CONTEXT = "long-context"
    MODEL_OUTSIDE_PLAN = "model-outside-plan"


class Next(StrEnum):
    """What follows when a bucket is used up: another bucket, or nothing."""

    PLAN_LIMITS = "plan_limits"
    EXTRA_USAGE = "extra_usage"
    PROGRAMMATIC_CREDIT = "programmatic_credit"
    API = "api"
    ENDPOINT = "endpoint"
    UNKNOWN = "unknown"
    STOPS = "stops"


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a rule is written, or how it was seen.

    Attributes:
        title: of the document.
        dated: its own day, or the day on which it was read; None if it has none.
        url: where it is, if anywhere.
    """

    title: Text
    dated: date | None = msgspec.field(name="date", default=None)
    url: Text | None = None


class StatusChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A rule's status from a day on.

    Attributes:
        since: the first day; None is as far back as is known.
        status: from then on, until the next change.
        planned: the start that was announced, if one was.
        source: what says so, if it is not the rule's own source.
    """

    since: date | None = msgspec.field(name="from", default=None)
    status: Status
    planned: date | None = msgspec.field(name="for", default=None)
    source: Source | None = None


class Follow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What follows when a bucket is used up.

    Attributes:
        to: another bucket, or ``stops``.
        when: the condition, for people.
    """

    to: Next
    when: Text


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which bucket some requests are charged to. The file's header explains each key."""

    id: Text
    credentials: Some[CredentialClass]
    surfaces: Some[Surface] | Literal["any"]
    plans: Some[Plan] | Literal["any"] = "any"
    plans_unclear: tuple[Plan, ...] = ()
    overage: bool = False
    uses: tuple[Use, ...] = ()
    bucket: Bucket
    then: Some[Follow]
    history: Some[StatusChange]
    source: Source
    note: str = ""

    def on(self, day: date) -> StatusChange | None:
        """The last change of its status up to a day; None if the rule was not there yet."""
        past = [one for one in self.history if one.since is None or one.since <= day]
        return past[-1] if past else None

    def since(self, day: date) -> date | None:
        """Since when it has had the status of a day; None is as far back as is known."""
        begun = None
        status = None
        for change in self.history:
            if change.since is not None and change.since > day:
                break
            if change.status is not status:
                begun, status = change.since, change.status
        return begun


class PoolRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The money that a rule gives a plan for each window."""

    rule: Text
    usd: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,9}(\.[0-9]{1,6})?\Z")]
    window: Literal["month"]
    rolls_over: bool

    @property
    def amount(self) -> Decimal:
        """US dollars."""
        return Decimal(self.usd)


class PlanRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A plan; without a pool if none is known for it."""

    id: Plan
    name: Text
    pool: PoolRow | None = None
    note: str = ""


class BucketRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A bucket in a sentence."""

    id: Bucket
    what: Text


class SurfaceRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A surface in a sentence, and whether this bridge ever runs it."""

    id: Surface
    what: Text
    bridge: bool = False


@dataclass(frozen=True, slots=True)
class PolicyRules:
    """A whole policy.

    Attributes:
        version: the file's; with a user's changes ``VERSION+user-DIGEST``.
        older_than: the version of the shipped file, if a user's file replaces it and is older.
        rules: in the order in which they are asked.
        plans: every plan.
        buckets: every bucket.
        surfaces: every surface.
    """

    version: str
    older_than: str | None
    rules: tuple[Rule, ...]
    plans: Mapping[Plan, PlanRow]
    buckets: Mapping[Bucket, BucketRow]
    surfaces: Mapping[Surface, SurfaceRow]
