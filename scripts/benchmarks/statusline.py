"""What `acp-bridge statusline` takes as a whole command, beside a Python that does nothing.

    scripts/bench statusline [--rounds N]

Claude Code runs it after each answer. All are started in turns, in one run; medians and ratios.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

USAGE = {
    "cost": [{"cost_kind": "list_price_equivalent", "cost_usd": "0.420000"}],
    "input_tokens": 1,
    "output_tokens": 2,
    "cache_read_tokens": 3000,
    "cache_write_5m_tokens": 0,
    "cache_write_1h_tokens": 0,
}


def run_of(folder: Path) -> dict[str, str]:
    """The environment within a run that has used something in twenty sessions."""
    launcher = folder / "launch" / "agent" / "claude"
    launcher.parent.mkdir(parents=True)
    limit = {"window": "five_hour", "used": "0.63", "resets_at": "2026-11-26T12:00:00+00:00"}
    document = {
        "mode": "subscription",
        "mode_letter": "B",
        "bucket": "plan_limits",
        "limits": [limit],
        "violations": [],
        "sessions": [{"session_id": str(number), "usage": USAGE} for number in range(20)],
    }
    (folder / "status.json").write_text(json.dumps(document))
    return {**os.environ, "CLAUDE_CODE_EXECUTABLE": str(launcher)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    rounds = parser.parse_args().rounds
    bridge = Path(sys.executable).with_name("acp-bridge")
    programs = {
        "python -I -S -c pass": [sys.executable, "-I", "-S", "-c", "pass"],
        "python -c pass": [sys.executable, "-c", "pass"],
        "acp-bridge statusline": [str(bridge), "statusline"],
    }
    times: dict[str, list[float]] = {name: [] for name in programs}
    with tempfile.TemporaryDirectory() as folder:
        env = run_of(Path(folder))
        for _ in range(rounds):
            for name, argv in programs.items():
                start = time.perf_counter()
                subprocess.run(
                    argv, env=env, input=b'{"session_id": "1"}', stdout=subprocess.PIPE, check=True
                )
                times[name].append(time.perf_counter() - start)
    floor = statistics.median(times["python -c pass"])
    print("| command | ms | ratio |\n|---|---|---|")
    for name, of in times.items():
        median = statistics.median(of)
        print(f"| {name} | {median * 1e3:.0f} | {median / floor:.1f} |")


if __name__ == "__main__":
    main()
