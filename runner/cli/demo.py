"""`backfill demo`: the whole path on sample pictures, with a database of its own."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import click

from runner.cli import demo_faces
from runner.cli.common import settings
from runner.cli.demo_running import connect, install, run
from runner.cli.output import heading
from runner.errors import BackfillError, ExitCode

if TYPE_CHECKING:
    from rich.console import RenderableType

    from runner.demo.application import Counts

TASK = "quality_score"
DATABASE = "backfill_demo"

PROGRESS = "select task, total, done, ok, failed, percent, wait_reason from backfill.progress"
CAUSES = (
    "select error_class, rows, example_message from backfill.failure_causes"
    " where task = 'quality_score' order by rows desc"
)
BANDS = "select * from backfill.quality_score_bands"
BUCKETS = (
    "select least(quality_score / 10 * 10, 90) as from_score, count(*) as images"
    " from images where quality_score is not null group by 1 order by 1 desc"
)


@click.command()
@click.option(
    "--rows", type=click.IntRange(1, 1_000_000), default=400, show_default=True,
    help="Image rows in the sample table; more repeat the same pictures.",
)  # fmt: skip
@click.option(
    "--workers", type=click.IntRange(1, 64), default=4, show_default=True,
    help="Runner processes.",
)  # fmt: skip
@click.pass_context
def demo(ctx: click.Context, rows: int, workers: int) -> int:
    """See it work on sample pictures, with a database of its own.

    Starts an embedded PostgreSQL, creates a sample table of images (some of them broken on
    purpose), serves the pictures on loopback, installs quality_score and runs it with several
    processes at once. At its end face_index is ready to be tried on two small albums. A second
    call goes on with what is there.
    """
    from runner.demo import application, process

    url = _database(settings(ctx).database_url)
    with connect(url) as connection:
        port = application.last_port(connection)
    with process.start(port) as host:
        with connect(url) as connection:
            counts = application.load(connection, host.base_url, rows)
        click.echo(
            f"sample table public.images: {counts.total:,} rows, {counts.broken} of them "
            f"broken on purpose; pictures served at {host.base_url}"
        )
        install(url, TASK, {"boxes": "boxes"})
        options = ["--workers", str(workers), "--delay", "0", "--base-url", host.base_url]
        code = run(url, TASK, *options)
    if code not in (ExitCode.DONE, ExitCode.FAILED_ITEMS):
        return code
    failed = _report(url)
    faces = demo_faces.prepare(url)
    _next_steps(url, [shlex.join([_command(), *step]) for step in faces])
    return _judge(failed, counts)


def _database(given: str | None) -> str:
    """The database to use: the one asked for, or the demo's own on the embedded server."""
    if given is not None:
        return given
    import psycopg
    from psycopg import sql

    from runner.embedded import EmbeddedServer, default_data_dir

    server = EmbeddedServer(default_data_dir(), detached=True)
    if not server.running:
        click.echo("starting an embedded PostgreSQL")
        server.start()
    with psycopg.connect(server.url(), autocommit=True) as connection:
        version = connection.info.parameter_status("server_version")
        known = connection.execute("select from pg_database where datname = %s", [DATABASE])
        if known.fetchone() is None:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(DATABASE)))
    click.echo(f"PostgreSQL {version} is running (stop it with: {_command()} embedded stop)")
    return server.url(DATABASE)


def _report(url: str) -> int:
    """Print what psql would show; how many rows failed."""
    from psycopg.rows import dict_row

    from runner.demo.report import buckets, histogram, table

    with connect(url) as connection, connection.cursor(row_factory=dict_row) as cursor:
        found = {
            query: list(cursor.execute(query).fetchall())
            for query in (PROGRESS, CAUSES, BANDS, BUCKETS)
        }
    for query in (PROGRESS, CAUSES, BANDS):
        _show(query, table(found[query]))
    scores = {row["from_score"]: row["images"] for row in found[BUCKETS]}
    _show(BUCKETS, histogram(buckets(scores)))
    return sum(row["rows"] for row in found[CAUSES])


def _show(query: str, result: RenderableType) -> None:
    from rich.console import Console

    click.echo("")
    heading(f"=> {query};")
    sys.stdout.flush()
    Console().print(result)


def _next_steps(url: str, faces: Sequence[str]) -> None:
    command = _command()
    click.echo("\nnext, try:")
    click.echo(f'  export DATABASE_URL="{_without_password(url)}"')
    for line in faces:
        click.echo(f"  {line}")
    if shutil.which("psql"):
        click.echo('  psql "$DATABASE_URL" -c "select * from backfill.failures"')
    for line in (
        f"{command} status",
        f"{command} failures {TASK}",
        f"{command} verify {TASK}",
        f"{command} demo --rows 4000   (more rows; pause it meanwhile: {command} pause {TASK})",
        f"{command} run --help",
        f"{command} token create me --role admin   (then the console, in a browser:)",
        f"{command} worker & {command} serve",
    ):
        click.echo(f"  {line}")


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    if parts.password is None:
        return url
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username}@{host}"))


def _command() -> str:
    """How this program can be called from here."""
    if shutil.which("backfill"):
        return "backfill"
    here = Path(sys.argv[0])
    try:
        return str(here.resolve().relative_to(Path.cwd().resolve()))
    except ValueError:
        return str(here)


def _judge(failed: int, counts: Counts) -> int:
    if failed == counts.broken:
        return ExitCode.DONE
    raise BackfillError(
        f"{counts.broken} rows are broken on purpose, but {failed} failed; "
        f"look at: {_command()} failures {TASK}"
    )
