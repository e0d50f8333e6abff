"""Where connections may go: the public internet, and what an operator names beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network

from runner.errors import UsageError
from runner.fetch.hosts import BadUrl, canonical_host, split_port
from runner.fetch.ranges import METADATA, Address, Network, why_not_public

PORTS = (80, 443)
"""The ports of http and https; a stranger's URL that names another one is refused."""

_FORM = "expected a network such as 10.0.0.0/8, an address, or host:port"


class Refused(Exception):
    """The policy lets no connection go there; the text says why."""


@dataclass(frozen=True, slots=True)
class _AllowedNetwork:
    network: Network
    port: int | None

    def covers(self, _host: str, port: int, address: Address) -> bool:
        if address in METADATA and self.network.num_addresses > 1:
            return False
        return self.port in (None, port) and address in self.network


@dataclass(frozen=True, slots=True)
class _AllowedHost:
    host: str
    port: int

    def covers(self, host: str, port: int, address: Address) -> bool:
        return (host, port) == (self.host, self.port) and address not in METADATA


_Allowed = _AllowedNetwork | _AllowedHost


@dataclass(frozen=True, slots=True)
class Policy:
    """What addresses and ports may be connected to.

    With `public_only`, addresses of the public internet at ports 80 and 443, and what `allow`
    names; without it, anything. `check` is asked before each connection, about every address
    that the host's name has.
    """

    allow: tuple[_Allowed, ...] = ()
    public_only: bool = True

    @classmethod
    def parse(cls, allow: str) -> Policy:
        """The public internet and a list such as `127.0.0.1/32,10.0.0.0/8,minio.internal:9000`.

        A network or an address is allowed at every port, unless a port is given with an address
        (`127.0.0.1:9000`, `[::1]:9000`); a host is allowed at its port, wherever its name leads
        but to a metadata service. Those need an entry with just their address.
        Raises `UsageError`, which names the entry that can't be used.
        """
        entries = (entry.strip() for entry in allow.split(","))
        return cls(allow=tuple(_entry(entry) for entry in entries if entry))

    def allowing(self, host: str, port: int) -> Policy:
        """This policy and one more host, in canonical form, at one port."""
        return replace(self, allow=(*self.allow, _host_entry(host, port)))

    def check_early(self, host: str, port: int) -> None:
        """Refuse what needs no name service to be refused; raises as `check` does."""
        try:
            address = ip_address(host)
        except ValueError:
            possible = any(
                entry.host == host
                if isinstance(entry, _AllowedHost)
                else entry.port in (None, port)
                for entry in self.allow
            )
            if self.public_only and port not in PORTS and not possible:
                raise Refused(_why_not_port(port)) from None
            return
        self.check(host, port, address)

    def check(self, host: str, port: int, address: Address) -> None:
        """Raise `Refused` where no connection may be made.

        `host` is in canonical form and `address` one of those that it has.
        """
        if not self.public_only or any(e.covers(host, port, address) for e in self.allow):
            return
        reason = why_not_public(address)
        if reason is not None:
            where = f"{address} is" if host == str(address) else f"{host} is {address},"
            raise Refused(f"{where} {reason}")
        if port not in PORTS:
            raise Refused(_why_not_port(port))


ANYWHERE = Policy(public_only=False)
"""The policy that refuses nothing."""


def _why_not_port(port: int) -> str:
    return f"port {port} is not 80 or 443"


def _entry(text: str) -> _Allowed:
    try:
        return _AllowedNetwork(ip_network(text), None)
    except ValueError:
        pass  # it may be a host with a port; a network with a mistake in it is told apart below
    if "/" in text:
        raise UsageError(f"allow-list entry {text!r}: {_network_mistake(text)}")
    try:
        host, port = split_port(text)
        host = canonical_host(host)
    except BadUrl as error:
        raise UsageError(f"allow-list entry {text!r}: {error}; {_FORM}") from error
    if port is None:
        raise UsageError(f"allow-list entry {text!r}: a host needs its port, such as {text}:443")
    return _host_entry(host, port)


def _host_entry(host: str, port: int) -> _Allowed:
    try:
        return _AllowedNetwork(ip_network(host), port)
    except ValueError:
        return _AllowedHost(host, port)


def _network_mistake(text: str) -> str:
    try:
        meant = ip_network(text, strict=False)
    except ValueError:
        return f"not a network; {_FORM}"
    return f"has bits set beyond its mask; {meant} is the network"
