"""What Rekognition's refusal, or no answer, means for a row.

The service's own words are repeated only where they are about the picture or the request: those
about credentials can hold tokens.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    ParamValidationError,
    ProxyConnectionError,
    SSLError,
)

from runner.errors import BackfillError, Halt, Permanent, Retry, RowOutcome

THROTTLED = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "Throttling",
        "ThrottledException",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
SERVER = frozenset(
    {
        "InternalFailure",
        "InternalServerError",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "ServiceUnavailableException",
    }
)
PICTURE: Mapping[str, str] = MappingProxyType(
    {
        "ImageTooLargeException": "image_too_large",
        "InvalidImageFormatException": "invalid_image_format",
        "InvalidParameterException": "invalid_parameter",
        "InvalidS3ObjectException": "invalid_s3_object",
        "ValidationException": "invalid_request",
    }
)
"""The stable code of each error that trying again can't help."""

DENIED = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "NotAuthorized",
        "OptInRequired",
        "SubscriptionRequiredException",
        "UnauthorizedOperation",
    }
)
CREDENTIALS = frozenset(
    {
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "IncompleteSignatureException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "InvalidToken",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)

_NOT_SENT = (ConnectTimeoutError, EndpointConnectionError, ProxyConnectionError)

_LOST = (HTTPClientError, SSLError)

_MOST_TEXT = 160

UNREACHABLE_S = 10.0
"""Seconds until a row is tried again whose call could not be sent."""


class Throttled(Retry):
    """The call was refused for its rate; it is not held against the row."""

    def __init__(self, message: str, after: float | None) -> None:
        super().__init__(message, code="throttled", after=after, counts=False)


class CollectionMissing(Retry):
    """There is no such collection, or none with the faces that it had."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="collection_missing")


class CollectionExists(Retry):
    """There is such a collection already."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="collection_exists")


class LostReply(Retry):
    """The call was sent and no whole answer came: nobody knows whether it was carried out.

    It may have been charged, so whoever repeats it has to find out first what the service holds.
    """

    def __init__(self, operation: str, why: str) -> None:
        super().__init__(
            f"the answer to {operation} was lost ({why}); it may have been carried out and charged",
            code="lost_reply",
        )


@contextmanager
def outcomes(operation: str) -> Iterator[None]:
    """Turn the SDK's errors within the block, one call of `operation`, into `RowOutcome`s."""
    try:
        yield
    except (RowOutcome, BackfillError):  # raised while it waited to be sent
        raise
    except ClientError as error:
        raise _refused(error, operation) from error
    except BotoCoreError as error:
        raise _unanswered(error, operation) from error
    except Exception as error:  # the SDK stumbles over answers that aren't of the API's form
        raise LostReply(operation, f"it can't be read, {type(error).__name__}") from error


def whole(operation: str, answer: Mapping[str, object]) -> None:
    """Raise `LostReply` for an answer that broke off: the SDK takes it for one without fields."""
    if answer.keys() <= {"ResponseMetadata"}:
        raise LostReply(operation, "it broke off")


def _refused(error: ClientError, operation: str) -> RowOutcome:
    code, status = _code(error), _status(error)
    says = f"Rekognition says {code} to {operation}"
    if code in THROTTLED or status == 429:
        return Throttled(f"{says} (too many calls)", _retry_after(error))
    if code in SERVER:
        return Retry(says, code="server_error", after=_retry_after(error))
    if code in PICTURE:
        return Permanent(f"{says}: {_text(error)}".rstrip(": "), code=PICTURE[code])
    if code in _OTHERS:
        return _OTHERS[code](says)
    if code in DENIED:
        right = f"{says}: give the AWS credentials the right rekognition:{operation}"
        return Halt(right, pauses=True)
    if code in CREDENTIALS:
        renew = f"{says}: renew the AWS credentials, and check this machine's clock"
        return Halt(renew, pauses=True)
    if status >= 500:  # of a proxy, or a load balancer: what was behind it may have worked on
        return LostReply(operation, f"HTTP {status}")
    return Retry(f"{says}: {_text(error)}".rstrip(": "), code="refused")


_OTHERS: Mapping[str, Callable[[str], RowOutcome]] = {
    "ResourceNotFoundException": lambda says: CollectionMissing(f"{says}: no such collection"),
    "ResourceAlreadyExistsException": CollectionExists,
    "ServiceQuotaExceededException": lambda says: Halt(
        f"{says}: a limit of the account or the collection is reached; ask AWS to raise it, or "
        "delete what is no longer needed",
        pauses=True,
    ),
    "InvalidPaginationTokenException": lambda says: Retry(
        f"{says}: the listing has to begin again", code="listing_expired"
    ),
}


def _unanswered(error: BotoCoreError, operation: str) -> RowOutcome:
    kind = type(error).__name__
    if isinstance(error, ParamValidationError):
        return Permanent(f"the SDK refuses the request for {operation}", code="invalid_request")
    if isinstance(error, _NOT_SENT):
        # an outage, or no network here: it says nothing of the row
        words = f"Rekognition can't be reached for {operation} ({kind})"
        return Retry(words, code="unreachable", after=UNREACHABLE_S, counts=False)
    if _is_bad_certificate(error):
        return Halt(
            f"Rekognition's certificate is not accepted for {operation}: check AWS_CA_BUNDLE"
        )
    if isinstance(error, _LOST):
        return LostReply(operation, kind)
    # all others are raised before anything is sent: no credentials, or settings that can't work
    return Halt(
        f"{operation} can't be called ({kind}): check the AWS settings, and set AWS_PROFILE, or "
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or sign in again"
    )


def _is_bad_certificate(error: BotoCoreError) -> bool:
    """Nothing was sent then; other failures of TLS can come at any time."""
    return isinstance(error, SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error)


def _code(error: ClientError) -> str:
    code = str(error.response.get("Error", {}).get("Code", ""))
    return re.sub(r"[^A-Za-z0-9._-]", "", code)[:60]


def _text(error: ClientError) -> str:
    text = str(error.response.get("Error", {}).get("Message", ""))
    return " ".join(text.split())[:_MOST_TEXT]


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _retry_after(error: ClientError) -> float | None:
    """Seconds, at most a day."""
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    text = str(headers.get("retry-after", ""))
    return min(float(text), 86_400.0) if re.fullmatch(r"[0-9]{1,9}", text) else None
