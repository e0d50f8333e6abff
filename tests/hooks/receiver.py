"""A server that receives webhooks, and checks them as its owner would."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Mapping
from typing import Any

from tests.plugins.loopback import Behaviour, LoopbackServer, Request
from tests.plugins.picture_host import body


class Receiver(LoopbackServer):
    """Takes what it is sent, unless `answers` has another answer for the next requests."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[Behaviour] = []
        self._lock = threading.Lock()

    def behaviour(self, request: Request) -> Behaviour:
        """The next of `answers`, or HTTP 204."""
        with self._lock:
            return self.answers.pop(0) if self.answers else body(b"", 204)

    @property
    def address(self) -> str:
        """A URL with a path and a query that nobody is to be shown."""
        return f"{self.url}/T0PSECRET?key=HUSH"

    @property
    def messages(self) -> list[dict[str, Any]]:
        """What it was sent."""
        return [json.loads(request.body) for request in list(self.requests)]

    def types(self) -> list[str]:
        """The types of what it was sent, in the order that it came."""
        return [message["type"] for message in self.messages]


def is_signed(request: Request, secret: str) -> bool:
    """Whether a request was signed with this secret, as the Standard Webhooks specification says.

    One of the signatures is HMAC-SHA256 of id, timestamp and body, with the secret's bytes.
    """
    headers: Mapping[str, str] = request.headers
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + request.body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    wanted = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return f"v1,{wanted}" in headers["webhook-signature"].split()
