"""The lines on stderr that say who pays: at the start of every run, and when that changes."""

from acp_bridge.modes import AgentKind, BillingMode
from acp_bridge.run.bucket import BucketChange
from acp_bridge.run.overage import in_words
from acp_bridge.run.preparation import Preparation
from acp_bridge.standard_error import write_stderr

SHOWN_CHANNELS = 6

_CREDENTIALS = {
    "login": "the stored claude.ai login",
    "oauth_token": "the subscription token in the environment",
    "api_key": "an API key",
    "bearer": "the endpoint's token",
    "headers": "the endpoint's headers",
    "no_auth": "no credential",
}


def show_banner(preparation: Preparation, charged_to: str) -> None:
    """Write the banner, and the hint for a key that nobody decided to leave out.

    Args:
        preparation: of the run.
        charged_to: the bucket, and which policy says so if one does.
    """
    settings, plan, removed = preparation.settings, preparation.plan, preparation.removed
    credential = _CREDENTIALS[preparation.credential.form or plan.form]
    parts = [
        f"mode {plan.mode} ({plan.mode.letter})",
        f"pays with {credential}, charged to {charged_to}",
        f"wire guard {preparation.guard}",
    ]
    if settings.agent_kind is AgentKind.OTHER:
        parts = [f"mode {plan.mode} ({plan.mode.letter})", "guarantees: none (not a Claude agent)"]
    elif removed:
        names = list(dict.fromkeys(f"{channel} ({origin})" for channel, origin in removed))
        shown = ", ".join(names[:SHOWN_CHANNELS])
        more = f" and {len(names) - SHOWN_CHANNELS} more" if len(names) > SHOWN_CHANNELS else ""
        parts.append(f"removed {shown}{more}")
    else:
        parts.append("nothing had to be removed")
    write_stderr("acp-bridge: " + " · ".join(parts) + "\n")
    if plan.api_key_found and plan.mode is BillingMode.SUBSCRIPTION and settings.is_default("mode"):
        write_stderr(
            "hint: an API key was found and removed; set ACP_BRIDGE_MODE=api-key to use it\n"
        )


def show_bucket_change(change: BucketChange) -> None:
    """Write that another bucket is charged from now on, and why."""
    used_up = change.used_up
    resets = ""
    if used_up is not None and used_up.resets_at is not None:
        resets = f"; it resets at {in_words(used_up.resets_at)}"
    write_stderr(f"acp-bridge: now charged to {change.bucket}: {change.why}{resets}\n")


def show_unguarded(*, budgets: bool, overage: bool) -> None:
    """Write what cannot stop a command that nobody guards.

    Args:
        budgets: there are budgets.
        overage: extra usage is not to be drawn on.
    """
    if budgets:
        write_stderr(
            "hint: without the wire guard budgets are asked once, before the command starts; set"
            " ACP_BRIDGE_GUARD=enforce to have them asked before each request\n"
        )
    if overage:
        write_stderr(
            "hint: without the wire guard nobody sees when extra usage pays for a command; set"
            " ACP_BRIDGE_GUARD=enforce for ON_OVERAGE=block to hold\n"
        )
