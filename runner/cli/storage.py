"""`backfill storage`: tries out where tasks keep files, and collects what nobody keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from io import BytesIO
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import click

from runner.cli.common import confirm, count, json_option, open_session, yes_option
from runner.cli.durations import Duration
from runner.cli.output import emit_json, note
from runner.cli.storage_report import document, show_found, show_removed, some
from runner.errors import BackfillError, ExitCode, Permanent, Retry, UsageError
from runner.storage import ORPHAN_AGE, open_storage
from runner.units import duration

if TYPE_CHECKING:
    from runner.cli.storage_collect import Found, Removed
    from runner.database.session import Session
    from runner.storage import Storage

MOST_SKEW_S = 300.0
"""Seconds that two clocks may differ by; ages are told in hours."""

LEAST_AGE = timedelta(hours=2)
"""An object's time may be an hour old when a process finds it to be there already and uses it
(`RENEWED_AFTER` of a bucket); the other hour is for that process to commit."""


def _where(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `--storage`, passed as `url`, and `--endpoint-url`."""
    command = click.option(
        "--endpoint-url",
        metavar="URL",
        help="The S3 service where it is not Amazon's; by default AWS_ENDPOINT_URL_S3.",
    )(command)
    return click.option(
        "--storage", "url", metavar="URL", required=True,
        help="A folder, file:///srv/pictures or s3://bucket/prefix.",
    )(command)  # fmt: skip


@click.group()
def storage() -> None:
    """Try out where tasks keep files, and collect what nobody keeps.

    \b
    backfill storage check --storage /srv/pictures
    backfill storage gc --storage s3://bucket/pictures --dry-run
    """


@storage.command()
@_where
@json_option
def check(url: str, endpoint_url: str | None, as_json: bool) -> int:
    """Write, read, list and delete a small object.

    A folder that is missing is made, though not the folder above it.
    """
    with _outcomes_told(), open_storage(url, endpoint_url=endpoint_url) as opened:
        try_out(opened)
        name = opened.name
    if as_json:
        emit_json({"storage": name, "ok": True})
    else:
        click.echo(f"{name}: writing, reading, listing and deleting work")
    return ExitCode.DONE


def try_out(opened: Storage) -> None:
    """Do with a new object all that can be done. Raises `BackfillError`, or what a storage does."""
    data = f"{uuid4()} was written to see whether this storage works.\n".encode()
    digest = sha256(data).hexdigest()
    path = opened.put(BytesIO(data), digest, len(data), "text/plain", ".txt").path
    opened.read(path).close()
    try:
        try:
            listed = any(one.path == path for one in opened.list(path))
        finally:
            opened.delete(path)
    except (Permanent, Retry) as error:
        raise BackfillError(
            f"writing and reading work, listing or deleting (for gc) does not: {error}"
        ) from error
    if not listed:
        raise BackfillError(f"{opened.name}: {path} was written, and then was not listed")


@storage.command("gc")
@_where
@click.option(
    "--older-than",
    type=Duration(),
    default=f"{ORPHAN_AGE / timedelta(hours=1):.0f}h",
    show_default=True,
    help="Leave objects that were stored within this time, at least 2h.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@yes_option
@json_option
@click.pass_context
def collect(
    ctx: click.Context,
    url: str,
    endpoint_url: str | None,
    older_than: float,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Delete orphans: objects that no row of an installed task refers to.

    A process that is killed between storing an object and its commit leaves one behind. Files that
    pgbackfill didn't write are left alone. It may run while runs do.
    """
    if older_than < LEAST_AGE.total_seconds():
        raise UsageError(
            f"--older-than {duration(older_than)} is too short: what is younger than "
            f"{duration(LEAST_AGE)} may belong to a transaction that is still to commit"
        )
    assert ctx.parent is not None  # noqa: S101 - a command of the group above
    with _outcomes_told(), open_session(ctx.parent) as session:
        tasks = [row["name"] for row in session.call("storage_tasks")]
        if not tasks:
            raise UsageError(
                "no installed task keeps objects, so there is nobody to ask what is kept; "
                "nothing was deleted"
            )
        now = session.one("clock")["now"]
        _check_clock(now)
        before = now - timedelta(seconds=older_than)
        # Not to be written to: a folder that isn't mounted must be noticed, and not made.
        with open_storage(url, endpoint_url=endpoint_url, writable=False) as opened:
            found = _scan(opened, session, before)
            if not as_json:
                show_found(opened, tasks, found)
            _beware_of_another_database(opened, found, dry_run=dry_run)
            removed = None
            if not dry_run:
                if found.orphans and not confirm(f"delete {some(found)}?", yes):
                    return ExitCode.CANCELLED
                removed = _remove(opened, session, found, before)
    if as_json:
        emit_json(document(opened, tasks, before, found, removed))
    elif removed is not None:
        show_removed(removed)
    if removed is not None and removed.failures:
        _raise_failures(found, removed)
    return ExitCode.DONE


def _scan(opened: Storage, session: Session, before: datetime) -> Found:
    from runner.cli.storage_collect import scan
    from runner.cli.storage_progress import telling

    with telling() as tell:
        return scan(opened, session, before, tell)


def _remove(opened: Storage, session: Session, found: Found, before: datetime) -> Removed:
    from runner.cli.storage_collect import remove
    from runner.cli.storage_progress import telling

    with telling() as tell:
        return remove(opened, session, found.orphans, before, tell)


def _check_clock(now: datetime) -> None:
    """Raise where the clock here differs from the database's: by one of them ages are wrong."""
    skew = (now - datetime.now(UTC)).total_seconds()
    if abs(skew) > MOST_SKEW_S:
        raise BackfillError(
            f"the clock here is {duration(abs(skew))} {'behind' if skew > 0 else 'ahead of'} the "
            "database's, so how old objects are can't be told; set it right; nothing was deleted"
        )


def _beware_of_another_database(opened: Storage, found: Found, *, dry_run: bool) -> None:
    """Refuse to delete all there is: rather the wrong storage, or the wrong database."""
    if found.kept or not found.orphans:
        return
    doubt = f"this database keeps none of the {count(found.objects, 'object')} of {opened.name}"
    if dry_run:
        note(f"{doubt}: is it the right one?")
        return
    raise UsageError(
        f"{doubt}, so it may be the wrong one; nothing was deleted. "
        "If nobody needs them, empty it by hand"
    )


def _raise_failures(found: Found, removed: Removed) -> None:
    stay = len(found.orphans) - removed.objects - removed.left
    raise BackfillError(
        f"{count(stay, 'orphan')} could not be deleted: {removed.failures[0]}; "
        "the next call takes them up again"
    )


@contextmanager
def _outcomes_told() -> Iterator[None]:
    """What would be a row's failure is this command's."""
    try:
        yield
    except Permanent as error:
        raise BackfillError(str(error)) from error
    except Retry as error:
        raise BackfillError(f"{error}; it may work again later") from error
