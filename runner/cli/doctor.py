"""`backfill doctor`: looks for what is wrong, and says what to do about it.

What the database can tell by itself is asked by the scripts in `sql/doctor`, which a DBA can run
with psql as they are; the rest, about this program and its connection, is here.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click

from runner.cli.common import application_name, conninfo, count, json_option, script
from runner.cli.output import STYLES, emit_json, human
from runner.errors import BackfillError, ExitCode

if TYPE_CHECKING:
    from runner.database.session import Connection

SKEW_S = 5.0
"""Difference of clocks worth a word. The database's clock decides everything; ours stamps logs."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; `level` is ok, warn or fail."""

    level: str
    what: str
    advice: str | None = None


@click.command()
@json_option
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> int:
    """Look for what is wrong, and say what to do.

    The exit code is 1 where a line says fail, 0 where there are only warnings.
    """
    from runner.database.session import connect

    with connect(conninfo(ctx), name=application_name(ctx)) as connection:
        found = list(_examine(ctx, connection))
    if as_json:
        emit_json([asdict(finding) for finding in found])
    else:
        for finding in found:
            _show(finding)
    failed = sum(finding.level == "fail" for finding in found)
    if failed:
        raise BackfillError(
            f"{count(failed, 'check')} failed; the lines that say fail tell what to do"
        )
    return ExitCode.DONE


def _show(finding: Finding) -> None:
    level = click.style(f"{finding.level:<4}", fg=STYLES.get(finding.level))
    click.echo(f"{level}  {human(finding.what)}")
    if finding.advice:
        click.echo(f"      -> {human(finding.advice)}")


def _examine(ctx: click.Context, connection: Connection) -> Iterator[Finding]:
    yield from _ask(connection, "10_server")
    yield _connection(connection)
    yield _clock(connection)
    yield from _code()
    installed = connection.execute("select to_regclass('backfill.task') as task").fetchone()
    if installed is None or installed["task"] is None:
        yield Finding(
            "fail", "pgbackfill is not installed in this database", "run: backfill migrate"
        )
        return
    yield from _revisions(conninfo(ctx))
    yield from _versions(connection)
    for name in (
        "20_tasks",
        "30_rights",
        "40_work",
        "50_service",
        "55_access",
        "60_results",
        "70_storage",
    ):
        yield from _ask(connection, name)


def _ask(connection: Connection, name: str) -> Iterator[Finding]:
    """What the script `sql/doctor/<name>.sql` finds; one that fails is a finding itself."""
    import psycopg

    from runner.database.failures import explain, is_connection_lost
    from runner.database.files import sql_folder

    _, query = script(sql_folder() / "doctor" / f"{name}.sql")
    try:
        rows = connection.execute(query).fetchall()
    except psycopg.Error as error:
        if is_connection_lost(error):
            raise
        yield Finding("fail", f"the check {name} could not be made: {explain(error)}")
        return
    for row in rows:
        yield Finding(**row)


def _connection(connection: Connection) -> Finding:
    from runner.database.conninfo import describe
    from runner.database.session import is_direct

    target = describe(connection.info.dsn)
    if is_direct(connection):
        return Finding(
            "ok", f"{target}: a direct connection; a process that dies is noticed in seconds"
        )
    return Finding(
        "warn",
        f"{target}: through a pooler; a process that dies is noticed when its lease is over",
        "for quicker rescue give runners a direct connection; everything works either way",
    )


def _clock(connection: Connection) -> Finding:
    before = time.time()
    row = connection.execute("select extract(epoch from clock_timestamp()) as now").fetchone()
    after = time.time()
    skew = float(row["now"]) - (before + after) / 2 if row else 0.0
    if abs(skew) <= SKEW_S + (after - before):
        return Finding("ok", "the clock here agrees with the database's")
    return Finding(
        "warn",
        f"the clock here is {abs(skew):.0f} s {'behind' if skew > 0 else 'ahead of'} the server's",
        "jobs go by the database's clock alone; set this one right to make sense of logs",
    )


def _code() -> Iterator[Finding]:
    from runner.registry import broken

    for why in broken().values():
        yield Finding("fail", why)


def _revisions(target: str) -> Iterator[Finding]:
    from runner.database import migrate as migrations
    from runner.registry import all_tasks

    known = all_tasks()
    there = migrations.installed(target)
    tasks = [task for name, task in known.items() if name in there and task.migrations]
    now = migrations.by_branch(
        migrations.current(target, list(known.values())), list(known.values())
    )
    for name, newest in migrations.by_branch(migrations.heads(tasks), tasks).items():
        if now.get(name) == newest:
            yield Finding("ok", f"{name}: at its newest revision, {newest}")
        elif name in now:
            yield Finding(
                "fail", f"{name}: at revision {now[name]}, not {newest}", "run: backfill migrate"
            )
        else:
            yield Finding("fail", f"{name}: installed half-way", f"run: backfill migrate {name}")
    for name in sorted(set(there) - set(known)):
        yield Finding(
            "warn",
            f"{name}: installed, but its code is not here",
            "processes started here can't run it; install its package or name it in BACKFILL_TASKS",
        )


def _versions(connection: Connection) -> Iterator[Finding]:
    from runner.registry import all_tasks

    known = all_tasks()
    rows: list[dict[str, Any]] = connection.execute(
        "select name, version from backfill.task order by name"
    ).fetchall()
    for row in rows:
        task = known.get(row["name"])
        if task is None or task.version == row["version"]:
            continue
        if task.version > row["version"]:
            advice = "run: backfill migrate"
        else:
            advice = "install the package's newer version here"
        yield Finding(
            "fail",
            f"{task.name}: version {row['version']} in the database, {task.version} here; "
            "processes started here get no jobs",
            advice,
        )
