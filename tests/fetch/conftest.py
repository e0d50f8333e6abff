"""Fixtures of downloads: a host to talk to, a name server, a host that must stay untouched."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runner.fetch import Client, Limits
from tests.fetch.names import NameServer
from tests.plugins.picture_host import PictureHost

INTERNAL = "127.0.0.2"

SMALL = Limits(max_bytes=1_000_000, total_s=1.0, connect_s=0.5, read_s=0.4)
"""Limits that a test can reach."""


@pytest.fixture
def client() -> Iterator[Client]:
    """A client with limits that a test can reach, and no policy."""
    with Client(limits=SMALL) as client:
        yield client


@pytest.fixture
def name_server() -> Iterator[NameServer]:
    """A name server of the test's own."""
    server = NameServer()
    with server.running():
        yield server


class InternalHost(PictureHost):
    """A server at another loopback address, at the same port as a public one."""

    def __init__(self, port: int) -> None:
        self._wanted = port
        super().__init__()

    def server_bind(self) -> None:
        """Bind to the address that nobody may reach."""
        self.server_address = (INTERNAL, self._wanted)
        super().server_bind()


@pytest.fixture
def internal_host(picture_host: PictureHost) -> Iterator[InternalHost]:
    """The host that no download may reach, at 127.0.0.2 and at `picture_host`'s port."""
    try:
        host = InternalHost(picture_host.server_port)
    except OSError as error:
        pytest.skip(f"no second loopback address: {error}")
    with host.running():
        yield host
