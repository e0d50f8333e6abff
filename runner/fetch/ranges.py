"""Addresses that no stranger's URL may lead to, each with the reason and its source.

Sources: the IANA registries of special-purpose addresses for IPv4 and IPv6 (RFC 6890, updated by
RFC 8190), IANA's list of IPv6 address space, and the documents named beside each range. Python's
`ipaddress` alone is not enough: it calls NAT64, 6to4, site-local and several metadata addresses
global.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_METADATA = {
    "169.254.169.254": "AWS, Google Cloud, Azure, DigitalOcean, OpenStack",
    "169.254.170.2": "AWS ECS, credentials of a task",
    "169.254.170.23": "AWS EKS, credentials of a pod",
    "169.254.42.42": "Scaleway",
    "169.254.0.23": "Tencent Cloud",
    "168.63.129.16": "Azure's platform service",
    "100.100.100.200": "Alibaba Cloud",
    "192.0.0.192": "Oracle Cloud",
    "fd00:ec2::254": "AWS",
    "fd00:ec2::23": "AWS EKS, credentials of a pod",
    "fd20:ce::254": "Google Cloud",
    "fd00:42::42": "Scaleway",
}
"""Where clouds answer a machine's questions about itself, from each cloud's documentation."""

METADATA: dict[Address, str] = {ip_address(text): cloud for text, cloud in _METADATA.items()}

_SPECIAL = {
    "0.0.0.0/8": "unspecified: this host on this network (RFC 791)",
    "10.0.0.0/8": "private (RFC 1918)",
    "100.64.0.0/10": "shared behind a carrier's NAT (RFC 6598)",
    "127.0.0.0/8": "loopback (RFC 1122)",
    "169.254.0.0/16": "link-local (RFC 3927)",
    "172.16.0.0/12": "private (RFC 1918)",
    "192.0.0.0/24": "reserved for protocols of the IETF (RFC 6890)",
    "192.0.2.0/24": "for documentation (RFC 5737)",
    "192.31.196.0/24": "a sink of name queries, AS112 (RFC 7535)",
    "192.52.193.0/24": "multicast tunnels, AMT (RFC 7450)",
    "192.88.99.0/24": "6to4 relays, deprecated (RFC 7526)",
    "192.168.0.0/16": "private (RFC 1918)",
    "192.175.48.0/24": "a sink of name queries, AS112 (RFC 7534)",
    "198.18.0.0/15": "for benchmarks (RFC 2544)",
    "198.51.100.0/24": "for documentation (RFC 5737)",
    "203.0.113.0/24": "for documentation (RFC 5737)",
    "224.0.0.0/4": "multicast (RFC 5771)",
    "255.255.255.255/32": "broadcast (RFC 919)",
    "240.0.0.0/4": "reserved (RFC 1112)",
    "::/128": "unspecified (RFC 4291)",
    "::1/128": "loopback (RFC 4291)",
    "::/96": "IPv4-compatible, deprecated (RFC 4291)",
    "::ffff:0:0/96": "IPv4-mapped (RFC 4291)",
    "::ffff:0:0:0/96": "IPv4-translated (RFC 2765)",
    "64:ff9b::/96": "IPv4 behind NAT64 (RFC 6052)",
    "64:ff9b:1::/48": "IPv4 behind a local NAT64 (RFC 8215)",
    "100::/64": "discard-only (RFC 6666)",
    "2001::/32": "a Teredo tunnel to IPv4 (RFC 4380)",
    "2001:2::/48": "for benchmarks (RFC 5180)",
    "2001::/23": "reserved for protocols of the IETF (RFC 2928)",
    "2001:db8::/32": "for documentation (RFC 3849)",
    "2002::/16": "a 6to4 tunnel to IPv4 (RFC 3056)",
    "2620:4f:8000::/48": "a sink of name queries, AS112 (RFC 7534)",
    "3fff::/20": "for documentation (RFC 9637)",
    "5f00::/16": "segment routing (RFC 9602)",
    "fc00::/7": "private, unique local (RFC 4193)",
    "fe80::/10": "link-local (RFC 4291)",
    "fec0::/10": "site-local, deprecated (RFC 3879)",
    "ff00::/8": "multicast (RFC 4291)",
}
"""A range that lies within another comes before it, so that the first match says most."""

SPECIAL: tuple[tuple[Network, str], ...] = tuple(
    (ip_network(text), reason) for text, reason in _SPECIAL.items()
)

_GLOBAL_UNICAST = IPv6Network("2000::/3")
"""All that IANA has given out for the public IPv6 internet (IPv6 address space registry)."""


def why_not_public(address: Address) -> str | None:
    """Why an address is not one of the public internet, in words; None where it is."""
    if address in METADATA:
        return f"a cloud's metadata service ({METADATA[address]})"
    for network, reason in SPECIAL:
        if address in network:
            return reason
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST:
        return "outside of the global unicast range (RFC 4291)"
    return None
