"""Forms that pages send: read, and known to come from a page of this server."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

from fastapi import Depends, Request

from runner.web.principal import Principal, cookie_name, logged_in
from runner.web.problems import Problem

LONGEST = 64 * 1024
MOST_FIELDS = 200

User = Annotated[Principal, Depends(logged_in)]
"""Whoever is logged in."""


class Form:
    """The fields of a form, each with the values it was sent with."""

    def __init__(self, values: dict[str, list[str]]) -> None:
        self.values = values

    def get(self, name: str) -> str:
        """The first value of a field without spaces around it; empty where it wasn't sent."""
        return self.values.get(name, [""])[0].strip()

    def one(self, name: str) -> str | None:
        """The same, but None where there is nothing in it."""
        return self.get(name) or None


async def unchecked(request: Request) -> Form:
    """A form of a page of this server, before anybody is logged in. Raises `Problem`."""
    _check_origin(request)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise Problem("invalid", "a form is sent as application/x-www-form-urlencoded", status=415)
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LONGEST:
            raise Problem("too_large", "a form has at most 64 kB")
    try:
        values = parse_qs(
            body.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MOST_FIELDS,
        )
    except ValueError as error:
        raise Problem("invalid", "the form can't be read", status=400) from error
    if any("\0" in text for texts in values.values() for text in texts):
        raise Problem("invalid", "the form has a character that can't be stored", status=400)
    return Form(values)


def checked(
    request: Request,
    user: User,  # noqa: ARG001 # nobody's form is of no session
    form: Annotated[Form, Depends(unchecked)],
) -> Form:
    """A form of a page that was made for this session. Raises `Problem`."""
    if not hmac.compare_digest(form.get("csrf").encode(), csrf_token(request).encode()):
        raise Problem(
            "forbidden", "the form is of another session; go back, load the page again, send again"
        )
    return form


Sent = Annotated[Form, Depends(checked)]
"""A form that came from a page of this session."""


def csrf_token(request: Request) -> str:
    """What a form has to carry: only who has the session's secret can make it."""
    secret = request.cookies.get(cookie_name(request.app.state.settings), "")
    made = hmac.new(secret.encode(), b"pgbackfill form", hashlib.sha256).digest()
    return base64.urlsafe_b64encode(made).decode().rstrip("=")


def _check_origin(request: Request) -> None:
    """Refuse what another site's page makes a browser send.

    Browsers say with each form where it comes from, in `Sec-Fetch-Site` (https and localhost
    only) or `Origin`; what says neither is no browser, and has no session that it was lent.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site == "same-origin":
        return
    if site is None and (origin is None or urlsplit(origin).netloc == request.headers.get("host")):
        return
    raise Problem("forbidden", "the form came from another site")
