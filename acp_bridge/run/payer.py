"""Whose money an entry of a run is."""

from dataclasses import dataclass, replace

from acp_bridge.ledger.records import RunRow, SpentRow
from acp_bridge.metering.usage import CostKind, State, UsageEntry
from acp_bridge.modes import BillingMode, Bucket, CredentialClass
from acp_bridge.policy.surface import Surface

COST_KINDS = {
    BillingMode.API_KEY: CostKind.BILLED_ESTIMATE,
    BillingMode.SUBSCRIPTION: CostKind.LIST_PRICE_EQUIVALENT,
    BillingMode.ENDPOINT: CostKind.UNKNOWN,
}


@dataclass(frozen=True, slots=True)
class Payer:
    """Whose money the entries of a run are."""

    mode: BillingMode
    credential_class: CredentialClass
    bucket: Bucket
    cost_kind: CostKind

    @classmethod
    def of(cls, run: RunRow, *, guaranteed: bool = True) -> "Payer":
        """The payer of a run; unknown where the bridge guarantees nothing."""
        if not guaranteed:
            return cls(run.mode, CredentialClass.UNKNOWN, Bucket.UNKNOWN, CostKind.UNKNOWN)
        return cls(run.mode, run.credential_class, run.bucket, COST_KINDS[run.mode])

    def spent(self, entry: UsageEntry, *, project: str | None, surface: Surface) -> SpentRow:
        """An entry as a row of the ledger."""
        if entry.state is State.OUTSIDE:
            payer = replace(
                self,
                credential_class=CredentialClass.UNKNOWN,
                bucket=Bucket.UNKNOWN,
                cost_kind=CostKind.UNKNOWN,
            )
        else:
            payer = self
        if self.mode is BillingMode.ENDPOINT and entry.state is not State.OUTSIDE:
            # Claude Code prices by Anthropic's list, which is not the endpoint's.
            entry = replace(entry, cost_micros=None)
        return SpentRow(
            entry=entry,
            mode=payer.mode,
            credential_class=payer.credential_class,
            bucket=payer.bucket,
            surface=surface,
            cost_kind=payer.cost_kind,
            project=project,
        )
