"""The engine at the service of `tests.rekognition`, and what its tests ask often."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pytest

from runner.contract import NoLimits
from runner.errors import RowOutcome
from runner.faces.rekognition import RekognitionFaces
from runner.faces.rekognition_client import connect
from tests.rekognition.portraits import Face, photo
from tests.rekognition.remote import Remote

if TYPE_CHECKING:
    from types_boto3_rekognition import RekognitionClient

COLLECTION = "people"


@lru_cache
def _client(url: str) -> RekognitionClient:
    """One a service, since making one takes longer than most tests."""
    client = connect(timeout_s=5)
    assert client.meta.endpoint_url == url
    return client


class NotedLimits(NoLimits):
    """Remembers what it is told, and whether calls are made in their turn."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.turns: Counter[str] = Counter()
        self._in_turn = threading.local()

    @contextmanager
    def acquire(
        self, name: str, tokens: int = 1, *, timeout: float | None = None
    ) -> Iterator[None]:
        """A turn at once, one at a time for each thread."""
        assert timeout is not None
        assert not getattr(self._in_turn, "taken", False)
        self._in_turn.taken = True
        self.turns[name] += tokens
        try:
            yield
        finally:
            self._in_turn.taken = False

    def throttled(self, name: str, after: float | None) -> None:
        """Remember it."""
        self.told.append((name, after))

    def succeeded(self, name: str) -> None:
        """Remember it."""
        self.told.append(name)


class Service:
    """An engine, what limits it, and the service that it talks to."""

    def __init__(self, remote: Remote) -> None:
        self.remote = remote
        self.limits = NotedLimits()
        self.faces = RekognitionFaces(_client(remote.url), self.limits)

    def fail(self, operation: str, code: str, rate: float = 1.0, **more: Any) -> None:
        """From now on calls of an operation fail."""
        fault = {"operation": operation, "code": code, "rate": rate, **more}
        self.remote.change(faults=[fault])

    def index(self, asset: str, *faces: Face) -> list[str]:
        """The ids of the faces of a picture, once it is indexed."""
        told = self.faces.index(COLLECTION, asset, photo(*faces))
        return [one.face.face_id or "" for one in told.kept]

    def arrived(self, operation: str) -> int:
        """How many calls of an operation came."""
        count: int = self.remote.calls(operation).get("arrived", 0)
        return count

    def billed(self) -> int:
        """How many calls have to be paid."""
        calls = self.remote.state()["calls"].values()
        return sum(numbers["billed"] for numbers in calls)

    def held(self) -> int:
        """How many faces the service holds."""
        return sum(len(faces) for faces in self.remote.state()["collections"].values())


def outcome(call: Callable[..., object], *asked: Any, **more: Any) -> RowOutcome:
    """What a call ends with that comes to no result."""
    with pytest.raises(RowOutcome) as raised:
        call(*asked, **more)
    return raised.value
