"""Measure what calls cost the service: half IndexFaces of new pictures, half SearchFaces.

    python -m tests.rekognition.load [--calls 1500] [--rate 300] [--connections 8]

Its clients send ready-made requests, so that they cost next to nothing beside the service.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from tests.rekognition.portraits import Face, photo
from tests.rekognition.remote import Remote, in_process

SIGNED = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/rekognition/aws4_request,"
    f" SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature={'0' * 64}",
    "X-Amz-Date": "20260101T000000Z",
    "Content-Type": "application/x-amz-json-1.1",
}
"""Headers of a request that nobody will check the signature of."""

PERSONS = 50


class Client(threading.local):
    """A connection for each thread."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc)

    def call(self, operation: str, **asked: Any) -> Any:
        """The answer, which must be a good one."""
        headers = {**SIGNED, "X-Amz-Target": f"RekognitionService.{operation}"}
        self._connection.request("POST", "/", json.dumps(asked), headers)
        reply = self._connection.getresponse()
        told = json.loads(reply.read())
        assert reply.status == 200, told
        return told


def measure(service: Remote, calls: int, rate: float, connections: int) -> tuple[float, float]:
    """Seconds that passed, and seconds of CPU that the service took."""
    client = Client(service.url)
    for person in range(PERSONS):
        client.call("CreateCollection", CollectionId=f"user-{person}")
    pictures = [
        base64.b64encode(photo(Face(number % PERSONS, number % 256), ground=number)).decode()
        for number in range(calls // 2)
    ]
    cpu_s, start = service.state()["cpu_s"], time.monotonic()

    def index_and_search(number: int) -> None:
        time.sleep(max(start + number * 2 / rate - time.monotonic(), 0.0))
        collection = f"user-{number % PERSONS}"
        told = client.call(
            "IndexFaces", CollectionId=collection, Image={"Bytes": pictures[number]},
            ExternalImageId=str(number),
        )  # fmt: skip
        face_id = told["FaceRecords"][0]["Face"]["FaceId"]
        client.call("SearchFaces", CollectionId=collection, FaceId=face_id)

    with ThreadPoolExecutor(connections) as pool:
        list(pool.map(index_and_search, range(len(pictures))))
    passed_s = time.monotonic() - start
    return passed_s, service.state()["cpu_s"] - cpu_s


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.rekognition.load")
    parser.add_argument("--calls", type=int, default=1500)
    parser.add_argument("--rate", type=float, default=300.0, help="calls a second to aim at")
    parser.add_argument("--connections", type=int, default=8)
    options = parser.parse_args()
    with in_process({"tps": {"*": 1_000_000}}) as service:
        passed_s, cpu_s = measure(service, options.calls, options.rate, options.connections)
    print(
        f"{options.calls / passed_s:.0f} calls a second, {cpu_s / options.calls * 1000:.2f} ms of "
        f"CPU a call: {cpu_s / passed_s:.0%} of a core"
    )


if __name__ == "__main__":
    main()
