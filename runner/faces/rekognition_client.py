"""A client for Rekognition, from the SDK's usual places."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from runner.errors import UsageError

if TYPE_CHECKING:
    from types_boto3_rekognition import RekognitionClient

CONNECT_S = 5.0
ANSWER_S = 30.0
CONNECTIONS = 64


def connect(*, timeout_s: float = ANSWER_S, connections: int = CONNECTIONS) -> RekognitionClient:
    """A client for all threads of a process; raises `UsageError` without region or credentials.

    It repeats no call by itself: IndexFaces would be paid twice, and no repetition would keep to
    the shared rate.
    """
    config = Config(
        connect_timeout=CONNECT_S,
        read_timeout=timeout_s,
        retries={"total_max_attempts": 1, "mode": "standard"},
        max_pool_connections=connections,
        tcp_keepalive=True,
    )
    try:
        session = _session()
        if not session.region_name:
            raise UsageError("Rekognition needs a region: set AWS_REGION")
        if session.get_credentials() is None:
            raise UsageError(
                "no AWS credentials found for Rekognition: "
                "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        return session.client("rekognition", config=config)
    except (BotoCoreError, ValueError) as error:
        raise UsageError(
            f"the AWS settings can't be used ({type(error).__name__}): "
            "check AWS_PROFILE, AWS_REGION and AWS_ENDPOINT_URL_REKOGNITION"
        ) from error


def region() -> str:
    """The region that calls go to, as prices know it; `*` where the settings name none."""
    try:
        return _session().region_name or "*"
    except BotoCoreError:
        return "*"


def _session() -> boto3.Session:
    # AWS_REGION: boto3, unlike other SDKs, does not read it
    return boto3.Session(region_name=os.environ.get("AWS_REGION"))
