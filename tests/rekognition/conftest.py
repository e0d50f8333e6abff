"""Fixtures of the service's own tests: a client, all of whose answers are held to the model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.model import OperationModel

from tests.rekognition.fixtures import rekognition, rekognition_thread
from tests.rekognition.model import violations
from tests.rekognition.remote import Remote

if TYPE_CHECKING:
    from types_boto3_rekognition import RekognitionClient

__all__ = ["rekognition", "rekognition_thread"]

COMMON = frozenset(
    {
        "ExpiredTokenException", "IncompleteSignatureException",
        "MissingAuthenticationTokenException", "UnknownOperationException", "ValidationException",
    }
)  # fmt: skip
"""Errors of every AWS service: they are in no operation's model."""


def connect(url: str, attempts: int = 1) -> RekognitionClient:
    """A client that doesn't look around for settings, nor repeats a call unless told."""
    client: RekognitionClient = boto3.client(
        "rekognition",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": attempts}, max_pool_connections=32),
    )
    client.meta.events.register("after-call.rekognition", _is_as_modelled)
    return client


def _is_as_modelled(http_response: AWSResponse, model: OperationModel, **_: Any) -> None:
    """No answer has a field, a type or a value that the SDK's model of the API hasn't."""
    told = json.loads(http_response.content)
    if http_response.status_code == 200:
        problems = dict(violations(model.output_shape, told))
        # The model wants at least one entry; a client that reads the list wants there to be one.
        problems.pop("DeletedFaces", None)
        assert not problems
    else:
        errors = {shape.name for shape in model.error_shapes}
        assert told["__type"] in errors | COMMON
        assert set(told) == {"__type", "Code", "Logref", "Message"}


@pytest.fixture(scope="session")
def session_client(rekognition_thread: Remote) -> RekognitionClient:
    """A client, since making one takes longer than most tests."""
    return connect(rekognition_thread.url)


@pytest.fixture
def client(rekognition: Remote, session_client: RekognitionClient) -> RekognitionClient:
    """A client of the service, which has a collection `people` and nothing else."""
    session_client.create_collection(CollectionId="people")
    return session_client
