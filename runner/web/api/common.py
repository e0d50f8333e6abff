"""What the API's modules share: who asks, the database, documented errors, pages of a list."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, Generic, TypeVar
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Path, Query, Request, Response, Security
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from starlette.concurrency import run_in_threadpool

from runner.web.database import Database
from runner.web.principal import Principal, Role, bearer, require
from runner.web.problems import KINDS, MEDIA_TYPE, Problem

PREFIX = "/api/v1"
MOST = 500
GREATEST_ID = 2**63 - 1

Item = TypeVar("Item")

# --- who asks -------------------------------------------------------------------------------------


class Authenticated(APIRoute):
    """A route that looks at the token before anything else, the body included.

    It takes no parameter that it doesn't know: a filter that is misspelt would be no filter.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, with the look at the token before it."""
        handler = super().get_route_handler()
        known = _parameters(self.dependant)

        async def checked(request: Request) -> Response:
            await run_in_threadpool(bearer, request)
            _refuse_unknown(request, known)
            return await handler(request)

        return checked


def _parameters(dependant: Dependant) -> set[str]:
    """Names of the query's parameters, those of what it depends on included."""
    own = {field.alias for field in dependant.query_params}
    return own.union(*(_parameters(below) for below in dependant.dependencies))


def _refuse_unknown(request: Request, known: set[str]) -> None:
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        takes = ", ".join(sorted(known)) or "none"
        errors = [
            {"place": f"query.{name}", "message": f"is no parameter; there are: {takes}"}
            for name in unknown
        ]
        raise Problem("invalid", f"there is no parameter {unknown[0]!r}", errors=errors)


_scheme = HTTPBearer(
    scheme_name="token",
    description="A token that an admin made, such as `bft_...`; its role is viewer, operator or "
    "admin.",
    auto_error=False,
)


def _who(request: Request, _: Annotated[Any, Security(_scheme)]) -> Principal:
    principal: Principal = request.state.principal
    return principal


def _at_least(role: Role) -> Callable[[Principal], Principal]:
    def check(principal: Annotated[Principal, Depends(_who)]) -> Principal:
        require(principal, role)
        return principal

    return check


def _database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


Viewer = Annotated[Principal, Depends(_who)]
Operator = Annotated[Principal, Depends(_at_least("operator"))]
Admin = Annotated[Principal, Depends(_at_least("admin"))]
"""Who asks; others are refused before their request is looked at."""

Db = Annotated[Database, Depends(_database)]

# --- errors ---------------------------------------------------------------------------------------


def problems(*kinds: str) -> dict[int | str, dict[str, Any]]:
    """Answers with a problem document, as OpenAPI has them."""
    by_status: dict[int | str, list[str]] = {}
    for kind in kinds:
        by_status.setdefault(KINDS[kind].status, []).append(kind)
    return {
        status: {
            "description": "; or: ".join(
                f"{KINDS[kind].title} (`{kind}`)" for kind in dict.fromkeys(found)
            ),
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status, found in by_status.items()
    }


ANYWHERE = ("unauthorized", "forbidden", "invalid", "unavailable")


def router(tag: str) -> APIRouter:
    """A router for one kind of thing, below /api/v1; every address needs a token."""
    return APIRouter(
        prefix=PREFIX, tags=[tag], route_class=Authenticated, responses=problems(*ANYWHERE)
    )


@contextmanager
def refused(sqlstate: str, kind: str) -> Iterator[None]:
    """In this block, a function's refusal with this SQLSTATE is a problem of this kind."""
    try:
        yield
    except Problem as problem:
        if problem.sqlstate != sqlstate:
            raise
        raise Problem(kind, problem.detail, errors=_errors(kind, problem.detail)) from problem


def _errors(kind: str, detail: str) -> list[dict[str, str]] | None:
    return [{"place": "", "message": detail}] if kind == "invalid" else None


# --- values ---------------------------------------------------------------------------------------


def _number(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value.total_seconds()
    return float(value) if isinstance(value, Decimal) else value


Number = Annotated[float, BeforeValidator(_number)]
"""An interval in seconds, or an amount."""


class Answer(BaseModel):
    """Something that the server says; made from a row with more columns, too."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)


class Asked(BaseModel):
    """Something that the server is sent: no unknown member, and no value of another type."""

    model_config = ConfigDict(extra="forbid", strict=True)


_WORD = r"^[a-z][a-z0-9_]{0,47}$"
_NAME = r"^[^\x00-\x1f\x7f/]{1,100}$"
_TEXT = r"^[^\x00]*$"

TaskName = Annotated[
    str, Path(pattern=_WORD, description="The task's name.", examples=["vehicle_images"])
]
RunId = Annotated[int, Path(ge=1, le=GREATEST_ID, description="The run's number.", examples=[17])]
Name = Annotated[str, Path(pattern=_NAME, description="Its name.")]
OfTask = Annotated[str | None, Query(alias="task", pattern=_WORD, description="Only of this task.")]
Limit = Annotated[int, Query(ge=1, le=MOST, description="At most so many.")]
Before = Annotated[
    int | None,
    Query(ge=1, le=GREATEST_ID, description="Only those with a lower number: a page's `next`."),
]
Word = Annotated[str, Field(pattern=_WORD)]
Text = Annotated[str, Field(pattern=_TEXT, max_length=1000)]
ShortText = Annotated[str, Field(pattern=_TEXT, max_length=200)]


class _OfItems(Answer, Generic[Item]):
    """Something with items, named and described after them in the document."""

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        """Such as RunPage, GuardList."""
        return f"{params[0].__name__}{cls.__name__.removesuffix('ed')}"

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        made = handler(schema)
        handler.resolve_ref_schema(made).setdefault("description", cls.__mro__[1].__doc__)
        return made


class Page(_OfItems[Item], Generic[Item]):
    """A part of a list."""

    items: list[Item]
    next: Annotated[
        str | None,
        Field(
            description="Address of the next part; null: this is the last.",
            examples=["/api/v1/runs?before=17&limit=50"],
        ),
    ] = None


class Listed(_OfItems[Item], Generic[Item]):
    """A whole list."""

    items: list[Item]


def next_page(request: Request, **position: Any) -> str:
    """Address of the same list from this position on."""
    query = {**request.query_params, **position}
    return f"{request.url.path}?{urlencode(query)}"
