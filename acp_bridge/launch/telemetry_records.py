"""Reading what the launch gate's starts did with Claude Code's own telemetry.

    run directory/launch/telemetry/NAME.json
        {"destination": {"url", "proxy", "no_proxy", "certificates"}}  log events are forwarded
        {"fallback": {"reason", "setting", "origin"}}                 they do not reach the meter

A start whose events go to the receiver alone leaves none.
"""

import json
import re
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

_NAME = re.compile(r"[0-9a-f]{32}")


class FallbackReason(StrEnum):
    """Why a start's log events do not reach the meter. The user's own telemetry is untouched."""

    MANAGED = "managed"
    ELSEWHERE = "elsewhere"
    EXPORTER = "exporter"
    CONSOLE = "console"
    PROTOCOL = "protocol"
    ENDPOINT = "endpoint"
    CLIENT_CERTIFICATE = "client_certificate"
    UNVERIFIED = "unverified"

    @property
    def sentence(self) -> str:
        """The reason in words."""
        return _SENTENCES[self]


_SENTENCES = {
    FallbackReason.MANAGED: "the administrator's settings decide where telemetry goes",
    FallbackReason.ELSEWHERE: "detailed tracing sends log events to an address of its own",
    FallbackReason.EXPORTER: "the log exporter is not one the bridge knows",
    FallbackReason.CONSOLE: "log events are printed, not sent",
    FallbackReason.PROTOCOL: "log events are sent over a protocol that the bridge cannot pass on",
    FallbackReason.ENDPOINT: "the address that log events are sent to is not plain http or https",
    FallbackReason.CLIENT_CERTIFICATE: "log events are sent with a client certificate",
    FallbackReason.UNVERIFIED: "log events are sent without checking the destination's certificate",
}


@dataclass(frozen=True, slots=True)
class Fallback:
    """Why the meter falls back for some start of Claude Code.

    Args:
        reason: why.
        setting: the variable or settings key that decides.
        origin: where it is set: ``environment``, ``user settings``, ``--settings``…
    """

    reason: FallbackReason
    setting: str
    origin: str

    def __str__(self) -> str:
        where = f" ({self.setting}, {self.origin})" if self.setting else ""
        return self.reason.sentence + where


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the user's log events go; may hold a proxy's password.

    Args:
        url: the whole address.
        proxy: the proxy that Claude Code would use; empty for none.
        no_proxy: hosts that are reached without it, separated by commas or blanks.
        certificates: files of further certificate authorities.
    """

    url: str
    proxy: str = field(default="", repr=False)
    no_proxy: str = ""
    certificates: tuple[str, ...] = ()


def fallbacks(records: Path) -> list[Fallback]:
    """Why the meter falls back, for every start so far that did; empty where none did.

    Args:
        records: `acp_bridge.launch.launcher.Launcher.telemetry_records`.
    """
    try:
        names = sorted(path.stem for path in records.glob("*.json"))
    except OSError:
        return []
    found = [_fallback(_part(records, name, "fallback")) for name in names]
    return [fallback for fallback in found if fallback is not None]


def destination(records: Path, name: str) -> Destination | None:
    """The destination of a record; None if there is no such record.

    Args:
        records: as for `fallbacks`.
        name: the record's name, as it came over the wire.
    """
    if not _NAME.fullmatch(name):
        return None
    part = _part(records, name, "destination")
    try:
        return Destination(
            url=str(part["url"]),
            proxy=str(part["proxy"]),
            no_proxy=str(part["no_proxy"]),
            certificates=tuple(str(file) for file in part["certificates"]),
        )
    except (KeyError, TypeError):
        return None


def _fallback(part: dict[str, Any]) -> Fallback | None:
    try:
        reason = FallbackReason(part["reason"])
        return Fallback(reason, str(part["setting"]), str(part["origin"]))
    except (KeyError, ValueError):
        return None


def _part(records: Path, name: str, key: str) -> dict[str, Any]:
    """A part of a record; empty where it is absent or nothing that the gate wrote."""
    try:
        record = json.loads((records / f"{name}.json").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return {}
    part = record.get(key) if isinstance(record, dict) else None
    return part if isinstance(part, dict) else {}
