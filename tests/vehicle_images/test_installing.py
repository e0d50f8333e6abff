"""Installing vehicle_images beside what an application has, and taking it out again."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from runner.cli import main
from runner.database import migrate
from runner.embedded import find_binaries
from runner.errors import BackfillError, UsageError
from runner.registry import find
from tests.cli.catalog import catalog
from tests.plugins.database import Database, NewDatabase
from tests.plugins.picture_host import PictureHost
from tests.vehicle_images.vehicles import jpeg
from tests.vehicle_images.vehicles_install import TABLES

ODD = """
create schema "My App";
create table "My App"."ve%hi""cles" (
    "no." bigint primary key, "meta{data}" jsonb, public boolean, "first %s" varchar(200)
);
create table "My App"."ima'ges" (
    id serial primary key, "ve""hicle" bigint not null references "My App"."ve%hi""cles",
    own text not null default 'mine', image_url varchar(300), position smallint, taken_at timestamp,
    exif_data json, is_primary boolean, source varchar(30)
);
create table "My App"."me{mb}ers" (org integer, car bigint);
insert into "My App"."ve%hi""cles" values (5, '{"image_urls": ["x"]}', true, '');
insert into "My App"."ima'ges" ("ve""hicle", image_url) values (5, '/mine.jpg');
"""

NAMES = {
    "table": 'My App.ve%hi"cles', "key": "no.", "metadata": "meta{data}", "is_public": "public",
    "primary_url": "first %s", "images": "My App.ima'ges", "vehicle_id": 've"hicle',
    "organizations": "My App.me{mb}ers", "organization": "org", "organization_vehicle": "car",
}  # fmt: skip

IMAGES = """
create table vehicle_images (
    id bigserial primary key, vehicle_id uuid, image_url text, size_kb integer
);
"""

HASHES = "create table vehicle_images (vehicle_id uuid, file_hash text); "


def execute(database: Database, script: str) -> None:
    """Run a script."""
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute(script.encode())


def up(database: Database, names: dict[str, str] | None = None) -> None:
    """Install the task with these names."""
    migrate.upgrade(database.url, [find("vehicle_images")], names or {})


def down(database: Database) -> None:
    """Take the task out."""
    migrate.downgrade(database.url, [find("vehicle_images")])


def of_the_application(database: Database) -> list[str]:
    """The catalog without our own schema."""
    return [line for line in catalog(database.url) if "backfill" not in line.split(":")[0]]


@pytest.fixture
def odd(new_database: NewDatabase) -> Database:
    """An application whose names need quotes, with a picture of its own."""
    database = new_database()
    execute(database, ODD)
    return database


@pytest.fixture
def plain(new_database: NewDatabase) -> Database:
    """An application with the task's usual names, and no table of pictures."""
    database = new_database()
    execute(database, TABLES)
    return database


def test_odd_names_and_tables_that_are_there(
    odd: Database, picture_host: PictureHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Quotes, braces and percent signs work, numbers as keys too, and own rows are kept."""
    before = of_the_application(odd)
    up(odd, NAMES)
    urls = [picture_host.add(f"/{n}.jpg", jpeg(n)) for n in (1, 2)]
    connection = odd.connect(autocommit=True)
    query = """insert into "My App"."ve%%hi""cles" values (%s, %s, true, null)"""
    connection.execute(query.encode(), [7, Jsonb({"image_urls": urls})])
    connection.execute(query.encode(), [8, Jsonb({"image_urls": urls})])
    connection.execute("""insert into "My App"."me{mb}ers" values (3, 7)""")
    monkeypatch.setenv("DATABASE_URL", odd.url)
    allow = f"127.0.0.1:{picture_host.server_port}"
    arguments = ["run", "vehicle_images", "--storage", str(tmp_path / "s"), "--allow", allow,
                 "--json", "--vehicle-delay", "0"]  # fmt: skip
    assert main([*arguments, "--organization-id", "3"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"] == 1
    rows = connection.execute(
        'select "ve""hicle", own, position, source, is_primary'
        ' from "My App"."ima\'ges" order by 1, 3'
    ).fetchall()
    assert rows == [
        (5, "mine", None, None, None),
        (7, "mine", 0, "trickle_backfill", True),
        (7, "mine", 1, "trickle_backfill", False),
    ]
    row: Any = connection.execute(
        """select "first %s", "meta{data}" from "My App"."ve%hi""cles" where "no." = 7"""
    ).fetchone()
    assert row[0].endswith(".jpg")
    assert row[1]["images_backfilled_count"] == 2
    checks = connection.execute("select name from backfill.vehicle_images_checks where not ok")
    assert checks.fetchall() == []
    connection.close()
    down(odd)
    assert of_the_application(odd) == before
    with psycopg.connect(odd.url) as connection:
        kept = connection.execute("""select count(*) from "My App"."ima'ges" """).fetchone()
    assert kept == (3,)


def test_down_takes_what_was_added_and_nothing_else(plain: Database) -> None:
    """A table of pictures that we made goes, with its indexes; marks stay; up again works."""
    before = of_the_application(plain)
    for _ in range(2):
        up(plain)
        assert of_the_application(plain) != before
        down(plain)
        assert of_the_application(plain) == before
    with psycopg.connect(plain.url) as connection:
        left = connection.execute(
            "select proname::text from pg_proc where pronamespace = 'backfill'::regnamespace"
            " and proname like '%vehicle%' union all"
            " select relname::text from pg_class where relnamespace = 'backfill'::regnamespace"
            " and relname like '%vehicle%'"
        ).fetchall()
    assert left == []


def test_columns_that_the_table_lacks_are_added(plain: Database) -> None:
    """An application's own table of pictures gets what is missing and loses it again."""
    execute(plain, IMAGES)
    before = of_the_application(plain)
    up(plain)
    with psycopg.connect(plain.url) as connection:
        (added,) = connection.execute(
            "select added from backfill.task where name = 'vehicle_images'"
        ).fetchone() or ([],)
    assert "table public.vehicle_images" not in " ".join(added)
    assert "column storage_path of public.vehicle_images" in [a.replace('"', "") for a in added]
    assert not any("column image_url" in entry for entry in added)
    down(plain)
    assert of_the_application(plain) == before


def test_optional_names_may_be_empty(plain: Database) -> None:
    """Without a column for publicity, a first picture or organizations it works all the same."""
    execute(
        plain,
        "alter table vehicles drop column is_public, drop column primary_image_url;"
        " drop table organization_vehicles;"
        """ insert into vehicles (origin_metadata) values ('{"image_urls": ["x"]}')""",
    )
    with pytest.raises(UsageError, match="no column is_public in table"):
        up(plain)
    up(plain, {"is_public": "", "primary_url": "", "organizations": ""})
    with psycopg.connect(plain.url) as connection:
        found = connection.execute(
            "select key, revision from backfill.needs_vehicle_images"
        ).fetchall()
        assert len(found) == 1
        connection.execute(
            "select backfill.apply_vehicle_images(jsonb_build_array(jsonb_build_object("
            "  'key', %s::text, 'revision', %s::text, 'result',"
            """  '{"outcomes": [{"position": 0, "url": "x", "state": "gone", "attempts": 0,"""
            """ "error_class": "e"}], "pictures": [], "done": true}'::jsonb)))""",
            found[0],
        )
        left = connection.execute("select count(*) from backfill.needs_vehicle_images").fetchone()
    assert left == (0,)
    down(plain)


def test_an_organization_without_its_table_is_a_usage_error(
    plain: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:  # fmt: skip
    """A table that isn't there at installation costs only the option, which then says so."""
    execute(plain, "drop table organization_vehicles")
    up(plain)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", plain.url)
    assert main(["run", "vehicle_images", "--organization-id", "7"]) == 2
    message = capsys.readouterr().err
    assert "vehicle_organizations" in message
    assert "Traceback" not in message
    assert main(["run", "vehicle_images"]) == 0


@pytest.mark.parametrize(
    "change, said",
    [
        ("alter table vehicles alter origin_metadata type json", "is json and not jsonb"),
        ("alter table vehicles drop column origin_metadata", "no column origin_metadata"),
        ("create table vehicle_images (id int)", "no column vehicle_id"),
        (
            "create table vehicle_images (vehicle_id uuid, owner uuid not null)",
            "owner may not be null and may be left without a value",
        ),
        (
            HASHES + "insert into vehicles (id) values (gen_random_uuid());"
            " insert into vehicle_images select id, 'x' from vehicles, generate_series(1, 2)",
            "1 pictures are in public.vehicle_images twice for one vehicle",
        ),
        (
            HASHES
            + "create index vehicle_images_vehicle_file_hash_key on vehicle_images (file_hash)",
            "is there and is not unique",
        ),
    ],
)
def test_what_can_not_work_is_refused_at_once(plain: Database, change: str, said: str) -> None:
    """An installation that would fail every row is refused with what to do."""
    execute(plain, change)
    with pytest.raises(BackfillError) as caught:
        up(plain)
    assert said in str(caught.value).replace('"', "")


def test_a_trigger_may_fill_what_may_not_be_null(plain: Database) -> None:
    """Where the application fills its own column, the installation goes through."""
    execute(
        plain,
        "create table vehicle_images (vehicle_id uuid, owner text not null);"
        " create function fill() returns trigger language plpgsql as"
        " $$ begin new.owner := current_user; return new; end $$;"
        " create trigger fill before insert on vehicle_images"
        " for each row execute function fill()",
    )
    up(plain)


def test_an_installation_that_was_refused_can_be_repeated(plain: Database) -> None:
    """After the cause was mended, the same command goes through and nothing is there twice."""
    execute(plain, "create table vehicle_images (vehicle_id uuid, owner uuid not null)")
    with pytest.raises(BackfillError):
        up(plain)
    execute(plain, "alter table vehicle_images alter owner drop not null")
    before = of_the_application(plain)
    up(plain)
    down(plain)
    assert of_the_application(plain) == before


def test_a_migration_with_a_million_pictures_takes_no_long_lock(plain: Database) -> None:
    """Indexes on the application's tables are built beside its reads and writes."""
    out = migrate.upgrade_sql([find("vehicle_images")], {}).lower()
    created = [line for line in out.splitlines() if "create" in line and " index " in line]
    ours = [line for line in created if "vehicle" in line and "backfill." not in line]
    assert len(ours) == 3
    assert all("concurrently" in line for line in ours)


@pytest.mark.parametrize("there_before", ["", IMAGES], ids=["plain", "with pictures"])
def test_sql_through_psql_equals_online(
    plain: Database, new_database: NewDatabase, there_before: str
) -> None:
    """What `--sql` prints, run by psql, installs and uninstalls the same as migrating does."""
    psql = shutil.which("psql") or next(
        (str(b.bindir / "psql") for b in find_binaries() if (b.bindir / "psql").exists()), None
    )
    if psql is None:
        pytest.skip("found no psql to run the script with")
    reviewed = new_database()
    execute(reviewed, TABLES)
    for database in (plain, reviewed):
        execute(database, there_before or "select")
    before = of_the_application(reviewed)
    up(plain)
    done = subprocess.run(
        [psql, reviewed.url, "-X", "-q", "-v", "ON_ERROR_STOP=1"],
        input=migrate.upgrade_sql([find("vehicle_images")], {}),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert catalog(reviewed.url) == catalog(plain.url)
    down(reviewed)
    assert of_the_application(reviewed) == before


def test_every_object_has_a_comment(shared_vehicles: str) -> None:
    """Tables, views, columns and functions of the task say what they are."""
    with psycopg.connect(shared_vehicles) as connection:
        silent: list[Any] = connection.execute(
            "select c.relname || coalesce('.' || a.attname, '')"
            "  from pg_class c left join pg_attribute a"
            "       on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped"
            " where c.relkind in ('r', 'v') and c.relname like '%vehicle%'"
            "   and c.relname not in ('vehicles', 'organization_vehicles')"
            "   and (obj_description(c.oid, 'pg_class') is null"
            "        or col_description(c.oid, a.attnum) is null)"
            " union all select p.proname from pg_proc p"
            " where p.pronamespace = 'backfill'::regnamespace and p.proname like '%vehicle%'"
            "   and obj_description(p.oid, 'pg_proc') is null"
        ).fetchall()
    assert silent == []
