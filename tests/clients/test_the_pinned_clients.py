"""The lock of the clients from npm: exact, hashed, and silent about where it was made."""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


def packages() -> dict[str, dict[str, Any]]:
    """What the lock installs, by place."""
    locked: dict[str, dict[str, Any]] = json.loads((FOLDER / "package-lock.json").read_bytes())[
        "packages"
    ]
    return {place: package for place, package in locked.items() if place}


def test_the_lock_holds_the_version_that_is_asked_for() -> None:
    asked = json.loads((FOLDER / "package.json").read_bytes())["dependencies"]
    assert asked == {"acpx": packages()["node_modules/acpx"]["version"]}


def test_every_package_that_is_installed_has_a_hash() -> None:
    # scripts/install-test-clients omits the optional ones: native extras for one platform each.
    installed = [package for package in packages().values() if not package.get("optional")]
    assert len(installed) > 20
    assert all(package["integrity"].startswith("sha512-") for package in installed)


def test_the_lock_names_no_registry() -> None:
    assert [place for place, package in packages().items() if "resolved" in package] == []
