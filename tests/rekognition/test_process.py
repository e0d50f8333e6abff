"""The service as a process, and over bare HTTP."""

from __future__ import annotations

import base64
import errno
import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

import boto3
import pytest

from tests.plugins.waiting import wait_until
from tests.rekognition.calls import index
from tests.rekognition.conftest import connect
from tests.rekognition.load import SIGNED
from tests.rekognition.portraits import Face, photo
from tests.rekognition.remote import ROOT, Remote, in_process

if TYPE_CHECKING:
    from types_boto3_rekognition import RekognitionClient

LISTING = {**SIGNED, "X-Amz-Target": "RekognitionService.ListCollections"}


@pytest.fixture(scope="module")
def process() -> Iterator[Remote]:
    """The service in a process of its own."""
    with in_process({"tps": {"*": 10_000}, "latency_s": {"SearchFaces": 0.2}}) as service:
        yield service


def post(service: Remote, headers: Mapping[str, str], body: bytes = b"{}") -> tuple[int, Any]:
    """Status and JSON of a bare request."""
    with closing(http.client.HTTPConnection(urlsplit(service.url).netloc)) as connection:
        connection.request("POST", "/", body, dict(headers))
        reply = connection.getresponse()
        return reply.status, json.loads(reply.read())


def test_a_process_serves_the_sdk(process: Remote) -> None:
    """Its state is told over HTTP, and is that of its settings."""
    process.reset()
    client = connect(process.url)
    client.create_collection(CollectionId="people")
    index(client, Face(7, variation=2))
    (face,) = process.state()["collections"]["people"]
    assert (face["person"], face["variation"], face["ExternalImageId"]) == (7, 2, "asset")


def test_the_environment_leads_the_sdk_there(
    rekognition: Remote, client: RekognitionClient
) -> None:
    """A client that is made without arguments talks to the service."""
    assert boto3.client("rekognition").list_collections()["CollectionIds"] == ["people"]


def test_a_reply_may_take_its_time(process: Remote) -> None:
    """The effect comes first, so a client that goes away has paid."""
    process.reset()
    client = connect(process.url)
    client.create_collection(CollectionId="people")
    face_id = index(client, Face(1))["FaceRecords"][0]["Face"]["FaceId"]
    started = time.monotonic()
    client.search_faces(CollectionId="people", FaceId=face_id)
    assert time.monotonic() - started >= 0.2


WAITING = """
import http.client, json, sys
connection = http.client.HTTPConnection(sys.argv[1])
connection.request("POST", "/", sys.stdin.buffer.read(), json.loads(sys.argv[2]))
connection.getresponse()
"""


ABANDONING = """
import os
from tests.rekognition.remote import in_process
with in_process() as service:
    print(service.url, flush=True)
    os.kill(os.getpid(), 9)
"""


def test_a_killed_client_leaves_its_face(rekognition: Remote, client: RekognitionClient) -> None:
    """Killed while it waits for the answer: the face is stored and billed, and listed later."""
    rekognition.change(latency_s={"IndexFaces": 30})
    asked = {
        "CollectionId": "people",
        "Image": {"Bytes": base64.b64encode(photo(Face(1))).decode()},
        "ExternalImageId": "asset",
    }
    headers = {**SIGNED, "X-Amz-Target": "RekognitionService.IndexFaces"}
    address = urlsplit(rekognition.url).netloc
    child = subprocess.Popen(
        [sys.executable, "-c", WAITING, address, json.dumps(headers)], stdin=subprocess.PIPE
    )
    assert child.stdin is not None
    child.stdin.write(json.dumps(asked).encode())
    child.stdin.close()
    wait_until(lambda: rekognition.calls("IndexFaces").get("billed"))
    child.kill()
    child.wait()
    (face,) = client.list_faces(CollectionId="people")["Faces"]
    assert face["ExternalImageId"] == "asset"
    assert rekognition.calls("IndexFaces")["billed"] == 1


def test_a_service_ends_with_its_parent() -> None:
    """A test that is killed leaves no server behind."""
    child = subprocess.run(
        [sys.executable, "-c", ABANDONING], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    place = urlsplit(child.stdout.strip())
    assert place.hostname is not None
    assert place.port is not None

    def is_gone(host: str = place.hostname, port: int = place.port) -> bool:
        with socket.socket() as connection:
            return connection.connect_ex((host, port)) == errno.ECONNREFUSED

    wait_until(is_gone, seconds=10)


def test_a_request_that_never_came_whole_is_no_call(rekognition: Remote) -> None:
    """Of a client that was killed while it sent its picture nothing is counted."""
    with closing(http.client.HTTPConnection(urlsplit(rekognition.url).netloc)) as connection:
        connection.putrequest("POST", "/")
        for name, value in {**LISTING, "Content-Length": "1000"}.items():
            connection.putheader(name, value)
        connection.endheaders(b'{"CollectionId":')
        assert connection.sock is not None
        connection.sock.shutdown(socket.SHUT_WR)
        assert connection.sock.recv(1) == b""
    assert rekognition.calls("ListCollections") == {}


@pytest.mark.parametrize(
    "headers, code",
    [
        ({"Authorization": ""}, "IncompleteSignatureException"),
        ({"X-Amz-Date": None}, "IncompleteSignatureException"),
        ({"Authorization": None}, "MissingAuthenticationTokenException"),
        ({"X-Amz-Target": "RekognitionService.DetectText"}, "UnknownOperationException"),
        ({"X-Amz-Target": "ListCollections"}, "UnknownOperationException"),
        ({"Content-Type": "application/json"}, "SerializationException"),
    ],
)
def test_requests_of_another_kind_are_refused(
    rekognition: Remote, headers: Mapping[str, str | None], code: str
) -> None:
    """Unsigned ones, other operations, other protocols."""
    changed = {**LISTING, **headers}
    status, told = post(rekognition, {k: v for k, v in changed.items() if v is not None})
    assert (status, told["__type"]) == (400, code)


def test_a_signed_request_is_answered(rekognition: Remote) -> None:
    """What the refusals above start from."""
    assert post(rekognition, LISTING) == (200, {"CollectionIds": [], "FaceModelVersions": []})
    for body in (b"", b"[]", b"{"):
        assert post(rekognition, LISTING, body)[1]["__type"] == "SerializationException"


def test_connections_are_kept_alive(rekognition: Remote) -> None:
    """One connection serves many requests, errors included."""
    address = urlsplit(rekognition.url).netloc
    with closing(http.client.HTTPConnection(address)) as connection:
        sockets = set()
        for body in (b"{}", b"{", b"{}"):
            connection.request("POST", "/", body, LISTING)
            connection.getresponse().read()
            assert connection.sock is not None
            sockets.add(connection.sock.getsockname())
    assert len(sockets) == 1


@pytest.mark.parametrize(
    "settings",
    [
        {"tsp": {}},
        {"faults": [{"code": "lost"}]},
        {"faults": [["IndexFaces", "lost", 1]]},
        {"faults": [{"operation": "*", "code": "lost", "rate": 2}]},
    ],
)
def test_settings_that_there_are_not_are_refused(
    rekognition: Remote, settings: dict[str, Any]
) -> None:
    """A misspelt setting can't make a test pass by doing nothing."""
    with pytest.raises(HTTPError, match="400"):
        rekognition.change(**settings)


def test_a_call_costs_the_service_less_than_the_sdk(process: Remote) -> None:
    """What a test of speed measures isn't the service, pictures that it never saw included."""
    process.reset()
    client = connect(process.url)
    client.create_collection(CollectionId="people")
    pictures = [photo(Face(number), ground=number) for number in range(60)]
    service_s, sdk_s = process.state()["cpu_s"], time.process_time()
    for number, picture in enumerate(pictures):
        client.index_faces(
            CollectionId="people", Image={"Bytes": picture}, ExternalImageId=str(number)
        )
        client.describe_collection(CollectionId="people")
    sdk_s = time.process_time() - sdk_s
    service_s = process.state()["cpu_s"] - service_s
    assert service_s < sdk_s
