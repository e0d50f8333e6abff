"""Errors as the API says them: problem details for HTTP APIs, RFC 9457."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from starlette.responses import JSONResponse

MEDIA_TYPE = "application/problem+json"
PATH = "/problems"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem: its HTTP status, its title, and what to do about it."""

    status: int
    title: str
    meaning: str


KINDS: dict[str, Kind] = {
    "unauthorized": Kind(
        401,
        "A valid token is needed",
        "Send a token that is neither revoked nor expired: Authorization: Bearer bft_... "
        "An admin makes one with: backfill token create NAME --role ROLE",
    ),
    "forbidden": Kind(
        403,
        "This token may not do that",
        "Viewers look, operators start and steer, admins manage tokens as well.",
    ),
    "not_found": Kind(404, "There is no such thing", "Nothing has this name or number."),
    "method": Kind(
        405, "This address has no such method", "The header Allow has the methods that it has."
    ),
    "not_installed": Kind(
        404, "The task is not installed", "Install it with: backfill migrate TASK"
    ),
    "paused": Kind(
        409,
        "The task is paused",
        "No run is started of a paused task; resume it, or ask who paused it.",
    ),
    "live_run": Kind(
        409,
        "A run of this task is live",
        "Wait for it, cancel it, or ask for another one beside it. The member run is its number.",
    ),
    "key_reused": Kind(
        409,
        "The Idempotency-Key was used for another request",
        "Take a new key for each thing to be done; keep it when the same request is sent again.",
    ),
    "conflict": Kind(409, "It can't be done as things are", "The detail says what is in the way."),
    "wrong_version": Kind(
        409,
        "Database and program are at different versions",
        "Run backfill migrate, or upgrade the program that serves.",
    ),
    "no_code": Kind(
        409,
        "The server doesn't have the task's code",
        "Install the package with the task where the server runs, or name it in BACKFILL_TASKS.",
    ),
    "paid": Kind(
        409,
        "The run would make paid calls",
        "Send yes: true to agree, best with the option max_cost; a dry run says how many rows.",
    ),
    "too_large": Kind(413, "The request is too large", "Requests have at most 64 kB."),
    "invalid": Kind(
        422,
        "The request can't be used as given",
        "The member errors has what is wrong: each the place and a message.",
    ),
    "too_many": Kind(429, "Too many tries", "Wait for as long as the header Retry-After says."),
    "internal": Kind(
        500, "The server made a mistake", "It is in the server's log; nothing was changed."
    ),
    "unavailable": Kind(
        503,
        "The database can't be used now",
        "It can't be reached, is too busy, or pgbackfill is not installed there. Try again later.",
    ),
}
"""Kinds by name; the problem's type is the address of its page, /problems/<name>."""


class Problem(Exception):
    """An error answer. `kind` is one of `KINDS`; `more` are members that go with it.

    `sqlstate` is that of the database error behind it.
    """

    def __init__(
        self,
        kind: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        status: int | None = None,
        sqlstate: str | None = None,
        **more: Any,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.headers = dict(headers or {})
        self.status = status or KINDS[kind].status
        self.title = KINDS[kind].title
        self.sqlstate = sqlstate
        self.more = {name: value for name, value in more.items() if value is not None}

    def body(self) -> dict[str, Any]:
        """Its members: type, title, status, detail, and what goes with this kind."""
        return {
            "type": f"{PATH}/{self.kind}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            **self.more,
        }

    def response(self) -> JSONResponse:
        """The answer."""
        return JSONResponse(
            self.body(), status_code=self.status, media_type=MEDIA_TYPE, headers=self.headers
        )


_OF_STATUS = {
    400: "invalid", 401: "unauthorized", 403: "forbidden", 404: "not_found", 405: "method",
    413: "too_large", 422: "invalid", 429: "too_many", 503: "unavailable",
}  # fmt: skip


def of_status(status: int, detail: str = "", headers: Mapping[str, str] | None = None) -> Problem:
    """A problem for a status that somebody else decided on, such as the router's 404."""
    kind = _OF_STATUS.get(status, "internal" if status >= 500 else "invalid")
    words = detail or HTTPStatus(status).phrase
    # one answer for what can't be read and for what can't be used
    return Problem(kind, words, headers=headers, status=422 if kind == "invalid" else status)
