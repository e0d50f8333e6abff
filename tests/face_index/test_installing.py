"""Installing face_index beside what an application has, and taking it out again."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from runner.database import migrate, scripts
from runner.embedded import find_binaries
from runner.errors import BackfillError, UsageError
from runner.registry import find
from tests.cli.catalog import catalog
from tests.face_index.application import ANN, TABLES, Application
from tests.face_index.conftest import Album
from tests.face_index.installing import (
    ODD,
    ODD_NAMES,
    OWN,
    OWN_NAMES,
    down,
    execute,
    of_the_application,
    up,
)  # fmt: skip
from tests.plugins.database import Database, DatabaseTemplate, NewDatabase


def steps(application: Application, key: str, person: str | None = None) -> None:
    """Do a picture with one face; the person is whom it is to be linked to."""
    face = {"face_id": f"face of {key}", "image_id": "i", "confidence": 0.99987,
            "box": {"Left": 0.1, "Top": 0.1, "Width": 0.2, "Height": 0.2}}  # fmt: skip
    row = application.needs(key)
    assert row is not None
    collection = row["collection"] or f"savta-user-{row['user_id']}"
    found: dict[str, Any] = {"collection": collection, "arn": "arn:x", "engine": "rekognition",
             "engine_version": "7.0", "left_out": [], "to_delete": [], "done": False}  # fmt: skip
    application.apply(key, {**found, "faces": [face]})
    row = application.needs(key)
    assert row is not None
    (known,) = row["faces"]
    decision = {"face": known["face"], "decision": "assign" if person else "unknown",
                "reason": "96.0 % like this person", "person": person,
                "similarity": 96.0 if person else None}  # fmt: skip
    application.apply(
        key,
        {"matches": [], "searched": [known["face"]], "deleted": [], "decisions": [decision]},
    )
    assert application.needs(key) is None
    assert application.one("select bool_and(searched) from backfill.face_state")


def with_engine(url: str) -> None:
    """The engine, which most of these tests are not about."""
    migrate.upgrade(url, [], {})


@pytest.fixture
def empty(database_template: DatabaseTemplate, new_database: NewDatabase) -> Database:
    """A database with the engine and nothing else."""
    return new_database(template=database_template("engine", with_engine))


@pytest.fixture
def plain(empty: Database) -> Database:
    """An application that has pictures and no tables of faces."""
    execute(empty, TABLES)
    return empty


@pytest.fixture
def own(empty: Database) -> Database:
    """An application with tables of its own, and a picture whose face it found and linked."""
    database = empty
    execute(database, OWN)
    execute(database, "insert into profiles values (%s)", ANN)
    execute(database, "insert into face_collections (user_id, aws_collection_id)"
            " values (%s, 'their-collection')", ANN)  # fmt: skip
    execute(
        database,
        "with a as (insert into assets (user_id, storage_url, mime_type, approved)"
        "           values (%s, 'theirs.jpg', 'image/jpeg', true) returning id, user_id),"
        " f as (insert into faces (user_id, asset_id, rekognition_face_id, bounding_box,"
        "                          confidence)"
        "       select user_id, id, 'theirs', '{}', 1 from a returning id, user_id),"
        " p as (insert into person_groups (user_id, name) select user_id, 'Ada' from f"
        "       returning id)"
        " insert into face_person_links (face_id, person_group_id, confidence)"
        " select f.id, p.id, 1 from f, p",
        ANN,
    )
    return database


def test_tables_of_the_application_are_used_as_they_are(own: Database) -> None:
    """Its collection goes on, its faces need nothing, and rows are written by all of its rules."""
    before = of_the_application(own)
    up(own, OWN_NAMES)
    application = Application(own.url)
    assert application.all("select * from backfill.needs_face_index") == []
    asset = application.add("new.jpg", mime_type="image/png", approved=True, deleted=None)
    row = application.needs(asset)
    assert row is not None
    assert (row["collection"], row["collection_engine"]) == ("their-collection", "rekognition")
    person = application.one("select id::text from person_groups")
    steps(application, asset, person)
    assert application.shown(asset) == ["Ada"]
    assert application.checks() == []
    face = application.one("select to_jsonb(f) from faces f where asset_id::text = %s", asset)
    assert face["confidence"] == 0.9999
    assert face["updated_at"] is not None
    collection = application.one("select to_jsonb(c) from face_collections c")
    assert (collection["rekognition_arn"], collection["engine_version"]) == ("arn:x", "7.0")
    application.close()
    down(own)
    assert of_the_application(own) == before
    with psycopg.connect(own.url) as connection:
        kept = connection.execute(
            "select (select count(*) from faces), (select count(*) from face_person_links)"
        ).fetchone()
    assert kept == (2, 2)
    up(own, OWN_NAMES)
    application = Application(own.url)
    assert application.needs(asset) is None
    application.close()


def test_odd_names(empty: Database) -> None:
    """Quotes, braces and percent signs work, and so do numbers and texts as keys."""
    odd = empty
    execute(odd, ODD)
    before = of_the_application(odd)
    up(odd, ODD_NAMES)
    execute(odd, """insert into "My App"."pic%tu""res" values
            (5, 'me', 'a.jpg', 'image/png', true, null),
            (6, 'me', 'b.jpg', 'image/gif', null, null),
            (7, 'me', 'c.jpg', 'image/gif', true, true)""")  # fmt: skip
    application = Application(odd.url)
    assert [r["key"] for r in application.all("select key from backfill.needs_face_index")] == ["5"]
    steps(application, "5")
    assert application.checks() == []
    review = application.one("select to_jsonb(r) from backfill.faces_to_review r")
    assert (review["asset"], review["user_id"], review["url"]) == (5, "me", "a.jpg")
    application.close()
    down(odd)
    assert of_the_application(odd) == before


def test_down_takes_what_was_added_and_nothing_else(plain: Database) -> None:
    """Tables that we made go, with nothing of ours left behind; up again works."""
    before = of_the_application(plain)
    for _ in range(2):
        up(plain)
        assert of_the_application(plain) != before
        down(plain)
        assert of_the_application(plain) == before
    with psycopg.connect(plain.url) as connection:
        left = connection.execute(
            "select proname::text from pg_proc where pronamespace = 'backfill'::regnamespace"
            " and proname like '%face%' union all"
            " select relname::text from pg_class where relnamespace = 'backfill'::regnamespace"
            " and relname like '%face%'"
        ).fetchall()
    assert left == []


def test_optional_names_may_be_empty(plain: Database) -> None:
    """Without columns for the kind, approval and deletion, every picture counts."""
    execute(plain, "alter table assets drop mime_type, drop approved, drop deleted")
    with pytest.raises(UsageError, match="no column mime_type"):
        up(plain)
    up(plain, {"mime_type": "", "approved": "", "deleted": ""})
    execute(plain, "insert into assets (user_id, storage_url) values (%s, 'x')", ANN)
    with psycopg.connect(plain.url) as connection:
        found = connection.execute("select count(*) from backfill.needs_face_index").fetchone()
    assert found == (1,)


def test_a_picture_of_nobody_needs_nothing(plain: Database) -> None:
    """Without a user there is no collection to look in, so nothing is paid for."""
    execute(plain, "alter table assets alter user_id drop not null")
    up(plain)
    execute(plain, "insert into assets (storage_url) values ('x.jpg')")
    with psycopg.connect(plain.url) as connection:
        found = connection.execute("select count(*) from backfill.needs_face_index").fetchone()
    assert found == (0,)


def test_tables_with_rows_get_the_columns_that_they_lack(plain: Database) -> None:
    """Rows that are there have no value for what is added, and two of those are no duplicates."""
    execute(
        plain,
        "create table faces (id uuid primary key default gen_random_uuid(), user_id uuid,"
        " asset_id uuid); create table person_groups (id uuid primary key, user_id uuid);"
        " create table face_collections (user_id uuid);"
        " insert into faces (user_id) select gen_random_uuid() from generate_series(1, 2);"
        " insert into faces (user_id) select user_id from faces;"
        " insert into face_collections select distinct user_id from faces;"
        " insert into person_groups values (gen_random_uuid())",
    )
    before = of_the_application(plain)
    up(plain)
    down(plain)
    assert of_the_application(plain) == before


def test_numbers_of_another_kind_keep_their_column(plain: Database) -> None:
    """Where the application describes faces itself, ours go into a column that is named."""
    execute(
        plain,
        "create table faces (id uuid primary key default gen_random_uuid(), user_id uuid,"
        " asset_id uuid, embedding text)",
    )
    before = of_the_application(plain)
    up(plain, {"embedding": "likeness"})
    down(plain)
    assert of_the_application(plain) == before


COLLECTIONS = "create table face_collections (user_id uuid, aws_collection_id text);"
FACES = """create table faces (id uuid primary key default gen_random_uuid(), user_id uuid,
    asset_id uuid, rekognition_face_id text);"""
LINKS = """create table person_groups (id uuid primary key, user_id uuid);
    create table face_person_links (face_id uuid, person_group_id uuid);"""
TWICE = "generate_series(1, 2) n"

REFUSED = {
    "alter table assets drop column storage_url": "no column storage_url",
    "drop table assets": "no table public.assets",
    "create table faces (id uuid primary key, user_id uuid, asset_id uuid)":
        "id may not be null and may be left without a value",
    f"{COLLECTIONS} insert into face_collections select '{ANN}', n from {TWICE}":
        "1 users have several collections in public.face_collections",
    f"{COLLECTIONS} insert into face_collections select gen_random_uuid(), 'c' from {TWICE}":
        "1 collections are those of several users",
    f"{FACES} insert into faces (user_id, rekognition_face_id) select '{ANN}', 'f' from {TWICE}":
        "1 faces are in public.faces twice",
    f"{FACES} {LINKS} insert into face_person_links select '{ANN}', '{ANN}' from {TWICE}":
        "1 pairs of a face and a person are in public.face_person_links twice",
    f"{COLLECTIONS} create index face_collections_user_key on face_collections (user_id)":
        "is there and is not unique",
}  # fmt: skip


@pytest.mark.parametrize("change, said", REFUSED.items(), ids=range(len(REFUSED)))
def test_what_can_not_work_is_refused_at_once(plain: Database, change: str, said: str) -> None:
    """An installation that would fail every row is refused, in words that name what is wrong."""
    execute(plain, change)
    with pytest.raises(BackfillError) as caught:
        up(plain)
    assert said in str(caught.value).replace('"', "")


def test_an_installation_that_was_refused_can_be_repeated(plain: Database) -> None:
    """After the cause was mended the same command goes through, and down leaves nothing."""
    execute(plain, "create table faces (id uuid primary key, user_id uuid, asset_id uuid)")
    with pytest.raises(BackfillError):
        up(plain)
    execute(plain, "alter table faces alter id set default gen_random_uuid()")
    before = of_the_application(plain)
    up(plain)
    down(plain)
    assert of_the_application(plain) == before


def _killed_at(name: str) -> Callable[..., None]:
    true = scripts.run_script

    def run(path: str, *arguments: Any, **options: Any) -> None:
        if name in path:
            raise KeyboardInterrupt
        true(path, *arguments, **options)

    return run


def test_an_interrupted_installation_goes_on(
    plain: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index whose build failed half-way is built anew, and all of it is taken out again."""
    before = of_the_application(plain)
    up(plain)
    whole = of_the_application(plain)
    down(plain)
    with monkeypatch.context() as patch:
        patch.setattr(scripts, "run_script", _killed_at("20_faces"))
        with pytest.raises(KeyboardInterrupt):
            up(plain)
    execute(
        plain,
        "update pg_index set indisvalid = false"
        " where indexrelid = 'public.faces_user_face_key'::regclass",
    )
    up(plain)
    assert of_the_application(plain) == whole
    down(plain)
    assert of_the_application(plain) == before


def test_indexes_are_built_beside_reads_and_writes() -> None:
    """No index on an application's table is built under a lock that keeps writers out."""
    out = migrate.upgrade_sql([find("face_index")], {}).lower()
    created = [line for line in out.splitlines() if "create" in line and " index " in line]
    ours = [line for line in created if "face" in line and "on backfill." not in line]
    assert len(ours) == 6
    assert all("concurrently" in line for line in ours)


@pytest.mark.parametrize("numbers", [False, True], ids=["plain", "with tables"])
def test_sql_through_psql_equals_online(new_database: NewDatabase, numbers: bool) -> None:
    """What `--sql` prints, run by psql, installs and uninstalls the same as migrating does."""
    psql = shutil.which("psql") or next(
        (str(b.bindir / "psql") for b in find_binaries() if (b.bindir / "psql").exists()), None
    )
    if psql is None:
        pytest.skip("found no psql to run the script with")
    online, reviewed = new_database(), new_database()
    for database in (online, reviewed):
        execute(database, OWN if numbers else TABLES)
    before = of_the_application(reviewed)
    names = {**OWN_NAMES, "faces_type": "bigint", "people_type": "bigint"} if numbers else {}
    up(online, names)
    done = subprocess.run(
        [psql, reviewed.url, "-X", "-q", "-v", "ON_ERROR_STOP=1"],
        input=migrate.upgrade_sql([find("face_index")], names),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert catalog(reviewed.url) == catalog(online.url)
    down(reviewed)
    assert of_the_application(reviewed) == before


@pytest.fixture
def as_owner(new_database: NewDatabase, server_url: str) -> Iterator[tuple[Database, str]]:
    """An application's database, and its URL for a role that owns it and is no superuser."""
    database = new_database()
    role = sql.Identifier(f"owner_of_{database.name}")
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("create role {} login").format(role))
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("grant create, connect on database {} to {}").format(
                sql.Identifier(database.name), role
            )
        )
        connection.execute(sql.SQL("grant create, usage on schema public to {}").format(role))
        connection.execute(sql.SQL("set role {}").format(role))
        connection.execute(OWN.encode())
    yield database, psycopg.conninfo.make_conninfo(database.url, user=f"owner_of_{database.name}")
    database.close()
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute(sql.SQL("drop owned by {} cascade").format(role))
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("drop role {}").format(role))


def test_policies_that_hide_rows_from_us_are_told_of(as_owner: tuple[Database, str]) -> None:
    """The tables' owner needs to be no superuser; where policies hold for him too, he is told."""
    database, url = as_owner
    execute(database, "alter table faces force row level security")
    with pytest.raises(BackfillError, match="row-level security holds for"):
        migrate.upgrade(url, [find("face_index")], OWN_NAMES)
    execute(database, "alter table faces no force row level security")
    migrate.upgrade(url, [find("face_index")], OWN_NAMES)
    with psycopg.connect(url) as connection:
        found = connection.execute("select count(*) from backfill.needs_face_index").fetchone()
    assert found == (0,)


def test_every_object_has_a_comment(application: Application, album: Album) -> None:
    """Tables, views, columns and functions of the task say what they are."""
    silent = application.all(
        "select c.relname || coalesce('.' || a.attname, '') as name"
        "  from pg_class c left join pg_attribute a"
        "       on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped"
        " where c.relkind in ('r', 'v') and c.relnamespace = 'backfill'::regnamespace"
        "   and (obj_description(c.oid, 'pg_class') is null"
        "        or col_description(c.oid, a.attnum) is null) and c.relname ~ 'face'"
        " union all select p.proname from pg_proc p"
        " where p.pronamespace = 'backfill'::regnamespace and p.proname ~ 'face'"
        "   and obj_description(p.oid, 'pg_proc') is null"
    )
    assert silent == []
