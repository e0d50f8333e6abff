"""Is a URL that of an object in Amazon S3?"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit

MOST_KEY_BYTES = 1024
"""Of an object's key in UTF-8; S3 user guide, "Naming Amazon S3 objects"."""

_BUCKET = r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"
"""S3 user guide, "General purpose bucket naming rules"."""

_HOST = re.compile(
    rf"(?:(?P<bucket>{_BUCKET})\.)?"
    r"s3(?:[.-](?:dualstack\.)?(?P<region>[a-z]{2}(?:-[a-z]+)+-\d))?"
    r"\.amazonaws\.com(?:\.cn)?"
)
"""With the bucket (virtual-hosted style) or without it (path style); S3 user guide, "Virtual
hosting of buckets". Access points, acceleration and website endpoints don't match."""


@dataclass(frozen=True, slots=True)
class S3Object:
    """An object in S3; `region` is that of its bucket where its URL says so."""

    bucket: str
    key: str
    region: str | None = None


def s3_object(url: str) -> S3Object | None:
    """The object that a URL names, or None unless it clearly is one.

    For s3://bucket/key, and for https in both styles. A query (a version, a signature) is never
    accepted: such a URL may show what the service, with credentials of its own, would not.
    """
    try:
        parts = urlsplit(url)
        is_plain = parts.port is None and parts.username is None
    except ValueError:
        return None
    if not is_plain or "?" in url or "#" in url:
        return None
    if parts.scheme == "s3":
        return _object(parts.netloc, parts.path[1:])
    if parts.scheme == "https":
        return _on_the_web(parts)
    return None


def _on_the_web(parts: SplitResult) -> S3Object | None:
    host = _HOST.fullmatch(parts.hostname or "")
    if host is None:
        return None
    if host["bucket"]:
        bucket, path = host["bucket"], parts.path[1:]
    else:
        bucket, _, path = parts.path[1:].partition("/")
    # S3 takes a plus for a space, others don't
    return None if "+" in path else _object(bucket, _unquoted(path), host["region"])


def _unquoted(path: str) -> str:
    try:
        return unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        return ""


def _object(bucket: str, key: str, region: str | None = None) -> S3Object | None:
    fits = re.fullmatch(_BUCKET, bucket) and key.strip() and key.isprintable()
    if not fits or len(key.encode()) > MOST_KEY_BYTES:
        return None
    return S3Object(bucket, key, region)
