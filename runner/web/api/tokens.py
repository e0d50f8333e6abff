"""Tokens: who may use the API and the console, and as what."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import Path
from pydantic import Field

from runner.web.api.common import (
    Admin,
    Answer,
    Asked,
    Db,
    Listed,
    Viewer,
    problems,
    refused,
    router,
)
from runner.web.principal import Role

api = router("tokens")

REFUSED = "BF020"
_PATTERN = r"^[a-z0-9][a-z0-9._@-]{0,62}$"

TokenName = Annotated[str, Path(pattern=_PATTERN, description="Its name.", examples=["grafana"])]


class Me(Answer):
    """The token that asks."""

    name: str
    role: Role


class Token(Answer):
    """A token, without its secret, which the server doesn't know."""

    name: str
    role: Role
    state: Annotated[Literal["live", "expired", "revoked"], Field(description="Live: it works.")]
    created_at: datetime
    created_by: str
    expires_at: Annotated[datetime | None, Field(description="Null: it doesn't expire.")]
    revoked_at: datetime | None
    last_used_at: Annotated[datetime | None, Field(description="To the minute.")]
    sessions: Annotated[int, Field(description="Log-ins to the console that it has open.")]


class NewToken(Asked):
    """A token to be made."""

    name: Annotated[
        str,
        Field(
            pattern=_PATTERN,
            description="Unique among live tokens, and no database role's name; the audit has it.",
            examples=["grafana"],
        ),
    ]
    role: Annotated[
        Role, Field(description="viewer: looks; operator: starts and steers; admin: tokens, too.")
    ]
    valid_s: Annotated[
        int | None,
        Field(ge=1, le=10 * 366 * 86_400, description="Seconds that it lasts; null: for ever."),
    ] = None


class MadeToken(Answer):
    """A token that was made."""

    name: str
    role: Role
    secret: Annotated[str, Field(description="Told now and never again.", examples=["bft_..."])]


@api.get("/me", operation_id="who_am_i", summary="The token that asks")
def who_am_i(who: Viewer) -> Me:
    """Its name and role."""
    return Me(name=who.name, role=who.role)


@api.get("/tokens", operation_id="list_tokens", summary="All tokens")
def list_tokens(who: Admin, database: Db) -> Listed[Token]:
    """For admins. Revoked and expired ones are among them."""
    return Listed(items=[Token(**row) for row in database.call(who, "tokens", read_only=True)])


@api.post(
    "/tokens",
    operation_id="create_token",
    summary="Make a token",
    status_code=201,
    responses=problems("conflict"),
)
def create_token(given: NewToken, who: Admin, database: Db) -> MadeToken:
    """For admins. The answer has the secret, which nobody can be told again."""
    row = database.call(
        who, "create_token", token=given.name, role=given.role, valid_s=given.valid_s
    )[0]
    return MadeToken(name=given.name, role=given.role, secret=row["secret"])


@api.delete(
    "/tokens/{name}",
    operation_id="revoke_token",
    summary="Revoke a token",
    status_code=204,
    responses=problems("not_found"),
)
def revoke_token(name: TokenName, who: Admin, database: Db) -> None:
    """For admins. It is refused from the next request on, and its log-ins end."""
    with refused(REFUSED, "not_found"):
        database.call(who, "revoke_token", token=name)
