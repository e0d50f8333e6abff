"""What `backfill storage gc` says: what it found, and what became of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from runner.cli.common import count
from runner.cli.output import note, pairs, table
from runner.units import size

if TYPE_CHECKING:
    from runner.cli.storage_collect import Found, Removed
    from runner.storage import Storage

SHOWN = 10


def show_found(opened: Storage, tasks: list[str], found: Found) -> None:
    """Print what there is, and the first orphans with their size and age."""
    click.echo(opened.name)
    pairs(
        {
            "objects": f"{found.objects:,} ({size(found.bytes)})",
            "kept": f"{found.kept:,} by {', '.join(tasks)}",
            "too young": f"{found.young:,} to be orphans" if found.young else None,
            "orphans": f"{len(found.orphans):,} ({size(found.orphan_bytes)})",
        }
    )
    if found.orphans:
        table(_first(found), ["path", "size", "age"])
    if len(found.orphans) > SHOWN:
        click.echo(f"... and {len(found.orphans) - SHOWN:,} more")


def some(found: Found) -> str:
    """`12 orphans (3.4 MB)`."""
    return f"{count(len(found.orphans), 'orphan')} ({size(found.orphan_bytes)})"


def _first(found: Found) -> list[dict[str, Any]]:
    now = datetime.now(UTC)
    return [
        {"path": one.path, "size": size(one.size), "age": now - one.modified}
        for one in found.orphans[:SHOWN]
    ]


def show_removed(removed: Removed) -> None:
    """Print what was deleted."""
    if removed.objects:
        click.echo(f"deleted {count(removed.objects, 'orphan')} ({size(removed.bytes)})")
    if removed.half_written:
        click.echo(f"deleted {count(removed.half_written, 'half-written file')}")
    if removed.left:
        note(f"{count(removed.left, 'orphan')} left: stored again, or kept or gone meanwhile")


def document(
    opened: Storage, tasks: list[str], before: datetime, found: Found, removed: Removed | None
) -> dict[str, Any]:
    """All of it for `--json`; `removed` is None after a dry run."""
    return {
        "storage": opened.name,
        "tasks": tasks,
        "before": before,
        "objects": found.objects,
        "bytes": found.bytes,
        "kept": found.kept,
        "young": found.young,
        "orphans": len(found.orphans),
        "orphan_bytes": found.orphan_bytes,
        "first": [
            {"path": one.path, "bytes": one.size, "modified": one.modified}
            for one in found.orphans[:SHOWN]
        ],
        "dry_run": removed is None,
        "deleted": removed.objects if removed else 0,
        "deleted_bytes": removed.bytes if removed else 0,
        "left": removed.left if removed else 0,
        "half_written": removed.half_written if removed else 0,
        "failures": len(removed.failures) if removed else 0,
    }
