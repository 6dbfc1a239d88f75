import tracemalloc

from acp_bridge.protocol.commands import Command, ToAgent, ToClient
from tests.protocol.playbook import guarded, sent_to_client

MEGABYTE = 1 << 20
CHUNK = b"x" * (64 * 1024)
SIZE = 100 * MEGABYTE
HEAD = b'{"jsonrpc":"2.0","method":"session/update","params":{"data":"'
TAIL = b'"}}\n'


def chunks() -> list[bytes]:
    """The chunks of one line of 100 MB; the body is one object, held once."""
    return [HEAD, *([CHUNK] * (SIZE // len(CHUNK))), TAIL]


def test_a_line_of_a_hundred_megabytes_passes_both_ways_unchanged() -> None:
    core = guarded()
    tracemalloc.start()
    try:
        for receive in (core.receive_from_client, core.receive_from_agent):
            commands: list[Command] = [one for chunk in chunks() for one in receive(chunk, 0.0)]
            (only,) = commands
            assert isinstance(only, ToAgent | ToClient)
            assert len(only.data) == len(HEAD) + SIZE + len(TAIL)
            assert only.data.startswith(HEAD)
            assert only.data.endswith(TAIL)
            del only, commands
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2.2 * SIZE


def test_lines_over_the_limit_use_no_memory_however_long_they_are() -> None:
    core = guarded(max_client_line_bytes=MEGABYTE)
    tracemalloc.start()
    try:
        answers = b"".join(
            sent_to_client(core.receive_from_client(chunk, 0.0)) for chunk in chunks()
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answers.count(b"line_too_long") == 1
    assert peak < 4 * MEGABYTE
