"""A URL's host in one canonical form, or the reason why it is refused.

Whatever could be read in two ways is refused and not guessed, since the one who checks and the
one who connects might guess differently.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address

import idna

from runner.fetch.lookalikes import why_deceptive

LONGEST_HOST = 253
LONGEST_LABEL = 63
"""Characters of a name and of what stands between its dots (RFC 1035, 2.3.4)."""

_ASCII_LABEL = re.compile(r"[a-z0-9_-]+")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


class BadUrl(ValueError):
    """The URL or its host can't be used; the text says why."""


def split_port(authority: str) -> tuple[str, int | None]:
    """Host (with its brackets, if any) and port of `host[:port]`; no or an empty port is None.

    Raises `BadUrl` for a port that is no number from 1 to 65535.
    """
    host, colon, port = authority.rpartition(":")
    if not colon or authority.endswith("]"):
        return authority, None
    if not port:
        return host, None
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65_536:
        raise BadUrl("the port is not a number from 1 to 65535")
    return host, int(port)


def canonical_host(host: str) -> str:
    """The host in lower-case ASCII: an IPv6 address without brackets, IPv4 as four decimals.

    Names are normalised as UTS #46 says; one dot at the end is dropped. Raises `BadUrl`.
    """
    if host.startswith("["):
        return _ipv6(host)
    if not host:
        raise BadUrl("there is no host")
    if "%" in host:
        raise BadUrl("the host is percent-encoded or names a network zone")
    if ":" in host:
        raise BadUrl("the host has a colon in it")
    name = _ascii(host).removesuffix(".")
    _check_lengths(name)
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        return _ipv4(name)
    for label in labels:
        _check_label(label, labels[-1])
    return name


def _ascii(host: str) -> str:
    if len(host) > 4 * LONGEST_HOST:
        raise BadUrl("the host is too long")
    if host.isascii():
        return host.lower()
    try:
        return idna.encode(host, uts46=True, std3_rules=True).decode("ascii")
    except idna.IDNAError as error:
        raise BadUrl("the host is not a valid international name (IDNA)") from error


def _check_lengths(name: str) -> None:
    if len(name) > LONGEST_HOST:
        raise BadUrl(f"the host is longer than {LONGEST_HOST} characters")
    for label in name.split("."):
        if not label:
            raise BadUrl("the host has two dots in a row, or begins with one, or is only dots")
        if len(label) > LONGEST_LABEL:
            raise BadUrl(f"the host has a part longer than {LONGEST_LABEL} characters")


def _check_label(label: str, top: str) -> None:
    if not _ASCII_LABEL.fullmatch(label):
        raise BadUrl("the host has a character that no host name has")
    if not label.startswith("xn--"):
        return
    try:
        shown = idna.ulabel(label)
    except idna.IDNAError as error:
        raise BadUrl("the host is not a valid international name (IDNA)") from error
    deceptive = why_deceptive(shown, top)
    if deceptive:
        raise BadUrl(f"the host {deceptive}")


def _ipv4(name: str) -> str:
    """A name whose last part is a number is an IPv4 address to every client (WHATWG URL, 3.5).

    Octal, hexadecimal and short forms mean different addresses to different programs.
    """
    try:
        return str(IPv4Address(name))
    except AddressValueError as error:
        raise BadUrl("the host is an IPv4 address that is not four plain decimals") from error


def _ipv6(host: str) -> str:
    if not host.endswith("]"):
        raise BadUrl("the host has an opening bracket only")
    inner = host[1:-1]
    if "%" in inner:
        raise BadUrl("the host names a network zone")
    try:
        return str(IPv6Address(inner))
    except AddressValueError as error:
        raise BadUrl("the host is not an IPv6 address") from error
