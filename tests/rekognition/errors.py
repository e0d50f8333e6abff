"""What the service says when it says no."""

from __future__ import annotations

STATUS = {
    "InternalServerError": 500,
    "InternalFailure": 500,
    "ServiceUnavailableException": 503,
}
"""HTTP status by error code where it isn't 400; developer guide, "Error handling".

A ThrottlingException is a 400 there and a 500, see `Fault.status`.
"""

MESSAGES = {
    "AccessDeniedException": "You are not authorized to perform the action",
    "ImageTooLargeException": "Image size is too large",
    "InternalServerError": "Internal server error",
    "InvalidImageFormatException": "Request has invalid image format",
    "InvalidParameterException": "Request has invalid parameters",
    "InvalidS3ObjectException": (
        "Unable to get object metadata from S3. Check object key, region and/or access permissions."
    ),
    "ProvisionedThroughputExceededException": "Provisioned rate exceeded",
    "ServiceQuotaExceededException": "The size of the collection exceeds the allowed limit",
    "ThrottlingException": "Slow down; sudden increase in rate of requests",
    "ExpiredTokenException": "The security token included in the request is expired",
    "UnrecognizedClientException": "The security token included in the request is invalid.",
    "MissingAuthenticationTokenException": "Missing Authentication Token",
}
"""What is said where there is nothing to add."""


class ServiceError(Exception):
    """An error of the service: its code, message and HTTP status."""

    def __init__(self, code: str, message: str | None = None, status: int | None = None) -> None:
        self.code = code
        self.message = message or MESSAGES.get(code, f"this is {code}")
        self.status = status or STATUS.get(code, 400)
        super().__init__(f"{code}: {self.message}")
