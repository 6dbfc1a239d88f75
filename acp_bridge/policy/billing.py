"""Which bucket a request is expected to be charged to, by rules with dates. Pure.

    decision = policy.decide(Question(credential_class, surface, plan, on=day))
    print(decision.bucket, decision.rule, *decision.would_change)

The first rule in force that covers a request decides. What no rule covers is `unknown`, and so is
what depends on a plan or surface that is not known, unless every answer would be the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from acp_bridge.modes import Bucket, CredentialClass, Plan
from acp_bridge.policy.billing_rules import (
    BucketRow,
    Follow,
    Next,
    PlanRow,
    PolicyRules,
    Rule,
    Source,
    Status,
    StatusChange,
    SurfaceRow,
    Use,
)
from acp_bridge.policy.surface import Surface

CAVEAT = "This is what acp-bridge expects by its rules; the provider has the final word."


@dataclass(frozen=True, slots=True)
class Question:
    """A request, as far as its payer depends on it.

    Attributes:
        credential_class: what it authenticates with.
        surface: what kind of program asks.
        plan: the user's; None if it is not known.
        on: the day of the request.
        overage: it was seen to be paid by extra usage.
        uses: what it uses that is not in the plan.
    """

    credential_class: CredentialClass
    surface: Surface
    plan: Plan | None
    on: date
    overage: bool = False
    uses: frozenset[Use] = frozenset()


@dataclass(frozen=True, slots=True)
class Change:
    """Another bucket, and what would make it so.

    Attributes:
        sentence: for people, without a full stop.
        rule: the rule that would decide.
        status: its status on that day.
        bucket: what would be charged.
        then: what would follow when that is used up.
    """

    sentence: str
    rule: str
    status: Status
    bucket: Bucket
    then: tuple[Follow, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """What a request is expected to be charged to.

    Attributes:
        bucket: what is charged.
        rule: the id of the rule that says so; None if none does.
        status: the rule's status on that day, which is `in_force`; None without a rule.
        since: the first day of that status; None without a rule, or as far back as is known.
        source: what says so; None without a rule.
        then: what follows when the bucket is used up: the first whose condition holds.
        would_change: what would make it another bucket.
        note: what else the rule says; may be empty.
        caveat: what it is worth: always that the provider has the final word.
    """

    bucket: Bucket
    rule: str | None
    status: Status | None
    since: date | None
    source: Source | None
    then: tuple[Follow, ...]
    would_change: tuple[Change, ...]
    note: str
    caveat: str


@dataclass(frozen=True, slots=True)
class Pool:
    """The money that a plan is given for each window, by a rule.

    Attributes:
        usd: how much.
        bucket: what it is spent as.
        window: how long until there is a new one.
        rolls_over: whether what is left of it stays.
        in_force: whether there is such a pool on that day.
        status: of the rule on that day.
        since: the first day of that status; None as far back as is known.
        rule: its id.
    """

    usd: Decimal
    bucket: Bucket
    window: str
    rolls_over: bool
    in_force: bool
    status: Status
    since: date | None
    rule: str


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A rule that covers a request, or may do so.

    Attributes:
        rule: the rule.
        change: its status on that day.
        doubts: what is not known of the request that would tell whether it is covered.
        unmet: the conditions that the request does not meet.
    """

    rule: Rule
    change: StatusChange
    doubts: tuple[str, ...]
    unmet: tuple[str, ...]

    @property
    def may_decide(self) -> bool:
        return self.change.status is Status.IN_FORCE and not self.unmet

    @property
    def decides(self) -> bool:
        return self.may_decide and not self.doubts


class BillingPolicy:
    """Answers questions by the rules of one policy.

    Args:
        rules: from `acp_bridge.policy.billing_document.read_rules`.
    """

    def __init__(self, rules: PolicyRules) -> None:
        self._rules = rules
        self._by_id = {rule.id: rule for rule in rules.rules}

    @property
    def version(self) -> str:
        """The day of the policy; with a user's changes ``VERSION+user-DIGEST``."""
        return self._rules.version

    @property
    def older_than(self) -> str | None:
        """The shipped policy's version, if a user's file took its place and is older."""
        return self._rules.older_than

    @property
    def buckets(self) -> Mapping[Bucket, BucketRow]:
        """Every bucket in a sentence."""
        return self._rules.buckets

    @property
    def surfaces(self) -> Mapping[Surface, SurfaceRow]:
        """Every surface in a sentence."""
        return self._rules.surfaces

    @property
    def plans(self) -> Mapping[Plan, PlanRow]:
        """Every plan."""
        return self._rules.plans

    def decide(self, question: Question) -> Decision:
        """What a request is expected to be charged to. Answers every question."""
        reached = _reached(self._candidates(question))
        deciding = [one for one in reached if one.may_decide]
        if len(deciding) != 1 or deciding[0].doubts:
            return self._undecided(question, reached, deciding)
        rule, change = deciding[0].rule, deciding[0].change
        others = [one for one in reached if one.rule.bucket is not rule.bucket]
        return Decision(
            bucket=rule.bucket,
            rule=rule.id,
            status=change.status,
            since=rule.since(question.on),
            source=change.source or rule.source,
            then=rule.then,
            would_change=self._changes(others, question),
            note=rule.note,
            caveat=CAVEAT,
        )

    def pool(self, plan: Plan, on: date) -> Pool | None:
        """The pool that a rule gives a plan.

        Returns:
            None if no pool is known for the plan, or its rule was not yet announced. Only a pool
            that is ``in_force`` can be spent.
        """
        row = self._rules.plans[plan].pool
        rule = self._by_id[row.rule] if row is not None else None
        change = rule.on(on) if rule is not None else None
        if row is None or rule is None or change is None:
            return None
        return Pool(
            usd=row.amount,
            bucket=rule.bucket,
            window=row.window,
            rolls_over=row.rolls_over,
            in_force=change.status is Status.IN_FORCE,
            status=change.status,
            since=rule.since(on),
            rule=rule.id,
        )

    def _candidates(self, question: Question) -> Iterable[_Candidate]:
        for rule in self._rules.rules:
            change = rule.on(question.on)
            doubts = _doubts(rule, question)
            if change is not None and doubts is not None:
                yield _Candidate(rule, change, doubts, _unmet(rule, question))

    def _undecided(
        self, question: Question, reached: Sequence[_Candidate], deciding: Sequence[_Candidate]
    ) -> Decision:
        why = "What is charged depends on what is not known here."
        if not deciding:
            why = (
                f"No rule in force on {question.on} covers {_surface(question)} with the"
                f" credential class {question.credential_class}."
            )
        return Decision(
            bucket=Bucket.UNKNOWN,
            rule=None,
            status=None,
            since=None,
            source=None,
            then=(),
            would_change=self._changes(reached, question),
            note="",
            caveat=f"{why} {CAVEAT}",
        )

    def _changes(self, others: Iterable[_Candidate], question: Question) -> tuple[Change, ...]:
        """What would change the answer, rules that are not in force first."""
        ordered = sorted(others, key=lambda one: one.change.status is Status.IN_FORCE)
        return tuple(self._change(one, question) for one in ordered)

    def _change(self, one: _Candidate, question: Question) -> Change:
        """What would make this rule decide, and what would be charged then."""
        rule = one.rule
        conditions = (*_not_in_force(one, question.on), *one.unmet, *one.doubts)
        lead = f"if {' and '.join(conditions)}" if conditions else "otherwise"
        by_plan = rule.plans != "any" and question.plan is not None
        subject = f"{_surface(question)} with {question.credential_class}"
        if by_plan:
            subject = f"{subject} on {question.plan}"
        nexts = [
            f", then {follow.to} {follow.when}"
            for follow in rule.then
            if follow.to not in (Next.STOPS, Next.UNKNOWN)
        ]
        return Change(
            f"{lead}, {subject} would be charged to {rule.bucket}"
            f"{self._money(rule, question.plan)}{''.join(nexts)}",
            rule.id,
            one.change.status,
            rule.bucket,
            rule.then,
        )

    def _money(self, rule: Rule, plan: Plan | None) -> str:
        """The plan's pool in brackets; of every plan where it is not known."""
        pools = {
            row.id: row.pool
            for row in self._rules.plans.values()
            if row.pool is not None and row.pool.rule == rule.id
        }
        if not pools:
            return ""
        if plan is not None and plan not in pools:
            return " (how much is not known)"
        shown = pools if plan is None else {plan: pools[plan]}
        return " ({})".format(
            "; ".join(
                f"{'' if plan else f'{name}: '}{pool.usd} USD a {pool.window}, "
                f"{'rolls over' if pool.rolls_over else 'no rollover'}"
                for name, pool in shown.items()
            )
        )


def _reached(candidates: Iterable[_Candidate]) -> list[_Candidate]:
    """The candidates up to the first that decides for certain: no later one is asked.

    One that may decide, while the next that may would charge the same bucket, is left out: nothing
    depends on whether it covers the request.
    """
    reached = []
    for one in candidates:
        reached.append(one)
        if one.decides:
            break
    following = None
    telling = []
    for one in reversed(reached):
        if one.may_decide:
            if one.rule.bucket is following:
                continue
            following = one.rule.bucket
        telling.append(one)
    return telling[::-1]


def _doubts(rule: Rule, question: Question) -> tuple[str, ...] | None:
    """What would have to be true for the rule to cover a request; None if it does not."""
    if question.credential_class not in rule.credentials:
        return None
    doubts = []
    if rule.surfaces != "any" and question.surface not in rule.surfaces:
        if question.surface is not Surface.UNKNOWN:
            return None
        doubts.append(f"the surface were {_any_of(rule.surfaces)}")
    if rule.plans != "any" and question.plan not in rule.plans:
        if question.plan is None:
            doubts.append(f"the plan were {_any_of(rule.plans)}")
        elif question.plan in rule.plans_unclear:
            doubts.append(f"the source of `{rule.id}` meant {question.plan} too")
        else:
            return None
    return tuple(doubts)


def _unmet(rule: Rule, question: Question) -> tuple[str, ...]:
    unmet = []
    if rule.overage and not question.overage:
        unmet.append("the provider moved the session to extra usage")
    if rule.uses and question.uses.isdisjoint(rule.uses):
        unmet.append(f"a request used {_any_of(rule.uses)}")
    return tuple(unmet)


def _not_in_force(one: _Candidate, day: date) -> tuple[str, ...]:
    change = one.change
    if change.status is Status.IN_FORCE:
        return ()
    begun = one.rule.since(day)
    since = f" since {begun}" if begun else ""
    planned = f", for {change.planned}" if change.planned else ""
    return (f"`{one.rule.id}` ({change.status}{since}{planned}) came into force",)


def _surface(question: Question) -> str:
    return "an unknown surface" if question.surface is Surface.UNKNOWN else question.surface


def _any_of(words: Sequence[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last
