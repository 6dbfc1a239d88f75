"""What the launch gate does with Claude Code's own telemetry. Pure; the standard library only.

At each start it is known what Claude Code would export without the bridge. The answer is one of:
pins that bring log events to the bridge's receiver (alone, or with a destination to which the
receiver forwards them), or nothing at all and the reason, which makes the meter fall back.
"""

from __future__ import annotations

import hashlib
import json
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    Rules = Mapping[str, Any]
    Layer = tuple[str, bool, Mapping[str, Any]]
    Obstacle = tuple[str, str, str]

# Node sends no query and no user name of such an address.
ADDRESS = re.compile(r"(https?://[^\s/?#@]+)(/[^\s?#]*)?([?#]\S*)?\Z", re.IGNORECASE)


class Tapping:
    """What one start of Claude Code gets.

    Attributes:
        env: variables to pin in the settings.
        keys: settings keys to pin.
        record: what the bridge has to know: a ``destination`` to forward to, or a ``fallback``.
        name: the record's name, which the receiver finds it by.
    """

    def __init__(
        self,
        env: Mapping[str, str] | None = None,
        keys: Mapping[str, str] | None = None,
        record: Mapping[str, Any] | None = None,
    ) -> None:
        self.env = dict(env or {})
        self.keys = dict(keys or {})
        self.record = record
        self.name = record_name(record) if record else ""


def record_name(record: Mapping[str, Any]) -> str:
    """A name for a record: equal ones share it."""
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:32]


class Exported:
    """The telemetry variables as Claude Code would see them without the bridge.

    Args:
        rules: the telemetry part of the sealed plan.
        layers: from weak to strong: a name for reports, whether it is a project's, the variables.
            The first is the process environment, the last what holds whatever the others say.
    """

    def __init__(self, rules: Rules, layers: Sequence[Layer]) -> None:
        self.parts = rules["parts"]
        self.switched_on = rules["switched_on"]
        self.values: dict[str, str] = {}
        self.origins: dict[str, str] = {}
        environment = layers[0][2]
        (switch,) = self.parts["switch"]
        for origin, is_project, variables in layers:
            for name in rules["names"]:
                if name not in variables:
                    continue
                text = text_of(variables[name])
                if is_project and (
                    name in environment or text.strip() != rules["project"].get(name)
                ):
                    continue
                if name == switch and text == rules["off"][switch]:
                    continue
                self.values[name], self.origins[name] = text, origin

    def first(self, part: str) -> tuple[str, str]:
        """The first variable of a part that has a value: its name and value, or empty texts."""
        for name in self.parts[part]:
            if self.values.get(name, "").strip():
                return name, self.values[name].strip()
        return "", ""

    def all(self, part: str) -> list[str]:
        """The values that the variables of a part have."""
        return [self.values[n] for n in self.parts[part] if self.values.get(n, "").strip()]

    def exporters(self) -> list[str]:
        """The exporters of log events."""
        words = [word.strip() for word in self.first("exporter")[1].split(",")]
        return [word for word in words if word not in ("", "none")]

    def obstacle(self, reason: str, name: str) -> Obstacle:
        """A reason with the variable that gives it, and where that was set."""
        return reason, name, self.origins.get(name, "")

    def has_all(self, part: str) -> bool:
        """Whether every variable of a part has a value that is not a plain no."""
        no = ("", "0", "false", "no", "off")
        return all(self.values.get(n, "").strip().lower() not in no for n in self.parts[part])

    def is_on(self) -> bool:
        """Whether telemetry is switched on."""
        return self.first("switch")[1].lower() in self.switched_on


def text_of(value: Any) -> str:
    """A value of ``env`` as Claude Code puts it into the environment."""
    return value if isinstance(value, str) else json.dumps(value)


def tap(rules: Rules, url: str, layers: Sequence[Layer], managed: Iterable[str]) -> Tapping:
    """Decide one start.

    Args:
        rules: the telemetry part of the sealed plan.
        url: the receiver's address with its token.
        layers: what sets variables, as for `Exported`.
        managed: the names that an administrator's settings hold: variables and keys.
    """
    exported = Exported(rules, layers)
    ours = url + rules["path"]
    fixed = _fixed(rules, exported, managed)
    if fixed:
        return _left(fixed)
    if not exported.is_on():
        off = {**rules["alone"], **rules["off"]}
        return Tapping(_pointed(off, ours), {rules["helper"]: ""})
    endpoint = exported.first("endpoint")[1]
    if endpoint.startswith(url + "/") and endpoint != ours:
        # A version that hands these variables to nested calls: this one was decided already.
        return Tapping(_pointed(rules["tapped"], endpoint))
    if endpoint == ours or not _sends_logs(rules, exported):
        return Tapping(_pointed(rules["alone"], ours))
    address = _address(rules, exported)
    obstacle = _obstacle(rules, exported, address)
    return _left(obstacle) if obstacle else _forwarded(rules, url, exported, address)


def _fixed(rules: Rules, exported: Exported, managed: Iterable[str]) -> Obstacle | None:
    """What no settings of ours can change, or may."""
    for name in managed:
        if name == rules["helper"] or re.match(rules["managed"], name):
            return "managed", name, "managed settings"
    if exported.has_all("elsewhere"):
        return exported.obstacle("elsewhere", rules["parts"]["elsewhere"][-1])
    return None


def _sends_logs(rules: Rules, exported: Exported) -> bool:
    exporters = exported.exporters()
    # Without a protocol Claude Code gives up on all telemetry.
    needs_protocol = rules["exporters"][0] in exporters
    return bool(exporters) and bool(exported.first("protocol")[1] or not needs_protocol)


def _obstacle(rules: Rules, exported: Exported, address: str) -> Obstacle | None:
    """Why log events that are exported cannot pass through the receiver."""
    exporters = exported.exporters()
    protocol, value = exported.first("protocol")
    is_secure = address.lower().startswith("https:")
    certificate = exported.first("client_certificate")[0]
    unverified, verdict = exported.first("unverified")
    found = (
        ("exporter", not set(exporters) <= set(rules["exporters"]), exported.first("exporter")[0]),
        ("console", rules["exporters"][0] not in exporters, exported.first("exporter")[0]),
        ("protocol", value not in rules["protocols"], protocol),
        ("endpoint", not address, exported.first("endpoint")[0] or exported.first("base")[0]),
        ("client_certificate", is_secure and bool(certificate), certificate),
        ("unverified", is_secure and verdict == "0", unverified),
    )
    return next((exported.obstacle(why, name) for why, is_so, name in found if is_so), None)


def _forwarded(rules: Rules, url: str, exported: Exported, address: str) -> Tapping:
    destination = {
        "url": address,
        "proxy": exported.first("proxy")[1],
        "no_proxy": ",".join(exported.all("no_proxy")),
        "certificates": exported.all("certificate"),
    }
    tapping = Tapping(record={"destination": destination})
    tapping.env = _pointed(rules["tapped"], f"{url}/{tapping.name}{rules['path']}")
    return tapping


def _address(rules: Rules, exported: Exported) -> str:
    """Where log events go; empty where that is not plain."""
    named = exported.first("endpoint")[0] or exported.first("base")[0]
    whole = exported.values[named] if named else rules["default"]
    if named not in rules["parts"]["endpoint"]:
        whole = whole.removesuffix("/") + rules["path"]
    matched = ADDRESS.match(whole)
    return "" if matched is None else matched[1] + (matched[2] or "/")


def _pointed(pins: Mapping[str, str], address: str) -> dict[str, str]:
    return {name: address if value == "$telemetry" else value for name, value in pins.items()}


def _left(obstacle: Obstacle) -> Tapping:
    reason, setting, origin = obstacle
    return Tapping(record={"fallback": {"reason": reason, "setting": setting, "origin": origin}})
