"""The explicit list of what looks at ACP messages in this run, in order."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from acp_bridge import __version__
from acp_bridge.errors import Reason
from acp_bridge.launch.launcher import Launcher
from acp_bridge.launch.settings_files import login_stored, read_object
from acp_bridge.modes import BillingMode, Bucket, OnOverage
from acp_bridge.protocol import names
from acp_bridge.protocol.decisions import ClientDecision, Interceptor, Refuse
from acp_bridge.protocol.envelope import Envelope
from acp_bridge.protocol.evidence import Context
from acp_bridge.protocol.evidence_gate import EvidenceGate
from acp_bridge.protocol.initialize import BridgeCard, InitializeEditor
from acp_bridge.protocol.lock import ModeLock
from acp_bridge.protocol.overage_gate import OverageGate
from acp_bridge.protocol.raw_messages import RawMessages, UsageUpdates
from acp_bridge.protocol.session_options import SessionPolicy
from acp_bridge.run.preparation import Layers, Preparation


def interceptors(  # noqa: PLR0913 - what each of them needs to know
    preparation: Preparation,
    command: tuple[str, ...],
    layers: Layers,
    *,
    bucket: Bucket,
    overage: Callable[[], Refuse | None],
    budgets: Interceptor | None = None,
) -> list[Interceptor]:
    """The interceptors of a run.

    Args:
        preparation: the prepared run.
        command: the argv prefix that starts the bridge again in this mode.
        layers: which layers are on.
        bucket: what is expected to be charged.
        overage: how to refuse prompts that extra usage would pay for; None where they may pass.
        budgets: holds prompts until the budgets were asked; None where there are none.
    """
    settings, plan = preparation.settings, preparation.plan
    card = BridgeCard(plan.mode, _card_meta(preparation, bucket), command)
    chain: list[Interceptor] = [InitializeEditor(card, settings.agent_kind)]
    if layers.lock:
        chain.append(ModeLock(plan.mode, _session_policy(preparation)))
    chain += [RawMessages(), UsageUpdates()]
    if preparation.launcher is not None:
        chain.append(LauncherCheck(preparation.launcher))
    if settings.on_overage is OnOverage.BLOCK:
        chain.append(OverageGate(overage))
    if layers.evidence:
        chain.append(
            EvidenceGate(plan.mode, lambda: _context(preparation), settings.status_wait_seconds)
        )
    if budgets is not None:
        chain.append(budgets)  # the last to be asked: what it admits is reserved
    return chain


class LauncherCheck(Interceptor):
    """Refuses to open a session through a launch gate that is not what was written."""

    client_methods = names.SESSION_OPENING

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher

    def client_message(self, message: Envelope, now: float) -> ClientDecision:
        """Compare the gate's files with their digest."""
        del message, now
        if self._launcher.intact():
            return None
        return Refuse(
            names.Code.CREDENTIAL_CONTRADICTION,
            Reason.CREDENTIAL_CONTRADICTION,
            "The launch gate of this run was changed on disk, so nobody can say who would pay.",
            "Start the bridge again; it writes a new gate.",
            channel="launcher",
        )


def _session_policy(preparation: Preparation) -> SessionPolicy:
    channels, mode = preparation.channels, preparation.plan.mode

    def read_settings(path: str, cwd: str | None) -> Mapping[str, Any] | None:
        return read_object(Path(cwd or ".") / path) or None

    return SessionPolicy(
        is_channel=lambda name: channels.is_environment_channel(name, mode),
        pins=preparation.plan.pins,
        read_settings=read_settings,
    )


def _context(preparation: Preparation) -> Context:
    plan = preparation.plan
    return Context(
        oauth_token_in_env=plan.form == "oauth_token",
        login_stored=login_stored(preparation.folders),
        # Headers of one's own go out beside a placeholder in x-api-key (credential-channels.toml).
        endpoint_uses_api_key=plan.mode is BillingMode.ENDPOINT
        and plan.form in ("api_key", "headers"),
    )


def _card_meta(preparation: Preparation, bucket: Bucket) -> dict[str, Any]:
    """The members of ``_meta["acp_bridge"]`` on the ``initialize`` result."""
    plan = preparation.plan
    return {
        "version": __version__,
        "run_id": preparation.run_id,
        "mode": plan.mode.value,
        "mode_letter": plan.mode.letter,
        "credential_class": plan.credential_class.value,
        "bucket": bucket.value,
        "guard": preparation.guard.value,
    }
