"""An application with vehicles, and the settings under which the chaos runs."""

from __future__ import annotations

from collections.abc import Iterable

import psycopg
from psycopg.types.json import Jsonb

from runner.database import migrate
from runner.registry import find
from tests.bench.vehicles_urls import Vehicle

TASK = "vehicle_images"
OTHER_TASKS = ("quality_score", "image_signals")

TABLES = """
create table vehicles (
    id uuid primary key default gen_random_uuid(),
    is_public boolean not null default true,
    primary_image_url text,
    origin_metadata jsonb,
    created_at timestamptz default now()
);
create table organization_vehicles (organization_id uuid, vehicle_id uuid);
"""


def install(url: str) -> None:
    """The application's tables, without a vehicle, and the task on them."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(TABLES)
    migrate.upgrade(url, [find(TASK)], {}, known=[find(name) for name in OTHER_TASKS])


def fill(url: str, vehicles: Iterable[Vehicle]) -> None:
    """Add these vehicles."""
    with psycopg.connect(url, autocommit=True) as connection:
        with connection.cursor().copy("copy vehicles (id, origin_metadata) from stdin") as copy:
            for vehicle in vehicles:
                urls = [place.value for place in vehicle.places]
                copy.write_row((vehicle.id, Jsonb({"image_urls": urls, "source": "listing"})))
        connection.execute("vacuum analyze vehicles")


def agree(url: str, rate: float, at_once: int, attempts: int) -> None:
    """Set the host's rate, and let retries of rows come soon and so many crashes be forgiven."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "select backfill.set_rate('host:127.0.0.1', %s, p_concurrency => %s)", [rate, at_once]
        )
        # whoever kills processes all the time has to forgive rows that were alone in one
        connection.execute(
            "update backfill.task set max_attempts = %s, backoff_base = '0.5 seconds',"
            " backoff_max = '2 seconds' where name = %s",
            [attempts, TASK],
        )
