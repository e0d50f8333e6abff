"""`backfill failures`: which rows failed and why, without reading logs."""

from __future__ import annotations

import click

from runner.cli.common import installed_task, json_option, open_session
from runner.cli.output import Column, emit_json, note, table
from runner.errors import ExitCode


@click.command()
@click.argument("task", required=False)
@click.option(
    "--class", "error_class", metavar="CLASS", help="Only rows that failed for this cause."
)
@click.option(
    "--limit",
    type=click.IntRange(1, 1_000_000),
    default=20,
    show_default=True,
    help="Rows at most, the newest first.",
)
@click.option("--causes", is_flag=True, help="Count the rows by cause instead.")
@json_option
@click.pass_context
def failures(
    ctx: click.Context,
    task: str | None,
    error_class: str | None,
    limit: int,
    causes: bool,
    as_json: bool,
) -> int:
    """List the rows that failed for good, of TASK or of all tasks, and why."""
    with open_session(ctx) as session:
        if task is not None:
            installed_task(session, task)
        summary = [
            cause
            for cause in session.call("failure_causes", task=task)
            if error_class in (None, cause["error_class"])
        ]
        rows = summary if causes else session.call(
            "failures", task=task, error_class=error_class, limit=limit
        )  # fmt: skip
    if as_json:
        emit_json(rows)
        return ExitCode.DONE
    if not rows:
        note("no row has failed" + (f" for the cause {error_class}" if error_class else ""))
        return ExitCode.DONE
    if causes:
        table(rows, ["task", Column("error_class", "class"), "rows", "example_key",
                     Column("example_message", "example"), "last_failed_at"])  # fmt: skip
        return ExitCode.DONE
    table(rows, ["task", "key", Column("error_class", "class"), Column("error_message", "error"),
                 "attempts", "failed_at", Column("run", "run")])  # fmt: skip
    total = sum(cause["rows"] for cause in summary)
    if total > len(rows):
        note(f"{len(rows):,} of {total:,} rows; more: --limit, by cause: --causes")
    if task is not None:
        note(
            f"take them up again: backfill retry {task}"
            + (f" --class {error_class}" if error_class else "")
        )
    return ExitCode.DONE
