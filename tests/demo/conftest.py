"""A picture host in the background, one for all tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from runner.demo import process


@pytest.fixture(scope="module")
def host() -> Iterator[process.Host]:
    """A running picture host that nobody outside the module has asked for anything."""
    with process.start() as host:
        yield host


@pytest.fixture(scope="module")
def client(host: process.Host) -> Iterator[httpx.Client]:
    """An HTTP client of that host."""
    with httpx.Client(base_url=host.base_url, timeout=20, trust_env=False) as client:
        yield client
