"""What could decide who pays for Claude Code on this machine, in this project: found and judged.

Offline, and without starting anything. What it says of a session without the bridge is
`acp_bridge.inspect.payer`; of one with the bridge, the launch plan that would be made.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from acp_bridge.errors import BridgeError
from acp_bridge.inspect.machine import LOADED, START_FILE, STORED, Looked, Place
from acp_bridge.inspect.payer import ANTHROPIC, ENVIRONMENT, GATEWAY_SIGN_IN, Payer, payer_of
from acp_bridge.launch.channel_rows import Action, Kind
from acp_bridge.launch.channels import Channels
from acp_bridge.launch.managed import Contradiction
from acp_bridge.modes import CLASS_OF_MODE, BillingMode, CredentialClass
from acp_bridge.settings import Settings

SCHEMA_VERSION = 1
CLEAN, FINDINGS, BROKEN = 0, 1, 2
"""Exit statuses."""
_ROUTES = frozenset({Kind.PROXY, Kind.TLS, Kind.LOADER, Kind.MODEL, Kind.CLOUD})
"""Kinds that are the user's to choose, and of which a project's word is worth telling."""
_OF_THE_USER = frozenset({ENVIRONMENT, "user settings", "global configuration"})


@dataclass(frozen=True, slots=True)
class Agent:
    """The agent that would be started, beside the one that this version is proven with.

    Attributes:
        version: the adapter's; None if there is none, or it does not tell.
        claude_version: Claude Code's; likewise.
        proven: the versions that are pinned: (adapter, Claude Code).
        problem: why there is none, with what to do.
    """

    version: str | None
    claude_version: str | None
    proven: tuple[str, str]
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class WithBridge:
    """What the bridge would do in a mode: pay with a class of credential, or not start, and why."""

    credential_class: CredentialClass | None
    why: str = ""
    contradictions: tuple[Contradiction, ...] = ()


def diagnosis(
    settings: Settings,
    channels: Channels,
    looked: Looked,
    agent: Agent,
    bridged: "dict[BillingMode, WithBridge]",
) -> dict[str, Any]:
    """The document of ``doctor --json``.

    Args:
        settings: the user's; its mode is the one that findings are about.
        channels: the channels.
        looked: what was found.
        agent: the agent.
        bridged: what the bridge would do, by mode.
    """
    payer = payer_of(looked.machine)
    findings = [
        _finding(channels, settings, place) for place in _moving(channels, settings, looked)
    ]
    findings += [
        {
            "channel": item.key,
            "kind": "managed",
            "where": str(item.file),
            "why": item.reason,
            "with_the_bridge": "it does not start in this mode",
            "fix": "ask the administrator, or choose the mode that those settings ask for",
        }
        for item in bridged[settings.mode].contradictions
    ]
    if not _as_meant(settings, payer) and not findings:
        findings.append(_no_payer(settings, payer, bridged[settings.mode]))
    return {
        "schema_version": SCHEMA_VERSION,
        "mode": settings.mode.value,
        "mode_letter": settings.mode.letter,
        "agent": {
            "version": agent.version,
            "claude_version": agent.claude_version,
            "proven": {"agent": agent.proven[0], "claude": agent.proven[1]},
            "problem": agent.problem,
        },
        "without_the_bridge": _without(payer),
        "with_the_bridge": [
            {
                "mode": mode.value,
                "mode_letter": mode.letter,
                "credential_class": None
                if of.credential_class is None
                else of.credential_class.value,
                "why_not": of.why or None,
            }
            for mode, of in bridged.items()
        ],
        "findings": findings,
        "notes": [*_notes(channels, looked)],
        "logins": list(looked.logins),
        "broken": [{"file": str(path), "why": why} for path, why in looked.broken],
    }


def exit_status(document: dict[str, Any]) -> int:
    """0 if only the mode's own payer could pay, 1 with findings, 2 if something is broken."""
    own = next(of for of in document["with_the_bridge"] if of["mode"] == document["mode"])
    cannot_start = own["credential_class"] is None and not document["findings"]
    if document["broken"] or document["agent"]["problem"] or cannot_start:
        return BROKEN
    return FINDINGS if document["findings"] else CLEAN


def _as_meant(settings: Settings, payer: Payer) -> bool:
    if payer.credential_class is not CLASS_OF_MODE[settings.mode]:
        # A key for an endpoint travels as any key does.
        key = settings.mode is BillingMode.ENDPOINT and settings.endpoint_api_key is not None
        if not key or payer.credential_class is not CredentialClass.API_KEY:
            return False
    meant = (
        settings.endpoint_url if settings.mode is BillingMode.ENDPOINT else settings.upstream_url
    )
    return payer.destination == (meant or ANTHROPIC).rstrip("/") and payer.route is None


def _moving(channels: Channels, settings: Settings, looked: Looked) -> Iterator[Place]:
    """What moves the payer, but for what the chosen mode itself is paid with."""
    yield from (place for place in looked.hints if not _is_own(channels, settings, place))
    for place in looked.places:
        if place.origin == STORED and _is_in_the_way(channels, settings, place):
            yield place
        kind = _kind(channels, place)
        if kind is None or _is_own(channels, settings, place):
            continue
        if kind.moves_the_payer or (kind in _ROUTES and place.origin not in _OF_THE_USER):
            yield place


def _kind(channels: Channels, place: Place) -> Kind | None:
    if place.channel in ("profile", "claude"):
        return Kind.FEDERATION if place.channel == "profile" else Kind.NESTED
    row = channels.variable(place.channel)
    key = next((one for one in channels.settings_keys if one.key == place.channel), None)
    return row.kind if row is not None else None if key is None else key.kind


def _is_own(channels: Channels, settings: Settings, place: Place) -> bool:
    """Whether the chosen mode is meant to be paid with just that."""
    if place.origin not in (ENVIRONMENT, START_FILE):
        return False
    roles = channels.roles
    if settings.mode is BillingMode.SUBSCRIPTION:
        return place.channel == roles["oauth_token"]
    named = (
        settings.api_key,
        settings.api_key_file,
        settings.api_key_command,
        settings.api_key_keyring,
    )
    inherits = settings.mode is BillingMode.API_KEY and not any(named)
    return inherits and place.channel == roles["api_key"]


def _finding(channels: Channels, settings: Settings, place: Place) -> dict[str, Any]:
    if place.origin == STORED:
        return _stored(channels, settings, place)
    kind = _kind(channels, place)
    row = channels.variable(place.channel)
    key = next((one for one in channels.settings_keys if one.key == place.channel), None)
    why = row.why if row is not None else key.why if key is not None else _WHY[place.channel]
    return {
        "channel": place.channel,
        "kind": "" if kind is None else kind.value,
        "where": str(place),
        "why": why,
        "with_the_bridge": _held(settings, row.environment[settings.mode] if row else None, place),
        "fix": _fix(place),
    }


def _is_in_the_way(channels: Channels, settings: Settings, place: Place) -> bool:
    """Whether a stored sign-in would pay: a gateway's before all else, others in their modes."""
    row = next(one for one in channels.stored if one.name == place.channel)
    return place.channel == GATEWAY_SIGN_IN or settings.mode in row.contradicts


def _stored(channels: Channels, settings: Settings, place: Place) -> dict[str, Any]:
    row = next(one for one in channels.stored if one.name == place.channel)
    refused = settings.mode in row.contradicts
    return {
        "channel": row.name,
        "kind": "login",
        "where": str(place),
        "why": row.why,
        "with_the_bridge": "it does not start in this mode" if refused else "switched off",
        "fix": row.fix,
    }


_WHY = {
    "profile": "A profile with oidc_federation outranks the stored login.",
    "claude": "An alias or a function in the place of `claude`.",
}


def _held(settings: Settings, action: Action | None, place: Place) -> str:
    if place.origin in (START_FILE, LOADED):
        return "held where it reaches Claude Code through a start of the bridge's"
    if place.origin == ENVIRONMENT:
        return {
            Action.REMOVE: "removed",
            Action.SET: f"overwritten by mode {settings.mode}",
        }.get(action or Action.REMOVE, "kept, as the user's own")
    return "overridden by the pinned settings"


def _fix(place: Place) -> str:
    if place.file is None:
        return f"unset {place.channel}, or start Claude Code through acp-bridge"
    if place.channel == "profile":
        return f"move {place.file} away, or start Claude Code through acp-bridge"
    return f"take {place.channel} out of {place}, or start Claude Code through acp-bridge"


def _no_payer(settings: Settings, payer: Payer, bridged: WithBridge) -> dict[str, Any]:
    """Nothing moves the payer, and the mode's own is still not the one that Claude Code picks."""
    return {
        "channel": payer.channel,
        "kind": "login",
        "where": payer.origin or "any place",
        "why": f"Without the bridge {_words(payer)}; mode {settings.mode} is not for that.",
        "with_the_bridge": bridged.why or f"{bridged.credential_class} pays",
        "fix": "start Claude Code through acp-bridge, or choose the mode that fits"
        if bridged.credential_class is not None
        else "give the mode its credential, or choose another with --mode",
    }


def _notes(channels: Channels, looked: Looked) -> Iterator[str]:
    """What the user has chosen and may want to be reminded of."""
    for place in looked.places:
        if _kind(channels, place) is Kind.PROXY and place.origin in _OF_THE_USER:
            yield f"{place.channel} ({place}): requests may go through that proxy"


def _without(payer: Payer) -> dict[str, Any]:
    return {
        "credential_class": payer.credential_class.value,
        "channel": payer.channel,
        "where": payer.origin or None,
        "destination": payer.destination,
        "proxy": None if payer.route is None else f"{payer.route[0]} ({payer.route[1]})",
    }


def _words(payer: Payer) -> str:
    if payer.credential_class is CredentialClass.NONE:
        return "nobody would pay: there is no credential"
    origin = f" in {payer.origin}" if payer.origin else ""
    return f"{payer.credential_class} would pay ({payer.channel}{origin})"


def render(document: dict[str, Any]) -> str:
    """The page for people."""
    without = document["without_the_bridge"]
    agent, proven = document["agent"], document["agent"]["proven"]
    lines = [
        f"mode             {document['mode']} ({document['mode_letter']})",
        f"without bridge   {without['credential_class']}: {without['channel']}"
        + (f" in {without['where']}" if without["where"] else "")
        + (f", at {without['destination']}" if without["destination"] else "")
        + (f", through {without['proxy']}" if without["proxy"] else ""),
    ]
    lines += [
        f"with the bridge  {of['mode']} ({of['mode_letter']}): "
        + (of["credential_class"] or f"does not start: {of['why_not']}")
        for of in document["with_the_bridge"]
    ]
    lines.append(
        f"agent            {agent['problem']}"
        if agent["problem"]
        else f"agent            {agent['version'] or 'unknown'} (proven with {proven['agent']}),"
        f" Claude Code {agent['claude_version'] or 'unknown'} (proven with {proven['claude']})"
    )
    lines += [f"login            {login}" for login in document["logins"]]
    lines += [f"note             {note}" for note in document["notes"]]
    lines += [f"BROKEN           {of['file']}: {of['why']}" for of in document["broken"]]
    for of in document["findings"]:
        lines += [
            "",
            f"FOUND            {of['channel']} in {of['where']}",
            f"  why            {of['why']}",
            f"  with bridge    {of['with_the_bridge']}",
            f"  fix            {of['fix']}",
        ]
    found = len(document["findings"])
    lines += ["", "nothing found" if not found else f"{found} found"]
    return "\n".join(lines) + "\n"


def session_findings(bridges: Sequence[dict[str, Any]], proven: tuple[str, str]) -> list[str]:
    """What is wrong with running bridges, from their evidence; a sentence each."""
    found = []
    for run in bridges:
        name = f"{run['run_id']} ({run['mode']})"
        found += [f"{name}: {item['reason']}: {item['detail']}" for item in run["violations"]]
        found += [
            f"{name}: {item['kind']} evidence contradicts the mode: {item['value']}"
            f" ({item['source']})"
            for item in run["evidence"]
            if item["verdict"] == "contradiction"
        ]
        if run["guarantees"] == "none":
            found.append(f"{name}: nothing is guaranteed, the agent is no known Claude adapter")
        seen = (run["agent"]["version"], run["agent"]["claude_version"])
        for what, version, pinned in zip(("agent", "Claude Code"), seen, proven, strict=True):
            if version is not None and version != pinned:
                found.append(
                    f"{name}: {what} {version} is not the version that this one is proven with"
                    f" ({pinned}): acp-bridge prove"
                )
    return found


def cannot_start(error: BridgeError) -> WithBridge:
    """A mode that is not configured, or cannot be."""
    return WithBridge(None, f"{error.message} ({error.hint})")
