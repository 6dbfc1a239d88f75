"""The billing policy from its files: the shipped one, and the user's own beside config.toml."""

from datetime import date
from pathlib import Path

import pytest

from acp_bridge.errors import ConfigurationError
from acp_bridge.launch.policy_file import load_policy, users_policy
from acp_bridge.launch.shipped import shipped_file
from acp_bridge.modes import Bucket, CredentialClass, Plan
from acp_bridge.policy.billing import Question
from acp_bridge.policy.billing_rules import POLICY_FILE
from acp_bridge.policy.surface import Surface

SHIPPED = load_policy(None)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return tmp_path / POLICY_FILE


def mistake(path: Path) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        load_policy(path)
    assert "\n" not in caught.value.message + caught.value.hint
    assert str(path) in caught.value.message
    return caught.value


def test_the_users_policy_is_beside_the_configuration_file() -> None:
    assert users_policy(Path("/etc/bridge/mine.toml")) == Path("/etc/bridge/billing-policy.toml")


@pytest.mark.parametrize("absent", ["billing-policy.toml", "no-folder/billing-policy.toml"])
def test_a_file_that_is_not_there_leaves_the_shipped_policy(tmp_path: Path, absent: str) -> None:
    policy = load_policy(tmp_path / absent)
    assert (policy.version, policy.older_than) == (SHIPPED.version, None)


def test_a_configuration_that_is_no_real_file_has_no_policy_beside_it(tmp_path: Path) -> None:
    (tmp_path / "config.toml").touch()
    below_a_file = users_policy(tmp_path / "config.toml" / "config.toml")
    assert load_policy(below_a_file).version == SHIPPED.version


def test_an_overlay_takes_effect_and_shows_in_the_version(own: Path) -> None:
    own.write_text(
        'schema_version = 1\nextends = "shipped"\n[[rules]]\nid = "programmatic-credit"\n'
        'history = [{ from = 2027-01-01, status = "in_force" }]\n'
    )
    policy = load_policy(own)
    question = Question(
        CredentialClass.SUBSCRIPTION_OAUTH, Surface.AGENT_SDK, Plan.PRO, date(2027, 1, 1)
    )
    assert policy.decide(question).bucket is Bucket.PROGRAMMATIC_CREDIT
    assert SHIPPED.decide(question).bucket is Bucket.PLAN_LIMITS
    assert policy.version.startswith(f"{SHIPPED.version}+user-")


def test_an_older_file_that_replaces_the_shipped_one_is_taken_and_known_to_be_older(
    own: Path,
) -> None:
    text = shipped_file(POLICY_FILE).read_text(encoding="utf-8")
    own.write_text(text.replace(f'version = "{SHIPPED.version}"', 'version = "2026-07-01"'))
    policy = load_policy(own)
    assert (policy.version, policy.older_than) == ("2026-07-01", SHIPPED.version)


def test_a_wrong_key_is_named_with_the_users_file_and_its_line(own: Path) -> None:
    own.write_text(
        'schema_version = 1\nextends = "shipped"\n\n[[rules]]\nid = "cloud"\nbuket = 1\n'
    )
    assert f"{own}, line 6, rules.buket: is not a key here" in mistake(own).message


@pytest.mark.parametrize("content", [b"version = ", b"[[rules", b"version = 1\nversion = 2\n"])
def test_a_file_that_is_no_toml_is_an_error(own: Path, content: bytes) -> None:
    own.write_bytes(content)
    assert "is not valid TOML" in mistake(own).message


def test_a_file_that_is_no_text_is_an_error(own: Path) -> None:
    own.write_bytes(b"\xff")
    assert "it is not UTF-8" in mistake(own).message


def test_a_folder_in_the_files_place_is_an_error(own: Path) -> None:
    own.mkdir()
    assert "cannot read the billing policy" in mistake(own).message


def test_a_file_that_cannot_be_looked_at_is_an_error_and_not_an_absent_one(own: Path) -> None:
    own.symlink_to(own)
    assert "cannot read the billing policy" in mistake(own).message
