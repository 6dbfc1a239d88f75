"""Memory of one piece of the stream is used again for the next."""

import subprocess
import sys

import pytest

PIECES = 500
PAGES_OF_A_PIECE = 256

_CODE = """
import resource, sys
from acp_bridge.allocation import reuse_freed_blocks
if sys.argv[1] == "reuse":
    assert reuse_freed_blocks()
held = []
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for number in range({pieces}):
    held.append(bytes([number % 256]) * (1 << 20))
    if len(held) == 2:
        held.clear()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(how: str) -> int:
    """How often the kernel had to give a page while 1 MiB pieces came and went."""
    done = subprocess.run(
        [sys.executable, "-c", _CODE.format(pieces=PIECES), how],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such setting")
def test_the_kernel_gives_memory_once_and_not_for_each_piece() -> None:
    assert page_faults("reuse") < 10 * PAGES_OF_A_PIECE
    assert page_faults("as it is") > PIECES // 4 * PAGES_OF_A_PIECE
