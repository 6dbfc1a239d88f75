"""Rows for the ledger, made up by name and number or by hypothesis."""

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from acp_bridge.ledger.records import RunRow, SessionRow, SpentRow, WitnessRow
from acp_bridge.metering.usage import AskedBy, CostKind, Source, State, Tokens, UsageEntry
from acp_bridge.modes import BillingMode, Bucket, CredentialClass, Guard, Plan
from acp_bridge.policy.surface import Surface

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
TOKENS = Tokens(10, 20, 300, 40, 5)


def spent(  # noqa: PLR0913 - each by name
    key: str,
    *,
    at: datetime = NOON,
    run_id: str = "run",
    session_id: str | None = "session",
    model: str | None = "opus",
    source: Source = Source.TELEMETRY,
    state: State = State.LIVE,
    asked_by: AskedBy = AskedBy.MAIN,
    tokens: Tokens | None = TOKENS,
    cost_micros: int | None = 1500,
    requests: int | None = 1,
    agent_id: str | None = None,
    mode: BillingMode = BillingMode.SUBSCRIPTION,
    cost_kind: CostKind = CostKind.LIST_PRICE_EQUIVALENT,
    project: str | None = "/project",
    bucket: Bucket = Bucket.PLAN_LIMITS,
    policy_version: str | None = "2026-11-26",
) -> SpentRow:
    entry = UsageEntry(
        key=key,
        run_id=run_id,
        session_id=session_id,
        at=at,
        source=source,
        state=state,
        asked_by=asked_by,
        model=model,
        tokens=tokens,
        cost_micros=cost_micros,
        requests=requests,
        agent_id=agent_id,
        turn=1,
        request_id=f"req_{key}",
        duration_ms=900,
        ttft_ms=300,
        detail="as told",
    )
    return SpentRow(
        entry=entry,
        mode=mode,
        credential_class=CredentialClass.SUBSCRIPTION_OAUTH,
        bucket=bucket,
        surface=Surface.AGENT_SDK,
        cost_kind=cost_kind,
        project=project,
        policy_version=policy_version,
    )


def run(run_id: str = "run", *, started_at: datetime = NOON) -> RunRow:
    return RunRow(
        run_id=run_id,
        mode=BillingMode.SUBSCRIPTION,
        credential_class=CredentialClass.SUBSCRIPTION_OAUTH,
        bucket=Bucket.PLAN_LIMITS,
        guard=Guard.OFF,
        guarantees="enforced",
        started_at=started_at,
        plan=Plan.MAX_20X,
        policy_version="2026-11-26",
        bridge_version="0.1",
        removed='[{"channel": "API_KEY", "origin": "environment"}]',
        wire='{"presented": {}, "attached": {}}',
    )


def session(
    session_id: str = "session", *, run_id: str = "run", settled_at: datetime | None = None
) -> SessionRow:
    return SessionRow(
        run_id=run_id,
        session_id=session_id,
        opened_at=NOON,
        settled_at=settled_at,
        cwd="/project",
        client_session_id="client",
    )


def told(  # noqa: PLR0913 - each by name
    source: Source,
    *,
    run_id: str = "run",
    session_id: str = "session",
    model: str = "opus",
    tokens: Tokens = TOKENS,
    requests: int | None = 1,
    cost_micros: int | None = 1500,
    at: datetime = NOON,
) -> WitnessRow:
    return WitnessRow(
        run_id=run_id,
        session_id=session_id,
        source=source,
        model=model,
        tokens=tokens,
        requests=requests,
        cost_micros=cost_micros,
        at=at,
    )


def moments() -> st.SearchStrategy[datetime]:
    """Within three days around the end of summer time in Europe, often on a quarter."""
    first = datetime(2026, 10, 24, tzinfo=UTC)
    return st.one_of(
        st.integers(0, 3 * 96).map(lambda quarter: first + timedelta(minutes=15 * quarter)),
        st.integers(0, 3 * 86_400_000_000).map(lambda us: first + timedelta(microseconds=us)),
    )


def spendings() -> st.SearchStrategy[SpentRow]:
    counts = st.integers(-50, 5000)
    return st.builds(
        spent,
        st.integers(0, 40).map("key-{}".format),
        at=moments(),
        run_id=st.sampled_from(("run-1", "run-2")),
        session_id=st.sampled_from(("s-1", "s-2", None)),
        model=st.sampled_from(("opus", "haiku", None)),
        source=st.sampled_from(Source),
        state=st.sampled_from(State),
        asked_by=st.sampled_from(AskedBy),
        tokens=st.none() | st.builds(Tokens, counts, counts, counts, counts, counts),
        cost_micros=st.none() | counts,
        requests=st.none() | st.integers(0, 3),
        agent_id=st.sampled_from((None, "agent-1", "agent-2")),
        mode=st.sampled_from(BillingMode),
        cost_kind=st.sampled_from(CostKind),
        project=st.sampled_from(("/a", "/b", None)),
    )
