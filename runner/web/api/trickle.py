"""`POST /functions/v1/trickle-backfill-images`: an address that applications may call already."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import Field
from starlette.responses import JSONResponse

from runner.web.api.common import (
    ANYWHERE,
    Answer,
    Asked,
    Authenticated,
    Db,
    ShortText,
    Viewer,
    problems,
)
from runner.web.api.runs import ACCEPTED, NOT_STARTED, Key, Run, accepted
from runner.web.principal import require
from runner.web.starting import StartRequest, look

TASK = "vehicle_images"
FIRST_KEYS = 5

api = APIRouter(tags=["functions"], route_class=Authenticated, responses=problems(*ANYWHERE))


class Trickle(Asked):
    """How much is to be done."""

    batch_size: Annotated[
        int | None, Field(ge=1, le=1000, description="Vehicles at once.", examples=[10])
    ] = None
    limit: Annotated[
        int | None, Field(ge=0, le=2**62, description="Most vehicles; 0: all.", examples=[100])
    ] = None
    max_images_per_vehicle: Annotated[int | None, Field(ge=1, le=100, examples=[20])] = None
    organization_id: Annotated[
        ShortText | int | None, Field(description="Only vehicles of this organization.")
    ] = None
    dry_run: Annotated[bool, Field(description="Say what would be done, and change nothing.")] = (
        False
    )


class Preview(Answer):
    """What a run would take."""

    dry_run: bool = True
    found: Annotated[int, Field(description="Vehicles, the limit considered.")]
    found_exact: bool
    first_keys: list[str]


class Accepted(Answer):
    """The run that was taken."""

    dry_run: bool = False
    run: Run


@api.post(
    "/functions/v1/trickle-backfill-images",
    operation_id="trickle_backfill_images",
    summary="Start a run of vehicle_images",
    status_code=202,
    response_model=Accepted,
    responses={
        **problems(*NOT_STARTED),
        **ACCEPTED,
        200: {"model": Preview, "description": "A dry run: what would be done."},
    },
)
def trickle(
    who: Viewer,
    database: Db,
    response: Response,
    given: Trickle | None = None,
    key: Key = None,
) -> Any:
    """The same as a run of `vehicle_images`, with the names that callers of old use.

    Operators start; a dry run is for viewers, too, and is answered with 200.
    """
    asked = given or Trickle()
    options = {
        "max_images": asked.max_images_per_vehicle,
        "organization_id": asked.organization_id,
    }
    request = StartRequest(TASK, options, limit=asked.limit, batch_size=asked.batch_size)
    if asked.dry_run:
        found = look(database, who, request, FIRST_KEYS)
        preview = Preview(found=found.found, found_exact=found.exact, first_keys=found.first_keys)
        return JSONResponse(preview.model_dump())
    require(who, "operator")
    return Accepted(run=accepted(request, who, database, response, key))
