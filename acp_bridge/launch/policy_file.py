"""The billing policy: the file that comes with the package, and the user's own beside it."""

import tomllib
from pathlib import Path

from acp_bridge.errors import ConfigurationError
from acp_bridge.launch.shipped import shipped_file
from acp_bridge.policy.billing import BillingPolicy
from acp_bridge.policy.billing_document import PolicyText, read_rules
from acp_bridge.policy.billing_rules import POLICY_FILE


def users_policy(config: Path) -> Path:
    """Where a user's own policy would be.

    Args:
        config: the user's configuration file, whether or not it exists.
    """
    return config.with_name(POLICY_FILE)


def load_policy(user: Path | None) -> BillingPolicy:
    """Read the shipped policy, and what the user's file changes in it or puts in its place.

    Args:
        user: the user's file, from `users_policy`; None, or a file that is not there, leaves the
            shipped policy as it is.

    Raises:
        ConfigurationError: a file is wrong; the message names its line and key.
    """
    shipped = _read(shipped_file(POLICY_FILE))
    own = None if user is None or not _is_there(user) else _read(user, named=str(user))
    return BillingPolicy(read_rules(shipped, own))


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True  # and reading it says why it cannot be read
    return True


def _read(path: Path, named: str = POLICY_FILE) -> PolicyText:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8"
        raise ConfigurationError(
            f"cannot read the billing policy {path}: {reason}",
            hint="make it readable, or move it away to use the shipped one",
        ) from exc
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigurationError(
            f"{named} is not valid TOML: {exc}",
            hint="correct that line, or move the file away to use the shipped one",
        ) from exc
    return PolicyText(content, text, named)
