"""What an operator allows is read with care, and the public internet is what is left."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runner.errors import UsageError
from runner.fetch import ANYWHERE, Base, Policy
from runner.fetch.policy import Refused
from runner.fetch.ranges import METADATA, SPECIAL, why_not_public


@pytest.mark.parametrize(
    "entry, words",
    [
        ("minio.internal", "a host needs its port, such as minio.internal:443"),
        ("localhost", "a host needs its port"),
        ("*", "no host name has; expected a network such as 10.0.0.0/8, an address, or host:port"),
        ("10.0.0.1/8", "has bits set beyond its mask; 10.0.0.0/8 is the network"),
        ("10.0.0.0/33", "not a network"),
        ("10.0.0.0/8:9000", "not a network"),
        ("http://minio.internal:9000", "not a network"),
        ("minio.internal:0", "the port is not a number from 1 to 65535"),
        ("minio.internal:http", "the port is not a number from 1 to 65535"),
        ("user@minio.internal:9000", "no host name has"),
        ("127.1:9000", "not four plain decimals"),
        ("[::1]", "a host needs its port, such as [::1]:443"),
        ("::1:9000x", "the port"),
        ("10.0.0.0/8;192.168.0.0/16", "not a network"),
        ("10.0.0.0/8 192.168.0.0/16", "not a network"),
    ],
)
def test_unusable_entry_is_a_usage_error(entry: str, words: str) -> None:
    """The message names the entry, what is wrong with it, and what would be right."""
    with pytest.raises(UsageError) as caught:
        Policy.parse(f"192.168.0.0/16,{entry}")
    assert f"allow-list entry '{entry}': " in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "text, host, port, address",
    [
        ("10.0.0.0/8", "a.example", 8080, "10.255.0.1"),
        (" 10.0.0.1 ,", "10.0.0.1", 22, "10.0.0.1"),
        ("fd00::/8,10.0.0.0/8", "a.example", 443, "fd00::1"),
        ("::1", "::1", 9000, "::1"),
        ("[::1]:9000", "::1", 9000, "::1"),
        ("127.0.0.1:9000", "a.example", 9000, "127.0.0.1"),
        ("Minio.Internal:9000", "minio.internal", 9000, "172.17.0.2"),
        ("a.example:8443", "a.example", 8443, "93.184.215.14"),
        ("169.254.169.254/32", "169.254.169.254", 80, "169.254.169.254"),
        ("0.0.0.0/0", "a.example", 1234, "10.0.0.1"),
    ],
)
def test_entry_allows_what_it_names(text: str, host: str, port: int, address: str) -> None:
    """Networks at every port, addresses and names at theirs; refused without the entry."""
    Policy.parse(text).check(host, port, ip_address(address))
    with pytest.raises(Refused):
        Policy.parse("").check(host, port, ip_address(address))


def test_nothing_is_allowed_by_default() -> None:
    """The policy for strangers' URLs has no exception unless one is named."""
    assert Policy() == Policy.parse("") == Policy.parse(" , ")
    assert Policy().allow == ()


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1", "8.8.8.8", "93.184.215.14", "9.255.255.255", "11.0.0.0", "100.63.255.255",
        "100.128.0.0", "126.255.255.255", "128.0.0.1", "169.253.255.255", "172.15.255.255",
        "172.32.0.0", "192.0.1.0", "192.167.255.255", "192.169.0.0", "198.17.255.255",
        "198.20.0.0", "223.255.255.255", "168.63.129.15", "168.63.129.17",
        "2606:4700::1111", "2001:4860:4860::8888", "2a00:1450::1", "2003::1", "2400:cb00::1",
    ],
)  # fmt: skip
def test_public_address_passes(address: str) -> None:
    """Neighbours of refused ranges, and hosts that everybody knows, are reached."""
    for port in (80, 443):
        Policy().check("a.example", port, ip_address(address))


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
@example(ip_address("192.0.0.9"))
def test_never_more_lenient_than_the_standard_library(address: IPv4Address | IPv6Address) -> None:
    """Whatever Python's copy of the IANA registries knows not to be public is refused."""
    if not address.is_global or address.is_multicast or address.is_reserved:
        assert why_not_public(address) is not None


def test_every_range_is_refused_at_both_ends() -> None:
    """No later rule lets the first or the last address of a range through."""
    for network, _ in SPECIAL:
        assert why_not_public(network[0]) is not None
        assert why_not_public(network[-1]) is not None
        middle = network[network.num_addresses // 2]
        assert why_not_public(middle) is not None


def test_narrow_ranges_are_named_first() -> None:
    """The reason given for an address is that of the smallest range that it is in."""
    for number, (network, _) in enumerate(SPECIAL):
        for earlier, _ in SPECIAL[:number]:
            if earlier.version == network.version:
                assert not network.subnet_of(earlier), (network, earlier)  # type: ignore[arg-type]


def test_every_metadata_service_is_named() -> None:
    """Its cloud is in the reason, also where its range alone would be refused."""
    for address, cloud in METADATA.items():
        assert cloud in str(why_not_public(address))


def test_anywhere_refuses_nothing() -> None:
    """The default of a client whose URLs are the operator's own."""
    ANYWHERE.check_early("127.0.0.1", 22)
    ANYWHERE.check("x", 22, ip_address("169.254.169.254"))


def test_base_is_allowed_with_its_port() -> None:
    """The host that an operator names as base needs no entry of its own."""
    policy = Policy().allowing("uploads.internal", 8080)
    policy.check("uploads.internal", 8080, ip_address("10.0.0.1"))
    with pytest.raises(Refused):
        policy.check("uploads.internal", 8081, ip_address("10.0.0.1"))
    assert Base.parse("http://uploads.internal:8080/x").url == "http://uploads.internal:8080/x"
