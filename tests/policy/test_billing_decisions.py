"""Who is charged for what, on which day: the shipped policy, and a start of the paused credit."""

import tomllib
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acp_bridge.launch.shipped import shipped_file
from acp_bridge.modes import Bucket, CredentialClass, Plan
from acp_bridge.policy.billing import CAVEAT, BillingPolicy, Change, Decision, Pool, Question
from acp_bridge.policy.billing_document import PolicyText, read_rules
from acp_bridge.policy.billing_rules import POLICY_FILE, Next, Status, Use
from acp_bridge.policy.surface import Surface

START = """
schema_version = 1
extends = "shipped"
[[rules]]
id = "programmatic-credit"
history = [{ from = 2027-01-01, status = "in_force" }]
"""


def _text(text: str) -> PolicyText:
    return PolicyText(tomllib.loads(text), text, POLICY_FILE)


SHIPPED = _text(shipped_file(POLICY_FILE).read_text(encoding="utf-8"))
POLICY = BillingPolicy(read_rules(SHIPPED))
STARTING = BillingPolicy(read_rules(SHIPPED, _text(START)))

BEFORE, ANNOUNCED, LAST_DAY, PAUSED, NOW = (
    date(2026, 5, 13),
    date(2026, 5, 14),
    date(2026, 6, 14),
    date(2026, 6, 15),
    date(2026, 11, 26),
)
EVE, STARTED = date(2026, 12, 31), date(2027, 1, 1)
LOGIN = CredentialClass.SUBSCRIPTION_OAUTH

AS_IT_IS = """
surface         api_key  subscription_oauth   endpoint_credential  cloud    none     unknown
agent-sdk       api      plan_limits          endpoint             unknown  unknown  unknown
print           api      plan_limits          endpoint             unknown  unknown  unknown
terminal        api      plan_limits          endpoint             unknown  unknown  unknown
github-actions  api      plan_limits          endpoint             unknown  unknown  unknown
chat            api      plan_limits          endpoint             unknown  unknown  unknown
cowork          api      plan_limits          endpoint             unknown  unknown  unknown
third-party     api      plan_limits          endpoint             unknown  unknown  unknown
unknown         api      plan_limits          endpoint             unknown  unknown  unknown
"""
IF_IT_STARTED = """
surface         api_key  subscription_oauth   endpoint_credential  cloud    none     unknown
agent-sdk       api      programmatic_credit  endpoint             unknown  unknown  unknown
print           api      programmatic_credit  endpoint             unknown  unknown  unknown
terminal        api      plan_limits          endpoint             unknown  unknown  unknown
github-actions  api      programmatic_credit  endpoint             unknown  unknown  unknown
chat            api      plan_limits          endpoint             unknown  unknown  unknown
cowork          api      plan_limits          endpoint             unknown  unknown  unknown
third-party     api      programmatic_credit  endpoint             unknown  unknown  unknown
unknown         api      unknown              endpoint             unknown  unknown  unknown
"""
PROGRAMMATIC = (
    Surface.AGENT_SDK,
    Surface.PRINT,
    Surface.GITHUB_ACTIONS,
    Surface.THIRD_PARTY,
)
RULES = {
    CredentialClass.API_KEY: "api-key",
    CredentialClass.ENDPOINT_CREDENTIAL: "endpoint",
    CredentialClass.CLOUD: "cloud",
    CredentialClass.NONE: None,
    CredentialClass.UNKNOWN: None,
}
"""Of every class but the login's, whatever the surface and the day."""
LOGIN_RULES = {
    Surface.AGENT_SDK: "plan-limits-programmatic",
    Surface.PRINT: "plan-limits-programmatic",
    Surface.GITHUB_ACTIONS: "plan-limits-programmatic",
    Surface.THIRD_PARTY: "plan-limits-third-party",
    Surface.TERMINAL: "plan-limits",
    Surface.CHAT: "plan-limits",
    Surface.COWORK: "plan-limits",
    Surface.UNKNOWN: "plan-limits",
}


def table(text: str) -> dict[tuple[Surface, CredentialClass], Bucket]:
    head, *rows = (line.split() for line in text.strip().splitlines())
    return {
        (Surface(row[0]), CredentialClass(name)): Bucket(bucket)
        for row in rows
        for name, bucket in zip(head[1:], row[1:], strict=True)
    }


def ask(
    policy: BillingPolicy = POLICY,
    credential: CredentialClass = LOGIN,
    surface: Surface = Surface.AGENT_SDK,
    plan: Plan | None = Plan.MAX_20X,
    on: date = NOW,
    **conditions: object,
) -> Decision:
    return policy.decide(Question(credential, surface, plan, on, **conditions))  # type: ignore[arg-type]


def credit(decision: Decision) -> Change | None:
    """What the answer says of the programmatic credit."""
    found = [one for one in decision.would_change if one.rule == "programmatic-credit"]
    assert len(found) <= 1
    return found[0] if found else None


def test_the_tables_have_every_surface_and_every_credential_class() -> None:
    every = {(surface, credential) for surface in Surface for credential in CredentialClass}
    assert set(table(AS_IT_IS)) == set(table(IF_IT_STARTED)) == every


@pytest.mark.parametrize("plan", [None, *Plan])
@pytest.mark.parametrize("on", [BEFORE, ANNOUNCED, LAST_DAY, PAUSED, NOW, EVE, STARTED])
def test_the_credit_that_never_started_is_charged_on_no_day(on: date, plan: Plan | None) -> None:
    for (surface, credential), bucket in table(AS_IT_IS).items():
        decision = ask(credential=credential, surface=surface, plan=plan, on=on)
        assert decision.bucket is bucket
        expected = LOGIN_RULES[surface] if credential is LOGIN else RULES[credential]
        assert decision.rule == expected
        assert decision.status is (None if expected is None else Status.IN_FORCE)


@pytest.mark.parametrize("plan", [Plan.PRO, Plan.MAX_5X, Plan.MAX_20X])
def test_a_hypothetical_start_charges_the_credit_from_its_day_on(plan: Plan) -> None:
    for (surface, credential), bucket in table(IF_IT_STARTED).items():
        decision = ask(STARTING, credential, surface, plan, STARTED)
        assert decision.bucket is bucket
        if bucket is Bucket.PROGRAMMATIC_CREDIT:
            assert (decision.rule, decision.since) == ("programmatic-credit", STARTED)
    for (surface, credential), bucket in table(AS_IT_IS).items():
        assert ask(STARTING, credential, surface, plan, EVE).bucket is bucket


@pytest.mark.parametrize(
    ("on", "status", "since"),
    [
        (BEFORE, None, None),
        (ANNOUNCED, Status.ANNOUNCED, "announced since 2026-05-14, for 2026-06-15"),
        (LAST_DAY, Status.ANNOUNCED, "announced since 2026-05-14, for 2026-06-15"),
        (PAUSED, Status.PAUSED, "paused since 2026-06-15"),
        (NOW, Status.PAUSED, "paused since 2026-06-15"),
    ],
)
@pytest.mark.parametrize("surface", Surface)
def test_what_would_change_has_the_credits_status_on_that_day(
    surface: Surface, on: date, status: Status | None, since: str | None
) -> None:
    change = credit(ask(surface=surface, on=on))
    covered = surface in PROGRAMMATIC or surface is Surface.UNKNOWN
    if status is None or not covered:
        assert change is None
        return
    assert change is not None
    assert (change.status, change.bucket) == (status, Bucket.PROGRAMMATIC_CREDIT)
    assert f"`programmatic-credit` ({since}) came into force" in change.sentence


@pytest.mark.parametrize(
    ("plan", "usd"), [(Plan.PRO, "20"), (Plan.MAX_5X, "100"), (Plan.MAX_20X, "200")]
)
def test_what_would_change_is_a_sentence_with_the_plans_money(plan: Plan, usd: str) -> None:
    change = credit(ask(plan=plan))
    assert change is not None
    assert change.sentence == (
        "if `programmatic-credit` (paused since 2026-06-15) came into force, agent-sdk with "
        f"subscription_oauth on {plan} would be charged to programmatic_credit ({usd} USD a month, "
        "no rollover), then extra_usage if extra usage is switched on"
    )
    assert [follow.to for follow in change.then] == [Next.EXTRA_USAGE, Next.STOPS]


def test_the_paused_rule_is_the_first_thing_that_would_change_the_answer() -> None:
    assert [change.rule for change in ask().would_change] == [
        "programmatic-credit",
        "extra-usage-seen",
        "extra-usage-direct",
    ]


def test_an_unknown_plan_is_answered_for_all_plans_and_told_what_the_plan_would_change() -> None:
    decision = ask(plan=None)
    assert decision.bucket is Bucket.PLAN_LIMITS
    change = credit(decision)
    assert change is not None
    for words in (
        "and the plan were pro, max-5x or max-20x, agent-sdk with subscription_oauth would",
        "pro: 20 USD a month",
        "max-5x: 100 USD a month",
        "max-20x: 200 USD a month",
    ):
        assert words in change.sentence


@pytest.mark.parametrize("plan", [Plan.TEAM, Plan.ENTERPRISE])
def test_a_plan_of_which_the_source_says_nothing_has_no_amount(plan: Plan) -> None:
    change = credit(ask(plan=plan))
    assert change is not None
    assert f"the source of `programmatic-credit` meant {plan} too" in change.sentence
    assert "(how much is not known)" in change.sentence
    assert POLICY.plans[plan].note


@pytest.mark.parametrize(
    ("plan", "surface", "lead"),
    [
        (None, Surface.PRINT, "if the plan were pro, max-5x or max-20x, print "),
        (Plan.TEAM, Surface.PRINT, "if the source of `programmatic-credit` meant team too, print "),
        (
            Plan.PRO,
            Surface.UNKNOWN,
            "if the surface were agent-sdk, print, github-actions or third-party, an unknown ",
        ),
    ],
)
def test_what_depends_on_something_unknown_is_unknown_and_names_both_answers(
    plan: Plan | None, surface: Surface, lead: str
) -> None:
    decision = ask(STARTING, surface=surface, plan=plan, on=STARTED)
    assert (decision.bucket, decision.rule, decision.status) == (Bucket.UNKNOWN, None, None)
    assert (decision.source, decision.then) == (None, ())
    assert decision.caveat == f"What is charged depends on what is not known here. {CAVEAT}"
    *_, charged, otherwise = decision.would_change
    assert charged.sentence.startswith(lead)
    assert charged.bucket is Bucket.PROGRAMMATIC_CREDIT
    assert otherwise.sentence.startswith("otherwise, ")
    assert otherwise.bucket is Bucket.PLAN_LIMITS


@pytest.mark.parametrize("plan", [None, *Plan])
def test_a_surface_that_the_credit_does_not_cover_does_not_need_the_plan(plan: Plan | None) -> None:
    decision = ask(STARTING, surface=Surface.TERMINAL, plan=plan, on=STARTED)
    assert decision.bucket is Bucket.PLAN_LIMITS
    assert credit(decision) is None


@pytest.mark.parametrize("surface", Surface)
@pytest.mark.parametrize(("policy", "on"), [(POLICY, NOW), (STARTING, STARTED)])
def test_overage_that_was_seen_is_extra_usage_whatever_else_holds(
    policy: BillingPolicy, on: date, surface: Surface
) -> None:
    decision = ask(policy, surface=surface, on=on, overage=True)
    assert (decision.bucket, decision.rule) == (Bucket.EXTRA_USAGE, "extra-usage-seen")
    assert [follow.to for follow in decision.then] == [Next.STOPS]
    assert decision.would_change == ()


@pytest.mark.parametrize("use", Use)
def test_what_is_not_in_the_plan_draws_on_extra_usage_at_once(use: Use) -> None:
    decision = ask(uses=frozenset({use}))
    assert (decision.bucket, decision.rule) == (Bucket.EXTRA_USAGE, "extra-usage-direct")
    assert ask(uses=frozenset()).bucket is Bucket.PLAN_LIMITS


def test_an_api_key_never_draws_on_the_plan_or_its_credit() -> None:
    for policy, on in ((POLICY, NOW), (STARTING, STARTED)):
        decision = ask(
            policy, CredentialClass.API_KEY, on=on, overage=True, uses=frozenset({Use.FAST_MODE})
        )
        assert (decision.bucket, decision.would_change) == (Bucket.API, ())
        assert "never the plan" in decision.note


def test_plan_limits_are_followed_by_extra_usage_if_it_is_on_and_else_by_nothing() -> None:
    assert [(follow.to, follow.when) for follow in ask().then] == [
        (Next.EXTRA_USAGE, "if extra usage is switched on"),
        (Next.STOPS, "otherwise, until the plan's limits reset"),
    ]


def test_third_party_use_is_told_what_the_terms_want() -> None:
    assert "unmodified Claude Code" in ask(surface=Surface.THIRD_PARTY).note


def test_a_cloud_credential_is_billed_by_the_cloud_provider_and_no_bucket_is_guessed() -> None:
    decision = ask(credential=CredentialClass.CLOUD)
    assert decision.bucket is Bucket.UNKNOWN
    assert decision.note.startswith("The cloud provider bills this account")


@pytest.mark.parametrize("credential", [CredentialClass.NONE, CredentialClass.UNKNOWN])
def test_what_no_rule_covers_is_said_to_be_covered_by_none(credential: CredentialClass) -> None:
    decision = ask(credential=credential)
    assert decision.caveat == (
        f"No rule in force on 2026-11-26 covers agent-sdk with the credential class {credential}. "
        f"{CAVEAT}"
    )
    assert decision.would_change == ()


@pytest.mark.parametrize(
    ("on", "title", "dated"),
    [
        (ANNOUNCED, "the plan's limits until 2026-06-15", ANNOUNCED),
        (PAUSED, "the changes are paused", PAUSED),
    ],
)
def test_the_source_is_the_one_that_speaks_for_the_day(on: date, title: str, dated: date) -> None:
    decision = ask(on=on)
    assert decision.since is None
    assert decision.source is not None
    assert decision.source.title.startswith("Anthropic support article 15036540")
    assert decision.source.title.endswith(title)
    assert decision.source.dated == dated


SINCE = {Status.ANNOUNCED: ANNOUNCED, Status.PAUSED: PAUSED, Status.IN_FORCE: STARTED}


@pytest.mark.parametrize(("plan", "usd"), [(Plan.PRO, 20), (Plan.MAX_5X, 100), (Plan.MAX_20X, 200)])
@pytest.mark.parametrize(
    ("policy", "on", "status"),
    [
        (POLICY, ANNOUNCED, Status.ANNOUNCED),
        (POLICY, NOW, Status.PAUSED),
        (POLICY, STARTED, Status.PAUSED),
        (STARTING, EVE, Status.PAUSED),
        (STARTING, STARTED, Status.IN_FORCE),
    ],
)
def test_a_plans_pool_is_in_force_only_while_its_rule_is(
    policy: BillingPolicy, on: date, status: Status, plan: Plan, usd: int
) -> None:
    assert policy.pool(plan, on) == Pool(
        usd=Decimal(usd),
        bucket=Bucket.PROGRAMMATIC_CREDIT,
        window="month",
        rolls_over=False,
        in_force=status is Status.IN_FORCE,
        status=status,
        since=SINCE[status],
        rule="programmatic-credit",
    )


def test_there_is_no_pool_before_the_announcement_or_where_no_amount_is_known() -> None:
    assert POLICY.pool(Plan.PRO, BEFORE) is None
    assert STARTING.pool(Plan.TEAM, STARTED) is None
    assert STARTING.pool(Plan.ENTERPRISE, STARTED) is None


def test_a_withdrawn_rule_decides_nothing_any_more() -> None:
    stopped = START.replace("}]", '}, { from = 2027-03-01, status = "withdrawn" }]')
    policy = BillingPolicy(read_rules(SHIPPED, _text(stopped)))
    assert ask(policy, on=date(2027, 2, 28)).bucket is Bucket.PROGRAMMATIC_CREDIT
    decision = ask(policy, on=date(2027, 3, 1))
    assert decision.bucket is Bucket.PLAN_LIMITS
    change = credit(decision)
    assert change is not None
    assert "(withdrawn since 2027-03-01) came into force" in change.sentence


def test_a_rule_of_the_users_own_decides_before_the_shipped_ones() -> None:
    own = """
schema_version = 1
extends = "shipped"
[[rules]]
id = "my-company"
credentials = ["api_key"]
surfaces = "any"
bucket = "endpoint"
then = [{ to = "unknown", when = "as the company decides" }]
history = [{ from = 2026-10-01, status = "in_force" }]
source = { title = "the company's contract" }
"""
    policy = BillingPolicy(read_rules(SHIPPED, _text(own)))
    key = CredentialClass.API_KEY
    assert ask(policy, key, on=date(2026, 10, 1)).rule == "my-company"
    assert ask(policy, key, on=date(2026, 9, 30)).rule == "api-key"


questions = st.builds(
    Question,
    credential_class=st.sampled_from(CredentialClass),
    surface=st.sampled_from(Surface),
    plan=st.sampled_from([None, *Plan]),
    on=st.dates(),
    overage=st.booleans(),
    uses=st.frozensets(st.sampled_from(Use)),
)


@given(question=questions, policy=st.sampled_from([POLICY, STARTING]))
def test_every_question_has_one_answer_and_the_provider_the_final_word(
    question: Question, policy: BillingPolicy
) -> None:
    decision = policy.decide(question)
    assert decision == policy.decide(question)
    assert decision.caveat.endswith("the provider has the final word.")
    assert (decision.rule is None) == (decision.status is None) == (decision.source is None)
    assert decision.rule is not None or decision.bucket is Bucket.UNKNOWN
    if decision.rule is not None:
        assert decision.status is Status.IN_FORCE
        assert decision.bucket not in [change.bucket for change in decision.would_change]
    if decision.bucket is Bucket.PROGRAMMATIC_CREDIT:
        assert policy is STARTING
        assert question.on >= STARTED
