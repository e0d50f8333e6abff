"""What `backfill migrate` promises about somebody else's database."""

from __future__ import annotations

import shutil
import subprocess

import psycopg
import pytest

from runner.embedded import find_binaries
from runner.errors import ExitCode
from tests.cli.catalog import catalog
from tests.cli.conftest import Backfill, Work, create_application
from tests.plugins.database import Database, NewDatabase

SEED = """
alter table public.images add column quality_score integer;
alter table public.images add constraint seed_check
  check (quality_score is null or (quality_score >= 0 and quality_score <= 100));
create index idx_images_quality_score on public.images (quality_score desc)
  where quality_score is not null;
comment on column public.images.quality_score is 'The application''s own.';
"""
PHOTOS = """
create schema "My Shop";
create table "My Shop"."Photos" (
    photo_id bigint primary key, link text not null, w integer, h integer, kind text);
insert into "My Shop"."Photos" values (7, 'https://pictures.test/7.jpg', 10, 10, 'url');
"""


@pytest.fixture
def on(backfill: Backfill, application: Database) -> Backfill:
    """The command line on a database with the sample application alone."""
    return backfill.use(application)


def execute(database: Database, script: str) -> None:
    """Run a script in one transaction."""
    with psycopg.connect(database.url) as connection:
        connection.execute(script.encode())


def test_migrate_installs_the_engine_and_lists_the_tasks(
    backfill: Backfill, database: Database
) -> None:
    """Without a task the engine alone is installed, and what else there is is listed."""
    ended = backfill.use(database)("migrate")
    assert ended.code == ExitCode.DONE
    assert ended.out.splitlines()[1].split() == ["engine", "-", "engine_0010", "installed"]
    assert "backfill migrate quality_score" in ended.err


def test_migrate_again_changes_nothing(on: Backfill, application: Database) -> None:
    """A second migrate says that everything is as it was, and it is."""
    assert on("migrate", "quality_score").code == ExitCode.DONE
    before = catalog(application.url)
    ended = on("migrate")
    assert ended.code == ExitCode.DONE
    assert ended.out.count("as it was") == 2
    assert catalog(application.url) == before


def test_check_tells_whether_to_migrate(on: Backfill) -> None:
    """`--check` is 1 until everything is at its newest revision, then 0."""
    ended = on("migrate", "--check")
    assert ended.code == ExitCode.ERROR
    assert "run: backfill migrate" in ended.err
    assert on("migrate").code == ExitCode.DONE
    assert on("migrate", "--check").code == ExitCode.DONE
    assert on("migrate", "--check", "quality_score").code == ExitCode.ERROR
    assert on("migrate", "quality_score").code == ExitCode.DONE
    assert on("migrate", "--check").code == ExitCode.DONE


def test_fresh_equals_down_and_up(
    on: Backfill, application: Database, new_database: NewDatabase
) -> None:
    """A database taken down and up again has the same catalog as a fresh install."""
    on("migrate", "quality_score")
    fresh = catalog(application.url)
    on("migrate", "--down", "quality_score", "--yes")
    on("migrate", "quality_score")
    assert catalog(application.url) == fresh
    on("migrate", "--uninstall", "--yes")
    on("migrate", "quality_score")
    assert catalog(application.url) == fresh


@pytest.mark.parametrize("seed", ["", SEED], ids=["without", "with seed"])
@pytest.mark.parametrize(
    "removal", [("--down", "quality_score"), ("--uninstall",)], ids=["down", "uninstall"]
)
def test_down_leaves_the_application_as_it_was(
    on: Backfill, application: Database, seed: str, removal: tuple[str, ...]
) -> None:
    """Removal takes what the installation added and nothing that was there before."""
    execute(application, seed or "select")
    before = catalog(application.url)
    assert on("migrate", "quality_score").code == ExitCode.DONE
    assert catalog(application.url) != before
    ended = on("migrate", *removal, "--yes")
    assert ended.code == ExitCode.DONE
    after = catalog(application.url)
    if removal == ("--uninstall",):
        assert after == before
    else:
        assert [line for line in after if "backfill" not in line.split(":")[0]] == before


def test_down_says_what_goes_and_asks(on: Backfill, application: Database) -> None:
    """Removal names each thing that it takes, and takes nothing without a yes."""
    execute(application, SEED)
    on("migrate", "quality_score")
    ended = on("migrate", "--down", "quality_score", answer="n\n")
    assert ended.code == ExitCode.CANCELLED
    assert "column quality_details of public.images with its data" in ended.out
    assert "column quality_score of" not in ended.out
    assert on("migrate", "--check").code == ExitCode.DONE
    assert on("migrate", "--down", "quality_score").code == ExitCode.USAGE


def test_down_waits_for_no_live_process(
    backfill: Backfill, installed: Database, work: Work
) -> None:
    """A task that processes work on is not removed under them."""
    work.images(1)
    work.start()
    ended = backfill.use(installed)("migrate", "--down", "quality_score", "--yes")
    assert ended.code == ExitCode.USAGE
    assert "stop the run first: backfill cancel quality_score" in ended.err


def test_down_of_what_is_not_there(on: Backfill) -> None:
    """Removing a task that isn't installed is a clear error; uninstalling nothing is none."""
    assert on("migrate", "--uninstall", "--yes").code == ExitCode.DONE
    on("migrate")
    ended = on("migrate", "--down", "quality_score", "--yes")
    assert ended.code == ExitCode.USAGE
    assert "quality_score is not installed" in ended.err


def test_names_of_the_application(backfill: Backfill, database: Database) -> None:
    """A task binds to tables and columns of any name, with a key of any type."""
    execute(database, PHOTOS)
    before = catalog(database.url)
    ended = backfill.use(database)(
        "migrate", "quality_score", "--set", "table=My Shop.Photos", "--set", "key=photo_id",
        "--set", "url=link", "--set", "width=w", "--set", "height=h", "--set", "source_type=kind",
    )  # fmt: skip
    assert ended.code == ExitCode.DONE
    connection = database.connect(autocommit=True)
    row = connection.execute(
        "select key, native_key, url, source_type from backfill.needs_quality_score"
    ).fetchone()
    assert row == ("7", 7, "https://pictures.test/7.jpg", "url")
    connection.execute(
        "select backfill.apply_quality_score(jsonb_build_array(jsonb_build_object("
        "'key', n.key, 'revision', n.revision,"
        """ 'result', '{"quality_score": 81, "quality_details": {"version": 1}}'::jsonb)))"""
        " from backfill.needs_quality_score n"
    )
    assert connection.execute('select quality_score from "My Shop"."Photos"').fetchone() == (81,)
    assert connection.execute("select from backfill.needs_quality_score").rowcount == 0
    connection.close()
    assert backfill("migrate", "--uninstall", "--yes").code == ExitCode.DONE
    assert catalog(database.url) == before


@pytest.mark.parametrize(
    "setting, message",
    [
        ("tabel=public.images", "known: boxes, height, key, source_type, table, url, width"),
        ("table=public.nowhere", "no table public.nowhere"),
        ("url=nothing", "no column nothing in table public.images"),
        ("key=nothing", "no column nothing in table public.images"),
        ("table", "should look like name=value"),
    ],
)
def test_wrong_name_is_a_clear_error(on: Backfill, setting: str, message: str) -> None:
    """A name that isn't one, or that isn't there, is one line that says so."""
    ended = on("migrate", "quality_score", "--set", setting)
    assert ended.code == ExitCode.USAGE
    assert message in ended.err
    assert ended.err.splitlines()[-1].startswith("backfill: ")


def test_a_wrong_name_changes_nothing(on: Backfill, application: Database) -> None:
    """A column that isn't there is told before the application's table is touched."""
    on("migrate")
    before = catalog(application.url)
    assert on("migrate", "quality_score", "--set", "boxes=nothing").code == ExitCode.USAGE
    assert catalog(application.url) == before


def test_other_names_for_an_installed_task_are_refused(on: Backfill) -> None:
    """Names given for a task that is installed with others are not dropped in silence."""
    on("migrate", "quality_score")
    ended = on("migrate", "quality_score", "--set", "table=public.photos")
    assert ended.code == ExitCode.USAGE
    assert "backfill migrate --down quality_score" in ended.err
    assert on("migrate", "quality_score", "--set", "table=public.images").code == ExitCode.DONE


@pytest.mark.parametrize(
    "arguments",
    [
        ("--set", "key=x"), ("--down",), ("--uninstall", "quality_score"), ("--sql", "--check"),
        ("--down", "quality_score", "--set", "key=x"), ("nothing",),
    ],
)  # fmt: skip
def test_options_that_make_no_sense(backfill: Backfill, arguments: tuple[str, ...]) -> None:
    """Options that can't mean anything together are a usage error, before any connection."""
    assert backfill("migrate", *arguments).code == ExitCode.USAGE


def test_an_alembic_of_the_applications_own_is_undisturbed(
    on: Backfill, application: Database
) -> None:
    """An application's own alembic_version table is neither read nor written."""
    execute(
        application,
        "create table public.alembic_version (version_num varchar(32) primary key);"
        "insert into public.alembic_version values ('theirs_42')",
    )
    before = catalog(application.url)
    on("migrate", "quality_score")
    on("migrate", "--check")
    on("migrate", "--uninstall", "--yes")
    assert catalog(application.url) == before
    theirs = application.connect().execute("select version_num from public.alembic_version")
    assert theirs.fetchall() == [("theirs_42",)]


def test_sql_needs_no_database(backfill: Backfill) -> None:
    """`--sql` prints the statements without any database named."""
    ended = backfill("migrate", "quality_score", "--sql")
    assert ended.code == ExitCode.DONE
    assert "create index concurrently" in ended.out.lower()
    assert "create view backfill.needs_quality_score" in ended.out


@pytest.mark.parametrize("there_before", ["", SEED], ids=["plain", "with the seed's column"])
def test_sql_through_psql_equals_online(
    backfill: Backfill, application: Database, new_database: NewDatabase, there_before: str
) -> None:
    """What `--sql` prints, run by psql, installs and uninstalls the same as migrating does."""
    psql = shutil.which("psql") or next(
        (str(b.bindir / "psql") for b in find_binaries() if (b.bindir / "psql").exists()), None
    )
    if psql is None:
        pytest.skip("found no psql to run the script with")
    reviewed = new_database()
    create_application(reviewed.url)
    for target in (application, reviewed):
        execute(target, there_before)
    before = catalog(reviewed.url)
    backfill.use(application)("migrate", "quality_score", "--set", "boxes=boxes")
    script = backfill("migrate", "quality_score", "--set", "boxes=boxes", "--sql").out
    done = subprocess.run(
        [psql, reviewed.url, "-X", "-q", "-v", "ON_ERROR_STOP=1"],
        input=script,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert catalog(reviewed.url) == catalog(application.url)
    assert backfill.use(reviewed)("migrate", "--check").code == ExitCode.DONE
    assert backfill("migrate", "--uninstall", "--yes").code == ExitCode.DONE
    assert catalog(reviewed.url) == before


def test_uninstall_names_what_is_not_its_own(on: Backfill, application: Database) -> None:
    """Somebody's own objects are never cascaded away; the error names one of them."""
    on("migrate", "quality_score")
    execute(application, "create view public.ours as select * from backfill.progress")
    ended = on("migrate", "--uninstall", "--yes")
    assert ended.code == ExitCode.ERROR
    assert "ours" in ended.err
    assert "cascade" not in ended.err.lower()
    execute(application, "drop view public.ours; create table backfill.notes (x int)")
    ended = on("migrate", "--uninstall", "--yes")
    assert ended.code == ExitCode.ERROR
    assert "notes" in ended.err
    assert application.connect().execute("select from backfill.notes").rowcount == 0


def test_task_of_a_package_that_is_gone(
    on: Backfill, application: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task whose code is no longer here is in no other's way, and is not half removed."""
    on("migrate", "quality_score")
    before = catalog(application.url)
    monkeypatch.setattr("runner.registry.entry_points", lambda **_: [])
    ended = on("migrate")
    assert ended.code == ExitCode.ERROR
    assert "quality_score_0002" in ended.err
    assert "install the task's package" in ended.err
    assert on("migrate", "--uninstall", "--yes").code == ExitCode.USAGE
    assert catalog(application.url) == before


def test_schema_made_by_a_dba_is_enough(
    backfill: Backfill, application: Database, server_url: str
) -> None:
    """A role that may not create schemas installs into one that a DBA made for it."""
    role = f"{application.name}_owner"
    execute(
        application,
        f"create role {role} login; create schema backfill authorization {role};"
        f"alter table public.images owner to {role}; grant create on schema public to {role};",
    )
    try:
        url = application.url.replace("postgres@", f"{role}@", 1)
        if url == application.url:
            pytest.skip("the test server's URL has another superuser than postgres")
        ended = backfill("--database-url", url, "migrate", "quality_score")
        assert (ended.code, ended.err.count("refused")) == (ExitCode.DONE, 0)
    finally:
        execute(application, f"drop owned by {role} cascade; drop role {role}")
