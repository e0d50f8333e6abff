"""Who asks: a token in a request to the API, a session's cookie in one to a page."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from starlette.requests import Request

from runner.web.problems import Problem

if TYPE_CHECKING:
    from runner.web.database import Database
    from runner.web.settings import Settings

Role = Literal["viewer", "operator", "admin"]
ROLES: tuple[Role, ...] = ("viewer", "operator", "admin")
"""Each may what the ones before it may, and more."""

LONGEST_SECRET = 200


@dataclass(frozen=True, slots=True)
class Principal:
    """A token's name, its role, and the PostgreSQL role that its requests run under."""

    name: str
    role: Role
    pg_role: str

    def may(self, role: Role) -> bool:
        """Whether its role is that one or includes it."""
        return ROLES.index(self.role) >= ROLES.index(role)


NOBODY = Principal("", "viewer", "backfill_reader")
"""Who looks without a token, where the server allows that."""


class LoginNeeded(Exception):
    """A page was asked for without a live session. `reason`: none, revoked, expired or ended."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def digest(secret: str) -> bytes:
    """SHA-256 of a secret, which is all of it that the database gets to see.

    Secrets are random with more than 240 bits, so that a plain hash can't be searched for.
    """
    return hashlib.sha256(secret.encode()).digest()


def cookie_name(settings: Settings) -> str:
    """Name of the session's cookie; browsers hold one that begins with `__Host-` to https."""
    return "__Host-backfill_session" if settings.secure_cookie else "backfill_session"


def bearer(request: Request) -> Principal:
    """Whose token the header Authorization has. Raises `Problem` unauthorized.

    Sets `request.state.secret_hash`, and `request.state.principal`.
    """
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    secret = secret.strip()
    if scheme.lower() != "bearer" or not secret:
        raise _unauthorized("send a token: Authorization: Bearer bft_...", error=None)
    if len(secret) > LONGEST_SECRET:
        raise _unauthorized("this token is not known")
    hashed = digest(secret)
    found = _database(request).call(None, "web_authenticate", secret_hash=hashed)
    if not found:
        raise _unauthorized("this token is not known")
    if found[0]["reason"] is not None:
        raise _unauthorized(f"token {found[0]['name']} is {found[0]['reason']}")
    request.state.secret_hash = hashed
    request.state.principal = _principal(found[0])
    return request.state.principal  # type: ignore[no-any-return] # a bag of anything


def logged_in(request: Request) -> Principal:
    """Whose session the cookie belongs to. Raises `LoginNeeded`.

    Sets `request.state.session_hash`, and `request.state.principal`.
    """
    cookie = request.cookies.get(cookie_name(request.app.state.settings), "")
    if not cookie or len(cookie) > LONGEST_SECRET:
        raise LoginNeeded("none")
    hashed = digest(cookie)
    found = _database(request).call(None, "web_session_of", session_hash=hashed)
    if not found:
        raise LoginNeeded("ended")
    if found[0]["reason"] is not None:
        raise LoginNeeded(found[0]["reason"])
    request.state.session_hash = hashed
    request.state.principal = _principal(found[0])
    return request.state.principal  # type: ignore[no-any-return] # a bag of anything


def require(principal: Principal, role: Role) -> None:
    """Raises `Problem` forbidden unless the token's role is enough; the database checks as well."""
    if not principal.may(role):
        raise Problem(
            "forbidden", f"this needs the role {role}; token {principal.name} has {principal.role}"
        )


def _principal(row: dict[str, str]) -> Principal:
    (role,) = (role for role in ROLES if role == row["role"])
    return Principal(row["name"], role, row["pg_role"])


def _database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


def _unauthorized(detail: str, error: str | None = "invalid_token") -> Problem:
    # RFC 6750, 3: no error code where nothing was sent
    challenge = 'Bearer realm="pgbackfill"' + (f', error="{error}"' if error else "")
    return Problem("unauthorized", detail, headers={"WWW-Authenticate": challenge})
