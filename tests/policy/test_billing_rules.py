"""The billing policy as a document: what a user's file changes in it, and what is wrong with it."""

import re
import tomllib
from datetime import date
from decimal import Decimal

import pytest

from acp_bridge.errors import ConfigurationError
from acp_bridge.launch.shipped import shipped_file
from acp_bridge.modes import Bucket, Plan
from acp_bridge.policy.billing_document import PolicyText, read_rules
from acp_bridge.policy.billing_rules import POLICY_FILE, Next, PolicyRules, Rule, Status
from acp_bridge.policy.surface import Surface

TEXT = shipped_file(POLICY_FILE).read_text(encoding="utf-8")
EXTENDS = 'schema_version = 1\nextends = "shipped"\n'
NEW_RULE = """
[[rules]]
id = "{id}"
credentials = ["none"]
surfaces = "any"
bucket = "api"
then = [{{ to = "stops", when = "at once" }}]
history = [{{ status = "in_force" }}]
source = {{ title = "a test" }}
"""


def document(text: str, origin: str = POLICY_FILE) -> PolicyText:
    return PolicyText(tomllib.loads(text), text, origin)


SHIPPED = document(TEXT)


def with_user(text: str) -> PolicyRules:
    return read_rules(SHIPPED, document(text, "mine.toml"))


def rule(rules: PolicyRules, rule_id: str) -> Rule:
    (found,) = (one for one in rules.rules if one.id == rule_id)
    return found


def mistake(shipped: str = TEXT, user: str | None = None) -> tuple[str, int, str, str]:
    """File, line, key and problem of the error, which is one line and has a hint."""
    with pytest.raises(ConfigurationError) as caught:
        read_rules(document(shipped), None if user is None else document(user, "mine.toml"))
    assert "billing-policy.toml explains the words" in caught.value.hint
    assert "\n" not in caught.value.message
    found = re.fullmatch(r"(\S+), line (\d+), ([\w.\[\]]+): (.+)", caught.value.message)
    assert found, caught.value.message
    return found[1], int(found[2]), found[3], found[4]


def line_of(text: str, wanted: str) -> int:
    return text[: text.index(wanted)].count("\n") + 1


def test_the_shipped_policy_states_the_world_as_the_facts_have_it() -> None:
    rules = read_rules(SHIPPED)
    credit = rule(rules, "programmatic-credit")
    assert [(change.since, change.status, change.planned) for change in credit.history] == [
        (date(2026, 5, 14), Status.ANNOUNCED, date(2026, 6, 15)),
        (date(2026, 6, 15), Status.PAUSED, None),
    ]
    assert credit.surfaces == (
        Surface.AGENT_SDK,
        Surface.PRINT,
        Surface.GITHUB_ACTIONS,
        Surface.THIRD_PARTY,
    )
    money = {plan: row.pool.amount if row.pool else None for plan, row in rules.plans.items()}
    assert money == {
        Plan.PRO: Decimal(20),
        Plan.MAX_5X: Decimal(100),
        Plan.MAX_20X: Decimal(200),
        Plan.TEAM: None,
        Plan.ENTERPRISE: None,
    }
    others = [one for one in rules.rules if one is not credit]
    assert {change.status for one in others for change in one.history} == {Status.IN_FORCE}
    assert {one.source.dated is not None for one in rules.rules} == {True}


def test_the_version_is_the_files_day() -> None:
    rules = read_rules(SHIPPED)
    assert (rules.version, rules.older_than) == ("2026-11-26", None)


def test_every_bucket_can_follow_another() -> None:
    assert {*Bucket} | {"stops"} == {*Next}


def test_a_status_begins_where_it_first_was_so() -> None:
    kept = rule(read_rules(SHIPPED), "plan-limits-programmatic")
    assert len(kept.history) == 2
    assert kept.since(date(2026, 11, 26)) is None
    credit = rule(read_rules(SHIPPED), "programmatic-credit")
    assert credit.since(date(2026, 6, 14)) == date(2026, 5, 14)
    assert credit.since(date(2026, 6, 15)) == date(2026, 6, 15)


def test_an_overlay_merges_the_history_by_its_days_and_keeps_the_other_keys() -> None:
    rules = with_user(
        EXTENDS + '[[rules]]\nid = "programmatic-credit"\nhistory = [{ from = 2026-06-15, status = '
        '"withdrawn" }, { from = 2027-01-01, status = "in_force" }]\n'
    )
    changed, before = (rule(one, "programmatic-credit") for one in (rules, read_rules(SHIPPED)))
    assert [(change.since, change.status) for change in changed.history] == [
        (date(2026, 5, 14), Status.ANNOUNCED),
        (date(2026, 6, 15), Status.WITHDRAWN),
        (date(2027, 1, 1), Status.IN_FORCE),
    ]
    titles = [change.source and change.source.title for change in changed.history]
    assert titles[0] != titles[1] == titles[2] == "the user's own billing-policy.toml"
    assert (changed.then, changed.source, changed.surfaces) == (
        before.then,
        before.source,
        before.surfaces,
    )
    assert [one.id for one in rules.rules] == [one.id for one in read_rules(SHIPPED).rules]


def test_an_earlier_status_in_an_overlay_comes_before_the_later_ones() -> None:
    rules = with_user(
        EXTENDS + '[[rules]]\nid = "programmatic-credit"\n'
        'history = [{ from = 2026-01-01, status = "withdrawn" }]\n'
    )
    days = [change.since for change in rule(rules, "programmatic-credit").history]
    assert days == [date(2026, 1, 1), date(2026, 5, 14), date(2026, 6, 15)]


def test_an_overlay_keeps_the_source_that_it_names() -> None:
    rules = with_user(
        EXTENDS + '[[rules]]\nid = "programmatic-credit"\n'
        'history = [{ from = 2027-01-01, status = "in_force", source = { title = "news" } }]\n'
    )
    source = rule(rules, "programmatic-credit").history[-1].source
    assert source is not None
    assert source.title == "news"


def test_an_overlay_replaces_keys_of_plans_one_by_one() -> None:
    rules = with_user(EXTENDS + '[[plans]]\nid = "pro"\nnote = "mine"\n')
    assert (rules.plans[Plan.PRO].note, rules.plans[Plan.PRO].name) == ("mine", "Pro")
    assert rules.plans[Plan.PRO].pool == read_rules(SHIPPED).plans[Plan.PRO].pool


def test_new_rules_of_an_overlay_are_asked_before_the_shipped_ones_in_their_order() -> None:
    rules = with_user(EXTENDS + NEW_RULE.format(id="first") + NEW_RULE.format(id="second"))
    ids = [one.id for one in rules.rules]
    assert ids == ["first", "second", *(one.id for one in read_rules(SHIPPED).rules)]


def test_an_overlays_version_names_the_shipped_one_and_its_own_text() -> None:
    one, same, other = (with_user(EXTENDS + tail).version for tail in ("", "", "# changed\n"))
    assert one == same != other
    assert re.fullmatch(r"2026-11-26\+user-[0-9a-f]{8}", one)


@pytest.mark.parametrize(
    ("version", "older_than"),
    [("2026-11-25", "2026-11-26"), ("2026-11-26", None), ("2027-02-01", None)],
)
def test_a_file_that_does_not_extend_takes_the_shipped_ones_place(
    version: str, older_than: str | None
) -> None:
    text = TEXT.replace("2026-11-26", version, 1).replace('id = "cloud"', 'id = "clouds"')
    rules = with_user(text)
    assert (rules.version, rules.older_than) == (version, older_than)
    assert "cloud" not in [one.id for one in rules.rules]


@pytest.mark.parametrize(
    ("written", "instead", "key", "problem"),
    [
        ("schema_version = 1\nv", "schema_version = 2\nv", "schema_version", "must be 1"),
        ('version = "2026-11-26"', "version = 1", "version", "must be a day as text"),
        ('version = "2026-11-26"', 'version = "2026-11-31"', "version", "must be a day as text"),
        ('version = "2026-11-26"', 'version = "20261126"', "version", "must be a day as text"),
        ('version = "2026-11-26"', 'versoin = "2026-11-26"', "version", "must be a day as text"),
        ('version = "2026-11-26"', 'version = "2026-11-26"\nplan = 1', "plan", "is not a key"),
        ('bucket = "api"', 'buket = "api"', "rules.buket", "is not a key here; use id, "),
        ('bucket = "api"', 'bucket = "cash"', "rules.bucket", "invalid enum value 'cash'"),
        ('bucket = "api"\n', "", "rules.bucket", "is missing"),
        ('id = "api-key"\n', "", "rules.id", "is missing"),
        ('id = "api-key"', 'id = ""', "rules.id", "length >= 1"),
        ('id = "endpoint"', 'id = "api-key"', "rules.id", "'api-key' is there twice"),
        ('credentials = ["cloud"]', "credentials = []", "rules.credentials", "length >= 1"),
        ('credentials = ["cloud"]', 'credentials = "any"', "rules.credentials", "got `str`"),
        ('surfaces = ["third-party"]', 'surfaces = ["fax"]', "rules.surfaces[0]", "'fax'"),
        ('surfaces = ["third-party"]', 'surfaces = "all"', "rules.surfaces", "'all'"),
        ('uses = ["fast-mode"', 'uses = ["magic"', "rules.uses[0]", "'magic'"),
        ("overage = true", "overage = 1", "rules.overage", "expected `bool`"),
        ('plans_unclear = ["team"', 'plans_unclear = ["pro"', "rules.plans_unclear", "'pro' is am"),
        ('then = [{ to = "stops"', 'then = [{ to = "halts"', "rules.then[0].to", "'halts'"),
        ('history = [{ status = "in_force" }]', "history = []", "rules.history", "length >= 1"),
        ('history = [{ status = "in_force"', 'history = [{ status = "on"',
         "rules.history[0].status", "'on'"),
        ('history = [{ status = "in_force"', 'history = [{ sttus = "in_force"',
         "rules.history[0]", "sttus"),
        ('{ from = 2026-06-15, status = "paused" }', '{ from = 2026-05-14, status = "paused" }',
         "rules.history[1].from", "is not later"),
        ('{ from = 2026-06-15, status = "paused" }', '{ from = 2026-05-13, status = "paused" }',
         "rules.history[1].from", "is not later"),
        ('{ from = 2026-06-15, status = "paused" }', '{ status = "paused" }',
         "rules.history[1].from", "is not later"),
        ('{ from = 2026-06-15, status = "paused" }', '{ from = 7, status = "paused" }',
         "rules.history[1].from", "expected `date"),
        ('source = { title = "Claude Code 2.1.330', 'source = { name = "Claude Code 2.1.330',
         "rules.source", "name"),
        ('id = "pro"', 'id = "free"', "plans.id", "'free'"),
        ('usd = "20"', "usd = 20.5", "plans.pool.usd", "expected `str`"),
        ('usd = "20"', 'usd = "-20"', "plans.pool.usd", "matching regex"),
        ('usd = "20"', 'usd = "NaN"', "plans.pool.usd", "matching regex"),
        ('usd = "20"', 'usd = ".5"', "plans.pool.usd", "matching regex"),
        ('usd = "20"', 'usd = "20\\n"', "plans.pool.usd", "matching regex"),
        ('rule = "programmatic-credit", usd = "20"', 'rule = "gone", usd = "20"',
         "plans.pool.rule", "no rule has the id 'gone'"),
        ('plans = ["pro", "max-5x", "max-20x"]', 'plans = ["max-5x", "max-20x"]',
         "plans.pool.rule", "does not name the plan 'pro'"),
        ('id = "terminal"', 'id = "print"', "surfaces.id", "'print' is there twice"),
        ('[[buckets]]\nid = "endpoint"\nwhat = "whoever runs the endpoint"\n', "",
         "buckets", "has no row 'endpoint'"),
        ('[[buckets]]\nid = "endpoint"', '[[ buckets ]]\nid = "endpoint"',
         "buckets", "under its own [[buckets]]"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_an_error_that_names_line_and_key(
    written: str, instead: str, key: str, problem: str
) -> None:
    text = TEXT.replace(written, instead, 1)
    assert text != TEXT
    tomllib.loads(text)
    file, _, named, said = mistake(text)
    assert (file, named) == (POLICY_FILE, key)
    assert problem in said


@pytest.mark.parametrize(
    ("written", "instead", "at"),
    [
        ('bucket = "endpoint"', 'bucket = "cash"', 'bucket = "cash"'),
        ('bucket = "endpoint"\n', "", '[[rules]]\nid = "endpoint"'),
        ('bucket = "unknown"', 'buket = "unknown"', "buket"),
        ('usd = "100"', "usd = 100", 'pool = { rule = "programmatic-credit", usd = 100,'),
        ('  { from = 2026-06-15, status = "paused" }', '  { from = 2026-05-01, status = "paused" }',
         "history = [\n  { from = 2026-05-14"),
        ("schema_version = 1\nversion", "schema_version = 3\nversion", "schema_version = 3"),
        ('version = "2026-11-26"\n', 'version = "2026-11-26"\nbudget = 1\n', "budget = 1"),
    ],
)  # fmt: skip
def test_the_line_is_that_of_the_key_or_of_its_table(written: str, instead: str, at: str) -> None:
    text = TEXT.replace(written, instead, 1)
    assert text != TEXT
    assert mistake(text)[1] == line_of(text, at)


@pytest.mark.parametrize(
    ("user", "line", "key", "problem"),
    [
        ('schema_version = 1\nextends = "mine"\n', 2, "extends", "must be 'shipped'"),
        (EXTENDS + 'version = "2026-12-01"\n', 3, "version", "does not go with extends"),
        ('extends = "shipped"\n', 1, "schema_version", "must be 1"),
        (EXTENDS + "rulse = 1\n", 3, "rulse", "is not a key"),
        (EXTENDS + '[[rules]]\nid = "new"\nbucket = "api"\n', 3, "rules.credentials", "is missing"),
        (EXTENDS + '[[rules]]\nid = "cloud"\nbuckt = "api"\n', 5, "rules.buckt", "is not a key"),
        (EXTENDS + '[[rules]]\nid = "cloud"\n[[rules]]\nid = "cloud"\n', 6, "rules.id", "twice"),
        (EXTENDS + '[[rules]]\nid = "cloud"\nhistory = []\n', 5, "rules.history", "length >= 1"),
        (EXTENDS + '[[rules]]\nnote = "which?"\n', 3, "rules.id", "is missing"),
        (
            EXTENDS + '[[rules]]\nid = "cloud"\n\nhistory = [{ from = 2027-02-01, status = "paused"'
            ' }, { from = 2027-01-01, status = "in_force" }]\n',
            6,
            "rules.history[1].from",
            "is not later",
        ),
        (
            EXTENDS + '[[plans]]\nid = "team"\npool = { rule = "cloud-credit", usd = "1", '
            'window = "month", rolls_over = false }\n',
            5,
            "plans.pool.rule",
            "no rule has the id 'cloud-credit'",
        ),
        ("schema_version = 1\n", 1, "version", "must be a day as text"),
        ('schema_version = 1\nversion = "2027-01-01"\n', 1, "plans", "has no row 'pro'"),
    ],
)
def test_a_mistake_in_the_users_file_names_the_users_file(
    user: str, line: int, key: str, problem: str
) -> None:
    file, at, named, said = mistake(user=user)
    assert (file, at, named) == ("mine.toml", line, key)
    assert problem in said


def test_the_shipped_file_extends_nothing() -> None:
    text = TEXT.replace("\nversion =", '\nextends = "shipped"\nversion =', 1)
    assert mistake(text)[2:] == ("extends", "is for a file of the user's")
