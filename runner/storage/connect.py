"""A client for a bucket, from the SDK's usual places."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from runner.errors import UsageError
from runner.storage.bucket import BucketStorage

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

SDK_RETRIES = 2
CONNECT_S = 5.0

_ELSEWHERE = Config(
    s3={"addressing_style": "path"},
    # Other services may not know the SDK's own checksums, or refuse the trailer they come in.
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)


def connect(
    bucket: str, prefix: str, endpoint_url: str | None, *, connections: int, timeout_s: float
) -> BucketStorage:
    """Storage in this bucket, not tried out yet; raises `UsageError` for what can't be right."""
    if endpoint_url is not None:
        _check_endpoint(endpoint_url)
    config = Config(
        connect_timeout=CONNECT_S,
        read_timeout=timeout_s,
        retries={"max_attempts": SDK_RETRIES, "mode": "standard"},
        max_pool_connections=connections,
    )
    # boto3, unlike other SDKs, does not read AWS_REGION
    region = os.environ.get("AWS_REGION")
    try:
        session = boto3.Session(region_name=region)
        if session.get_credentials() is None:
            raise UsageError(
                f"s3://{bucket}: no credentials found: "
                "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        client, on_aws = _client(session, endpoint_url, config)
    except (BotoCoreError, ValueError) as error:
        raise UsageError(
            f"s3://{bucket}: the AWS settings can't be used ({type(error).__name__}): "
            "check AWS_PROFILE, AWS_REGION and AWS_ENDPOINT_URL"
        ) from error
    return BucketStorage(client, bucket, prefix, on_aws=on_aws)


def _client(
    session: boto3.Session, endpoint_url: str | None, config: Config
) -> tuple[S3Client, bool]:
    """A client, and whether it talks to Amazon's own service, wherever its endpoint was set."""
    client = session.client("s3", endpoint_url=endpoint_url, config=config)
    host = urlsplit(client.meta.endpoint_url).hostname or ""
    if host.endswith((".amazonaws.com", ".amazonaws.com.cn")):
        return client, True
    client.close()
    return session.client("s3", endpoint_url=endpoint_url, config=config.merge(_ELSEWHERE)), False


def _check_endpoint(url: str) -> None:
    """Raise `UsageError` unless this is a plain URL; it isn't repeated as it may hold secrets."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.username is not None or parts.query or parts.fragment:
        raise UsageError(
            "the S3 endpoint is a URL such as https://s3.example.org, with no user or password"
        )
