"""Applications to install face_index in, and how that is done."""

from __future__ import annotations

from typing import Any

import psycopg

from runner.database import migrate
from runner.registry import find
from tests.cli.catalog import catalog
from tests.plugins.database import Database

OWN = """
create table profiles (user_id uuid primary key);
create table assets (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references profiles (user_id) on delete cascade,
    storage_url text, mime_type text, approved boolean, deleted boolean,
    created_at timestamptz default now()
);
create table face_collections (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null unique references profiles (user_id) on delete cascade,
    aws_collection_id text unique not null, rekognition_arn text, face_count integer default 0,
    last_indexed_at timestamptz, created_at timestamptz, updated_at timestamptz,
    deleted boolean default false
);
create table faces (
    id bigserial primary key,
    user_id uuid not null references profiles (user_id) on delete cascade,
    asset_id uuid not null references assets (id) on delete cascade,
    rekognition_face_id text not null, rekognition_image_id text, bounding_box jsonb not null,
    confidence decimal(5,4) not null check (confidence >= 0 and confidence <= 1),
    needs_assignment boolean default true, auto_assigned boolean default false,
    skipped boolean default false, created_at timestamptz, updated_at timestamptz,
    deleted boolean default false
);
create table person_groups (
    id bigserial primary key,
    user_id uuid not null references profiles (user_id) on delete cascade,
    name text not null, display_name text, avatar_face_id bigint references faces (id),
    created_at timestamptz, updated_at timestamptz, deleted boolean default false,
    unique (user_id, name)
);
create table face_person_links (
    id uuid primary key default gen_random_uuid(),
    face_id bigint not null references faces (id) on delete cascade,
    person_group_id bigint not null references person_groups (id) on delete cascade,
    confidence decimal(5,4) not null check (confidence >= 0 and confidence <= 1),
    assigned_by text default 'ai' check (assigned_by in ('ai', 'user', 'system')),
    assigned_at timestamptz, created_at timestamptz, updated_at timestamptz,
    deleted boolean default false, unique (face_id, person_group_id)
);
create function touched() returns trigger language plpgsql as
$$ begin new.updated_at := now(); return new; end $$;
create trigger touched before update on faces for each row execute function touched();
create trigger touched before update on face_person_links
    for each row execute function touched();
alter table face_collections enable row level security;
alter table faces enable row level security;
alter table person_groups enable row level security;
alter table face_person_links enable row level security;
"""
"""Tables that an application has of its own: keys that are numbers, every flag may be null, a pair
of face and person is unique although it was deleted, and policies keep users apart."""

OWN_NAMES = {"arn": "rekognition_arn"}

ODD = """
create schema "My App";
create table "My App"."pic%tu""res" (
    "no." bigint primary key, "own{er}" text not null, "ur%sl" varchar(500), kind text,
    "o'k" boolean, gone boolean
);
"""

ODD_NAMES = {
    "table": 'My App.pic%tu"res', "key": "no.", "user_id": "own{er}", "url": "ur%sl",
    "mime_type": "kind", "approved": "o'k", "deleted": "gone", "collections": "My App.coll'ections",
    "arn": "a%rn", "faces": "My App.fa{c}es", "embedding": "num%bers", "people": 'My App.peo"ple',
    "links": "My App.li nks",
}  # fmt: skip


def execute(database: Database, script: str, *parameters: Any) -> None:
    """Run a script."""
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute(script.encode(), parameters or None)


def up(database: Database, names: dict[str, str] | None = None) -> None:
    """Install the task with these names."""
    migrate.upgrade(database.url, [find("face_index")], names or {})


def down(database: Database) -> None:
    """Take the task out."""
    migrate.downgrade(database.url, [find("face_index")])


def of_the_application(database: Database) -> list[str]:
    """The catalog without our own schema."""
    return [line for line in catalog(database.url) if "backfill" not in line.split(":")[0]]
