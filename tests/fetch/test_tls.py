"""Secure connections: to the right name, at the checked address, or not at all."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from runner.errors import Permanent, Retry
from runner.fetch import Client, Policy
from tests.fetch.tools import fetched, outcome
from tests.plugins.picture_host import PictureHost


def test_https_to_a_plain_server_is_named(client: Client, picture_host: PictureHost) -> None:
    """A server that speaks no TLS ends in words, not in a stack of SSL errors."""
    error = outcome(client, picture_host.url.replace("http", "https") + "/a.jpg")
    assert isinstance(error, Retry)
    assert error.code == "tls"
    assert "no secure connection" in str(error)


def test_handshake_that_stalls_ends_in_time(client: Client) -> None:
    """A server that takes the connection and says nothing is given up on."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = outcome(client, f"https://127.0.0.1:{silent.getsockname()[1]}/a.jpg")
    assert isinstance(error, Retry)
    assert error.code == "timeout"


@dataclass(frozen=True)
class Secure:
    """A server with a certificate for one name, what it saw, and who vouches for it."""

    host: PictureHost
    tls: ssl.SSLContext
    names_asked_for: list[str | None]

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.host.server_port


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[Secure]:
    """A server whose certificate is for `pictures.example` alone."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    names = ("-subj", "/CN=test", "-addext", "subjectAltName=DNS:pictures.example")
    files = ("-keyout", "key.pem", "-out", "cert.pem")
    subprocess.run([*make.split(), *names, *files], cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    asked: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    host = PictureHost()
    host.socket = context.wrap_socket(host.socket, server_side=True)
    with host.running():
        yield Secure(host, ssl.create_default_context(cafile=tmp_path / "cert.pem"), asked)


def loopback(_host: str, _port: int) -> list[str]:
    """Every name's address."""
    return ["127.0.0.1"]


def test_name_stays_with_the_pinned_address(secure: Secure) -> None:
    """The connection goes to the checked address, its server name and Host to the URL's host."""
    secure.host.add("/a.jpg", b"picture")
    policy = Policy.parse(f"pictures.example:{secure.port}")
    with Client(policy=policy, resolve=loopback, tls=secure.tls) as client:
        for name in ("pictures.example", "PICTURES.example."):
            assert fetched(client, f"https://{name}:{secure.port}/a.jpg") == b"picture"
    assert secure.names_asked_for == ["pictures.example"]  # the second used the same connection
    hosts = [request.headers["host"] for request in secure.host.requests]
    assert hosts == [f"pictures.example:{secure.port}"] * 2


@pytest.mark.parametrize("host", ["other.example", "127.0.0.1"])
def test_certificate_of_another_name_is_final(secure: Secure, host: str) -> None:
    """A trusted certificate is not enough: it has to be for the URL's host."""
    with Client(resolve=loopback, tls=secure.tls) as client:
        error = outcome(client, f"https://{host}:{secure.port}/a.jpg")
    assert isinstance(error, Permanent)
    assert error.code == "tls_certificate"
    assert "certificate is not valid for" in str(error)
    assert secure.host.requests == []


def test_untrusted_certificate_is_final(secure: Secure) -> None:
    """A certificate that nobody vouches for is refused, in words, and for good."""
    with Client(resolve=loopback) as client:
        error = outcome(client, f"https://pictures.example:{secure.port}/a.jpg")
    assert isinstance(error, Permanent)
    assert error.code == "tls_certificate"
    assert "the server's certificate is not trusted (self-signed certificate)" in str(error)
