"""Whose money an entry of a run is."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from acp_bridge.ledger.records import RunRow, SpentRow
from acp_bridge.metering.prices import Prices
from acp_bridge.metering.usage import CostKind, Source, State, UsageEntry
from acp_bridge.modes import BillingMode, Bucket, CredentialClass
from acp_bridge.policy.budgets import MONEY_OF_MODE
from acp_bridge.policy.surface import Surface


def in_its_money(
    mode: BillingMode, entries: Iterable[UsageEntry], prices: Prices | None
) -> list[UsageEntry]:
    """Entries as they were told; in mode C, with what the endpoint asks for each.

    Claude Code prices by Anthropic's list, which is not the endpoint's. What the wire shows is
    priced by the endpoint's table already. Of what others tell, a single request is priced by its
    tokens; how many requests or web searches are in a sum nobody tells.

    Args:
        mode: of the run.
        entries: of any witness.
        prices: the endpoint's own table; None leaves the cost unknown. Only mode C uses it.
    """
    if mode is not BillingMode.ENDPOINT:
        return list(entries)
    return [_at_the_endpoint(entry, prices) for entry in entries]


def _at_the_endpoint(entry: UsageEntry, prices: Prices | None) -> UsageEntry:
    if entry.source is Source.WIRE or entry.state is State.OUTSIDE:
        return entry
    cost = None
    if prices is not None and entry.tokens is not None and entry.requests == 1:
        cost = prices.cost_micros(entry.model, entry.tokens, entry.at)
    return replace(entry, cost_micros=cost)


@dataclass(frozen=True, slots=True)
class Payer:
    """Whose money the entries of a run are.

    Attributes:
        bucket: what is charged unless something else was seen.
        cost_kind: which money a cost is, if it is known. In mode C one that is not known is of no
            kind: the endpoint's table does not have it.
        policy_version: of the billing policy that told the bucket; None where none did.
    """

    mode: BillingMode
    credential_class: CredentialClass
    bucket: Bucket
    cost_kind: CostKind
    policy_version: str | None = None

    @classmethod
    def of(cls, run: RunRow, *, guaranteed: bool = True) -> "Payer":
        """The payer of a run; unknown where the bridge guarantees nothing."""
        if not guaranteed:
            return cls(run.mode, CredentialClass.UNKNOWN, Bucket.UNKNOWN, CostKind.UNKNOWN)
        kind, version = MONEY_OF_MODE[run.mode], run.policy_version
        return cls(run.mode, run.credential_class, run.bucket, kind, version)

    def spent(
        self,
        entry: UsageEntry,
        *,
        project: str | None,
        surface: Surface,
        bucket: Bucket | None = None,
    ) -> SpentRow:
        """An entry as a row of the ledger.

        Args:
            entry: in mode C, with the endpoint's price and no other; see `in_its_money`.
            project: the session's working directory; None if nobody said.
            surface: what kind of program asked.
            bucket: what was seen to be charged of a plan's session; None for what the run began
                with. Only what the plan's login paid for can have another.
        """
        payer = self
        if entry.state is State.OUTSIDE:
            payer = replace(
                self,
                credential_class=CredentialClass.UNKNOWN,
                bucket=Bucket.UNKNOWN,
                cost_kind=CostKind.UNKNOWN,
                policy_version=None,
            )
        elif bucket is not None and self.credential_class is CredentialClass.SUBSCRIPTION_OAUTH:
            payer = replace(self, bucket=bucket)
        elif self.mode is BillingMode.ENDPOINT:
            if self.cost_kind is CostKind.UNKNOWN:
                entry = replace(entry, cost_micros=None)
            if entry.cost_micros is None:
                payer = replace(self, cost_kind=CostKind.UNKNOWN)
        return SpentRow(
            entry=entry,
            mode=payer.mode,
            credential_class=payer.credential_class,
            bucket=payer.bucket,
            surface=surface,
            cost_kind=payer.cost_kind,
            project=project,
            policy_version=payer.policy_version,
        )
