"""What is wrong with the head of a request that its parser lets pass.

Refused is what another parser could read in another way (RFC 9112, sections 2.2, 5.2 and 6.3):
request smuggling is made of that. No client that means no harm writes such a head.
"""

import re
from http import HTTPStatus

_LENGTH = re.compile(rb"\ncontent-length:([^\r\n]*)", re.IGNORECASE)
_CODING = re.compile(rb"\ntransfer-encoding:", re.IGNORECASE)
_FOLDED = re.compile(rb"\n[ \t]")
_VERSIONS = (b"HTTP/1.1", b"HTTP/1.0")
_LONGEST_VERSION = 8


def fault_of(head: bytes, *, most: int) -> HTTPStatus | None:
    """The status to refuse a head with; None if there is nothing against it.

    Args:
        head: request line and headers as they came, up to the end of the empty line.
        most: bytes that a head may have.
    """
    if len(head) > most:
        return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    if head.count(b"\n") != head.count(b"\r\n") or _FOLDED.search(head):
        return HTTPStatus.BAD_REQUEST
    version = head.partition(b"\r\n")[0][-_LONGEST_VERSION:]
    if version not in _VERSIONS:
        return HTTPStatus.HTTP_VERSION_NOT_SUPPORTED
    lengths, codings = _LENGTH.findall(head), len(_CODING.findall(head))
    if len(lengths) + codings > 1 or any(b"," in length for length in lengths):
        return HTTPStatus.BAD_REQUEST
    if codings and version == b"HTTP/1.0":
        return HTTPStatus.BAD_REQUEST
    return None
