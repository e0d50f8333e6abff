"""Whatever a stranger types, nothing but the public internet and what is allowed is reached.

Each attack names `{port}`, where a server on loopback listens, so that a hole shows as a request.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from runner.errors import Permanent
from runner.fetch import Client, Limits, Policy
from tests.fetch.tools import SECRET, fetched, outcome
from tests.plugins.picture_host import PictureHost, redirect

NAMES = {
    "public.example": ["127.0.0.1"],
    "ten.example": ["10.1.2.3"],
    "metadata.example": ["169.254.169.254"],
    "azure.example": ["168.63.129.16"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "nat64.example": ["64:ff9b::7f00:1"],
    "zoned.example": ["fe80::1%lo"],
    "six.example": ["::1"],
    "second.example": ["93.184.215.14", "192.168.0.1"],
    "last.example": ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "fd00::1"],
}

URL, ADDRESS = "bad_url", "address_refused"

ATTACKS = [
    # loopback and other addresses of the machine itself
    ("http://127.0.0.1:{port}/", ADDRESS, "loopback (RFC 1122)"),
    ("http://127.8.9.10/", ADDRESS, "loopback"),
    ("http://localhost:{port}/", ADDRESS, "port"),
    ("http://localhost/", ADDRESS, "loopback"),
    ("http://0.0.0.0:{port}/", ADDRESS, "unspecified"),
    ("http://0.1.2.3/", ADDRESS, "unspecified"),
    ("http://[::1]:{port}/", ADDRESS, "loopback (RFC 4291)"),
    ("http://[0:0:0:0:0:0:0:1]/", ADDRESS, "loopback"),
    ("http://[::]:{port}/", ADDRESS, "unspecified"),
    # private and special IPv4
    ("http://10.0.0.1/", ADDRESS, "private (RFC 1918)"),
    ("https://172.16.0.1/", ADDRESS, "private"),
    ("https://172.31.255.255/", ADDRESS, "private"),
    ("http://192.168.1.1/admin", ADDRESS, "private"),
    ("http://100.64.0.1/", ADDRESS, "shared behind a carrier's NAT"),
    ("http://100.127.255.254/", ADDRESS, "shared behind a carrier's NAT"),
    ("http://169.254.1.1/", ADDRESS, "link-local"),
    ("http://192.0.0.8/", ADDRESS, "reserved for protocols"),
    ("http://192.0.2.1/", ADDRESS, "for documentation"),
    ("http://198.51.100.1/", ADDRESS, "for documentation"),
    ("http://203.0.113.1/", ADDRESS, "for documentation"),
    ("http://198.19.0.1/", ADDRESS, "for benchmarks"),
    ("http://192.88.99.1/", ADDRESS, "6to4 relays"),
    ("http://224.0.0.1/", ADDRESS, "multicast"),
    ("http://240.0.0.1/", ADDRESS, "reserved"),
    ("http://255.255.255.255/", ADDRESS, "broadcast"),
    # metadata services
    ("http://169.254.169.254/latest/meta-data/", ADDRESS, "metadata service (AWS"),
    ("http://169.254.170.2/", ADDRESS, "metadata service (AWS ECS"),
    ("http://168.63.129.16/", ADDRESS, "metadata service (Azure"),
    ("http://100.100.100.200/", ADDRESS, "metadata service (Alibaba"),
    ("http://192.0.0.192/", ADDRESS, "metadata service (Oracle"),
    ("http://[fd00:ec2::254]/", ADDRESS, "metadata service (AWS"),
    ("http://[fd20:ce::254]/", ADDRESS, "metadata service (Google"),
    # IPv6, and IPv4 in it
    ("http://[::ffff:127.0.0.1]:{port}/", ADDRESS, "IPv4-mapped"),
    ("http://[::ffff:7f00:1]/", ADDRESS, "IPv4-mapped"),
    ("http://[::ffff:0:127.0.0.1]/", ADDRESS, "IPv4-translated"),
    ("http://[::127.0.0.1]/", ADDRESS, "IPv4-compatible"),
    ("http://[64:ff9b::127.0.0.1]/", ADDRESS, "NAT64"),
    ("http://[64:ff9b:1::a00:1]/", ADDRESS, "local NAT64"),
    ("http://[2002:7f00:1::]/", ADDRESS, "6to4 tunnel"),
    ("http://[2001:0:7f00:1::]/", ADDRESS, "Teredo tunnel"),
    ("http://[fc00::1]/", ADDRESS, "unique local"),
    ("http://[fe80::1]/", ADDRESS, "link-local"),
    ("http://[fec0::1]/", ADDRESS, "site-local"),
    ("http://[ff02::1]/", ADDRESS, "multicast"),
    ("http://[2001:db8::1]/", ADDRESS, "for documentation"),
    ("http://[3fff::1]/", ADDRESS, "for documentation"),
    ("http://[2001:2::1]/", ADDRESS, "for benchmarks"),
    ("http://[100::1]/", ADDRESS, "discard-only"),
    ("http://[4000::1]/", ADDRESS, "outside of the global unicast range"),
    # IPv4 in other clothes
    ("http://2130706433/", URL, "not four plain decimals"),
    ("http://0x7f000001/", URL, "not four plain decimals"),
    ("http://017700000001/", URL, "not four plain decimals"),
    ("http://0x7f.0.0.1:{port}/", URL, "not four plain decimals"),
    ("http://0177.0.0.1/", URL, "not four plain decimals"),
    ("http://127.1/", URL, "not four plain decimals"),
    ("http://127.0.1/", URL, "not four plain decimals"),
    ("http://127.0.0.1.1/", URL, "not four plain decimals"),
    ("http://127.0.0.0x1/", URL, "not four plain decimals"),
    ("http://0x/", URL, "not four plain decimals"),
    ("http://256.256.256.256/", URL, "not four plain decimals"),
    ("http://1.2.3.4.5.6/", URL, "not four plain decimals"),
    ("http://127.0.0.1.:{port}/", ADDRESS, "loopback"),
    ("http://\uff11\uff12\uff17.0.0.1:{port}/", ADDRESS, "loopback"),
    ("http://127\u30020\u30020\u30021:{port}/", ADDRESS, "loopback"),
    ("http://\u2460\u2461\u2466.\u24ea.\u24ea.\u2460/", ADDRESS, "loopback"),
    ("http://127.0.0.1%00.example.com/", URL, "percent-encoded"),
    ("http://%31%32%37.0.0.1:{port}/", URL, "percent-encoded"),
    # names that lead to such addresses
    ("http://ten.example/", ADDRESS, "ten.example is 10.1.2.3, private"),
    ("http://TEN.example./", ADDRESS, "private"),
    ("http://metadata.example/", ADDRESS, "metadata service"),
    ("http://azure.example/", ADDRESS, "metadata service"),
    ("http://mapped.example/", ADDRESS, "IPv4-mapped"),
    ("http://nat64.example/", ADDRESS, "NAT64"),
    ("http://zoned.example/", ADDRESS, "link-local"),
    ("http://six.example/", ADDRESS, "loopback"),
    ("http://second.example/", ADDRESS, "192.168.0.1, private"),
    ("https://last.example/", ADDRESS, "fd00::1, private"),
    # ports
    ("http://93.184.215.14:22/", ADDRESS, "port 22 is not 80 or 443"),
    ("http://93.184.215.14:{port}/", ADDRESS, "is not 80 or 443"),
    ("https://second.example:6379/", ADDRESS, "port 6379"),
    ("http://public.example:0/", URL, "not a number from 1 to 65535"),
    ("http://public.example:65536/", URL, "not a number from 1 to 65535"),
    ("http://public.example:-80/", URL, "not a number from 1 to 65535"),
    ("http://public.example:8 0/", URL, "not a number from 1 to 65535"),
    ("http://public.example:\u0668\u0660/", URL, "not a number from 1 to 65535"),
    ("http://public.example:80:80/", URL, "colon"),
    # schemes and forms
    ("file:///etc/passwd", URL, "a file URL"),
    ("ftp://public.example/a", URL, "a ftp URL"),
    ("gopher://127.0.0.1:{port}/_GET", URL, "a gopher URL"),
    ("dict://127.0.0.1:{port}/", URL, "a dict URL"),
    ("data:image/png;base64,AAAA", URL, "a data URL"),
    ("javascript:alert(1)", URL, "a javascript URL"),
    ("http:public.example/", URL, "no host"),
    ("http:///public.example/", URL, "no host"),
    ("http://?a", URL, "no host"),
    ("http://:80/", URL, "no host"),
    # who is the host?
    (f"http://user:{SECRET}@public.example/", URL, "user or password"),
    ("http://user@public.example/", URL, "user or password"),
    ("http://public.example@127.0.0.1:{port}/", URL, "user or password"),
    ("http://@127.0.0.1:{port}/", URL, "user or password"),
    (f"http://user:{SECRET}/x@public.example/", URL, "port"),
    ("http://public.example\\@127.0.0.1:{port}/", URL, "backslash"),
    ("http:\\\\127.0.0.1:{port}\\", URL, "backslash"),
    ("http://public.example/a\\b.jpg", URL, "backslash"),
    ("http://public.example#@127.0.0.1:{port}/", ADDRESS, "loopback"),
    ("http://[::1", URL, "bracket"),
    ("http://[::1]x/", URL, "not a number"),
    ("http://[fe80::1%25lo]/", URL, "network zone"),
    ("http://[fe80::1%lo]/", URL, "network zone"),
    ("http://[v1.fe80]/", URL, "not an IPv6 address"),
    ("http://[127.0.0.1]/", URL, "not an IPv6 address"),
    ("http://::1/", URL, "colon"),
    # names that are none
    ("http://public..example/", URL, "two dots"),
    ("http://.public.example/", URL, "two dots"),
    ("http://public.example../", URL, "two dots"),
    ("http://./", URL, "two dots"),
    (f"http://{'a' * 64}.example/", URL, "longer than 63"),
    (f"http://{'a.' * 127}example/", URL, "longer than 253"),
    (f"http://{'a' * 7990}.example/", URL, "longer than"),
    (f"http://public.example/{'a' * 8000}", URL, "longer than 8,000"),
    ("http://exa mple.com/", URL, "no host name has"),
    ("http://pub<lic.example/", URL, "no host name has"),
    ("http://a,b.example/", URL, "no host name has"),
    # international names
    ("http://g\u043e\u043egle.com/", URL, "mixes scripts (cyrillic, latin)"),
    ("http://xn--ggle-55da.com/", URL, "mixes scripts (cyrillic, latin)"),
    ("http://\u0430\u0440\u0440\u04cf\u0435.com/", URL, "is cyrillic but looks latin"),
    ("http://xn--80ak6aa92e.com/", URL, "is cyrillic but looks latin"),
    ("http://\u03b1\u03bf\u03c5.com/", URL, "is greek but looks latin"),
    ("http://\u0261oogle.com/", URL, "phonetic letters"),
    ("http://pay\u200dpal.com/", URL, "international name"),
    ("http://a\u202eb.com/", URL, "international name"),
    ("http://xn--a/", URL, "international name"),
    ("http://a\u2100b.com/", URL, "international name"),
    ("http://public.example\uff0f.evil.com/", URL, "international name"),
    # what would end a line of the request
    ("http://public.example/a\r\nHost: internal", URL, "control character"),
    ("http://public.example/a\nX: y", URL, "control character"),
    ("http://public.example\r\n.evil/", URL, "control character"),
    ("http://public.example/\t", URL, "control character"),
    ("http://pub\tlic.example/", URL, "control character"),
    ("http://a\x00b/", URL, "control character"),
    ("http://public.example/\x1b[2J", URL, "control character"),
    ("http://public.example/\x85", URL, "control character"),
    ("http://public.example/a\u2028b", URL, "control character"),
    ("http://public.example/\ud800", URL, "half a letter"),
]


def addresses(host: str, _port: int) -> Sequence[str]:
    """What the names of these tests stand for."""
    found = NAMES.get(host, ["127.0.0.1"] if host == "localhost" else [])
    if not found:
        raise OSError(f"no address of {host}")
    return found


@pytest.fixture(scope="module")
def attacked() -> Iterator[PictureHost]:
    """A server that no attack may reach."""
    host = PictureHost()
    with host.running():
        yield host


@pytest.fixture(scope="module")
def strict() -> Iterator[Client]:
    """A client for strangers' URLs, as strict as it is without an allow-list."""
    limits = Limits(total_s=2.0, connect_s=1.0)
    with Client(policy=Policy(), limits=limits, resolve=addresses) as client:
        yield client


def in_full(url: str, host: PictureHost) -> str:
    """The attack on this server."""
    return url.replace("{port}", str(host.server_port))


@pytest.mark.parametrize("url, code, reason", ATTACKS)
def test_attack_is_refused(
    strict: Client, attacked: PictureHost, url: str, code: str, reason: str
) -> None:
    """It is refused for good, before a connection, and the reason is told."""
    error = outcome(strict, in_full(url, attacked) + ("" if "#" in url else f"?k={SECRET}"))
    assert isinstance(error, Permanent)
    assert error.code == code
    assert reason in str(error)
    assert str(error).isprintable()
    assert attacked.requests == []


@pytest.mark.parametrize("attack", ["http://127.0.0.1:{port}/", "//127.0.0.1:{port}/a.jpg"])
def test_attack_would_have_worked(picture_host: PictureHost, attack: str) -> None:
    """The same client without a policy does send a request: it's the policy that refuses."""
    with Client(resolve=addresses) as client:
        error = outcome(client, in_full(attack, picture_host))
    assert error.code in ("http_404", "tls")


REDIRECTS = [
    ("http://10.0.0.1/", ADDRESS, "private"),
    ("http://169.254.169.254/latest/", ADDRESS, "metadata service"),
    ("http://[::1]:{port}/", ADDRESS, "loopback"),
    ("http://127.0.0.2:{port}/", ADDRESS, "loopback"),
    ("//ten.example/", ADDRESS, "private"),
    ("http://second.example/", ADDRESS, "192.168.0.1"),
    ("http://93.184.215.14:22/", ADDRESS, "port 22"),
    ("http://2130706433/", URL, "not four plain decimals"),
    ("file:///etc/passwd", URL, "a file URL"),
    ("ftp://public.example/", URL, "a ftp URL"),
    ("gopher://public.example/", URL, "a gopher URL"),
    (f"http://u:{SECRET}@public.example/", URL, "user or password"),
    ("\\\\127.0.0.2:{port}/", URL, "backslash"),
    ("http://pub\tlic.example:{port}/", URL, "control character"),
    ("http://[", URL, "malformed"),
    ("http://g\u043e\u043egle.com/", URL, "mixes scripts"),
]


@pytest.mark.parametrize("location, code, reason", REDIRECTS)
def test_redirect_is_checked_like_the_first_url(
    picture_host: PictureHost, location: str, code: str, reason: str
) -> None:
    """A host that may be asked can't send the client where a row's own URL can't."""
    port = picture_host.server_port
    target = in_full(location, picture_host).encode("utf-8").decode("latin-1")
    picture_host.add("/r.jpg", redirect(target))
    policy = Policy.parse(f"public.example:{port}")
    with Client(policy=policy, resolve=addresses) as client:
        error = outcome(client, f"http://public.example:{port}/r.jpg?k={SECRET}")
    assert isinstance(error, Permanent)
    assert error.code == code
    assert reason in str(error)
    assert f"redirected from http://public.example:{port}/r.jpg" in str(error)
    assert len(picture_host.requests) == 1


@pytest.mark.parametrize(
    "allow, url",
    [
        ("127.0.0.1/32", "http://127.0.0.1:{port}/a.jpg"),
        ("127.0.0.0/8", "http://public.example:{port}/a.jpg"),
        ("10.0.0.0/8, 127.0.0.1", "http://public.example:{port}/a.jpg"),
        ("127.0.0.1:{port}", "http://127.0.0.1:{port}/a.jpg"),
        ("127.0.0.1:{port}", "http://public.example:{port}/a.jpg"),
        ("public.example:{port}", "http://public.example:{port}/a.jpg"),
        ("PUBLIC.example.:{port}", "http://Public.Example.:{port}/a.jpg#top"),
        ("public.example:{port}", "http://\uff30ublic.example:{port}/a.jpg"),
    ],
)
def test_allowed_passes(picture_host: PictureHost, allow: str, url: str) -> None:
    """What an operator names is reached, by address or by name."""
    picture_host.add("/a.jpg", b"picture")
    policy = Policy.parse(in_full(allow, picture_host))
    with Client(policy=policy, resolve=addresses) as client:
        assert fetched(client, in_full(url, picture_host)) == b"picture"


@pytest.mark.parametrize(
    "allow, url",
    [
        ("127.0.0.2/32", "http://127.0.0.1:{port}/"),
        ("127.0.0.1:1", "http://127.0.0.1:{port}/"),
        ("public.example:1", "http://public.example:{port}/"),
        ("other.example:{port}", "http://public.example:{port}/"),
        ("public.example:{port}", "http://127.0.0.1:{port}/"),
        ("127.0.0.0/8", "http://[::ffff:127.0.0.1]:{port}/"),
        ("0.0.0.0/0", "http://169.254.169.254/"),
        ("169.254.0.0/16", "http://metadata.example/"),
        ("metadata.example:80", "http://metadata.example/"),
    ],
)
def test_allowed_is_no_more_than_named(picture_host: PictureHost, allow: str, url: str) -> None:
    """An entry opens one door only, and never a metadata service unless it is that address."""
    policy = Policy.parse(in_full(allow, picture_host))
    with Client(policy=policy, resolve=addresses) as client:
        assert outcome(client, in_full(url, picture_host)).code == ADDRESS
    assert picture_host.requests == []
