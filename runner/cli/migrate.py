"""`backfill migrate`: install, upgrade, review and remove the schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from runner.cli.common import (
    confirm,
    conninfo,
    count,
    installed_task,
    names_and_values,
    open_session,
    yes_option,
)
from runner.cli.output import note, table
from runner.errors import BackfillError, ExitCode, UsageError

if TYPE_CHECKING:
    from runner.contract import Task

NOWHERE = "-"


@click.command()
@click.argument("names", metavar="[TASK]...", nargs=-1)
@click.option(
    "--set",
    "given",
    metavar="NAME=VALUE",
    multiple=True,
    help="Name of a table or column of yours that TASK binds to, e.g. table=public.photos.",
)
@click.option(
    "--sql", "as_sql", is_flag=True, help="Print the SQL of an installation; no connection is made."
)
@click.option(
    "--check", is_flag=True, help="Only say whether everything is at its newest revision."
)
@click.option("--down", is_flag=True, help="Remove TASK and what it added to your tables.")
@click.option("--uninstall", is_flag=True, help="Remove every task, the engine and the schema.")
@yes_option
@click.pass_context
def migrate(
    ctx: click.Context,
    names: tuple[str, ...],
    given: tuple[str, ...],
    as_sql: bool,
    check: bool,
    down: bool,
    uninstall: bool,
    yes: bool,
) -> int:
    """Install, upgrade or remove the schema.

    Installs the engine and TASK, and upgrades what is installed already. Locks on your tables are
    held for an instant, and given up and tried again where somebody else holds them.

    \b
    backfill migrate quality_score
    backfill migrate quality_score --set table=public.photos --set key=photo_id
    backfill migrate quality_score --sql | less
    backfill migrate --down quality_score
    """
    chosen = [name for name, on in {
        "--sql": as_sql, "--check": check, "--down": down, "--uninstall": uninstall,
    }.items() if on]  # fmt: skip
    if len(chosen) > 1:
        raise UsageError(f"{chosen[0]} and {chosen[1]} can't be used together")
    values = names_and_values(given)
    if values and (not names or check or down or uninstall):
        raise UsageError(
            "--set is for installing: name the task, e.g. backfill migrate TASK --set ..."
        )
    if uninstall and names:
        raise UsageError(f"--uninstall removes everything; for {names[0]} alone: --down {names[0]}")
    if as_sql:
        return _print_sql(names, values)
    if check:
        return _check(ctx, names)
    if down:
        return _down(ctx, names, yes)
    if uninstall:
        return _uninstall(ctx, yes)
    return _upgrade(ctx, names, values)


def _find(names: Sequence[str]) -> list[Task]:
    from runner.registry import find

    tasks = [find(name) for name in dict.fromkeys(names)]
    for task in tasks:
        if task.migrations is None:
            raise UsageError(
                f"{task.name} has no migrations; create its view backfill.needs_{task.name} and "
                f"its function backfill.apply_{task.name}(jsonb), then call backfill.register_task"
            )
    return tasks


def _print_sql(names: Sequence[str], values: Mapping[str, str]) -> int:
    from runner.database import migrate as migrations

    click.echo(migrations.upgrade_sql(_find(names), values), nl=False)
    return ExitCode.DONE


def _upgrade(ctx: click.Context, names: Sequence[str], values: Mapping[str, str]) -> int:
    from runner.database import migrate as migrations
    from runner.database.conninfo import describe
    from runner.registry import all_tasks

    known = {task.name: task for task in (*all_tasks().values(), *_find(names))}
    asked = [known[name] for name in dict.fromkeys(names)]
    target = conninfo(ctx)
    there = migrations.installed(target)
    others = [known[n] for n in there if n in known and n not in names and known[n].migrations]
    everything = list(known.values())
    before = migrations.by_branch(migrations.current(target, everything), everything)
    try:
        migrations.upgrade(target, asked, values, known=everything)
        if others:
            migrations.upgrade(target, others, {}, known=everything)
    finally:
        after = migrations.by_branch(migrations.current(target, everything), everything)
        _report(before, after)
    for name in sorted(set(there) - set(known)):
        note(f"{name} is installed but its code is not here: left as it is")
    missing = [task for name, task in known.items() if name not in {*there, *names}]
    if missing:
        note(
            "not installed:"
            + "".join(f"\n  backfill migrate {task.name}   {task.summary}" for task in missing)
        )
    if asked and before != after:
        note(f"next: backfill run {asked[0].name} --dry-run   (database: {describe(target)})")
    return ExitCode.DONE


def _report(before: Mapping[str, str], after: Mapping[str, str]) -> None:
    rows: list[dict[str, Any]] = []
    for name in sorted({*before, *after}, key=lambda n: (n != "engine", n)):
        was, now = before.get(name, NOWHERE), after.get(name, NOWHERE)
        state = "as it was" if was == now else "installed" if was == NOWHERE else "upgraded"
        if now == NOWHERE:
            state = "removed"
        rows.append({"branch": name, "before": was, "after": now, "state": state})
    if rows:
        table(rows, ["branch", "before", "after", "state"])


def _check(ctx: click.Context, names: Sequence[str]) -> int:
    from runner.database import migrate as migrations
    from runner.registry import all_tasks

    target = conninfo(ctx)
    known = {task.name: task for task in (*all_tasks().values(), *_find(names))}
    there = migrations.installed(target)
    wanted = [t for n, t in known.items() if t.migrations and (n in there or n in names)]
    everything = list(known.values())
    now = migrations.by_branch(migrations.current(target, everything), everything)
    newest = migrations.by_branch(migrations.heads(wanted), wanted)
    rows = [
        {
            "branch": name,
            "database": now.get(name, NOWHERE),
            "newest": newest[name],
            "state": "newest"
            if now.get(name) == newest[name]
            else "outdated"
            if name in now
            else "not installed",
        }
        for name in sorted(newest, key=lambda n: (n != "engine", n))
    ]
    table(rows, ["branch", "database", "newest", "state"])
    behind = [row["branch"] for row in rows if row["state"] != "newest"]
    if behind:
        raise BackfillError(
            "not at the newest revision: "
            + ", ".join(behind)
            + "; run: backfill migrate "
            + " ".join(name for name in behind if name != "engine")
        )
    return ExitCode.DONE


def _down(ctx: click.Context, names: Sequence[str], yes: bool) -> int:
    from runner.database import migrate as migrations
    from runner.registry import all_tasks

    if not names:
        raise UsageError("--down needs the task to remove; for everything: --uninstall")
    tasks = _find(names)
    target = conninfo(ctx)
    _say_what_goes(ctx, names)
    if not confirm("remove this?", yes):
        return ExitCode.CANCELLED
    everything = [*all_tasks().values(), *tasks]
    before = migrations.by_branch(migrations.current(target, everything), everything)
    migrations.downgrade(target, tasks, known=everything)
    _report(before, migrations.by_branch(migrations.current(target, everything), everything))
    return ExitCode.DONE


def _uninstall(ctx: click.Context, yes: bool) -> int:
    from runner.database import migrate as migrations
    from runner.registry import all_tasks

    target = conninfo(ctx)
    there = migrations.installed(target)
    if not there and not migrations.current(target):
        note("there is nothing to remove: pgbackfill is not installed in this database")
        return ExitCode.DONE
    _say_what_goes(ctx, list(there))
    click.echo("engine: schema backfill with the jobs, runs and the audit of every task")
    if not confirm("remove all of this?", yes):
        return ExitCode.CANCELLED
    migrations.uninstall(target, list(all_tasks().values()))
    click.echo("removed")
    return ExitCode.DONE


def _say_what_goes(ctx: click.Context, names: Sequence[str]) -> None:
    """Print what a removal takes along. Raises `UsageError` where processes are at work on it."""
    if not names:
        return
    with open_session(ctx) as session:
        for name in names:
            installed = installed_task(session, name)
            progress = session.one("progress", task=name)
            if progress["processes"]:
                raise UsageError(
                    f"{count(progress['processes'], 'process', 'processes')} at work on {name}; "
                    f"stop the run first: backfill cancel {name}"
                )
            rows = count(progress["done"] + progress["ready"], "job")
            click.echo(f"{name}: its view, its functions and {rows} with their errors and runs")
            where = installed["binding"].get("table", "your tables")
            for thing in installed["added"]:
                # a task with several tables says itself where it is
                there = (
                    thing
                    if " of " in thing or thing.startswith(("table ", "index "))
                    else f"{thing} of {where}"
                )
                data = " with its data" if thing.startswith(("column ", "table ")) else ""
                click.echo(f"{name}: {there}{data}")
