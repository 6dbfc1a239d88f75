"""What of a message belongs to one connection, and which hosts are this machine."""

from ipaddress import ip_address

from acp_bridge.loopback.message import HeaderPairs

HOP_BY_HOP = frozenset(
    {
        "connection",
        "expect",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""RFC 9110, 7.6.1; the length and the host are the other connection's to say."""


def named_by_connection(headers: HeaderPairs) -> frozenset[str]:
    """The headers, in lower case, that a message's ``Connection`` says are for one hop."""
    return frozenset(
        named.strip().lower()
        for name, value in headers
        if name.lower() == "connection"
        for named in value.split(",")
    )


def without_named_by_connection(headers: HeaderPairs) -> HeaderPairs:
    """The headers without ``Connection`` and those it names; framing and host stay."""
    named = named_by_connection(headers)
    if not named:
        return headers
    dropped = named - {"content-length", "host", "transfer-encoding"} | {"connection"}
    return tuple((name, value) for name, value in headers if name.lower() not in dropped)


def is_loopback(host: str) -> bool:
    """Whether a host of a URL is this machine; ``127.example.org`` is a name like any other."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
