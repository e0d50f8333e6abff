"""What both parts of the demo do: connect, install a task, run it as a user would."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import click


def connect(url: str) -> Any:
    """A connection whose rows are tuples."""
    from psycopg.rows import tuple_row

    from runner.database import session

    connection: Any = session.connect(url, name="backfill demo")
    connection.row_factory = tuple_row
    return connection


def install(url: str, task: str, binding: Mapping[str, str]) -> None:
    """Install the engine and a task, where they aren't yet."""
    from runner import registry
    from runner.database import migrate

    known = registry.all_tasks()
    migrate.upgrade(url, [known[task]], binding, known=list(known.values()))
    click.echo(f"schema backfill is installed, with the task {task}")


def run(url: str, task: str, *options: str) -> int:
    """Run a task as a user would; the command's exit code."""
    arguments = ["run", task, *options]
    click.echo(f"\n$ {' '.join(map(quoted, ['backfill', *arguments]))}")
    sys.stdout.flush()
    return subprocess.run(
        [sys.executable, "-m", "runner", *arguments],
        env={**os.environ, "DATABASE_URL": url}, check=False,
    ).returncode  # fmt: skip


def quoted(word: str) -> str:
    """A word for a shell, and for a reader: one with single quotes in double ones."""
    return f'"{word}"' if "'" in word and not set(word) & set('"$`\\!') else shlex.quote(word)
