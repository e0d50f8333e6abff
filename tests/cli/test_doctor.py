"""What `backfill doctor` finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

from runner.errors import ExitCode
from tests.cli.conftest import Backfill, Work
from tests.plugins.database import Database


@pytest.fixture
def on(backfill: Backfill, installed: Database) -> Backfill:
    """The command line on the database that has quality_score installed."""
    return backfill.use(installed)


def findings(on: Backfill, level: str) -> list[str]:
    """What doctor says at this level."""
    return [line["what"] for line in on("doctor", "--json").json if line["level"] == level]


def test_healthy_database_has_no_complaint(on: Backfill, work: Work) -> None:
    """After a plain run every line says ok."""
    work.run(ok=5, failed=1)
    ended = on("doctor")
    assert (ended.code, ended.err) == (ExitCode.DONE, "")
    assert {line.split()[0] for line in ended.out.splitlines()} == {"ok"}
    assert "the view lets go of rows that are done (5 looked at)" in ended.out


def test_nothing_installed(backfill: Backfill, database: Database) -> None:
    """An empty database fails the check with what to run."""
    ended = backfill.use(database)("doctor")
    assert ended.code == ExitCode.ERROR
    assert "-> run: backfill migrate" in ended.out


@pytest.mark.parametrize(
    "damage, level, what",
    [
        (
            "drop function backfill.apply_quality_score",
            "fail",
            "the function backfill.apply_quality_score(jsonb) is missing",
        ),
        (
            "alter view backfill.needs_quality_score rename column native_key to k",
            "fail",
            "the view backfill.needs_quality_score has no column native_key",
        ),
        (
            "alter view backfill.needs_quality_score rename to something_else",
            "fail",
            "the view backfill.needs_quality_score is missing",
        ),
        (
            "update backfill.task set version = 2",
            "fail",
            "version 2 in the database, 1 here; processes started here get no jobs",
        ),
        (
            "select backfill.register_task('orphan', 1, 'No code.')",
            "warn",
            "orphan: installed, but its code is not here",
        ),
        (
            "select backfill.pause('quality_score', 'import at night')",
            "warn",
            "paused by postgres since",
        ),
        (
            (
                "update pg_index set indisvalid = false"
                " where indexrelid = 'idx_images_quality_score'::regclass"
            ),
            "fail",
            "index idx_images_quality_score of images is invalid",
        ),
    ],
)
def test_damage_is_found(on: Backfill, work: Work, damage: str, level: str, what: str) -> None:
    """What is missing, out of step or paused is told."""
    work.connection.execute(damage.encode())
    assert [found for found in findings(on, level) if what in found]


def test_row_that_is_done_but_needed_is_found(on: Backfill, work: Work) -> None:
    """An apply function that doesn't make the view let go of a row would have it done for ever."""
    work.connection.execute(
        "create or replace function backfill.apply_quality_score(results jsonb)"
        " returns void language sql as 'select'"
    )
    work.run(ok=3)
    (found,) = findings(on, "fail")
    assert "3 rows finished ok and still in the view backfill.needs_quality_score" in found


def test_changed_row_is_no_complaint(on: Backfill, work: Work) -> None:
    """A row whose input changed since it was done rightly stands in the view again."""
    work.run(ok=3)
    work.connection.execute("update public.images set url = url || '?v=2'")
    assert findings(on, "fail") == []


def test_silent_process_and_left_run_are_found(on: Backfill, work: Work) -> None:
    """A process that fell silent, and a run that nobody works for, are told with a way out."""
    work.images(2)
    _, runner = work.start()
    work.claim(runner, 1)
    work.connection.execute(
        "update backfill.runner set heartbeat_at = heartbeat_at - interval '1 hour'"
    )
    left = work.one("select backfill.start('quality_score', p_source => 'cli')")
    work.connection.execute(
        "update backfill.run set started_at = started_at - interval '1 hour' where id = %s", [left]
    )
    warned = "\n".join(findings(on, "warn"))
    assert "process 4711 on a-host is silent for longer than its lease" in warned
    assert f"run {left} has no process" in warned


def test_role_that_may_only_look(
    backfill: Backfill, installed: Database, work: Work, server_url: str
) -> None:
    """A role without rights is told what it may not do, and nothing breaks."""
    role = f"{installed.name}_reader"
    url = installed.url.replace("postgres@", f"{role}@", 1)
    if url == installed.url:
        pytest.skip("the test server's URL has another superuser than postgres")
    work.connection.execute(f"create role {role} login".encode())
    work.connection.execute(
        f"grant usage on schema backfill to {role};"
        f"grant select on backfill.task, backfill.alembic_version to {role}".encode()
    )
    try:
        with psycopg.connect(url) as connection:
            connection.execute("select from backfill.task")
        ended = backfill("--database-url", url, "doctor")
        assert "Traceback" not in ended.err
        assert f"role {role} may not read" in ended.out
    finally:
        work.connection.execute(f"drop owned by {role}; drop role {role}".encode())


def test_code_that_cannot_be_loaded(
    on: Backfill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task whose module fails at import is one of the findings."""
    (tmp_path / "fails_for_doctor.py").write_text("import nothing_of_this_name")
    monkeypatch.setenv("BACKFILL_TASKS", "fails_for_doctor:x")
    (found,) = findings(on, "fail")
    assert "fails_for_doctor:x" in found


def test_old_transaction_is_found(
    on: Backfill, installed: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A transaction that holds vacuum back is named with its process id."""
    from runner.database.files import sql_folder

    holder = installed.connect()
    holder.execute("set transaction isolation level repeatable read")
    holder.execute("select 1")
    query = (sql_folder() / "doctor" / "70_storage.sql").read_text()
    assert "interval '10 minutes'" in query
    rows: list[Any] = installed.connect().execute(
        query.replace("interval '10 minutes'", "interval '0'").encode()
    ).fetchall()  # fmt: skip
    pid = holder.info.backend_pid
    assert [what for level, what, _ in rows if level == "warn" and f"pid {pid}" in what]
