"""Fixtures: the service, and the AWS SDK led to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.rekognition.remote import Remote
from tests.rekognition.server import RekognitionServer
from tests.rekognition.settings import Settings


@contextmanager
def in_thread(settings: Settings | None = None) -> Iterator[Remote]:
    """The service in this process."""
    server = RekognitionServer(settings or Settings())
    with server.running():
        yield Remote(server.url)


@pytest.fixture(scope="session")
def rekognition_thread() -> Iterator[Remote]:
    """The service in a thread, for all tests of this process."""
    with in_thread() as service:
        yield service


@pytest.fixture
def rekognition(rekognition_thread: Remote, monkeypatch: pytest.MonkeyPatch) -> Remote:
    """The service as good as new; the environment leads the AWS SDK there and nowhere else."""
    rekognition_thread.reset()
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in rekognition_thread.environment().items():
        monkeypatch.setenv(name, value)
    return rekognition_thread
