"""Which entries and reservations a budget counts: in SQL, and for those that come one by one."""

from dataclasses import dataclass, replace
from datetime import datetime

from acp_bridge.ledger.records import ReservationRow
from acp_bridge.ledger.storing import micros
from acp_bridge.metering.model_names import is_model
from acp_bridge.metering.usage import CostKind
from acp_bridge.modes import BillingMode, Bucket
from acp_bridge.policy.budgets import is_in

Charge = tuple[str, str, str, str | None]
"""Mode, bucket, kind of money, model."""
Place = tuple[str | None, str | None]
"""Session of Claude Code, project."""


@dataclass(frozen=True, slots=True)
class Share:
    """Which entries a budget counts; None is any of them.

    Attributes:
        budget: the budget's name.
        mode: the billing mode.
        bucket: what was charged.
        cost_kind: which money is summed; of entries of another, tokens and requests alone count.
        model: the model's id; ``*`` stands for any characters.
        project: the session's directory, or one above it.
        session_ids: sessions of Claude Code.
        since: the first moment that counts; aware.
    """

    budget: str
    mode: BillingMode | None = None
    bucket: Bucket | None = None
    cost_kind: CostKind | None = None
    model: str | None = None
    project: str | None = None
    session_ids: tuple[str, ...] | None = None
    since: datetime | None = None


@dataclass(slots=True)
class Amounts:
    """What was used.

    Attributes:
        cost_micros: millionths of a US dollar, of one kind of money.
        tokens: of all kinds.
        requests: API requests.
        uncosted: entries whose cost nobody knows.
        untold: requests whose tokens nobody knows.
    """

    cost_micros: int = 0
    tokens: int = 0
    requests: int = 0
    uncosted: int = 0
    untold: int = 0

    def add(self, other: "Amounts", times: int = 1) -> None:
        """Add another, or with -1 take it off."""
        self.cost_micros += times * other.cost_micros
        self.tokens += times * other.tokens
        self.requests += times * other.requests
        self.uncosted += times * other.uncosted
        self.untold += times * other.untold


def places(share: Share) -> tuple[str, list[str | int]]:
    """SQL for the places that a share counts; empty if all of them."""
    conditions: list[str] = []
    bound: list[str | int] = []
    if share.session_ids is not None:
        conditions.append(f"session_id IN ({', '.join('?' * len(share.session_ids))})")
        bound += share.session_ids
    if share.project is not None:
        below = _below(share.project)
        conditions.append("(project = ? OR substr(project, 1, ?) = ?)")
        bound += [below.rstrip("/") or "/", len(below), below]
    if not conditions:
        return "", []
    return f" AND t.place_id IN (SELECT id FROM places WHERE {' AND '.join(conditions)})", bound  # noqa: S608 - own names


def is_at(share: Share, place: Place) -> bool:
    """Whether an entry's place is one that a share counts; as `places` in SQL."""
    session_id, project = place
    if share.session_ids is not None and session_id not in share.session_ids:
        return False
    return share.project is None or (project is not None and is_in(share.project, project))


def is_charged(share: Share, charge: Charge) -> bool:
    """Whether what was charged is what a share counts."""
    mode, bucket, _, model = charge
    return (
        share.mode in (None, mode)
        and share.bucket in (None, bucket)
        and (share.model is None or (model is not None and is_model(share.model, model)))
    )


def money_of(share: Share, charge: Charge, amounts: Amounts) -> Amounts:
    """The same, its cost left out where it is another kind of money."""
    if share.cost_kind in (None, charge[2]):
        return amounts
    return replace(amounts, cost_micros=0, uncosted=0)


def reserves(share: Share, row: ReservationRow, since: int) -> bool:
    """Whether a reservation may be of a share: what it does not name may be anything."""
    if (micros(row.at) or 0) < since:
        return False
    if share.session_ids is not None and row.session_id not in (None, *share.session_ids):
        return False
    elsewhere = (
        share.project is not None
        and row.project is not None
        and not is_in(share.project, row.project)
    )
    other = (
        share.model is not None and row.model is not None and not is_model(share.model, row.model)
    )
    if elsewhere or other:
        return False
    any_bucket = row.bucket is Bucket.UNKNOWN
    return share.mode in (None, row.mode) and (share.bucket in (None, row.bucket) or any_bucket)


def amounts_of(share: Share, row: ReservationRow) -> Amounts:
    """What a reservation may add to a share."""
    money = share.cost_kind in (None, row.cost_kind)
    return Amounts(
        row.cost_micros or 0 if money else 0,
        row.tokens,
        row.requests,
        int(money and row.cost_micros is None),
    )


def _below(project: str) -> str:
    return project.rstrip("/") + "/"
