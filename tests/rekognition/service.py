"""One call, from its arrival to its answer: quota, faults, effect, and the bill."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from tests.rekognition import limits
from tests.rekognition.errors import ServiceError
from tests.rekognition.faults import Luck
from tests.rekognition.ledger import Ledger
from tests.rekognition.model import operation_model
from tests.rekognition.operations import OPERATIONS, World
from tests.rekognition.settings import LOST, Fault, Settings, for_operation

TARGET = "RekognitionService."

_CREDENTIAL = re.compile(
    r"AWS4-HMAC-SHA256 Credential=\S+/\d{8}/[a-z0-9-]+/rekognition/aws4_request, "
    r"SignedHeaders=\S*host\S*x-amz-date\S*, Signature=[0-9a-f]{64}"
)


@dataclass(frozen=True)
class Call:
    """What came in; `headers` have lower-case names, `arrived` is in monotonic seconds."""

    headers: Mapping[str, str]
    body: bytes
    arrived: float


@dataclass(frozen=True)
class Reply:
    """What goes out, after so many seconds."""

    status: int
    body: bytes
    headers: Mapping[str, str]
    after_s: float = 0.0


class Service:
    """Rekognition, without a way in."""

    def __init__(self, settings: Settings) -> None:
        self.world = World(settings)
        self.ledger = Ledger()
        self._luck = Luck()
        for operation in OPERATIONS:
            operation_model(operation)  # reading the model takes too long for a first call

    def answer(self, call: Call) -> Reply | None:
        """What to send; None: close the connection without an answer."""
        try:
            _check_signature(call.headers)
            operation = _operation(call.headers)
        except ServiceError as error:
            return _refusal(error)
        try:
            return self._run(operation, call)
        except ServiceError as error:
            self.ledger.failed(operation, error.code)
            return _refusal(error)

    def _run(self, operation: str, call: Call) -> Reply | None:
        settings = self.world.settings
        tps = for_operation(settings.tps, operation, 50)
        if not self.ledger.admit(operation, call.arrived, tps):
            raise ServiceError("ProvisionedThroughputExceededException")
        fault = self._luck.fault(settings.faults, settings.seed, operation, call.body)
        if fault is not None and fault.when == "before":
            self._suffer(fault, operation, None)
            return None
        asked = _parameters(call.body)
        limits.check(operation, asked, settings)
        answer = OPERATIONS[operation](self.world, asked)
        picture = asked.get("ExternalImageId")
        if fault is not None:
            self._suffer(fault, operation, picture)
            return None
        self.ledger.answered(operation, picture)
        return _reply(200, answer, for_operation(settings.latency_s, operation, 0.0))

    def _suffer(self, fault: Fault, operation: str, picture: str | None) -> None:
        """Returns where the connection is to be closed."""
        if fault.code != LOST:
            raise ServiceError(fault.code, status=fault.status)
        self.ledger.lost(operation, picture, done=fault.when == "after")


def _check_signature(headers: Mapping[str, str]) -> None:
    """That the request is signed; whether rightly so is not looked at."""
    if "authorization" not in headers:
        raise ServiceError("MissingAuthenticationTokenException")
    if "x-amz-date" not in headers or not _CREDENTIAL.fullmatch(headers["authorization"]):
        raise ServiceError("IncompleteSignatureException")


def _operation(headers: Mapping[str, str]) -> str:
    target = headers.get("x-amz-target", "")
    operation = target.removeprefix(TARGET)
    if operation == target or operation not in OPERATIONS:
        raise ServiceError("UnknownOperationException", f"no operation {target!r}")
    if headers.get("content-type") != "application/x-amz-json-1.1":
        raise ServiceError("SerializationException", "the content is no JSON 1.1")
    return operation


def _parameters(body: bytes) -> Mapping[str, Any]:
    try:
        asked = json.loads(body)
    except ValueError as error:
        raise ServiceError("SerializationException", "the body is no JSON") from error
    if not isinstance(asked, dict):
        raise ServiceError("SerializationException", "the body is no object")
    return asked


def _refusal(error: ServiceError) -> Reply:
    """As in the developer guide's example of an error, "Error handling"."""
    told = {
        "__type": error.code,
        "Code": error.code,
        "Logref": str(uuid4()),
        "Message": error.message,
    }
    return _reply(error.status, told, 0.0)


def _reply(status: int, told: Mapping[str, Any], after_s: float) -> Reply:
    headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-RequestId": str(uuid4())}
    return Reply(status, json.dumps(told).encode(), headers, after_s)
