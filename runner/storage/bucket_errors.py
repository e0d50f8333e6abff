"""What an S3 service's refusal, or no answer, means for a row.

Messages hold the service's error code and never its text, which can repeat keys and signatures.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ReadTimeoutError,
    SSLError,
    TokenRetrievalError,
)

from runner.errors import Permanent, Retry, RowOutcome

THROTTLED = frozenset(
    {
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "TooManyRequests",
        "TooManyRequestsException",
        "BandwidthLimitExceeded",
    }
)
_BROKEN_ON_THE_WAY = frozenset(
    {"BadDigest", "IncompleteBody", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch"}
)
_PASSING = frozenset({"RequestTimeout", "OperationAborted", "ConditionalRequestConflict"})
_FULL = frozenset({"QuotaExceeded", "InsufficientStorage", "XMinioStorageFull"})
_DENIED = frozenset({"ExpiredToken", "InvalidToken", "TokenRefreshRequired"})
_OTHER_REGION = frozenset(
    {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
)
_CREDENTIALS = (
    NoCredentialsError,
    PartialCredentialsError,
    CredentialRetrievalError,
    TokenRetrievalError,
)


@contextmanager
def bucket_outcomes(name: str) -> Iterator[None]:
    """Turn the SDK's errors within the block into `Permanent` or `Retry`."""
    try:
        yield
    except ClientError as error:
        raise _refused(error, name) from error
    except BotoCoreError as error:
        raise _unanswered(error, name) from error


def status_of(error: ClientError) -> int:
    """HTTP status of an answer; 0 where there is none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def code_of(error: ClientError) -> str:
    """The service's word for an error."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    return re.sub(r"[^A-Za-z0-9._-]", "", code)[:60]


def _refused(error: ClientError, name: str) -> RowOutcome:
    status, code = status_of(error), code_of(error)
    says = f"{name}: HTTP {status}" + (f" {code}" if code and code != str(status) else "")
    if code in THROTTLED or status == 429:
        after = _retry_after(error)
        return Retry(f"{says} (slow down)", code="storage_throttled", after=after, counts=False)
    if code in _FULL or status == 507:
        return Permanent(f"{says} (no room); make room or move it", code="storage_full")
    if code in _BROKEN_ON_THE_WAY:
        return Retry(f"{says} (broken on the way)", code="storage_mismatch")
    if status >= 500 or code in _PASSING or status in (408, 409):
        return Retry(says, code="storage_unavailable", after=_retry_after(error))
    if code == "NoSuchBucket":
        return Permanent(
            f"{says}: there is no such bucket; create it, or check the name and the endpoint",
            code="storage_missing",
        )
    if code in _OTHER_REGION:
        return Permanent(f"{says}: set AWS_REGION to the bucket's region", code="storage_refused")
    if code == "RequestTimeTooSkewed":
        return Permanent(f"{says}: set this machine's clock", code="storage_denied")
    if status in (401, 403) or code in _DENIED:
        return Permanent(
            f"{says}: access denied; check the credentials and the rights s3:PutObject, "
            "s3:GetObject and s3:ListBucket (s3:DeleteObject to collect orphans)",
            code="storage_denied",
        )
    return Permanent(says, code="storage_refused")


def _retry_after(error: ClientError) -> float | None:
    """Seconds, at most a day; other forms than a number of seconds aren't used by S3."""
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    text = str(headers.get("retry-after", ""))
    return min(float(text), 86_400.0) if re.fullmatch(r"[0-9]{1,9}", text) else None


def _unanswered(error: BotoCoreError, name: str) -> RowOutcome:
    if isinstance(error, _CREDENTIALS):
        return Permanent(
            f"{name}: no usable credentials ({type(error).__name__}): "
            "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            code="storage_denied",
        )
    if isinstance(error, ConnectTimeoutError | ReadTimeoutError):
        return Retry(f"{name}: no answer in time", code="storage_timeout")
    if isinstance(error, ParamValidationError):
        return Permanent(f"{name}: the SDK refuses the request", code="storage_refused")
    if isinstance(error, SSLError):
        return Retry(
            f"{name}: no secure connection; check the endpoint's certificate",
            code="storage_connection",
        )
    return Retry(
        f"{name}: the connection failed ({type(error).__name__})", code="storage_connection"
    )
