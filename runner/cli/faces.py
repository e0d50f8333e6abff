"""`backfill faces`: faces that face_index could not give a name to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import ROUND_DOWN, Decimal
from pathlib import Path
from typing import Any

import click

from runner.cli.common import count, installed_task, json_option, open_session
from runner.cli.duplicates_read import snapshot
from runner.cli.faces_read import TASK, Found, find, user_key
from runner.cli.output import Column, emit_json, note, table
from runner.errors import ExitCode, UsageError


@click.group()
def faces() -> None:
    """List faces that face_index found and could not give a name to.

    \b
    backfill faces review
    backfill faces review --html faces.html --user-id 6f1c2a34-0000-4000-8000-000000000001
    """


@faces.command()
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a page with each face beside the people it is most like.",
)
@click.option("--user-id", "user", metavar="KEY", help="Only faces of this user's pictures.")
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=200,
    show_default=True,
    help="Faces at most, user by user, the oldest first; the page has 1,000 at most.",
)
@click.option(
    "--base-url",
    metavar="URL",
    help="What relative URLs of pictures are relative to: an http(s) URL or a folder; by default "
    "that of the last run.",
)
@click.option(
    "--allow",
    metavar="ADDRESSES",
    help="Addresses that rows may name although they are not public, such as "
    "10.0.0.0/8,minio.internal:9000; by default those of the last run.",
)
@json_option
@click.pass_context
def review(
    ctx: click.Context,
    /,
    html: Path | None,
    user: str | None,
    limit: int,
    as_json: bool,
    **where: str | None,
) -> int:
    """List faces that a person has to name, with up to three people they are most like.

    Suggestions are worked out anew each time. To answer, in psql:

    \b
    select backfill.name_face('FACE', 'PERSON');
    select backfill.leave_face('FACE');

    The page of --html has these statements for each face, ready to be copied. It is one file
    without scripts, which loads nothing; pictures are downloaded to cut the faces out of them. It
    shows people's faces, so mind who gets it.
    """
    given = {name: value for name, value in where.items() if value is not None}
    if html is None and given:
        raise UsageError(f"--{next(iter(given)).replace('_', '-')} is for --html")
    if html is not None:
        from runner.pages.writing import check_target

        check_target(html)
    assert ctx.parent is not None  # noqa: S101 - a command of the group above
    with open_session(ctx.parent) as session:
        installed_task(session, TASK)
    # closed before pictures are downloaded: no transaction waits for a stranger's server
    with snapshot(ctx.parent) as connection:
        found = find(connection, user and user_key(user), limit)
    if as_json:
        emit_json(found.document())
    if html is not None:
        from runner.cli.faces_page import write

        (note if as_json else click.echo)(write(found, given, html))
    elif not as_json:
        _show(found)
    return ExitCode.DONE


def _show(found: Found) -> None:
    rows = [_row(face) for face in found.faces]
    if rows:
        users: list[str | Column] = ["user"] if found.user is None else []
        table(rows, [*users, "face", Column("name", "perhaps"), Column("similarity", "%"),
                     "person", "reason"])  # fmt: skip
    for line in _notes(found):
        note(line)


def _row(face: Mapping[str, Any]) -> dict[str, Any]:
    best: Mapping[str, Any] = next(iter(face["suggestions"]), {})
    return {
        "user": face["user_id"],
        "face": face["face"],
        "name": best.get("name"),
        "similarity": _tenths(best["similarity"]) if best else None,
        "person": best.get("person"),
        "reason": face["reason"],
    }


def _tenths(similarity: float) -> Decimal:
    """Never rounded up: 94.99 is below the 95 from which faces are named."""
    return Decimal(str(similarity)).quantize(Decimal("0.1"), ROUND_DOWN)


def _notes(found: Found) -> Iterator[str]:
    of_whom = f" of user {found.user}" if found.user is not None else ""
    if not found.all_faces:
        yield f"no face{of_whom} waits for a name"
        return
    shown, users = len(found.faces), count(found.users, "user")
    if shown < found.all_faces:
        yield f"{shown:,} of {count(found.all_faces, 'face')} of {users}; more: --limit"
    else:
        yield f"{count(shown, 'face')} of {users}"
    yield "side by side with who they may be: backfill faces review --html faces.html"
