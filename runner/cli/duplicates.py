"""`backfill duplicates`: payments with the same picture, and what people say of them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from runner.cli.common import count, installed_task, json_option, open_session
from runner.cli.duplicates_read import Found, Wanted, find, snapshot
from runner.cli.output import Column, emit_json, note, table
from runner.errors import ExitCode, UsageError

TASK = "image_signals"
EXPLANATION = 90
"""Letters of an explanation in the table; JSON and the page have all of it."""


class Moment(click.ParamType):  # type: ignore[type-arg] # generic since click 8.5 only
    """A click type for a date or a time in ISO 8601; without a zone it is local time."""

    name = "date"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """A time with its zone; fails with a usage error for anything else."""
        if isinstance(value, datetime):
            return value
        try:
            return datetime.fromisoformat(value.strip()).astimezone()
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is not a date; write 2026-01-31 or 2026-01-31T18:30", param, ctx)


@click.group(invoke_without_command=True)
@click.option("--groups", "grouped", is_flag=True, help="Groups of payments instead of pairs.")
@click.option("--review", is_flag=True, help="Also pairs that only a person can judge.")
@click.option("--marked", is_flag=True, help="Also pairs that a person marked as no duplicates.")
@click.option(
    "--payment",
    metavar="KEY",
    help="Only this payment's pairs; with --groups all that share its picture.",
)
@click.option(
    "--since", type=Moment(), metavar="DATE", help="Only what was submitted again from then on."
)
@click.option(
    "--limit",
    type=click.IntRange(1, 1_000_000),
    default=50,
    show_default=True,
    help="Pairs or groups at most, the newest first.",
)
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a page with both pictures side by side.",
)
@json_option
@click.pass_context
def duplicates(ctx: click.Context, /, html: Path | None, as_json: bool, **asked: Any) -> int:
    """List payments that came with the same picture as an earlier one.

    image_signals found them. Of a pair, the later payment comes first. With --groups, payments are
    put together that pairs connect, the earliest first, and a group is shown whole.

    The percentage is how much of the content that both pictures show is the same. How sure it is:
    `same file` (byte for byte), `copy` (nothing differs but what re-encoding, resizing or cropping
    explains), `review` (something small differs, or too little is shared: a person has to look).

    The page of --html is one file without scripts, which loads nothing; it has at most 1,000 pairs
    of pictures. It shows what the pictures show, so mind who gets it.
    """
    if ctx.invoked_subcommand is not None:
        _refuse_options(ctx)
        return ExitCode.DONE
    if html is not None:
        from runner.pages.writing import check_target

        check_target(html)
    with open_session(ctx) as session:
        installed_task(session, TASK)
    with snapshot(ctx) as connection:
        found = find(connection, Wanted(**asked))
        if html is not None:
            from runner.cli.duplicates_page import write

            said = write(connection, found, html)
    if as_json:
        emit_json(found.document())
    if html is not None:
        (note if as_json else click.echo)(said)
    elif not as_json:
        _show(found)
    return ExitCode.DONE


@duplicates.command()
@click.argument("payment")
@click.argument("other")
@click.option(
    "--duplicate/--not-duplicate",
    "is_duplicate",
    default=None,
    help="What you found when you looked at both; one of them has to be given.",
)
@click.option("--reason", metavar="TEXT", help="Why, for everybody who asks.")
@click.pass_context
def mark(
    ctx: click.Context, payment: str, other: str, is_duplicate: bool | None, reason: str | None
) -> int:
    """Write down a person's judgement of PAYMENT and OTHER.

    It is kept with who made it and when, and later runs respect it: what is marked as no duplicate
    is no longer listed.
    """
    if is_duplicate is None:
        raise UsageError("say which it is: --duplicate or --not-duplicate")
    assert ctx.parent is not None  # noqa: S101 - a command of the group above
    with open_session(ctx.parent) as session:
        installed_task(session, TASK)
        session.call(
            "duplicate_mark",
            payment=payment, other=other, is_duplicate=is_duplicate, reason=reason,
        )  # fmt: skip
    what = "duplicates" if is_duplicate else "no duplicates"
    click.echo(f"{payment} and {other} are marked as {what}")
    note(f"take it back: backfill duplicates unmark {payment} {other}")
    return ExitCode.DONE


@duplicates.command()
@click.argument("payment")
@click.argument("other")
@click.pass_context
def unmark(ctx: click.Context, payment: str, other: str) -> int:
    """Take back what was marked of PAYMENT and OTHER."""
    assert ctx.parent is not None  # noqa: S101 - a command of the group above
    with open_session(ctx.parent) as session:
        installed_task(session, TASK)
        was_marked = session.one("duplicate_unmark", payment=payment, other=other)["was_marked"]
    words = "are no longer marked" if was_marked else "were not marked"
    click.echo(f"{payment} and {other} {words}")
    return ExitCode.DONE


def how(pair: Mapping[str, Any]) -> str:
    """How a pair of `backfill.duplicates` was told, in a word or two."""
    found = "same file" if pair["same_file"] else str(pair["verdict"])
    marks = {"duplicate": "marked duplicate", "not_duplicate": "marked no duplicate"}
    return f"{found}, {marks[pair['marked']]}" if pair["marked"] else found


def _refuse_options(ctx: click.Context) -> None:
    """Options of the list mean nothing to the commands below it."""
    for param in ctx.command.params:
        source = ctx.get_parameter_source(param.name or "")
        if param.expose_value and source is click.core.ParameterSource.COMMANDLINE:
            raise UsageError(f"{param.opts[0]} can't go with {ctx.invoked_subcommand}")


def _show(found: Found) -> None:
    rows = list(_members(found) if found.wanted.grouped else _pairs(found))
    if rows:
        labelled = any(row["label"] or row["first_label"] for row in rows)
        table(rows, list(_columns(grouped=found.wanted.grouped, labelled=labelled)))
    for line in _notes(found):
        note(line)


def _columns(*, grouped: bool, labelled: bool) -> Iterator[str | Column]:
    if grouped:
        yield "group"
    yield "payment"
    if labelled:
        yield "label"
    yield Column("submitted_at", "submitted")
    yield Column("duplicate_of", "like" if grouped else "duplicate of")
    if labelled and not grouped:
        yield Column("first_label", "label")
    if not grouped:
        yield Column("first_submitted_at", "submitted")
    yield Column("percentage", "%")
    yield "how"
    yield Column("short", "explanation")


def _pairs(found: Found) -> Iterator[dict[str, Any]]:
    for pair in found.pairs:
        yield {**pair, "how": how(pair), "short": _short(pair["finding"])}


def _members(found: Found) -> Iterator[dict[str, Any]]:
    pairs = {(pair["payment"], pair["duplicate_of"]): pair for pair in found.pairs}
    for number, group in enumerate(found.groups, start=1):
        for member in group.members:
            row = {"group": number, "payment": member.payment, "label": member.label,
                   "first_label": None, "submitted_at": member.submitted_at}  # fmt: skip
            if member.pair is not None:
                pair = pairs[member.pair]
                like = member.pair[member.pair[0] == member.payment]
                row |= {"duplicate_of": like, "percentage": pair["percentage"], "how": how(pair),
                        "short": _short(pair["finding"])}  # fmt: skip
            yield row


def _short(finding: str) -> str:
    return textwrap.shorten(finding, EXPLANATION, placeholder=" ...")


def _notes(found: Found) -> Iterator[str]:
    counts, wanted = found.counts, found.wanted
    all_pairs, all_groups = counts["pairs"], counts["groups"]
    if not all_pairs:
        yield "no duplicates were found" + _for_what(wanted)
    shown, of = (len(found.groups), all_groups) if wanted.grouped else (len(found.pairs), all_pairs)
    if shown < of:
        yield f"{shown:,} of {count(of, 'group' if wanted.grouped else 'pair')}; more: --limit"
    elif all_pairs:
        yield f"{count(all_pairs, 'pair')} in {count(all_groups, 'group')}"
    if counts["review"] and not wanted.review:
        yield f"{count(counts['review'], 'more pair')} for a person to judge: --review"
    if counts["not_duplicate"] and not wanted.marked:
        yield f"{count(counts['not_duplicate'], 'pair')} marked as no duplicates: --marked"
    if all_pairs:
        yield "side by side: backfill duplicates --html duplicates.html"
    elif found.payment is not None and found.payment["state"] != "ok":
        why = found.payment["error_message"]
        yield f"its picture's analysis: {found.payment['state']}" + (f" ({why})" if why else "")


def _for_what(wanted: Wanted) -> str:
    words = f" for payment {wanted.payment}" if wanted.payment is not None else ""
    return words + (f" since {wanted.since:%Y-%m-%d %H:%M}" if wanted.since is not None else "")
