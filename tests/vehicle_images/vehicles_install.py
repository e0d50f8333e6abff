"""The application's tables of vehicles, with the task installed."""

from __future__ import annotations

import psycopg

from runner.database import migrate
from runner.registry import find

TABLES = """
create table vehicles (
    id uuid primary key default gen_random_uuid(),
    is_public boolean not null default true,
    primary_image_url text,
    origin_metadata jsonb
);
create table organization_vehicles (organization_id uuid not null, vehicle_id uuid not null);
"""


def install(url: str) -> None:
    """Vehicles, organizations and the task."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(TABLES.encode())
    known = [find("quality_score"), find("image_signals")]
    migrate.upgrade(url, [find("vehicle_images")], {}, known=known)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("update backfill.task set backoff_base = '1 s', backoff_max = '4 s'")
