"""Answers that break off or never come, and settings with which no call can be made."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.exceptions import SSLError

from runner.errors import Halt, Retry, RowOutcome, UsageError
from runner.faces.rekognition import RekognitionFaces
from runner.faces.rekognition_calls import RATE
from runner.faces.rekognition_client import connect
from runner.faces.rekognition_errors import LostReply, Throttled, outcomes
from tests.faces.rekognition_helpers import COLLECTION, NotedLimits, outcome
from tests.plugins.loopback import Behaviour, Exchange, LoopbackServer, Request
from tests.rekognition.portraits import Face, photo
from tests.rekognition.remote import Remote

PICTURE = photo(Face(1))


class Answering(LoopbackServer):
    """Answers every call alike."""

    def __init__(self, status: int, body: bytes, **headers: str) -> None:
        super().__init__()
        self._answer = (status, body, {**headers, "Content-Type": "application/x-amz-json-1.1"})

    def behaviour(self, request: Request) -> Behaviour:
        """See the base class."""
        return lambda exchange: exchange.answer(*self._answer)


class Silent(LoopbackServer):
    """Takes calls and never answers."""

    def behaviour(self, request: Request) -> Behaviour:
        """See the base class."""

        def wait(exchange: Exchange) -> None:
            exchange.stopping.wait()
            exchange.hang_up()

        return wait


@contextmanager
def engine_at(
    server: LoopbackServer, patch: pytest.MonkeyPatch, **more: Any
) -> Iterator[RekognitionFaces]:
    """An engine that calls this server."""
    patch.setenv("AWS_ENDPOINT_URL_REKOGNITION", server.url)
    with server.running():
        faces = RekognitionFaces(connect(**more), NotedLimits())
        yield faces
        faces.close()


@pytest.mark.parametrize(
    "status, body",
    [
        (200, b""),
        (200, b'{"FaceRecords": [], "FaceModelVersi'),
        (200, b"[]"),
        (502, b"<html>Bad gateway</html>"),
        (504, b""),
    ],
)
def test_half_an_answer_is_a_lost_one(
    rekognition: Remote, monkeypatch: pytest.MonkeyPatch, status: int, body: bytes
) -> None:
    """It must never be taken for a picture without faces, nor for a collection without any."""
    with engine_at(Answering(status, body), monkeypatch) as faces:
        assert isinstance(outcome(faces.index, COLLECTION, "a", PICTURE), LostReply)
        assert isinstance(outcome(faces.list_faces, COLLECTION), LostReply)


def test_no_answer_in_time_is_a_lost_one(
    rekognition: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service may still be at work."""
    with engine_at(Silent(), monkeypatch, timeout_s=0.2) as faces:
        told = outcome(faces.index, COLLECTION, "a", PICTURE)
    assert isinstance(told, LostReply)
    assert "ReadTimeoutError" in str(told)


@pytest.mark.parametrize(
    "header, after", [("7", 7.0), ("999999", 86_400.0), ("Fri, 31 Dec 1999 23:59:59 GMT", None)]
)
def test_retry_after_is_told_to_all(
    rekognition: Remote, monkeypatch: pytest.MonkeyPatch, header: str, after: float | None
) -> None:
    """In seconds, and at most a day."""
    server = Answering(429, b"{}", **{"Retry-After": header})
    with engine_at(server, monkeypatch):
        limits = NotedLimits()
        told = outcome(RekognitionFaces(connect(), limits).index, COLLECTION, "a", PICTURE)
    assert isinstance(told, Throttled)
    assert told.after == after
    assert limits.told == [(RATE, after)]


def test_a_call_that_was_never_sent_is_no_lost_reply(
    rekognition: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing listens, nothing was charged."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv(
            "AWS_ENDPOINT_URL_REKOGNITION", f"http://127.0.0.1:{taken.getsockname()[1]}"
        )
        told = outcome(RekognitionFaces(connect(), NotedLimits()).index, COLLECTION, "a", PICTURE)
    assert isinstance(told, Retry)
    assert (told.code, told.counts) == ("unreachable", False)


def test_a_certificate_that_is_refused_is_no_lost_reply() -> None:
    """TLS fails before anything is sent; what fails of it later is another matter."""

    def raised(text: str) -> RowOutcome:
        with pytest.raises(RowOutcome) as caught, outcomes("IndexFaces"):
            raise SSLError(endpoint_url="https://x", error=Exception(text))
        return caught.value

    assert isinstance(raised("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed"), Halt)
    lost = raised("[SSL: DECRYPTION_FAILED_OR_BAD_RECORD_MAC]")
    assert isinstance(lost, LostReply)


def test_credentials_that_are_gone_stop(
    rekognition: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of a file that runs out while the process works, say."""
    client = connect()
    client._request_signer._credentials = None  # type: ignore[attr-defined]
    told = outcome(RekognitionFaces(client, NotedLimits()).index, COLLECTION, "a", PICTURE)
    assert isinstance(told, Halt)
    assert "NoCredentialsError" in str(told)


@pytest.mark.parametrize(
    "gone, message",
    [
        (("AWS_REGION", "AWS_DEFAULT_REGION"), "set AWS_REGION"),
        (("AWS_ACCESS_KEY_ID",), "AWS settings|no AWS credentials"),
        (("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "no AWS credentials"),
    ],
)
def test_what_is_missing_is_told_before_the_first_call(
    rekognition: Remote, monkeypatch: pytest.MonkeyPatch, gone: tuple[str, ...], message: str
) -> None:
    """With the variable to set."""
    for name in gone:
        monkeypatch.delenv(name)
    with pytest.raises(UsageError, match=message):
        connect()


@pytest.mark.parametrize(
    "name, value", [("AWS_PROFILE", "nobody"), ("AWS_ENDPOINT_URL_REKOGNITION", "nowhere")]
)
def test_settings_that_can_not_work_are_told_before_the_first_call(
    rekognition: Remote, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """As a usage error."""
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match="AWS settings can't be used"):
        connect()
