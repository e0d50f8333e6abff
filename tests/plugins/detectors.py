"""Vision services on loopback: the project's own HTTP protocol, and Rekognition's."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from PIL import Image

from tests.plugins.loopback import Behaviour, LoopbackServer, Request
from tests.plugins.picture_host import body


class VisionService(LoopbackServer):
    """Speaks the HTTP detector protocol: answers with `detections`, or as `misbehaviour` says."""

    def __init__(self) -> None:
        super().__init__()
        self.detections: list[Mapping[str, Any]] = []
        self.misbehaviour: Behaviour | None = None

    def behaviour(self, request: Request) -> Behaviour:
        """The detections, once the request holds a picture that can be read."""
        if self.misbehaviour is not None:
            return self.misbehaviour
        Image.open(io.BytesIO(request.body), formats=["JPEG"]).load()
        reply = {"name": "test-vision", "version": "2.1", "detections": self.detections}
        return body(json.dumps(reply).encode(), 200, {"Content-Type": "application/json"})


class RekognitionService(LoopbackServer):
    """Speaks DetectLabels as the AWS SDK does (JSON 1.1, the operation in X-Amz-Target).

    It finds `labels`; while `errors` has entries `(status, code)`, each request takes one
    and fails with it.
    """

    content_type = "application/x-amz-json-1.1"

    def __init__(self) -> None:
        super().__init__()
        self.labels: list[Mapping[str, Any]] = []
        self.errors: list[tuple[int, str]] = []

    def behaviour(self, request: Request) -> Behaviour:
        """What the service would say, its checks of the request included."""
        if request.headers.get("x-amz-target") != "RekognitionService.DetectLabels":
            return self._error(400, "UnknownOperationException")
        if "authorization" not in request.headers:
            return self._error(400, "MissingAuthenticationTokenException")
        if self.errors:
            return self._error(*self.errors.pop(0))
        asked = json.loads(request.body)
        picture = base64.b64decode(asked["Image"]["Bytes"])
        if len(picture) > 5_242_880:
            return self._error(400, "ImageTooLargeException")
        Image.open(io.BytesIO(picture), formats=["JPEG", "PNG"]).load()
        wanted = asked["Settings"]["GeneralLabels"]["LabelInclusionFilters"]
        labels = [
            label
            for label in self.labels
            if label["Name"] in wanted and label["Confidence"] >= asked["MinConfidence"]
        ]
        reply = {"Labels": labels, "LabelModelVersion": "3.0"}
        return body(json.dumps(reply).encode(), 200, {"Content-Type": self.content_type})

    def _error(self, status: int, code: str) -> Behaviour:
        reply = {"__type": code, "message": f"this is {code}"}
        return body(json.dumps(reply).encode(), status, {"Content-Type": self.content_type})


@pytest.fixture
def vision_service() -> Iterator[VisionService]:
    """A vision service of the test's own."""
    service = VisionService()
    with service.running():
        yield service


@pytest.fixture
def rekognition_service(monkeypatch: pytest.MonkeyPatch) -> Iterator[RekognitionService]:
    """A Rekognition of the test's own; the AWS SDK's environment leads there and nowhere else."""
    service = RekognitionService()
    with service.running():
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_ENDPOINT_URL", service.url)
        monkeypatch.setenv("AWS_REGION", "eu-west-1")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
        yield service
