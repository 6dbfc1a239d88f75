"""Lines that are read at once are read as each would be by itself, or not at all."""

from hypothesis import example, given
from hypothesis import strategies as st

from acp_bridge.protocol.envelope import Envelope, read, read_together
from tests.protocol.playbook import notification, request, result

HIDDEN = b'{"method":"providers/set","id":1}'
PARTS = st.sampled_from(
    [
        b"{",
        b"}",
        b"{}",
        b"{}{}",
        b"{} {}{}",
        b'{"params":',
        b'{"a":[',
        b"]}",
        b"}}",
        b'{"a":"x}',
        b'{y"}',
        b"",
        b" ",
        b"\r",
        b"[{}]",
        b'{"method":1}',
        b'{"a":"\\ud800"}',
        HIDDEN,
    ]
)


def lines_of(block: bytes) -> list[bytes]:
    return [line + b"\n" for line in block.split(b"\n")[:-1]]


@given(st.lists(PARTS, min_size=2).map(lambda parts: b"\n".join(parts) + b"\n"))
@example(b'{}{}{}\n{"params":\n%s\n}\n' % HIDDEN)
@example(b"{}{}\n\n")
@example(b'{"a":"x}\n{y"}\n')
def test_either_every_line_is_an_object_of_its_own_or_none_is_read(block: bytes) -> None:
    together = read_together(block)
    if together is not None:
        alone = [read(line) for line in lines_of(block)]
        assert all(isinstance(one, Envelope) for one in alone)
        assert [repr_of(one) for one in together] == [repr_of(one) for one in alone]


def repr_of(message: object) -> object:
    """What was read, comparable."""
    assert isinstance(message, Envelope)
    return (message.method, message.raw_id, bytes(message.params), bytes(message.result))


def test_ordinary_messages_are_read_together() -> None:
    block = notification("a") + request(1, "b", {"c": ["}", "\n", "{"]}) + result(2)
    together = read_together(block)
    assert together is not None
    assert [repr_of(one) for one in together] == [repr_of(read(one)) for one in lines_of(block)]
