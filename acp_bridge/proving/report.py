"""A proof as one document for programs and one table for people. Both show the same facts."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from acp_bridge import __version__
from acp_bridge.modes import BillingMode, Guard
from acp_bridge.proving.proof import Proof
from acp_bridge.proving.selection import Profile
from acp_bridge.proving.sightings import Outcome
from acp_bridge.proving.subject import Subject
from acp_bridge.proving.trial import Trial

SCHEMA_VERSION = 1
HEAD = ("channel", "planted in", "mode", "without", "with", "held")


def where(trial: Trial) -> str:
    """Where a trial plants, and for whom if that is not the mode's usual payer."""
    note = trial.payer.terms.note
    return f"{trial.where} ({note})" if note else trial.where


def document(
    subject: Subject, profile: Profile, trials: Sequence[Trial], proofs: Sequence[Proof]
) -> dict[str, Any]:
    """The document of ``prove --json``.

    Args:
        subject: what was put to the proof.
        profile: how much was meant to be tried.
        trials: what was to be tried, in the order of the document.
        proofs: what was tried; fewer than the trials if the proof was interrupted.
    """
    done = in_order(trials, proofs)
    held = sum(proof.held for proof in done)
    leak = sum(proof.without.outcome is Outcome.LEAKED for proof in done)
    return {
        "schema_version": SCHEMA_VERSION,
        "agent": {"version": subject.agent_version, "claude_version": subject.claude_version},
        "bridge_version": __version__,
        "profile": profile.value,
        "guard": {mode.value: subject.guards[mode].value for mode in _modes(trials)},
        "cases": [_case(proof) for proof in done],
        "totals": {
            "planted": len(done),
            "leak_without": leak,
            "held": held,
            "not_held": len(done) - held,
        },
        "held": held == len(trials),
    }


def _modes(trials: Sequence[Trial]) -> Sequence[BillingMode]:
    tried = {trial.payer.terms.mode for trial in trials}
    return [mode for mode in BillingMode if mode in tried]


def in_order(trials: Sequence[Trial], proofs: Sequence[Proof]) -> list[Proof]:
    """The proofs in the order of their trials."""
    by_trial = {proof.trial: proof for proof in proofs}
    return [by_trial[trial] for trial in trials if trial in by_trial]


def _case(proof: Proof) -> dict[str, Any]:
    mode = proof.trial.payer.terms.mode
    said = (("with", proof.through.detail), ("without", proof.without.detail))
    return {
        "channel": proof.trial.channel,
        "scope": where(proof.trial),
        "mode": mode.value,
        "mode_letter": mode.letter,
        "without": proof.without.outcome.value,
        "with": proof.through.outcome.value,
        "held": proof.held,
        "detail": ". ".join(f"{label}: {detail.rstrip('.')}" for label, detail in said if detail),
    }


def versions(subject: Subject) -> str:
    """One line that says what is put to the proof."""
    agent, claude = (
        version or "of unknown version"
        for version in (subject.agent_version, subject.claude_version)
    )
    return f"agent {agent}, Claude Code {claude}, acp-bridge {__version__}"


def render(found: dict[str, Any]) -> str:
    """The table for people, what was not held in words, and the sums.

    Args:
        found: from `document`.
    """
    cases = found["cases"]
    rows = [HEAD, *(_row(case) for case in cases)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows if cases]
    ending = [*_not_held(cases), _guard(found["guard"]), sums(found)]
    return "\n".join([*lines, "", *ending]) + "\n"


def _row(case: dict[str, Any]) -> tuple[str, ...]:
    outcomes = (case[side].replace("_", " ") for side in ("without", "with"))
    held = "yes" if case["held"] else "NOT HELD"
    return (case["channel"], case["scope"], case["mode"], *outcomes, held)


def _not_held(cases: Sequence[dict[str, Any]]) -> Iterator[str]:
    for case in cases:
        if not case["held"]:
            planted = f"{case['channel']} in {case['scope']}, {case['mode']}"
            yield f"NOT HELD  {planted}: {case['detail']}"


def _guard(guards: Mapping[str, str]) -> str:
    """Where what only the wire guard holds was tried, and where not."""
    modes: dict[str, list[str]] = {}
    for mode, guard in guards.items():
        modes.setdefault(guard, []).append(mode)
    if list(modes) == [Guard.ENFORCE]:
        return "wire guard: enforce in this proof"
    untried = "what only an enforcing guard holds was not tried"
    if len(modes) == 1:
        return f"wire guard: {next(iter(modes))} in this proof; {untried}"
    each = ", ".join(f"{guard} in {' and '.join(named)}" for guard, named in modes.items())
    return f"wire guard: {each}; there {untried}"


def sums(found: dict[str, Any]) -> str:
    """The line that ends every proof."""
    totals = found["totals"]
    planted, held = totals["planted"], totals["held"]
    channels = f"{planted} channel{'' if planted == 1 else 's'} planted"
    return f"{channels}, {totals['leak_without']} leak without the bridge, {held} of {planted} held"
